"""Writes the content of a VHD or VHDX and its parents as a raw disk: flatten.py libvhdi|dissect OUT.raw CHILD [PARENT...]"""
import os
import sys
from pathlib import Path

PIECE = 1 << 20


def by_libvhdi(names):
    import pyvhdi

    layers = []
    for name in names:
        layer = pyvhdi.file()
        layer.open(name)
        layers.append(layer)
    for child, parent in zip(layers, layers[1:]):
        child.set_parent(parent)
    # A parent goes with its child only as long as it has a name of its own.
    by_libvhdi.layers = layers
    return layers[0].get_media_size(), layers[0].read_buffer_at_offset


def by_dissect(names):
    from dissect.hypervisor.disk.vhdx import VHDX

    # It finds the parents by the names that the child has for them.
    disk = VHDX(Path(names[0]))

    def read(size, offset):
        disk.seek(offset)
        return disk.read(size)

    return disk.size, read


size, read = {"libvhdi": by_libvhdi, "dissect": by_dissect}[sys.argv[1]](sys.argv[3:])
zeros = bytes(PIECE)
with open(sys.argv[2], "wb") as out:
    for offset in range(0, size, PIECE):
        piece = read(min(PIECE, size - offset), offset)
        if len(piece) != min(PIECE, size - offset):
            sys.exit(f"{len(piece)} bytes at {offset}")
        if piece != zeros:
            os.pwrite(out.fileno(), piece, offset)
    out.truncate(size)
