#!/usr/bin/env bash
# Runs QEMU's own block tests against this library, through the shim beside this script.
#
#     tests/qemu_shim/run.sh [--only VARIANT]... [FOLDER]
#
# The tests come from Debian's source package of QEMU, which is fetched into FOLDER (target/qemu-src by default; 40 MB)
# unless it is there already. They are GPL-2.0 and stay there: nothing of QEMU's enters the repository. What is
# needed: bash, python3, GNU sed, bzip2, and for fetching apt-get and Debian's archive keyring.
#
# A variant is a format with its creation options, as in the table below. For each, QEMU's `check` runs the tests that
# need nothing but qemu-img and qemu-io; those that QEMU itself leaves out for a variant are shown as "-". The run
# fails when a test fails that expected.txt does not list for that variant, when one that it lists passes, or when
# other than as many lines as it says differ from what QEMU printed. What differs is left in
# target/qemu-shim/VARIANT/diff.
#
# With QEMU_IMG_PROG or QEMU_IO_PROG set to QEMU's own program, that one takes the place of its half of the shim: then
# each reads what the other wrote. The expected failures are other ones then.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
work=$target/qemu-shim

tests='001 002 003 004 005 008 009 010 011 012 017 018 019 020 021 027 032 033 034 037 052 059 063 064 069 070 072 088
    104 105 110 111 126 135 146 159 170 197 215 226 251 279 regression-vhdx-log'

# Name, format, and options that images are made with.
variants='
    raw                   raw
    vpc                   vpc
    vpc-fixed             vpc   subformat=fixed
    vhdx                  vhdx
    vhdx-fixed            vhdx  subformat=fixed
    vhdx-1M               vhdx  block_size=1M
    vmdk                  vmdk
    monolithicFlat        vmdk  subformat=monolithicFlat,zeroed_grain=off
    twoGbMaxExtentSparse  vmdk  subformat=twoGbMaxExtentSparse
    twoGbMaxExtentFlat    vmdk  subformat=twoGbMaxExtentFlat,zeroed_grain=off
    streamOptimized       vmdk  subformat=streamOptimized
'

only=' '
while [ "${1:-}" = --only ]; do
    only+="$2 "
    shift 2
done
folder=$(realpath -m "${1:-$target/qemu-src}")

fetch() {
    mkdir -p "$folder"/lists/partial
    echo 'deb-src http://deb.debian.org/debian trixie main' >"$folder/sources.list"
    local apt=(apt-get -qq -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State::lists="$folder/lists" -o APT::Sandbox::User=root)
    "${apt[@]}" update
    (cd "$folder" && "${apt[@]}" source --download-only qemu)
    for archive in "$folder"/qemu_*.orig.tar.xz; do
        tar -C "$folder" -xf "$archive" --wildcards '*/tests/qemu-iotests' '*/python'
    done
}

# The tests as they are run: a copy, since they write beside themselves.
copy_tests() {
    local source
    source=$(find "$folder" -maxdepth 3 -path '*/tests/qemu-iotests' -print -quit)
    iotests=$work/qemu/tests/qemu-iotests
    rm -rf "$work/qemu"
    mkdir -p "$work/qemu/tests"
    cp -r "$source" "$work/qemu/tests/"
    cp -r "$source/../../python" "$work/qemu/"
    # A child here is as large as its parent; that it is larger is not what these two are about.
    sed -i 's/\(_make_test_img -b .*\) 6G$/\1 $size/' "$iotests"/03[47]
    sed -i 's/size=6442450944 backing/size=134217728 backing/' "$iotests"/03[47].out
}

# The programs that `check` wants to see; it asks the first one which machine is the default.
make_programs() {
    local shim tool bin=$work/bin
    shim=$(cargo build --quiet --test qemu-shim --message-format=json |
        sed -n 's/.*"executable":"\([^"]*qemu.shim[^"]*\)".*/\1/p')
    mkdir -p "$bin"
    for tool in qemu-img qemu-io; do
        printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$shim" "$tool" >"$bin/$tool"
    done
    printf '#!/bin/sh\n[ "$*" = "-machine help" ] && echo "none (default)"\n' >"$bin/qemu-system-none"
    printf '#!/bin/sh\nexit 1\n' | tee "$bin/qemu-nbd" >"$bin/qemu-storage-daemon"
    chmod +x "$bin"/*
    export QEMU_PROG=$bin/qemu-system-none QEMU_NBD_PROG=$bin/qemu-nbd QSD_PROG=$bin/qemu-storage-daemon
    export QEMU_IMG_PROG=${QEMU_IMG_PROG:-$bin/qemu-img} QEMU_IO_PROG=${QEMU_IO_PROG:-$bin/qemu-io}
}

# run_check FORMAT OPTIONS DIR: runs all tests for one variant.
run_check() {
    mkdir -p "$3/sock"
    # shellcheck disable=SC2086
    (cd "$iotests" && TEST_DIR=$3 SOCK_DIR=$3/sock ./check -tap -j "$(nproc)" "-$1" ${2:+-o "$2"} $tests) \
        >"$3/tap" 2>"$3/diff" || true
}

# What expected.txt says of TEST in VARIANT: how many lines differ, and why.
expected() {
    awk -v test="$1" -v variant="$2" '!/^#/ && $1 == test && ($2 == variant || $2 == "*") {
        lines = $3; $1 = $2 = $3 = ""; sub(/^ +/, ""); print lines, $0; exit }' "$here/expected.txt"
}

# judge TEST VARIANT FORMAT DIR: the outcome, and what there is to say of it; an outcome in capitals is a wrong one.
judge() {
    local line lines reason found
    line=$(grep -x "\(not \)\?ok $3 $1\( # SKIP\)\?" "$4/tap" | tail -n 1)
    read -r lines reason <<<"$(expected "$1" "$2")" || true
    case $line in
    '') echo 'MISSING it did not run' ;;
    *SKIP) echo '-' ;;
    ok*) [ -z "$lines" ] && echo pass || echo "PASS it is expected to fail: $reason" ;;
    not*)
        found=$(diff "$(find "$iotests" -name "$1.out")" "$(find "$4" -name "$1.out.bad")" | grep -c '^[<>]' || true)
        case $lines in
        '') echo "FAIL $found lines differ" ;;
        - | "$found") echo "fail $reason" ;;
        *) echo "FAIL $found lines differ, not $lines: $reason" ;;
        esac
        ;;
    esac
}

[ -d "$folder"/qemu-*/tests/qemu-iotests ] || fetch
copy_tests
make_programs

outcomes=$work/outcomes.txt
: >"$outcomes"
while read -r variant format options; do
    [ -n "$variant" ] && [[ $only = ' ' || $only = *" $variant "* ]] || continue
    dir=$work/$variant
    rm -rf "$dir"
    start=$SECONDS
    run_check "$format" "$options" "$dir"
    for test in $tests; do
        echo "$variant $test $(judge "$test" "$variant" "$format" "$dir")" >>"$outcomes"
    done
    echo "$variant: $((SECONDS - start)) s"
done <<<"$variants"

# One line a test, one column a variant.
awk '
    !($1 in seen) { seen[$1]; variants[++columns] = $1 }
    !($2 in known) { known[$2]; tests[++rows] = $2 }
    { outcome[$2, $1] = $3; if ($3 == "pass") passed[$1]++ }
    END {
        printf "\n%-20s", "test"; for (c = 1; c <= columns; c++) printf " %-11.11s", variants[c]
        for (r = 1; r <= rows; r++) {
            printf "\n%-20s", tests[r]; for (c = 1; c <= columns; c++) printf " %-11s", outcome[tests[r], variants[c]]
        }
        printf "\n%-20s", "passed"; for (c = 1; c <= columns; c++) printf " %-11d", passed[variants[c]]; print "\n"
    }' "$outcomes"
# What did not pass, why, and where.
awk '$3 != "pass" && $3 != "-" {
        variant = $1; test = $2; $1 = $2 = ""; text = sprintf("%-20s%s", test, $0)
        if (text in where) where[text] = where[text] ", " variant; else where[text] = variant
    }
    END { for (text in where) print text " (" where[text] ")" }' "$outcomes" | sort

if wrong=$(grep -c '^[^ ]* [^ ]* [A-Z]' "$outcomes"); then
    echo "$wrong outcomes are not the expected ones" >&2
    exit 1
fi
echo 'all outcomes are as expected'
