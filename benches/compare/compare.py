#!/usr/bin/env python3
"""Times diskport against qemu-img; see compare.sh, which calls this.

How it keeps from fooling itself: the programs run in turn within each round, in alternating order; the first round,
which warms caches, is left out; ratios are taken round by round, and their median is shown; outputs are deleted
outside the timed region; of the source's file only data is read to warm the cache, never its holes; the first output
of each case is compared with the source by qemu-img. Ratios below 1 mean that diskport is faster, smaller, leaner.
"""
import argparse
import glob
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

from sets import QEMU, SIZES, Sets

HERE = pathlib.Path(__file__).resolve().parent
MIB = 1 << 20
SUBFORMAT = {"vmdk": "monolithicSparse", "stream": "streamOptimized"}
# Wall time at most this much of qemu-img's, by case; where it differs, for ci and for full.
TARGETS = {
    "W1 raw to raw": 1.0, "W1 vhd to raw": 0.95, "W1 vhdx to raw": 0.80, "W1 vmdk to raw": 0.45,
    "W1 raw to vmdk": 0.33, "W1 vhd to vmdk": 0.33, "W1 vhdx to vmdk": 0.33,
    "W2 raw to raw": 1.0, "W2 vhdx to raw": 0.80, "W2 raw to vmdk": 0.33, "W2 vhdx to vmdk": 0.33,
    "W2 raw to stream": 0.25, "W2 vhdx to stream": 0.25, "W2 stream to raw": 0.45,
    "W3 raw to raw": 0.55, "W3 vhd to raw": 0.35, "W3 vhdx to raw": (0.12, 0.06), "W3 vmdk to raw": 0.25,
    "W3 raw to vmdk": 0.20, "W3 vhdx to vmdk": (0.25, 0.06),
    "W4 chain of 8 to raw": 0.50, "W4 chain of 32 to raw": 0.30,
    "W1 vmdk to nothing": 0.40, "W1 vhdx to nothing": 0.40,
}
STREAM_SIZE = 1.03


class Case:
    def __init__(self, name, source, source_kind, output_kind, ours, theirs, reference=None):
        self.name, self.source, self.source_kind, self.output_kind = name, source, source_kind, output_kind
        self.ours, self.theirs, self.reference = ours, theirs, reference


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.sets = Sets(arguments.work, arguments.scale)
        self.diskport = str(pathlib.Path(arguments.diskport).resolve())
        self.outputs = pathlib.Path(arguments.work, "out")
        self.outputs.mkdir(parents=True, exist_ok=True)

    # What is run.

    def convert(self, name, source, source_kind, kind, durable=False):
        form, options, _ = QEMU[kind]
        ours = [self.diskport, "convert", source, "{dst}", "--progress", "none"]
        ours += ["--format", "raw"] if kind == "raw" else ["--format", "vmdk", "--subformat", SUBFORMAT[kind]]
        theirs = ["qemu-img", "convert", "-f", QEMU[source_kind][0], "-O", form, *options, source, "{dst}"]
        if durable:
            theirs = ["sh", "-c", '"$@" && sync "$0"', "{dst}", *theirs]
        else:
            ours.append("--no-sync")
        reference = source if name.startswith("W4") else self.sets.image(name.split()[0], "raw")
        return Case(name, source, source_kind, kind, ours, theirs, (source_kind if reference == source else "raw", reference))

    def read(self, name, source, kind):
        size = SIZES[self.arguments.scale][0]
        null = json.dumps({"driver": "raw", "file": {"driver": "null-co", "size": size}})
        ours = [self.diskport, "convert", source, "-", "--format", "raw", "--progress", "none"]
        theirs = ["qemu-img", "convert", "-n", "-f", QEMU[kind][0], "-O", "raw", source, f"json:{null}"]
        return Case(name, source, kind, None, ours, theirs)

    def hash(self, name, source, kind):
        ours = [self.diskport, "hash", source, "--progress", "none"]
        theirs = ["qemu-img", "convert", "-f", QEMU[kind][0], "-O", "raw", source, "{dst}"]
        return Case(name, source, kind, None, ours, ["sh", "-c", '"$@" && sha256sum "$0"', "{dst}", *theirs])

    def cases(self):
        convert, image = self.convert, self.sets.image
        plan = [
            ("W1", "raw raw", "vhd raw", "vhdx raw", "vmdk raw", "raw vmdk", "vhd vmdk", "vhdx vmdk"),
            ("W2", "raw raw", "vhdx raw", "raw vmdk", "vhdx vmdk", "raw stream", "vhdx stream", "stream raw"),
            ("W3", "raw raw", "vhd raw", "vhdx raw", "vmdk raw", "raw vmdk", "vhdx vmdk"),
        ]
        for work_set, *pairs in plan:
            for source, output in (pair.split() for pair in pairs):
                name = f"{work_set} {source} to {output}"
                yield name, lambda n=name, w=work_set, s=source, o=output: convert(n, image(w, s), s, o)
        for depth, per_cent in (8, 5), (32, 1):
            name = f"W4 chain of {depth} to raw"
            yield name, lambda n=name, d=depth, p=per_cent: convert(n, self.sets.chain(d, p), "vmdk", "raw")
        for kind in "vmdk", "vhdx":
            name = f"W1 {kind} to nothing"
            yield name, lambda n=name, k=kind: self.read(n, image("W1", k), k)
        yield "W1 vhdx hashed", lambda: self.hash("W1 vhdx hashed", image("W1", "vhdx"), "vhdx")
        yield "info of 64 TiB", self.info

    def info(self):
        huge = self.sets.huge()
        return Case("info of 64 TiB", huge, "vhdx", None, [self.diskport, "info", huge], ["qemu-img", "info", huge])

    def durable_cases(self):
        convert, image = self.convert, self.sets.image
        for work_set, source, output in (
            ("W1", "raw", "raw"), ("W1", "vhdx", "raw"), ("W1", "raw", "vmdk"), ("W1", "vhdx", "vmdk"), ("W2", "raw", "stream"),
        ):
            name = f"{work_set} {source} to {output}"
            yield name, lambda n=name, w=work_set, s=source, o=output: convert(n, image(w, s), s, o, durable=True)

    # How it is run.

    def table(self, title, cases):
        print(f"\n### {title}\n")
        print("| case | ours s | qemu-img s | wall ratio (range) | cpu ratio | peak MiB, ours / qemu-img | size ratio | target |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |", flush=True)
        for name, make in cases:
            if re.search(self.arguments.only, name):
                self.row(make())

    def row(self, case):
        self.settle(case.source)
        rounds = []
        for number in range(self.arguments.rounds + 1):
            sides = ["ours", "theirs"] if number % 2 else ["theirs", "ours"]
            result = {side: self.once(case, side, verify=number == 0) for side in sides}
            if number:
                rounds.append(result)
        median = lambda value: statistics.median(value(result) for result in rounds)
        ratio = lambda field: median(lambda result: result["ours"][field] / max(result["theirs"][field], 1e-3))
        walls = [result["ours"]["wall"] / result["theirs"]["wall"] for result in rounds]
        peak = lambda side: max(result[side]["memory"] for result in rounds) / MIB
        size = ratio("size") if case.output_kind else None
        wall = statistics.median(walls)
        print(
            f"| {case.name} | {median(lambda r: r['ours']['wall']):.2f} | {median(lambda r: r['theirs']['wall']):.2f} "
            f"| {wall:.3f} ({min(walls):.2f}–{max(walls):.2f}) | {ratio('cpu'):.3f} | {peak('ours'):.1f} / {peak('theirs'):.1f} "
            f"| {'' if size is None else f'{size:.3f}'} | {self.verdict(case, wall, size)} |",
            flush=True,
        )

    def verdict(self, case, wall, size):
        target = TARGETS.get(case.name)
        if target is None:
            return ""
        if isinstance(target, tuple):
            target = target[self.arguments.scale == "full"]
        met = wall <= target
        text = f"≤ {target}"
        if case.output_kind == "stream":
            met &= size <= STREAM_SIZE
            text += f", size ≤ {STREAM_SIZE}"
        return f"{text} {'met' if met else '**missed**'}"

    def once(self, case, side, verify):
        ending = QEMU[case.output_kind or "raw"][2]
        output = self.outputs / f"{side}.{ending}"
        self.delete(output)
        command = [str(part).replace("{dst}", str(output)) for part in getattr(case, side)]
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
        except OSError:
            pass
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
    parser.add_argument("--rounds", type=int, default=5, help="that count; one more comes first")
    parser.add_argument("--work", default="target/compare", help="folder for the disks, which are kept, and the outputs")
    parser.add_argument("--only", default="", metavar="PATTERN", help="only the cases whose name it matches")
    parser.add_argument("--diskport", required=True)
    arguments = parser.parse_args()
    bench = Bench(arguments)
    version = subprocess.check_output(["qemu-img", "--version"], text=True).split("\n")[0]
    print(f"{version}; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; scale {arguments.scale}, ", end="")
    print(f"{arguments.rounds} rounds. Ratios are ours / qemu-img's, medians of the rounds.")
    bench.table("Neither syncs (`diskport --no-sync`)", bench.cases())
    bench.table("Both sync (`diskport`; `qemu-img convert && sync FILE`)", bench.durable_cases())


if __name__ == "__main__":
    main()
