"""Prints the SHA-256 of the whole content of a streamOptimized VMDK that comes on standard input.

Reads forward only, as a consumer at the end of a pipe must, and demands of the file all that the consumers known to
us demand: version 3, grains in increasing order and whole, grain tables and directory that agree with where the
grains were, a footer, an end-of-stream marker, and nothing behind it. [VMware Virtual Disks 5.0, "Stream-Optimized"]
"""
import hashlib
import struct
import sys
import zlib

SECTOR = 512
AT_END = 0xFFFFFFFFFFFFFFFF
EOS, TABLE, DIRECTORY, FOOTER = range(4)
NEWLINE_DETECTION = b"\n \r\n"


def demand(holds, what):
    if not holds:
        sys.exit(f"at byte {source.at}: {what}")


class Source:
    """Standard input, counted."""

    at = 0

    def take(self, length):
        data = sys.stdin.buffer.read(length)
        self.at += len(data)
        demand(len(data) == length, "the stream ends too early")
        return data

    def sectors(self, count):
        return self.take(count * SECTOR)


source = Source()


class Header:
    def __init__(self, data):
        fields = struct.unpack_from("<4sIIQQQQIQQQB4sH", data)
        (self.magic, self.version, self.flags, self.capacity, self.grain, self.descriptor, self.descriptor_size,
         self.entries, self.redundant, self.directory, self.overhead, self.unclean, newlines, self.algorithm) = fields
        demand(self.magic == b"KDMV", "no VMDK header")
        demand(self.version == 3, f"version {self.version}")
        demand(self.flags & 0x30001 == 0x30001, f"flags {self.flags:#x}")
        demand(newlines == NEWLINE_DETECTION, "newlines were translated")
        demand(self.algorithm == 1, f"compression {self.algorithm}")
        demand(self.entries == 512, f"{self.entries} entries a grain table")
        demand(not self.unclean, "unclean shutdown")

    def without_directory(self):
        return [value for name, value in vars(self).items() if name != "directory"]


class Content:
    """The digest of the disk, fed in order."""

    def __init__(self, capacity):
        self.capacity, self.sector, self.digest = capacity, 0, hashlib.sha256()

    def skip_to(self, sector):
        demand(sector >= self.sector, "grains are out of order")
        left = (sector - self.sector) * SECTOR
        while left:
            part = min(left, 1 << 20)
            self.digest.update(bytes(part))
            left -= part
        self.sector = sector

    def add(self, data):
        inside = min(len(data), (self.capacity - self.sector) * SECTOR)
        demand(not any(data[inside:]), "bytes beyond the end of the disk")
        self.digest.update(data[:inside])
        self.sector += inside // SECTOR


def inflate(data, grain):
    inflater = zlib.decompressobj()
    out = inflater.decompress(data)
    demand(inflater.eof and not inflater.unused_data, "a grain is not one whole zlib stream")
    demand(len(out) == grain, f"a grain of {len(out)} bytes")
    return out


def main():
    header = Header(source.sectors(1))
    demand(header.directory == AT_END, "the directory is not at the end")
    demand(header.descriptor == 1, "no descriptor behind the header")
    descriptor = source.sectors(header.descriptor_size).rstrip(b"\0").decode()
    demand('createType="streamOptimized"' in descriptor, "another create type")
    source.sectors(header.overhead - 1 - header.descriptor_size)

    content, grains, tables, directory, footer = Content(header.capacity), {}, {}, None, None
    while True:
        begin = source.at // SECTOR
        marker = source.sectors(1)
        value, size, kind = struct.unpack_from("<QII", marker)
        if size:
            demand(directory is None and footer is None, "a grain behind the directory")
            demand(value % header.grain == 0 and value < header.capacity, f"a grain at sector {value}")
            rest = max(0, size - (SECTOR - 12))
            body = marker[12:] + source.take(-(-rest // SECTOR) * SECTOR)
            content.skip_to(value)
            content.add(inflate(body[:size], header.grain * SECTOR))
            grains[value // header.grain] = begin
        elif kind == TABLE:
            demand(value == 4, f"a grain table of {value} sectors")
            tables[begin + 1] = struct.unpack("<512I", source.sectors(value))
        elif kind == DIRECTORY:
            place = begin + 1
            directory = struct.unpack(f"<{value * 128}I", source.sectors(value))
        elif kind == FOOTER:
            demand(value == 1, f"a footer of {value} sectors")
            footer = Header(source.sectors(1))
        elif kind == EOS:
            break
        else:
            demand(False, f"marker of type {kind}")
    demand(not sys.stdin.buffer.read(1), "something follows the end-of-stream marker")

    demand(directory is not None and footer is not None, "no directory, or no footer")
    demand(footer.directory == place, "the footer names another place for the directory")
    demand(footer.without_directory() == header.without_directory(), "header and footer differ")
    found = {}
    for index, table in enumerate(directory):
        for entry, sector in enumerate(tables[table] if table else ()):
            if sector:
                found[index * 512 + entry] = sector
    demand(found == grains, "the tables do not agree with the grains")
    content.skip_to(header.capacity)
    print(content.digest.hexdigest())


main()
