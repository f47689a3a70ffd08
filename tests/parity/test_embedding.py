#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tiles a slide, writes features of its tiles with eosin, and reads them as CLAM and TRIDENT do.

    test_embedding.py BUILD_FOLDER
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("EOSIN_TEST_DATA", ROOT.parent / "shared" / "data"))
SLIDE = DATA / "slides" / "CMU-1-Small-Region.svs"


def check_slide(path, store_path):
    with h5py.File(path) as file, h5py.File(store_path) as store:
        features, coords = file["features"][:], file["coords"][:]  # CLAM, TRIDENT
        status, rows = store["status"][:], store["coords"][:]
        kept = np.flatnonzero((status != 2) & (status != 3))
        assert features.dtype == np.float32 and coords.dtype == np.int64
        assert features.shape == (len(kept), 3) and np.array_equal(coords, rows[kept])
        # parity_tool's features of image i are i, i / 2, i / 4.
        assert np.array_equal(features, np.arange(len(kept))[:, None] / np.float32([1, 2, 4]))
        attrs = file["features"].attrs
        assert (attrs["name"], attrs["savetodir"], attrs["encoder"]) == (SLIDE.stem, ".", "made")
        assert np.allclose(attrs["mean"], [0.485, 0.456, 0.406])
        theirs = dict(store["coords"].attrs)
        theirs.pop("xxh3")
        ours = dict(file["coords"].attrs)
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            assert np.shape(ours[name]) == np.shape(value) and np.all(ours[name] == value), name
            assert type(ours[name]) is type(value), name
        for name in ("patch_size", "level0_magnification", "target_magnification"):
            ours[name]  # TRIDENT requires them
        return len(kept)


def check_pictures(path):
    with h5py.File(path) as file:
        assert file["features"].shape == (3, 3)
        assert file["labels"][:].tolist() == [0, 1, 1]
        assert file["classes"].asstr()[:].tolist() == ["benign", "tumour"]
        assert file["names"].asstr()[:].tolist() == ["benign/a.png", "tumour/b.png", "tumour/\u00e7.png"]


def main():
    build = Path(sys.argv[1])
    if not SLIDE.exists():
        print(f"skipped: needs {SLIDE} (set EOSIN_TEST_DATA)")
        return
    with tempfile.TemporaryDirectory() as folder:
        tiles, out = Path(folder) / "tiles", Path(folder) / "out"
        subprocess.run([build / "bin" / "eosin", "tile", SLIDE, "--mpp", "0.5", "--out", tiles, "--quiet"],
                       check=True)
        embed = [build / "bin" / "parity_tool", "embed"]
        subprocess.run([*embed, "--data", tiles, "--out", out], check=True)
        name = SLIDE.stem + ".h5"
        print(f"slide: {check_slide(out / name, tiles / name)} tiles")
        from PIL import Image
        for picture in ("benign/a", "tumour/b", "tumour/\u00e7"):
            path = Path(folder) / "pictures" / (picture + ".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16)).save(path)
        subprocess.run([*embed, "--data", Path(folder) / "pictures", "--out", out], check=True)
        check_pictures(out / "embedding.h5")
        print("pictures: labels, classes, names")


main()
