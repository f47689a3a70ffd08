#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tiles a slide with eosin and opens the stores as h5py, PIL, CLAM and TRIDENT do.

    test_store.py BUILD_FOLDER
"""
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from check_store import check_clam_sidecar, check_store, check_webdataset

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("EOSIN_TEST_DATA", ROOT.parent / "shared" / "data"))
SLIDE = DATA / "slides" / "CMU-1-Small-Region.svs"


def main():
    eosin = Path(sys.argv[1]) / "bin" / "eosin"
    if not SLIDE.exists():
        print(f"skipped: needs {SLIDE} (set EOSIN_TEST_DATA)")
        return
    cases = [("png", ["--mpp", "0.5", "--encoding", "png"]),
             ("raw", ["--mpp", "0.5", "--encoding", "raw", "--stride", "300"]),
             ("jpeg", ["--mpp", "0.5", "--size", "224", "--stride", "112"]),
             ("plain", ["--mpp", "0.5", "--quality", "none", "--stain", "none"]),
             ("aligned", ["--mpp", "0.5", "--align", "tiles"]),
             ("resampled", ["--mpp", "1", "--export", "clam", "--export", "webdataset"])]
    with tempfile.TemporaryDirectory() as folder:
        for name, flags in cases:
            out = Path(folder) / name
            subprocess.run([eosin, "tile", SLIDE, "--out", out, "--quiet", *flags], check=True)
            store = out / (SLIDE.stem + ".h5")
            print(f"{name}: {check_store(store, SLIDE)}")
            subprocess.run([eosin, "verify", out, "--slides", SLIDE, "--tiles", "all", "--quiet"], check=True)
        check_clam_sidecar(out / "clam" / store.name, store)
        print(f"webdataset: {check_webdataset(out / 'webdataset' / (SLIDE.stem + '.tar'), store)} samples")
        check_labelled(eosin, Path(folder))


def check_labelled(eosin, folder):
    """A list with annotation, class and patient; what comes out goes in again as CLAM's list."""
    (folder / "drawn.geojson").write_text(json.dumps({
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "properties": {"classification": {"name": name}},
                      "geometry": {"type": "Polygon", "coordinates": [[[x, 300], [x + 900, 300],
                                                                       [x + 450, 2500], [x, 300]]]}}
                     for name, x in (("tumor", 200), ("stroma", 900))]}))
    (folder / "list.csv").write_text("slide_id,annotation,label,case_id,comment\n"
                                     f"{SLIDE.stem},drawn.geojson,malign,P 7,none\n")
    out = folder / "labelled"
    subprocess.run([eosin, "tile", SLIDE.parent, "--list", folder / "list.csv", "--out", out, "--quiet",
                    "--align", "tiles", "--export", "webdataset"], check=True)
    store = out / (SLIDE.stem + ".h5")
    print(f"labelled: {check_store(store, SLIDE)}, "
          f"{check_webdataset(out / 'webdataset' / (SLIDE.stem + '.tar'), store)} samples")
    subprocess.run([eosin, "verify", store, "--slides", SLIDE, "--annotations", folder / "drawn.geojson",
                    "--tiles", "all", "--quiet"], check=True)
    with open(out / "process_list_autogen.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["slide_id"], row["process"], row["status"]) for row in rows] == \
        [(SLIDE.name, "0", "processed")], rows


if __name__ == "__main__":
    main()
