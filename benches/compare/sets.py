"""The disks that are converted: deterministic, made once, kept in the work folder."""
import bisect
import math
import os
import pathlib
import random
import subprocess

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
GRAIN = 64 * KIB
SIZES = {"ci": (512 * MIB, 16 * GIB), "full": (4 * GIB, 64 * GIB)}

QEMU = {  # our name: qemu's format, options, ending
    "raw": ("raw", [], "raw"),
    "vhd": ("vpc", ["-o", "subformat=dynamic,force_size=on"], "vhd"),
    "vhdx": ("vhdx", ["-o", "subformat=dynamic"], "vhdx"),
    "vmdk": ("vmdk", ["-o", "subformat=monolithicSparse"], "vmdk"),
    "stream": ("vmdk", ["-o", "subformat=streamOptimized"], "stream.vmdk"),
}


def run(*command, **options):
    subprocess.run([str(part) for part in command], check=True, **options)


class Sets:
    def __init__(self, folder, scale):
        self.folder = pathlib.Path(folder, scale)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.dense, self.sparse = SIZES[scale]

    def image(self, name, kind):
        """The set's image of one kind, made when it is asked for the first time."""
        path = self.folder / f"{name}.{QEMU[kind][2]}"
        if path.exists():
            return path
        unfinished = path.with_name(path.name + ".part")
        if kind == "raw":
            self.make_raw(name, unfinished)
        else:
            form, options, _ = QEMU[kind]
            run("qemu-img", "convert", "-f", "raw", "-O", form, *options, self.image(name, "raw"), unfinished)
        os.rename(unfinished, path)
        return path

    def make_raw(self, name, path):
        with open(path, "wb", buffering=0) as file:
            {"W1": self.noise, "W2": self.files, "W3": self.scattered}[name](file)

    def noise(self, file):
        """W1: bytes that do not deflate, in 85 % of the grains of 60 % of the 2 MiB blocks."""
        file.truncate(self.dense)
        shape, content = random.Random(1), random.Random(2)
        for block in range(0, self.dense, 2 * MIB):
            if shape.random() < 0.6:
                for at in range(block, block + 2 * MIB, GRAIN):
                    if shape.random() < 0.85:
                        os.pwrite(file.fileno(), content.randbytes(GRAIN), at)

    def files(self, file):
        """W2: the files of the Rust toolchain, aligned to 4 KiB, in extents of 4 KiB to 16 MB with holes between."""
        file.truncate(self.dense)
        shape, source = random.Random(3), Toolchain()

        def length():
            low, high = math.log(4096), math.log(16e6)
            return math.exp(low + shape.random() * (high - low))

        def whole(size):
            return (int(size) + 4095) & ~4095

        at = 0
        while at < self.dense:
            size = min(whole(length()), self.dense - at)
            os.pwrite(file.fileno(), source.take(size), at)
            at += size + whole(length() * 0.667)

    def scattered(self, file):
        """W3: 4 to 64 KiB in one grain of a hundred."""
        file.truncate(self.sparse)
        shape, content = random.Random(4), random.Random(5)
        for at in range(0, self.sparse, GRAIN):
            if shape.randrange(100) == 0:
                os.pwrite(file.fileno(), content.randbytes((1 + shape.randrange(16)) * 4 * KIB), at)

    def chain(self, depth, per_cent):
        """W4: the VMDK of W1 under `depth` children, each of which holds some grains anew. The top."""
        top = self.folder / f"chain{depth}-{depth}.vmdk"
        if top.exists():
            return top
        parent = self.image("W1", "vmdk").name
        for level in range(1, depth + 1):
            child = f"chain{depth}-{level}.vmdk"
            (self.folder / child).unlink(missing_ok=True)
            here = dict(cwd=self.folder)
            run("qemu-img", "create", "-q", "-f", "vmdk", "-b", parent, "-F", "vmdk", child + ".part", **here)
            shape = random.Random(level)
            grains = (at for at in range(0, self.dense, GRAIN) if shape.random() < per_cent / 100)
            script = "".join(f"write -q -P {level + 16} {at} 64k\n" for at in grains)
            quiet = dict(input=script.encode(), stdout=subprocess.DEVNULL)
            run("qemu-io", "-t", "unsafe", "-f", "vmdk", child + ".part", **quiet, **here)
            # The descriptor names the file itself.
            rename_vmdk(self.folder, child)
            parent = child
        return top

    def huge(self):
        """An empty VHDX of 64 TiB with blocks of 1 MiB: its BAT alone is 512 MiB."""
        path = self.folder / "huge.vhdx"
        if not path.exists():
            run("qemu-img", "create", "-q", "-f", "vhdx", "-o", "block_size=1M", path, "64T")
        return path


def rename_vmdk(folder, name):
    """Gives a monolithicSparse VMDK its name, in the file system and in its descriptor (which has room for it)."""
    path = folder / (name + ".part")
    with open(path, "r+b") as file:
        head = file.read(64 * KIB)
        start = head.index(b"# Disk DescriptorFile")
        end = head.index(b"\0", start)
        text = head[start:end].replace(name.encode() + b".part", name.encode())
        file.seek(start)
        file.write(text.ljust(end - start, b"\0"))
    os.rename(path, folder / name)


class Toolchain:
    """The bytes of all files of the Rust toolchain in use, one after the other, each padded to 4 KiB."""

    def __init__(self):
        root = subprocess.check_output(["rustc", "--print", "sysroot"], text=True).strip()
        self.paths = sorted(
            path
            for part in ("bin", "lib", "libexec", "share")
            for path in pathlib.Path(root, part).rglob("*")
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 256 * MIB
        )
        self.ends, end = [], 0
        for path in self.paths:
            end += (path.stat().st_size + 4095) & ~4095
            self.ends.append(end)
        self.at = 0

    def take(self, size):
        parts = []
        while size:
            place = self.at % self.ends[-1]
            index = bisect.bisect_right(self.ends, place)
            begin = self.ends[index - 1] if index else 0
            with open(self.paths[index], "rb") as file:
                file.seek(place - begin)
                part = file.read(min(size, self.ends[index] - place))
            part = part.ljust(min(size, self.ends[index] - place), b"\0")
            # Another pass over the files is not the same again.
            lap = self.at // self.ends[-1]
            if lap:
                part = bytearray(part)
                part[::509] = bytes((byte + lap) & 0xFF for byte in part[::509])
            parts.append(bytes(part))
            self.at += len(part)
            size -= len(part)
        return b"".join(parts)
