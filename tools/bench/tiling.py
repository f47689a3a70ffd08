#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tiling, measured in one run: eosin against OpenSlide, against bare libjpeg-turbo and against its own targets.

    tools/bench/tiling.py --data ../shared/data --work /var/tmp/eosin-bench [--rounds 9] [--build build/release]

Needs nothing but Python and the build (targets eosin and bench_tiling). It makes its slides below --work once (about three
minutes), then runs every side in turns, --rounds times, each in a process of its own, the order reversed every other round,
and prints one table: the median of the rounds' ratios with its 95 % interval (from the order statistics; fewer than six
rounds have none, then the smallest and largest stand in brackets and no target is judged). A target is met when the interval
reaches it. Rates are patches a CPU-second (user + system). Slides are in the page cache. A quiet machine takes about a minute a round.

  --quick           three rounds
  --peer NAME=CMD   a rival that writes tiles: CMD with {slide} {case} {mode} {workers} {work} filled in prints a JSON line with
                    patches, cpu and wall; repeatable; run with mode own in cases b, c and d
  --baseline CMD    OpenSlide as Python users run it: CMD as above, with modes read and h5 (CLAM's HDF5). Targets over OpenSlide
                    are then held against it; our own loop calls OpenSlide, OpenCV and HDF5 from C and is up to twice as fast
  --only PART,...   of: ratios, start, memory
Cases a-d and w: tools/bench/tiling_case.h. Every line measured is kept in WORK/results.jsonl; --table prints it again.
"""
import argparse
import csv
import json
import math
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SLIDES = {"a": "t256_q75.svs", "b": "t240_q75.svs", "c": "t256_q75.svs", "d": "t256_q75.svs", "w": "t256_q75.svs",
          "a90": "t256_q90.svs", "w90": "t256_q90.svs"}
MPP = "0.499"


class Failed(Exception):
    pass


# ---- running

def run(command):
    """The process's wall and CPU seconds, largest resident set (MB) and output."""
    with tempfile.TemporaryFile("w+") as err:  # a pipe nobody reads could fill up
        start = time.perf_counter()
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=err, text=True)
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            err.seek(0)
            last = (err.read().strip() or out.strip()).splitlines()[-3:]
            raise Failed(f"{shlex.join(map(str, command))}: exit {process.returncode}: {' | '.join(last)}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "rss_mb": usage.ru_maxrss / 1024, "out": out}


class Bench:
    def __init__(self, args):
        self.args = args
        self.program = os.path.join(args.build, "bin", "bench_tiling")
        self.eosin = os.path.join(args.build, "bin", "eosin")
        self.slides = os.path.join(args.work, "slides")
        self.work = os.path.join(args.work, "run")

    def slide(self, case):
        return os.path.join(self.slides, SLIDES.get(case, case))

    def fresh(self):
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work)
        return self.work

    def make(self, name, command, *options):
        out = os.path.join(self.slides, name)
        wanted = int(options[options.index("--size") + 1])
        if os.path.exists(out) and os.path.exists(out + ".json") and json.load(open(out + ".json"))["size"] == wanted:
            return out
        os.makedirs(self.slides, exist_ok=True)
        print(f"making {out}", file=sys.stderr)
        source = os.path.join(self.args.data, "slides", "CMU-1-Small-Region.svs")
        run([self.program, command, source, out, *map(str, options)])
        return out

    def make_slides(self):
        size = ("--size", self.args.size)
        self.make("t256_q75.svs", "make", "--tile", 256, *size)
        self.make("t240_q75.svs", "make", "--tile", 240, *size)
        self.make("t256_q90.svs", "make", "--tile", 256, "--quality", 90, "--subsampling", 444, *size)

    def own_json(self, side, case, mode, workers):
        """One line of bench_tiling, whose clock starts with the opening of the slide."""
        out = run([self.program, side, self.slide(case), case[0], mode, str(workers), self.fresh()])["out"]
        return json.loads(out.strip().splitlines()[-1])

    def tile(self, case, mode, workers):
        """`eosin tile` as a whole process, tissue or regions given."""
        slide, folder = self.slide(case), self.fresh()
        command = [self.eosin, "tile", slide, "--out", folder, "--threads", str(workers), "--quiet"]
        command += ["--mpp", "1.0" if case == "d" else MPP]
        if case[0] == "w":
            command += ["--align", "tiles", "--tissue", slide + ".mask.png"]
        else:
            command += ["--size", "256", "--stride", "128" if case == "c" else "256", "--tissue", "none"]
            for box in regions(slide, case):
                command += ["--roi", ",".join(map(str, box))]
        if mode != "scored":
            command += ["--quality", "none", "--stain", "none"]
        record = run(command)
        rows = list(csv.DictReader(open(os.path.join(folder, "tiles.csv"))))
        record.pop("out")
        record.update(patches=int(rows[0]["patches"]), work_seconds=float(rows[0]["seconds"]), out_bytes=folder_bytes(folder))
        if case[0] == "w" and mode == "copy":
            store = os.path.join(folder, rows[0]["store"])
            record["bytes"] = json.loads(run([self.program, "bytes", slide, store])["out"])
        return record

    def peer(self, command, case, mode, workers):
        filled = command.format(slide=self.slide(case), case=case[0], mode=mode, workers=workers, work=self.fresh())
        lines = [x for x in run(shlex.split(filled))["out"].splitlines() if x.startswith("{")]
        if not lines:
            raise Failed(f"{filled}: printed no JSON line")
        record = json.loads(lines[-1])
        if "cpu" not in record:
            raise Failed(f"{filled}: {record.get('error', 'no cpu in its line')}")
        return record


def regions(slide, case):
    boxes = json.load(open(slide + ".json"))["regions"][:2]
    if case == "c":
        x, y, w, h = boxes[0]
        boxes = [[x, y, w, h // 2]]
    return boxes


def folder_bytes(folder):
    return sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(folder) for f in files)


# ---- ratios: what runs, and what is divided by what

BASELINE = "OpenSlide in Python"


def rivals(peers):
    return [name for name in peers if name != BASELINE]


def jobs(peers):
    """(side, case, mode, workers) in the order of a round."""
    for case in ("a", "b", "c", "d", "a90"):
        yield "openslide", case, "read", 1
        yield "limit", case, "decode" if case == "d" else "patches", 1
        yield "eosin", case, "read", 1
        if case != "a90":
            yield "eosin", case, "read", 2
        yield "openslide", case, "h5", 1
    for case in ("b", "c", "d"):
        for workers in (1, 2):
            yield "tile", case, "own", workers
            for name in rivals(peers):
                yield "peer:" + name, case, "own", workers
    if BASELINE in peers:
        for case, mode in (("a", "read"), ("b", "read"), ("c", "read"), ("d", "read"), ("a", "h5"), ("a90", "h5")):
            yield "peer:" + BASELINE, case, mode, 1
    for case in ("w", "w90"):
        yield "limit", case, "copy", 1
        yield "limit", case, "decode", 1
        yield "eosin", case, "own", 1
        yield "tile", case, "copy", 1
        yield "tile", case, "scored", 1


CASES = {"a": "aligned", "b": "unaligned", "c": "50 % overlap", "d": "half resolution", "a90": "aligned, q90 4:4:4"}


def ratio_rows(peers):
    """(what, target or None, at most?, numerator, denominator, quantity): rates are patches / quantity."""
    grounds = [("OpenSlide in C", "openslide")] + ([(BASELINE, "peer:" + BASELINE)] if BASELINE in peers else [])
    for case, aligned in (("w", "a"), ("w90", "a90")):
        q = "q75 4:2:0" if case == "w" else "q90 4:4:4"
        for ground, side in grounds:
            bottom = (side, aligned, "h5", 1)
            target = 50 if side == grounds[-1][1] else None
            yield f"pass-through {q}, slide opened to store closed, over {ground} -> CLAM's HDF5", target, False, \
                ("eosin", case, "own", 1), bottom, "cpu"
            yield f"pass-through {q}, whole process, over {ground} -> CLAM's HDF5", target, False, ("tile", case, "copy", 1), bottom, "cpu"
        yield f"copying the bytes alone (limit) {q}, over OpenSlide in C -> CLAM's HDF5", None, False, \
            ("limit", case, "copy", 1), ("openslide", aligned, "h5", 1), "cpu"
        yield f"CPU of pass-through with scores and stain {q}, whole process, over one decode of each tile", 1.1 if case == "w" else None, True, \
            ("limit", case, "decode", 1), ("tile", case, "scored", 1), "cpu"
    for case, name in CASES.items():
        # Resampling is no part of the bare loop: case d has a target of its own, over OpenSlide.
        bare = "libjpeg-turbo decoding alone" if case == "d" else "bare libjpeg-turbo"
        yield f"{case} {name}: pixels in memory over {bare}", None if case == "d" else 0.9, False, \
            ("eosin", case, "read", 1), ("limit", case, "decode" if case == "d" else "patches", 1), "cpu"
        for ground, side in grounds if case != "a90" else grounds[:1]:
            target = {"c": 10, "d": 6}.get(case) if side == grounds[-1][1] else None
            yield f"{case} {name}: pixels in memory over reads by {ground}", target, False, \
                ("eosin", case, "read", 1), (side, case, "read", 1), "cpu"
            yield f"{case} {name}: bare libjpeg-turbo over reads by {ground}", None, False, \
                ("limit", case, "decode" if case == "d" else "patches", 1), (side, case, "read", 1), "cpu"
    for case in ("b", "c", "d"):
        yield f"{case} {CASES[case]}: whole process to a JPEG store over OpenSlide in C -> CLAM's HDF5", None, False, \
            ("tile", case, "own", 1), ("openslide", case, "h5", 1), "cpu"
        for peer in rivals(peers):
            yield f"{case} {CASES[case]}: whole process to a JPEG store over {peer}", 1.6, False, \
                ("tile", case, "own", 1), ("peer:" + peer, case, "own", 1), "cpu"
            yield f"{case} {CASES[case]}: the same with two workers, wall time", None, False, \
                ("tile", case, "own", 2), ("peer:" + peer, case, "own", 2), "wall"
    for case in ("a", "b", "c", "d"):
        yield f"{case} {CASES[case]}: pixels in memory, 2 threads over 1, wall time", 1.8, False, \
            ("eosin", case, "read", 2), ("eosin", case, "read", 1), "wall"
    for case in ("b", "c", "d"):
        yield f"{case} {CASES[case]}: whole process, 2 threads over 1, wall time", 1.8, False, \
            ("tile", case, "own", 2), ("tile", case, "own", 1), "wall"


def interval(values):
    """95 % interval of the median by its order statistics, or the range and False where there are too few."""
    v, n = sorted(values), len(values)
    outside, k = 0.0, 0
    while k < n // 2:
        outside += 2 * math.comb(n, k) / 2 ** n
        if outside > 0.05:
            break
        k += 1
    return (v[k - 1], v[n - k], True) if k else (v[0], v[-1], False)


def verdict(target, at_most, low, high, full):
    if target is None:
        return ""
    sign = "<=" if at_most else ">="
    met = low <= target if at_most else high >= target
    return f"{sign} {target:g}: {'too few rounds' if not full else 'met' if met else 'MISSED'}"


def table(results, peers):
    records = [json.loads(line) for line in open(results)]
    by_round = {}
    for r in records:
        if "side" in r and "error" not in r:
            by_round.setdefault(r["round"], {})[r["side"], r["case"], r["mode"], r["workers"]] = r
    rounds = len({r["round"] for r in records if "round" in r})
    print("\n| what | median ratio | 95 % interval | rounds | target |\n|---|---|---|---|---|")
    for what, target, at_most, top, bottom, quantity in ratio_rows(peers):
        values = []
        for done in by_round.values():
            if top in done and bottom in done:
                a, b = done[top], done[bottom]
                if a["patches"] == 0 or b["patches"] == 0:
                    continue  # a slide too small for this case
                if top[:3] == bottom[:3] and a["patches"] != b["patches"]:
                    sys.exit(f"error: {what}: {a['patches']} patches with {top[3]} threads, {b['patches']} with {bottom[3]}")
                values.append((a["patches"] / a[quantity]) / (b["patches"] / b[quantity]))
        if values:
            low, high, full = interval(values)
            brackets = f"{low:.2f} to {high:.2f}" if full else f"({low:.2f} to {high:.2f})"
            count = len(values) if len(values) == rounds else f"{len(values)} of {rounds}"  # a side failed in the others
            print(f"| {what} | {statistics.median(values):.2f} | {brackets} | {count} | {verdict(target, at_most, low, high, full)} |")
        else:
            print(f"| {what} | not measured | | 0 | |")
    print("\nCases a and a90: eosin decodes a stored tile in place and hands it over; the bare loop decodes it and copies the patch out.")
    print("\n| side | case | mode | workers | patches | patches/CPU-s | patches/s | MB resident | tiles covered | decoded | library |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    keys = dict.fromkeys((r["side"], r["case"], r["mode"], r["workers"]) for r in records if "side" in r and "error" not in r)
    for key in keys:
        runs = [done[key] for done in by_round.values() if key in done]
        middle = lambda f: statistics.median(f(r) for r in runs)
        last = runs[-1]
        print(f"| {' | '.join(map(str, key))} | {last['patches']} | {middle(lambda r: r['patches'] / r['cpu']):.0f} | "
              f"{middle(lambda r: r['patches'] / r['wall']):.0f} | {middle(lambda r: r['rss_mb']):.0f} | "
              f"{last.get('tiles_covered') or ''} | {last.get('tiles_decoded') or ''} | {last.get('version', '')} |")
    copied = {r["case"]: r["bytes"] for r in records if "bytes" in r}
    for case, b in copied.items():
        n = b["patches"]
        print(f"\npass-through {case}: {n} tiles, tiles/bytes {b['tile_bytes']} of {b['source_bytes']} in the slide "
              f"({(b['tile_bytes'] - b['source_bytes']) / n:+.1f} B a tile: tables and APP14); all else in the store "
              f"{(b['file_bytes'] - b['tile_bytes']) / n:.1f} B a tile, {(b['file_bytes'] - b['tile_bytes'] - b['preview_bytes']) / n:.1f} "
              f"without its pictures (target 150)")
    for r in records:
        if "text" in r:
            print("\n" + r["text"])
    for line in dict.fromkeys(r["error"] for r in records if "error" in r):
        print("failed: " + line)


# ---- start-up and memory

def start_up(bench):
    small = bench.make("s100.svs", "make", "--size", 2560, "--tile", 256)
    walls, cpus, extra, base = [], [], [], []
    for _ in range(max(9, bench.args.rounds)):
        folder = bench.fresh()
        r = run([bench.eosin, "tile", small, "--out", folder, "--mpp", MPP, "--tissue", "none", "--threads", "1", "--quiet"])
        row = next(csv.DictReader(open(os.path.join(folder, "tiles.csv"))))
        walls.append(r["wall"]), cpus.append(r["cpu"]), extra.append(r["wall"] - float(row["seconds"]))
        base.append(run([bench.eosin, "--help"])["wall"])
        tiles = row["patches"]
    low, high, full = interval(extra)
    m = statistics.median
    return (f"start to exit of `eosin tile` on {tiles} tiles: {m(walls):.3f} s wall, {m(cpus):.3f} s CPU; over the work it reports: "
            f"{m(extra):.3f} s ({low:.3f} to {high:.3f}), target 0.15: {verdict(0.15, True, low, high, full).split(': ')[1]}; "
            f"`eosin --help`: {m(base):.3f} s")


def memory(bench):
    side = bench.args.sparse_size
    sparse = bench.make(f"sparse_{side}.svs", "make-sparse", "--size", side, "--tiles", 4000)
    base = run([bench.eosin, "--help"])["rss_mb"]
    r = run([bench.eosin, "tile", sparse, "--out", bench.fresh(), "--mpp", MPP, "--threads", "2", "--quiet"])
    tiles = next(csv.DictReader(open(os.path.join(bench.work, "tiles.csv"))))["patches"]
    yield (f"peak RSS, {side} x {side} px sparse slide ({tiles} tiles, tissue found, scores and stain, 2 threads): {r['rss_mb']:.0f} MB, "
           f"`eosin --help` {base:.0f} MB: {r['rss_mb'] - base:.0f} MB over it, target 256: "
           f"{'met' if r['rss_mb'] - base <= 256 else 'MISSED'}")
    count = bench.args.many
    small = bench.make("s1024.svs", "make", "--size", 1024, "--tile", 256)
    folder, out = os.path.join(bench.args.work, "many"), bench.fresh()
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for i in range(count):
        os.link(small, os.path.join(folder, f"s{i:04}.svs"))
    seen = {}

    def watch(process):
        while process.poll() is None:
            stores = sum(name.endswith(".h5") for name in os.listdir(out))
            mark = count // 10 if stores >= count // 10 else 0
            try:
                status = dict(x.split(":", 1) for x in open(f"/proc/{process.pid}/status").read().splitlines() if ":" in x)
                if mark and mark not in seen:
                    seen[mark] = int(status["VmHWM"].split()[0]) / 1024
                if "VmHWM" in status:
                    seen["last"] = int(status["VmHWM"].split()[0]) / 1024
            except (OSError, KeyError):
                pass
            time.sleep(0.02)

    # poll() reaps the process, so this one is not run through run().
    process = subprocess.Popen([bench.eosin, "tile", folder, "--out", out, "--mpp", MPP, "--tissue", "none", "--threads", "2", "--quiet"],
                               stdout=subprocess.DEVNULL)
    watch(process)
    shutil.rmtree(folder)
    if process.returncode:
        raise Failed(f"eosin tile on {count} slides: exit {process.returncode}")
    first = seen.get(count // 10, float("nan"))
    yield (f"peak RSS over {count} slides: {first:.1f} MB after {count // 10}, {seen['last']:.1f} MB at the end "
           f"({seen['last'] - first:+.1f} MB)")


# ---- the whole

def measure(bench, peers, results):
    bench.make_slides()
    for name in set(SLIDES.values()):  # into the page cache
        with open(os.path.join(bench.slides, name), "rb") as f:
            while f.read(1 << 24):
                pass
    order = list(jobs(peers))
    for number in range(bench.args.rounds):
        start = time.time()
        for side, case, mode, workers in order if number % 2 == 0 else reversed(order):
            record = {"round": number, "side": side, "case": case, "mode": mode, "workers": workers}
            try:
                if side == "tile":
                    record.update(bench.tile(case, mode, workers))
                elif side.startswith("peer:"):
                    record.update({**bench.peer(peers[side[5:]], case, mode, workers), **record})
                else:
                    record.update({**bench.own_json(side, case, mode, workers), **record})
            except Failed as error:
                record["error"] = str(error)
                print(f"failed: {error}", file=sys.stderr)
            results.write(json.dumps(record) + "\n")
            results.flush()
        print(f"round {number + 1} of {bench.args.rounds}: {time.time() - start:.0f} s, load {os.getloadavg()[0]:.1f}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.path.join(ROOT, "..", "shared", "data"), help="folder with slides/CMU-1-Small-Region.svs")
    parser.add_argument("--work", required=True, help="folder for made slides and outputs (3 GB)")
    parser.add_argument("--build", default=os.environ.get("EOSIN_BUILD", os.path.join(ROOT, "build", "release")))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="ratios,start,memory")
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--baseline")
    parser.add_argument("--size", type=int, default=30000, help="pixels a side of the dense slides")
    parser.add_argument("--sparse-size", type=int, default=200000)
    parser.add_argument("--many", type=int, default=1000, help="slides of the flatness run")
    parser.add_argument("--table", action="store_true", help="print the table of the last run, measure nothing")
    args = parser.parse_args()
    if args.quick:
        args.rounds = 3
    peers = dict(p.split("=", 1) for p in args.peer)
    if args.baseline:
        peers[BASELINE] = args.baseline
    bench = Bench(args)
    path = os.path.join(args.work, "results.jsonl")
    if args.table:
        peers = peers or dict.fromkeys(json.loads(x)["side"][5:] for x in open(path) if '"side": "peer:' in x)
        return table(path, peers)
    source = os.path.join(args.data, "slides", "CMU-1-Small-Region.svs")
    for file, hint in ((bench.program, "build the targets eosin and bench_tiling, or give --build"), (bench.eosin, "build the target eosin"),
                       (source, "give --data, the folder of test data")):
        if not os.path.exists(file):
            sys.exit(f"error: {file} is missing\nhint: {hint}")
    os.makedirs(args.work, exist_ok=True)
    parts = args.only.split(",")
    with open(path, "w") as results:
        try:
            if "ratios" in parts:
                measure(bench, peers, results)
            if "start" in parts:
                results.write(json.dumps({"text": start_up(bench)}) + "\n")
            if "memory" in parts:
                for text in memory(bench):
                    results.write(json.dumps({"text": text}) + "\n")
        except Failed as error:
            results.write(json.dumps({"error": str(error)}) + "\n")
    shutil.rmtree(bench.work, ignore_errors=True)
    table(path, peers)


if __name__ == "__main__":
    main()
