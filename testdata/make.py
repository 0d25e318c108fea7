#!/usr/bin/env python3
"""Makes the images in this folder again: python3 testdata/make.py (needs Python 3 and nothing else).

The images are the same every time, down to the byte. README.md says what each of them is.
"""
import hashlib
import pathlib
import struct
import uuid

HERE = pathlib.Path(__file__).resolve().parent
SECTOR = 512
MIB = 1 << 20
DISK = 16 * MIB
PARTITION = 128  # first sector: aligned to 64 KiB, and within the first block of the VHDX
CLUSTER = 4  # sectors
RESERVED, FATS, FAT_SECTORS, ROOT_ENTRIES = 4, 2, 32, 512
DATA = RESERVED + FATS * FAT_SECTORS + ROOT_ENTRIES * 32 // SECTOR  # first sector of cluster 2
WHEN = struct.pack("<HH", 12 << 11, (2024 - 1980) << 9 | 1 << 5 | 1)  # 2024-01-01, 12:00

README_TEXT = b"""This disk was made for the tests of diskport.\r
PATTERN.BIN holds its own offsets, eight bytes each, little-endian.\r
"""


def pattern(length):
    return b"".join(struct.pack("<Q", at) for at in range(0, length, 8))


def disk():
    """A disk with an MBR and one FAT16 volume that holds two files, one of them in the disk's tenth MiB."""
    image = bytearray(DISK)
    sectors = DISK // SECTOR - PARTITION
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x0E, b"\xfe\xff\xff", PARTITION, sectors)
    image[440:446] = struct.pack("<IH", 0x44504F52, 0)
    image[446:462] = entry
    image[510:512] = b"\x55\xaa"

    volume = PARTITION * SECTOR
    image[volume : volume + 62] = struct.pack(
        "<3s8sHBHBHHBHHHIIBBBI11s8s",
        b"\xeb\x3c\x90", b"DISKPORT", SECTOR, CLUSTER, RESERVED, FATS, ROOT_ENTRIES,
        sectors, 0xF8, FAT_SECTORS, 63, 255, PARTITION, 0, 0x80, 0, 0x29, 0x20240101, b"DISKPORT   ", b"FAT16   ",
    )
    image[volume + 510 : volume + 512] = b"\x55\xaa"

    far = (9 * MIB // SECTOR - PARTITION - DATA) // CLUSTER + 3
    files = [(b"README  TXT", 2, README_TEXT), (b"PATTERN BIN", far, pattern(300 * 1024))]
    fat = {0: 0xFFF8, 1: 0xFFFF}
    root = volume + (RESERVED + FATS * FAT_SECTORS) * SECTOR
    image[root : root + 32] = struct.pack("<11sB10s4sHI", b"DISKPORT   ", 0x08, b"", WHEN, 0, 0)
    for slot, (name, first, content) in enumerate(files, 1):
        count = -(-len(content) // (CLUSTER * SECTOR))
        for cluster in range(first, first + count):
            fat[cluster] = cluster + 1
        fat[first + count - 1] = 0xFFFF
        at = root + slot * 32
        image[at : at + 32] = struct.pack("<11sB10s4sHI", name, 0x20, b"", WHEN, first, len(content))
        at = volume + (DATA + (first - 2) * CLUSTER) * SECTOR
        image[at : at + len(content)] = content
    for copy in range(FATS):
        table = volume + (RESERVED + copy * FAT_SECTORS) * SECTOR
        for cluster, value in fat.items():
            struct.pack_into("<H", image, table + cluster * 2, value)
    return bytes(image)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def crc_of_byte(crc):
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


CRC_TABLE = [crc_of_byte(byte) for byte in range(256)]


def guid(text):
    return uuid.UUID(text).bytes_le


def sealed(structure):
    """A VHDX structure with its checksum, which stands at offset 4."""
    return structure[:4] + struct.pack("<I", crc32c(structure)) + structure[8:]


def vhdx(content):
    """A dynamic VHDX with blocks of 1 MiB; those that hold only zeros have no place in the file. [MS-VHDX] 2"""
    block, log_at, bat_at, metadata_at = MIB, MIB, 2 * MIB, 3 * MIB
    blocks, bat = [], []
    for at in range(0, len(content), block):
        if any(content[at : at + block]):
            place = 4 * MIB + len(blocks) * block
            blocks.append(content[at : at + block])
            bat.append(place | 6)  # PAYLOAD_BLOCK_FULLY_PRESENT
        else:
            bat.append(0)  # PAYLOAD_BLOCK_NOT_PRESENT

    headers = []
    for sequence in 1, 2:
        header = struct.pack(
            "<4sIQ16s16s16sHHIQ", b"head", 0, sequence,
            guid("64697363-706f-7274-0000-000000000001"), guid("64697363-706f-7274-0000-000000000002"), bytes(16),
            0, 1, MIB, log_at,
        )
        headers.append(sealed(header.ljust(4096, b"\0")).ljust(64 * 1024, b"\0"))

    regions = struct.pack("<4sIII", b"regi", 0, 2, 0)
    for name, at in ("2dc27766-f623-4200-9d64-115e9bfd4a08", bat_at), ("8b7ca206-4790-4b9a-b8fe-575f050f886e", metadata_at):
        regions += struct.pack("<16sQII", guid(name), at, MIB, 1)
    regions = sealed(regions.ljust(64 * 1024, b"\0"))

    items = [  # item, value, flags: IsUser 1, IsVirtualDisk 2, IsRequired 4
        ("caa16737-fa36-4d43-b3b6-33f0aa44e76b", struct.pack("<II", block, 0), 4),
        ("2fa54224-cd1b-4876-b211-5dbed83bf4b8", struct.pack("<Q", len(content)), 6),
        ("beca12ab-b2e6-4523-93ef-c309e000c746", guid("64697363-706f-7274-0000-000000000003"), 6),
        ("8141bf1d-a96f-4709-ba47-f233a8faab5f", struct.pack("<I", SECTOR), 6),
        ("cda348c7-445d-4471-9cc9-e9885251c556", struct.pack("<I", 4096), 6),
    ]
    table, values = struct.pack("<8sHH20s", b"metadata", 0, len(items), b""), b""
    for name, value, flags in items:
        table += struct.pack("<16sIIII", guid(name), 64 * 1024 + len(values), len(value), flags, 0)
        values += value

    creator = "diskport testdata".encode("utf-16-le")
    parts = [
        (b"vhdxfile" + creator).ljust(64 * 1024, b"\0"), *headers, regions, regions,
    ]
    file = bytearray(b"".join(parts).ljust(4 * MIB, b"\0"))
    file[bat_at : bat_at + 8 * len(bat)] = struct.pack(f"<{len(bat)}Q", *bat)
    metadata = table.ljust(64 * 1024, b"\0") + values
    file[metadata_at : metadata_at + len(metadata)] = metadata
    return bytes(file) + b"".join(blocks)


def main():
    content = disk()
    (HERE / "small.vhdx").write_bytes(vhdx(content))
    print(f"{hashlib.sha256(content).hexdigest()}  small.vhdx (virtual content)")


if __name__ == "__main__":
    main()
