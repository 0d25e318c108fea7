"""Fails where a converted disk differs from its source and need not: changed.py SOURCE.raw CONVERTED.raw SECTOR_SIZE

May differ: the partition tables, the EFI system partition, what lies beyond the source's end; in a volume the clusters of
the hive SYSTEM; and in one that was made smaller its boot sector with its copy, $Bitmap, the FILE records of $Bitmap,
$BadClus and the files that reached behind its new end, and clusters that were free. Prints how many blocks of 2 MiB differ or
are new.
"""
import os
import struct
import sys
import uuid

import ntfsraw

ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b").bytes_le
BLOCK = 2 << 20


def partitions(path, sector):
    """Type, first byte and size of each partition of a GPT."""
    with open(path, "rb") as disk:
        disk.seek(2 * sector)
        table = disk.read(128 * 128)
    for entry in (table[at:at + 128] for at in range(0, len(table), 128)):
        if any(entry[:16]):
            first, last = struct.unpack_from("<QQ", entry, 32)
            yield entry[:16], first * sector, (last - first + 1) * sector


def of_volume(source, converted, base, size):
    """The ranges of an NTFS volume that may differ."""
    old = ntfsraw.Ntfs(ntfsraw.FileVol(source, base, size))
    new = ntfsraw.Ntfs(ntfsraw.FileVol(converted, base, size))
    cluster = new.cl

    def clusters(runs):
        return [(base + lcn * cluster, base + (lcn + n) * cluster) for n, lcn in runs if lcn is not None]

    def data(volume, record):
        return volume.runs(volume.attr(volume.record(record), 0x80))

    hive = new.lookup("\\Windows\\System32\\config\\SYSTEM")
    ranges = clusters(data(new, hive)) if hive is not None else []
    if new.total_sectors == old.total_sectors:
        return ranges
    ranges += [(base, base + 512), (base + size - new.bps, base + size)]
    ranges += clusters(data(old, 6)) + clusters(data(new, 6))
    records, = struct.unpack_from("<Q", *at_size(old.attr(old.record(0), 0x80)))
    for number in range(records // old.rec):
        if number in (6, 8) or reaches(old, number, new.clusters):
            at = base + old.record_off(number)
            ranges.append((at, at + old.rec))
    mirror = data(old, 1)
    ranges += clusters(mirror)
    bitmap = old.bitmap()
    free = [n for n in range(new.clusters) if not bitmap[n >> 3] >> (n & 7) & 1]
    return ranges + [(base + n * cluster, base + (n + 1) * cluster) for n in free]


def at_size(attribute):
    return attribute[0], attribute[1] + 0x30


def reaches(volume, number, end):
    """Whether a file has clusters from this one on."""
    try:
        record = volume.record(number)
    except ValueError:
        return False
    runs = [volume.runs((record, at)) for at, _, _ in volume.attrs(record) if record[at + 8]]
    return any(lcn is not None and lcn + n > end for attribute in runs for n, lcn in attribute)


def differing(source, converted, sector, end):
    """The sectors that differ, up to where the source ends."""
    with open(source, "rb") as a, open(converted, "rb") as b:
        for at in range(0, end, BLOCK):
            x, y = a.read(BLOCK), b.read(BLOCK)
            if x != y:
                yield from (at + n for n in range(0, len(x), sector) if x[n:n + sector] != y[n:n + sector])


def main():
    source, converted, sector = sys.argv[1], sys.argv[2], int(sys.argv[3])
    end, size = os.path.getsize(source), os.path.getsize(converted)
    table = 128 * 128 // sector
    allowed = [(0, (2 + table) * sector), (size - (1 + table) * sector, size)]
    for kind, first, length in partitions(converted, sector):
        with open(converted, "rb") as disk:
            disk.seek(first + 3)
            ntfs = disk.read(8) == b"NTFS    "
        if kind == ESP:
            allowed.append((first, first + length))
        elif ntfs:
            allowed += of_volume(source, converted, first, length)
    allowed.sort()
    stray, blocks, index, reach = [], set(), 0, 0
    for at in differing(source, converted, sector, end):
        blocks.add(at // BLOCK)
        while index < len(allowed) and allowed[index][0] <= at:
            reach = max(reach, allowed[index][1])
            index += 1
        if at >= reach:
            stray.append(at)
    if stray:
        sys.exit(f"{len(stray)} sectors differ and need not, the first at {stray[0]:#x}")
    print(len(blocks | set(range(end // BLOCK, -(-size // BLOCK)))))


main()
