#!/usr/bin/env bash
# Fuzzes one target, or all in turn, within the limits that hold for any input: fuzz/run.sh [TARGET|all] [SECONDS].
# 64 MiB for one allocation, 10 s for one input (an optimised build without sanitizers needs far less than one).
set -euo pipefail
cd "$(dirname "$0")"
targets=${1:-all}
seconds=${2:-600}
[ "$targets" = all ] && targets=$(cargo +nightly fuzz list)
for target in $targets; do
    mkdir -p "corpus/$target"
    options=(-max_total_time="$seconds" -malloc_limit_mb=64 -rss_limit_mb=2048 -timeout=10 -max_len=262144 -print_final_stats=1)
    [ -f "$target.dict" ] && options+=(-dict="$target.dict")
    cargo +nightly fuzz run "$target" -- "${options[@]}"
done
