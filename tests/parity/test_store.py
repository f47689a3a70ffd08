#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tiles a slide with eosin and opens the stores as h5py, PIL, CLAM and TRIDENT do.

    test_store.py BUILD_FOLDER
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from check_store import check_clam_sidecar, check_store

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
             ("resampled", ["--mpp", "1", "--export", "clam"])]
    with tempfile.TemporaryDirectory() as folder:
        for name, flags in cases:
            out = Path(folder) / name
            subprocess.run([eosin, "tile", SLIDE, "--out", out, "--quiet", *flags], check=True)
            store = out / (SLIDE.stem + ".h5")
            print(f"{name}: {check_store(store, SLIDE)}")
        check_clam_sidecar(out / "clam" / store.name, store)


if __name__ == "__main__":
    main()
