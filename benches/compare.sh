#!/usr/bin/env bash
# Times diskport against qemu-img and cp in one run, side by side, and prints a Markdown table:
#
#   benches/compare.sh [ci|full] [--mode warm|cold|synced] [--rounds N] [--work DIR] [--only PATTERN]
#
# ci: disks of 512 MiB and 16 GiB, half an hour. full: 4 GiB and 64 GiB, some hours; needs 60 GiB in DIR.
# Needs qemu-img, qemu-io and Python 3; as root, caches are dropped before each case, or before each run (--mode cold).
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release --features cli
exec python3 benches/compare/compare.py --diskport "${CARGO_TARGET_DIR:-target}/release/diskport" "$@"
