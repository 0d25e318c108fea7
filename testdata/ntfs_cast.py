#!/usr/bin/env python3
"""Makes the volume of ntfs-cast.vmdk: python3 testdata/ntfs_cast.py VOLUME (needs root, /dev/fuse, mkntfs and ntfs-3g).

It has an example of everything in which tests/ntfs/planted.rs plants a fault. Its contents compress well; times and
identities differ each time.
"""
import fcntl
import os
import struct
import subprocess
import sys
import tempfile
import time

SIZE = 16 << 20
CLUSTER = 1024
UNIT = 16 * CLUSTER  # of holes
PIECES = 20


def fill(root):
    def put(path, data):
        with open(os.path.join(root, path), "wb", buffering=0) as file:
            file.write(data)

    for folder in "dir", "many", "compressed", "piece", "dir/junction1", "dir/junction2":
        os.mkdir(os.path.join(root, folder))
    put("dir/one.bin", b"one " * 6 * 1024)
    put("dir/two.bin", b"two " * 10 * 1024)
    put("dir/resident.txt", b"a resident file")
    os.setxattr(os.path.join(root, "dir/resident.txt"), "system.ntfs_object_id", bytes(range(1, 17)))
    put("dir/streams.txt", b"streams")
    put("dir/streams.txt:large", b"large " * 8 * 1024)
    put("dir/short.txt", b"short")
    os.chmod(os.path.join(root, "dir/two.bin"), 0o640)  # a second security id
    for number in range(1, 201):
        put(f"many/a long file name number {number}.txt", b"file %d\n" % number)
    with open(os.path.join(root, "dir/sparse.bin"), "wb") as file:  # holes in whole units, as Windows makes them
        file.truncate(1 << 20)
        file.seek(512 << 10)
        file.write(b"data" * (UNIT // 4))
    os.setxattr(os.path.join(root, "compressed"), "system.ntfs_attrib", struct.pack("<I", 0x800))
    put("compressed/text.txt", b"".join(b"line %d of a text\n" % line for line in range(20000)))
    for number in 1, 2:
        target = f"\\??\\C:\\Windows{number}".encode("utf-16-le")
        shown = f"C:\\Windows{number}".encode("utf-16-le")
        body = struct.pack("<HHHH", 0, len(target), len(target) + 2, len(shown)) + target + b"\0\0" + shown + b"\0\0"
        path = os.path.join(root, f"dir/junction{number}")
        os.setxattr(path, "system.ntfs_reparse_data", struct.pack("<IHH", 0xA0000003, len(body), 0) + body)
    # A DOS name, which stands beside its long one.
    os.setxattr(os.path.join(root, "dir/streams.txt"), "system.ntfs_dos_name", b"STREAM~1.TXT")
    for number in range(PIECES):
        put(f"piece/{number:04}", b"piece" * 800)


def fragment(root):
    """A file in so many pieces, with so many names and streams, that other records go on with it."""
    for number in range(0, PIECES, 2):
        os.unlink(os.path.join(root, f"piece/{number:04}"))
    with open(os.path.join(root, "dir/fragments.bin"), "wb", buffering=0) as file:
        file.truncate(400 * UNIT)
        for unit in range(0, 400, 2):
            file.seek(unit * UNIT)
            file.write(b"part" * (UNIT // 4))
    for number in range(4):
        with open(os.path.join(root, f"dir/fragments.bin:stream {number}"), "wb") as file:
            file.write(b"stream")
    for number in range(12):
        os.link(os.path.join(root, "dir/fragments.bin"), os.path.join(root, f"dir/hard link with a long name {number}.bin"))


def mounted(volume, work):
    with tempfile.TemporaryDirectory() as root:
        subprocess.run(["ntfs-3g", "-o", "permissions,streams_interface=windows,compression", volume, root], check=True)
        try:
            work(root)
        finally:
            subprocess.run(["umount", root], check=True)
    with open(volume, "r+b") as file:  # the driver still writes after umount has returned
        for _ in range(600):
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                time.sleep(0.05)


def main():
    volume, = sys.argv[1:]
    with open(volume, "wb") as file:
        file.truncate(SIZE)
    subprocess.run(["mkntfs", "-Q", "-q", "-F", "-s", "512", "-c", str(CLUSTER), "-p", "2048", "-H", "255", "-S", "63", volume], check=True, stdout=subprocess.DEVNULL)
    mounted(volume, fill)
    mounted(volume, fragment)


if __name__ == "__main__":
    main()
