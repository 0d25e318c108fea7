"""Prints the SHA-256 of the whole content of a VHD or VHDX, as libvhdi reads it: read_vhd.py IMAGE."""
import hashlib
import sys

import pyvhdi

disk = pyvhdi.file()
disk.open(sys.argv[1])
left = disk.get_media_size()
digest = hashlib.sha256()
while left:
    data = disk.read_buffer(min(left, 1 << 20))
    if not data:
        sys.exit(f"{left} bytes are missing")
    digest.update(data)
    left -= len(data)
print(digest.hexdigest())
