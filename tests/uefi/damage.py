"""Damages a raw disk of the kit's variant "sysres" in place: damage.py DISK.raw HOW"""
import struct
import sys

import bcd
import ntfsraw
import regf

SECTOR = 512
BCD, SYSTEM = "\\Boot\\BCD", "\\Windows\\System32\\config\\SYSTEM"
NEW_ENTRY = struct.Struct("<B3sB3sII")


def read(offset, size):
    disk.seek(offset)
    return disk.read(size)


def poke(offset, data):
    disk.seek(offset)
    disk.write(data)
    disk.flush()


def partition(index):
    first, sectors = struct.unpack("<II", read(446 + 16 * index + 8, 8))
    return first * SECTOR, sectors * SECTOR


def volume(index):
    return ntfsraw.Ntfs(ntfsraw.FileVol(sys.argv[1], *partition(index), ro=False))


def set_entry(index, **fields):
    """Changes an entry of the MBR: status, kind, first, sectors."""
    status, chs, kind, end, first, sectors = NEW_ENTRY.unpack(read(446 + 16 * index, 16))
    old = {"status": status, "kind": kind, "first": first, "sectors": sectors}
    new = {**old, **fields}
    poke(446 + 16 * index, NEW_ENTRY.pack(new["status"], chs, new["kind"], end, new["first"], new["sectors"]))


def put_file(index, path, content):
    """Other bytes for a file, as many as it has."""
    fs = volume(index)
    old = fs.read_file(path)
    fs.write_file_in_place(path, old, content(bytearray(old)).ljust(len(old), b"\0")[:len(old)])


def store(change):
    """The boot store, changed as a tree and written anew."""
    def content(old):
        tree = bcd.Store(regf.Hive(bytes(old)).tree())
        change(tree)
        return tree.write()
    put_file(0, BCD, content)


def shorten(index, path, size):
    fs = volume(index)
    number = fs.lookup(path)
    record = fs.record(number)
    _, at = fs.attr(record, 0x80)
    struct.pack_into("<QQ", record, at + 0x30, size, size)
    fs.write_record(number, record)


def looping(hive):
    """The first subkey of the root is the root."""
    root = 0x1000 + struct.unpack_from("<I", hive, 0x24)[0]
    keys = 0x1000 + struct.unpack_from("<I", hive, root + 4 + 0x1C)[0]
    struct.pack_into("<I", hive, keys + 8, root - 0x1000)
    return hive


def torn(record):
    """A record whose sectors were not written together."""
    fs = volume(1)
    at = partition(1)[0] + fs.record_off(record) + SECTOR - 2
    poke(at, bytes(byte ^ 0xFF for byte in read(at, 2)))


def no_default(tree):
    tree.obj(bcd.BOOTMGR).sub("Elements").subkeys[:] = [
        key for key in tree.obj(bcd.BOOTMGR).sub("Elements").subkeys if key.name != "23000003"]


def other_disk(tree):
    for o in tree.objects():
        if tree.otype(o) == bcd.T_OSLOADER:
            tree.el(o, 0x21000001, bcd.dev_mbr(0x55555555, partition(1)[0]))


DAMAGES = {
    "boot-sector": lambda: poke(partition(1)[0], bytes(SECTOR)),
    "mft": lambda: poke(partition(1)[0] + volume(1).record_off(0), b"BAAD"),
    "mft-torn": lambda: torn(0),
    "mft-address": lambda: poke(partition(1)[0] + 0x30, struct.pack("<Q", 1 << 60)),
    "cluster-size": lambda: poke(partition(1)[0] + 0x0D, b"\x03"),
    "bcd-cut": lambda: shorten(0, BCD, 6000),
    "bcd-empty": lambda: put_file(0, BCD, lambda old: b""),
    "bcd-loop": lambda: put_file(0, BCD, looping),
    "bcd-no-default": lambda: store(no_default),
    "bcd-other-disk": lambda: store(other_disk),
    "system-empty": lambda: put_file(1, SYSTEM, lambda old: b""),
    "system-cut": lambda: shorten(1, SYSTEM, 5000),
    "overlap": lambda: set_entry(1, first=partition(0)[1] // SECTOR),
    "beyond": lambda: set_entry(1, sectors=1 << 24),
    "far-beyond": lambda: set_entry(1, first=0xFFFFFFF0, sectors=0xFFFFFFFF),
    "two-active": lambda: set_entry(1, status=0x80),
    "none-active": lambda: set_entry(0, status=0),
    "linux": lambda: set_entry(2, kind=0x83, first=100, sectors=100),
    "front": lambda: set_entry(2, kind=7, first=20, sectors=100),
    "no-table": lambda: poke(510, bytes(2)),
}

with open(sys.argv[1], "r+b") as disk:
    DAMAGES[sys.argv[2]]()
