"""Prints the SHA-256 of the whole content of a VMDK, as libvmdk reads it: read_vmdk.py IMAGE."""
import hashlib
import sys

import pyvmdk

handle = pyvmdk.handle()
handle.open(sys.argv[1])
handle.open_extent_data_files()
left = handle.get_media_size()
digest = hashlib.sha256()
while left:
    data = handle.read_buffer(min(left, 1 << 20))
    if not data:
        sys.exit(f"{left} bytes are missing")
    digest.update(data)
    left -= len(data)
print(digest.hexdigest())
