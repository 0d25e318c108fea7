"""Prints the SHA-256 of the whole content of a VHD or VHDX, as libvhdi reads it: read_vhd.py IMAGE [PARENT]...

The parents of a child follow it, the nearest first.
"""
import hashlib
import sys

import pyvhdi

files = []
for path in sys.argv[1:]:
    file = pyvhdi.file()
    file.open(path)
    files.append(file)
for child, parent in reversed(list(zip(files, files[1:]))):
    child.set_parent(parent)
disk = files[0]
left = disk.get_media_size()
digest = hashlib.sha256()
while left:
    data = disk.read_buffer(min(left, 1 << 20))
    if not data:
        sys.exit(f"{left} bytes are missing")
    digest.update(data)
    left -= len(data)
print(digest.hexdigest())
