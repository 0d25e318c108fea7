#!/usr/bin/env bash
# The campaigns of which a run of all tests takes a tenth, whole: every cut, every failing call, many random sequences.
# Hours of work; names of tests, as for `cargo test`, choose among them.
set -euo pipefail
cd "$(dirname "$0")/.."
export DISKPORT_CAMPAIGN=full
cargo test --release --all-features --test crash -- "$@"
