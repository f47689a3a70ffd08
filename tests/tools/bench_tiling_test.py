#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tiling benchmark on tiny slides: its sides do the same work, and what it says of bytes adds up. No time is looked at.

    bench_tiling_test.py BENCH_TILING EOSIN SOURCE_FOLDER
"""
import csv
import json
import os
import subprocess
import sys
import tempfile

bench, eosin, root = sys.argv[1:4]
source = os.path.join(os.environ.get("EOSIN_TEST_DATA", os.path.join(root, "..", "shared", "data")), "slides", "CMU-1-Small-Region.svs")
if not os.path.exists(source):
    print(f"skipped: needs {source}: set EOSIN_TEST_DATA to the folder of test data")
    sys.exit(77)


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, (command, done.returncode, done.stdout, done.stderr)
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines and lines[-1].startswith("{") else None


with tempfile.TemporaryDirectory() as work:
    slides = {256: os.path.join(work, "s256.svs"), 240: os.path.join(work, "s240.svs")}
    for tile, path in slides.items():
        run(bench, "make", source, path, "--size", 3000, "--tile", tile, "--quality", 75 if tile == 256 else 90,
            "--subsampling", "420" if tile == 256 else "444")
        sidecar = json.load(open(path + ".json"))
        assert [level["size"] for level in sidecar["levels"]] == [[3000, 3000], [750, 750], [187, 187]], sidecar
        assert all(256 <= side for _, _, *sides in sidecar["regions"] for side in sides)

    for case in "abcd":
        slide = slides[240 if case == "b" else 256]
        limit = run(bench, "limit", slide, case, "patches", 1, work)
        decode = run(bench, "limit", slide, case, "decode", 1, work)
        copy = run(bench, "limit", slide, case, "copy", 1, work)
        theirs = run(bench, "openslide", slide, case, "h5", 1, work)
        assert limit["patches"] > 1 and limit["tiles_covered"] == limit["tiles_decoded"] == decode["tiles_decoded"], (limit, decode)
        assert copy["out_bytes"] == copy["in_bytes"] == limit["in_bytes"] > 0 and copy["tiles_decoded"] == 0, copy
        assert theirs["patches"] == limit["patches"] and theirs["out_bytes"] > limit["patches"] * 256 * 256 * 3, theirs
        for threads in (1, 2):
            ours = run(bench, "eosin", slide, case, "read", threads, work)
            assert ours["patches"] == limit["patches"], (case, ours, limit)
            assert ours["tiles_decoded"] == ours["tiles_covered"] == limit["tiles_covered"], (case, ours, limit)

    # Pass-through: the tiles of the mask, at the price of tables and nothing else.
    store = os.path.join(work, "store")
    limit = run(bench, "limit", slides[256], "w", "copy", 1, work)
    own = run(bench, "eosin", slides[256], "w", "own", 1, store)
    assert own["patches"] == limit["patches"] > 20 and own["version"].endswith("copy"), (own, limit)
    held = run(bench, "bytes", slides[256], os.path.join(store, "s256.h5"))
    assert held["patches"] == limit["patches"] and held["source_bytes"] == limit["in_bytes"], (held, limit)
    assert 0 <= held["tile_bytes"] - held["source_bytes"] < 700 * held["patches"], held

    # A sparse slide opens, and tissue is found on it.
    sparse = os.path.join(work, "sparse.svs")
    run(bench, "make-sparse", source, sparse, "--size", 12000, "--tiles", 90)
    run(eosin, "tile", sparse, "--out", store, "--mpp", "0.499", "--quiet")
    row = next(r for r in csv.DictReader(open(os.path.join(store, "tiles.csv"))) if r["store"] == "sparse.h5")
    assert row["status"] == "done" and 20 < int(row["patches"]) < 200, row
print("all sides agree")
