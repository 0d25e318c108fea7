"""Makes another disk of one of the kit's, in place: refit.py DISK.raw HOW"""
import os
import struct
import subprocess
import sys
import tempfile

import mkfixture

SECTOR, MIB = 512, 1 << 20
NTFS = 7


def entry(index):
    with open(disk, "rb") as f:
        f.seek(446 + 16 * index + 8)
        return [SECTOR * sectors for sectors in struct.unpack("<II", f.read(8))]


def copy(source, offset, target, to, size):
    subprocess.run(["dd", "if=" + source, "of=" + target, "bs=1M", "iflag=skip_bytes,count_bytes", "oflag=seek_bytes",
                    "skip=%d" % offset, "seek=%d" % to, "count=%d" % size, "conv=notrunc,sparse", "status=none"], check=True)


def mounted(index, change):
    """Lets `change` do what it likes below the root directory of a partition."""
    offset, size = entry(index)
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(disk)) as volume:
        copy(disk, offset, volume.name, 0, size)
        os.truncate(volume.name, size)
        root = mkfixture.mount_ntfs(volume.name)
        try:
            change(root)
        finally:
            mkfixture.umount(root)
            mkfixture.wait_unlocked(volume.name)
        # Zeros, too, since files may have gone.
        subprocess.run(["fallocate", "-p", "-o", str(offset), "-l", str(size), disk], check=True)
        copy(volume.name, 0, disk, offset, size)


def without_store(root):
    for name in os.listdir(root + "/Boot"):
        if name.startswith("BCD"):
            os.remove(root + "/Boot/" + name)


def append(change):
    """A third volume, of 300 MiB, in entry 2 behind all others."""
    start, size = os.path.getsize(disk), 300 * MIB
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(disk)) as volume:
        mkfixture.mkntfs(volume.name, size, "Data", start // SECTOR, SECTOR, 7)
        change(volume.name)
        os.truncate(disk, start + size + MIB)
        copy(volume.name, 0, disk, start, size)
    with open(disk, "r+b") as f:
        f.seek(446 + 16 * 2)
        f.write(struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", NTFS, b"\xfe\xff\xff", start // SECTOR, size // SECTOR))


CHANGES = {
    "no-store": lambda: mounted(0, without_store),
    "other-files": lambda: mounted(0, lambda root: mkfixture.put(root, "Tools/notes.txt", "ours")),
    "two-windows": lambda: mounted(2, lambda root: mkfixture.put(root, "Windows/System32/ntoskrnl.exe", "MZ")),
    "dirty-behind": lambda: append(mkfixture.set_dirty),
}

disk = os.path.abspath(sys.argv[1])
CHANGES[sys.argv[2]]()
