"""Times diskport against qemu-img and cp; see compare.sh, which calls this.

How it keeps from fooling itself: the programs run in turn within each round, in alternating order; the first round,
which warms caches, is left out; ratios are taken round by round, and their median is shown; outputs are deleted
outside the timed region; of the source's file only data is read to warm the cache, never its holes; the first output
of each case is compared with the source by qemu-img. Ratios below 1 mean that diskport is faster, smaller, leaner.
The ratio of processor time is the one to trust on a machine that does other work, too.
"""
import argparse
import glob
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys

from sets import QEMU, SIZES, Sets

HERE = pathlib.Path(__file__).resolve().parent
MIB = 1 << 20
OURS = {
    "raw": ["--format", "raw"], "vhd": ["--format", "vhd"], "vhdx": ["--format", "vhdx"],
    "vmdk": ["--format", "vmdk", "--subformat", "monolithicSparse"],
    "stream": ["--format", "vmdk", "--subformat", "streamOptimized"],
}
KINDS = "raw", "vhd", "vhdx", "vmdk"
BEST = ["-m", "16", "-W"]
# Medians of our ratios at most, by case: of the peer's wall time, of its processor time, and of its bytes. What is found
# first counts.
TARGETS = [
    ("W2 .* to stream", "0.20", None, "1.00"),
    ("stream to stream", None, None, None),
    ("stream to ", "0.40", "0.80", None),
    ("beside cp", "1.05", None, None),
    ("W1 .* compared", "0.45", None, None), ("W3 .* compared", "0.05", None, None),
    ("synced: .* to vmdk", "0.20", "0.80", None), ("synced: ", "0.95", "0.80", None),
    ("cold: .*raw to raw", "1.00", "0.80", None), ("cold: ", "0.60", "0.80", None),
    ("W1 .* to vmdk", "0.25", "0.80", None), ("W1 .* to nothing", "0.40", "0.80", None), ("W1 .* to ", "1.00", "0.80", None),
    ("W2 .* to ", "1.00", "0.80", None),
    ("W3 vhdx to ", "0.05", "0.80", None), ("W3 .* to ", "0.25", "0.80", None),
    ("W4 chain of 8", "0.50", None, None), ("W4 chain of 32", "0.30", None, None),
]


class Case:
    """What is run: our command, and the peers' by their names."""

    def __init__(self, name, source, output_kind, ours, peers, reference=None):
        self.name, self.source, self.output_kind, self.reference = name, source, output_kind, reference
        self.commands = {"ours": ours, **peers}


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.sets = Sets(arguments.work, arguments.scale)
        self.diskport = str(pathlib.Path(arguments.diskport).resolve())
        self.outputs = pathlib.Path(arguments.work, "out")
        self.outputs.mkdir(parents=True, exist_ok=True)

    # What is run.

    def convert(self, name, source, source_kind, kind):
        mode, (form, options, _) = self.arguments.mode, QEMU[kind]
        ours = [self.diskport, "convert", source, "{dst}", "--progress", "none", *OURS[kind]]
        if mode != "synced":
            ours.append("--no-sync")
        flags = ["-t", "writeback"] if mode == "synced" else []
        theirs = lambda more: ["qemu-img", "convert", *flags, *more, "-f", QEMU[source_kind][0], "-O", form, *options, source, "{dst}"]
        reference = source_kind, source
        if not name.startswith("W4"):
            reference = "raw", self.sets.image(name.split()[0], "raw")
        return Case(name, source, kind, ours, {"qemu-img": theirs([]), "qemu-img " + " ".join(BEST): theirs(BEST)}, reference)

    def beside_cp(self):
        source = self.sets.image("W1", "raw")
        case = self.convert("W1 raw to raw beside cp", source, "raw", "raw")
        case.commands = {"ours": case.commands["ours"], "cp": ["cp", source, "{dst}"]}
        return case

    def read(self, name, source, kind):
        size = SIZES[self.arguments.scale][0]
        null = json.dumps({"driver": "raw", "file": {"driver": "null-co", "size": size}})
        ours = [self.diskport, "convert", source, "-", "--format", "raw", "--progress", "none"]
        theirs = ["qemu-img", "convert", "-n", "-f", QEMU[kind][0], "-O", "raw", source, f"json:{null}"]
        return Case(name, source, None, ours, {"qemu-img": theirs})

    def compare(self, name, a, b):
        work_set = name.split()[0]
        images = [self.sets.image(work_set, kind) for kind in (a, b)]
        theirs = ["qemu-img", "compare", "-q", "-f", QEMU[a][0], "-F", QEMU[b][0], *images]
        ours = [self.diskport, "compare", *images, "--progress", "none"]
        return Case(name, images[0], None, ours, {"qemu-img compare": theirs})

    def hash(self, name, kind, algorithm, peer):
        """Beside the coreutils' program over the raw disk, or the sha256sum for want of another."""
        source, raw = (self.sets.image(name.split()[0], kind) for kind in (kind, "raw"))
        ours = [self.diskport, "hash", source, "--algorithm", algorithm, "--progress", "none"]
        return Case(name, source, None, ours, {f"{peer} of raw": [peer, raw]})

    def cases(self):
        convert, image = self.convert, self.sets.image
        pairs = [(work_set, source, output) for work_set in ("W1", "W3") for source in KINDS for output in KINDS]
        pairs += [("W2", source, "stream") for source in (*KINDS, "stream")]
        pairs += [("W2", "stream", output) for output in KINDS]
        for work_set, source, output in pairs:
            name = f"{work_set} {source} to {output}"
            yield name, lambda n=name, w=work_set, s=source, o=output: convert(n, image(w, s), s, o)
        for depth, per_cent in (8, 5), (32, 1):
            name = f"W4 chain of {depth} to raw"
            yield name, lambda n=name, d=depth, p=per_cent: convert(n, self.sets.chain(d, p), "vmdk", "raw")
        if self.arguments.mode != "warm":
            return
        yield "W1 raw to raw beside cp", self.beside_cp
        for kind in "vmdk", "vhdx":
            name = f"W1 {kind} to nothing"
            yield name, lambda n=name, k=kind: self.read(n, image("W1", k), k)
        for work_set, a, b in ("W1", "raw", "vhdx"), ("W1", "vhd", "vmdk"), ("W3", "raw", "vhdx"), ("W3", "vhd", "vmdk"):
            name = f"{work_set} {a} and {b} compared"
            yield name, lambda n=name, a=a, b=b: self.compare(n, a, b)
        for algorithm, peer in ("sha256", "sha256sum"), ("md5", "md5sum"), ("blake3", "sha256sum"):
            name = f"W1 vhdx hashed by {algorithm}"
            yield name, lambda n=name, a=algorithm, p=peer: self.hash(n, "vhdx", a, p)
        yield "info of 64 TiB", self.info

    def info(self):
        huge = self.sets.huge()
        return Case("info of 64 TiB", huge, None, [self.diskport, "info", huge], {"qemu-img": ["qemu-img", "info", huge]})

    # How it is run.

    def table(self):
        print("| case | beside | ours s | theirs s | wall ratio (range) | cpu ratio | peak MiB, ours / theirs | size ratio | target |")
        print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |", flush=True)
        for name, make in self.cases():
            if re.search(self.arguments.only, name):
                self.rows(make())

    def rows(self, case):
        self.settle(case.source)
        rounds = []
        for number in range(self.arguments.rounds + 1):
            sides = list(case.commands)
            if number % 2:
                sides.reverse()
            result = {side: self.once(case, side, verify=number == 0) for side in sides}
            if number:
                rounds.append(result)
        for peer in list(case.commands)[1:]:
            self.row(case, peer, rounds)

    def row(self, case, peer, rounds):
        median = lambda value: statistics.median(value(result) for result in rounds)
        ratio = lambda field: median(lambda result: result["ours"][field] / max(result[peer][field], 1e-3))
        walls = [result["ours"]["wall"] / result[peer]["wall"] for result in rounds]
        peak = lambda side: max(result[side]["memory"] for result in rounds) / MIB
        ratios = statistics.median(walls), ratio("cpu"), ratio("size") if case.output_kind else None
        size = "" if ratios[2] is None else f"{ratios[2]:.3f}"
        print(
            f"| {case.name} | {peer} | {median(lambda r: r['ours']['wall']):.2f} | {median(lambda r: r[peer]['wall']):.2f} "
            f"| {ratios[0]:.3f} ({min(walls):.2f}–{max(walls):.2f}) | {ratios[1]:.3f} | {peak('ours'):.1f} / {peak(peer):.1f} "
            f"| {size} | {self.verdict(case, ratios)} |",
            flush=True,
        )

    def verdict(self, case, ratios):
        mode = self.arguments.mode
        name = case.name if mode == "warm" else f"{mode}: {case.name}"
        targets = next((targets for pattern, *targets in TARGETS if re.search(pattern, name)), [])
        told = [(what, float(target), found) for what, target, found in zip(("wall", "cpu", "size"), targets, ratios) if target]
        text = ", ".join(f"{what} ≤ {target:.2f}{'' if found <= target else ' **missed**'}" for what, target, found in told)
        return f"{text}{' met' if text and 'missed' not in text else ''}"

    def once(self, case, side, verify):
        ending = QEMU[case.output_kind or "raw"][2]
        output = self.outputs / f"output.{ending}"
        self.delete(output)
        if self.arguments.mode == "cold":
            self.settle(None)
        command = [str(part).replace("{dst}", str(output)) for part in case.commands[side]]
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(HERE / "measure.py"), *command],
            check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        code, wall, cpu, memory = done.stdout.split()
        if code != "0":
            sys.exit(f"{' '.join(command)}: exit code {code}: {done.stderr}")
        result = dict(wall=float(wall), cpu=float(cpu), memory=int(memory), size=0)
        if case.output_kind:
            stat = output.stat()
            result["size"] = stat.st_size if case.output_kind == "stream" else stat.st_blocks * 512
            if verify:
                kind, reference = case.reference
                formats = ["-f", QEMU[kind][0], "-F", QEMU[case.output_kind][0]]
                subprocess.run(["qemu-img", "compare", "-q", *formats, reference, output], check=True)
        self.delete(output)
        return result

    def delete(self, output):
        stem = glob.escape(str(output.with_suffix("")))
        for path in [output, *map(pathlib.Path, glob.glob(f"{stem}-*.vmdk"))]:
            path.unlink(missing_ok=True)

    def settle(self, source):
        """The same state of memory for every case: nothing dirty, and cached the data of the source alone."""
        os.sync()
        try:
            pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
        except OSError as error:
            if self.arguments.mode == "cold":
                sys.exit(f"only root can empty the caches: {error}")
        if source is None:
            return
        files = [source]
        if source.name.startswith("chain"):
            files = [*source.parent.glob(source.name.split("-")[0] + "-*.vmdk"), self.sets.image("W1", "vmdk")]
        for path in files:
            warm(path)


def warm(path):
    with open(path, "rb", buffering=0) as file:
        end, at = os.fstat(file.fileno()).st_size, 0
        while at < end:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return
            hole = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            while at < hole:
                at += len(os.pread(file.fileno(), min(MIB, hole - at), at))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scale", nargs="?", default="ci", choices=SIZES)
    parser.add_argument("--mode", default="warm", choices=("warm", "cold", "synced"),
                        help="cold: caches are emptied before each run; synced: both sides make the output durable")
    parser.add_argument("--rounds", type=int, default=5, help="that count; one more comes first")
    parser.add_argument("--work", default="target/compare", help="folder for the disks, which are kept, and the outputs")
    parser.add_argument("--only", default="", metavar="PATTERN", help="only the cases whose name it matches")
    parser.add_argument("--diskport", required=True)
    arguments = parser.parse_args()
    bench = Bench(arguments)
    print(f"{machine(arguments.work)}; scale {arguments.scale}, {arguments.mode}, {arguments.rounds} rounds.")
    print("Ratios are ours / theirs, medians of the rounds.\n")
    bench.table()


def machine(work):
    first = lambda *command: subprocess.check_output(command, text=True).split("\n")[0]
    model = re.search("model name\\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"{first('qemu-img', '--version')}; {os.cpu_count()} × {model[1] if model else platform.machine()}, {memory:.0f} GiB, "
        f"{first('stat', '-f', '-c', '%T', work)}, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
