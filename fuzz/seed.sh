#!/usr/bin/env bash
# Makes seeds for all targets from the corpus beside the repository (or the folder that DISKPORT_CORPUS names), and
# from testdata/: fuzz/seed.sh. They land in fuzz/corpus/TARGET, where cargo fuzz looks for them.
set -euo pipefail
cd "$(dirname "$0")"
source=${DISKPORT_CORPUS:-../../shared/corpus}
unpacked=../target/corpus
[ -f "$unpacked/MANIFEST.tsv" ] || bash "$source/unpack" "$unpacked"
seed() { cargo run --quiet --release --target-dir ../target/fuzz-seed --example seed -- "$1" corpus; }
seed "$unpacked"
seed ../testdata
