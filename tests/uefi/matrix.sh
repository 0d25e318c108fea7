#!/usr/bin/env bash
# All variants of the kit's disks through `diskport convert-to-uefi`, for before a release: half an hour on two processors.
#
#     tests/uefi/matrix.sh [VARIANT]...
#
# Each variant is converted from a VHD and a VHDX, dynamic and fixed. With the same seed all four children must have the
# same content, as libvhdi reads it; that content is checked by the kit's verify.py and booted from SATA, NVMe and
# virtio, by fallback path and by boot entry. A variant that is not convertible must be refused with exit code 5 and leave
# nothing. At the end damaged copies show that the boot test tells them apart. Fails when anything is not as it must be.
#
# DISKPORT_UEFI_KIT: the kit, ../shared/tools/uefi by default. DISKPORT_PYTHON: a Python with libvhdi.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
kit=$(realpath "${DISKPORT_UEFI_KIT:-../shared/tools/uefi}")
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
python=${DISKPORT_PYTHON:-$target/ci-venv/bin/python}
work=$target/uefi-matrix
export PYTHONDONTWRITEBYTECODE=1 PATH=$PATH:/usr/sbin:/sbin
diskport=$work/diskport
failures=0

# Variant, where its EFI system partition must come to lie or "refused", and options.
variants='
    sysres          reuse
    single          shrink
    winre-in-sysres shrink
    recovery3       reuse
    gap             gap
    locate          reuse
    four            reuse
    4kn             reuse
    to-the-end      shrink
    dirty-registry  reuse
    full-tail       refused
    full-tail       grow    --esp grow
    extended        refused
    gpt             refused
    dynamic         refused
    bitlocker       refused
    dirty           refused
    hibernated      refused
    win32           refused'

fail() { failures=$((failures + 1)); printf ' %s' "$*"; }

# make_base RAW BASE KIND SECTOR
make_base() {
    "$diskport" create "$2" --size "$(stat -c %s "$1")" --subformat "$3" --sector-size "$4" 2>/dev/null
    "$diskport" update "$1" "$2" 2>/dev/null
}

# convert BASE CHILD OPTION...: exit code; the report in $work/report.
convert() {
    local code=0
    "$diskport" convert-to-uefi "$1" "$2" --seed 7 --json "${@:3}" >"$work/report" 2>"$work/errors" || code=$?
    return $code
}

# converted RAW WANTED SECTOR OPTION...
converted() {
    local raw=$1 wanted=$2 sector=$3 format kind base child code before bus buses how
    rm -f "$work/first.raw"
    for format in vhd vhdx; do
        # VHD has sectors of 512 bytes alone, and its children are as large as their parents.
        [ "$format" = vhd ] && { [ "$sector" = 4096 ] || [ "$wanted" = grow ]; } && { printf ' - -'; continue; }
        for kind in dynamic fixed; do
            base=$work/base.$format child=$work/child.$format code=0
            rm -f "$work"/base.* "$work"/child.* "$work/flat.raw"
            make_base "$raw" "$base" "$kind" "$sector"
            before=$(sha256sum <"$base")
            convert "$base" "$child" "${@:4}" || code=$?
            [ "$before" = "$(sha256sum <"$base")" ] || { fail SOURCE-CHANGED; continue; }
            if [ "$wanted" = refused ]; then
                if [ $code = 5 ] && [ ! -e "$child" ]; then printf ' refused'; else fail "EXIT-$code"; fi
                continue
            fi
            [ $code = 0 ] || { fail "EXIT-$code"; continue; }
            how=$("$python" -c 'import json, sys; print(json.load(sys.stdin)["esp"]["place"])' <"$work/report")
            [ "$how" = "$wanted" ] || { fail "BY-$how"; continue; }
            "$python" "$here/flatten.py" libvhdi "$work/flat.raw" "$child" "$base" || { fail UNREADABLE; continue; }
            if [ -e "$work/first.raw" ]; then
                if cmp -s "$work/first.raw" "$work/flat.raw"; then printf ' same'; else fail OTHER-CONTENT; fi
            else
                mv "$work/flat.raw" "$work/first.raw"
                printf ' %dM' $(($(stat -c %s "$child") >> 20))
            fi
        done
    done
    if [ "$wanted" = refused ]; then sed -n '1s/^diskport: [^:]*:/  /p' "$work/errors"; return; fi
    [ -e "$work/first.raw" ] || { echo; return; }
    check verify.py "$raw" "$work/first.raw" --sector "$sector"
    # SATA disks with sectors of 4096 bytes are not emulated.
    buses='sata nvme virtio'
    [ "$sector" = 4096 ] && buses='nvme virtio scsi'
    for bus in $buses; do
        printf ' %s' "$bus"
        check boot_test.py "$work/first.raw" --sector "$sector" --bus "$bus"
        check boot_test.py "$work/first.raw" --sector "$sector" --bus "$bus" --entry
    done
    echo
}

# check SCRIPT ARGUMENT...
check() {
    if python3 "$kit/$1" "${@:2}" >"$work/log" 2>&1; then printf ' ok'; else
        fail BAD
        cp "$work/log" "$work/bad-$failures.log"
    fi
}

cargo build --quiet --all-features
rm -rf "$work"
mkdir -p "$work"
# What is built meanwhile does not matter.
cp "$target/debug/diskport" "$diskport"
sh "$kit/efi/build.sh" "$work/efi"
printf '%-28s%s\n' variant 'VHD dynamic, fixed; VHDX dynamic, fixed; checks; for each bus by fallback path, by boot entry'
while read -r variant wanted options; do
    [ $# = 0 ] || [[ " $* " = *" $variant "* ]] || continue
    mib=1024 sector=512
    [ "$variant" = 4kn ] && mib=2048 sector=4096
    raw=$work/$variant.raw
    [ -e "$raw" ] || faketime -f '2024-01-01 00:00:00' python3 "$kit/mkfixture.py" "$variant" "$raw" \
        --efi "$work/efi" --size-mib "$mib" &>"$work/log"
    printf '%-28s' "$variant${options:+ $options}"
    # shellcheck disable=SC2086
    converted "$raw" "$wanted" "$sector" $options
    [ "$variant" = single ] && [ -e "$work/first.raw" ] && mv "$work/first.raw" "$work/mutated.raw"
    rm -f "$work"/base.* "$work"/child.*
done <<<"${variants#$'\n'}"
if [ -e "$work/mutated.raw" ]; then
    python3 "$kit/mutations.py" "$work/mutated.raw" | tee "$work/mutations"
    # What it wants is how what it got begins.
    failures=$((failures + $(grep -cvP 'want (.*?) +got \1' "$work/mutations" || true)))
fi
echo "$failures failures"
[ $failures = 0 ]
