#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Predicts a made slide with a tiny model and opens what comes out with json, tifffile and scikit-image
(and shapely, where it is installed): none of them ours.

    test_predict.py BUILD_FOLDER
"""
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from skimage.draw import polygon2mask
from skimage.measure import label as components

try:
    from shapely.geometry import shape
except ImportError:
    shape = None

NOT_PREDICTED = 255


def run(eosin, *words):
    subprocess.run([eosin, *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def area(ring):
    x, y = np.asarray(ring).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


def check_geojson(path, labels, downsample, exact):
    collection = json.loads(path.read_text())
    assert collection["type"] == "FeatureCollection"
    drawn = np.zeros_like(labels, dtype=bool)
    for feature in collection["features"]:
        assert feature["type"] == "Feature" and feature["geometry"]["type"] == "Polygon"
        properties = feature["properties"]
        assert properties["objectType"] == "annotation"
        assert properties["classification"]["name"] == "gland"
        assert len(properties["classification"]["color"]) == 3
        rings = feature["geometry"]["coordinates"]
        for i, ring in enumerate(rings):
            assert ring[0] == ring[-1] and len(ring) >= 4
            assert (area(ring) > 0) == (i == 0), "outer rings run one way, holes the other"
        if shape is not None:
            assert shape(feature["geometry"]).is_valid, feature
        if not exact:
            continue
        points = np.concatenate([np.asarray(r) for r in rings]) / downsample
        x0, y0 = np.floor(points.min(0)).astype(int)
        x1, y1 = np.ceil(points.max(0)).astype(int)
        patch = np.zeros((y1 - y0, x1 - x0), dtype=bool)
        for ring in rings:  # pixel centres; even-odd
            corners = np.asarray(ring)[:-1, ::-1] / downsample - [y0, x0] - 0.5
            patch ^= polygon2mask(patch.shape, corners)
        drawn[y0:y1, x0:x1] |= patch
    if exact:
        assert np.array_equal(drawn, labels == 1), np.sum(drawn != (labels == 1))
        patches = components(labels == 1, connectivity=1).max()
        assert patches == len(collection["features"])
    return len(collection["features"])


def main():
    eosin = Path(sys.argv[1]).resolve() / "bin" / "eosin"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(eosin, "synth", "--out", folder / "made", "--slides", 4, "--width", 2048, "--height", 1536,
            "--regions", 2)
        small = ["--set", "model.width=8", "--set", "model.head_channels=16", "--set", "model.rates=1,2,3",
                 "--set", "input.scale=0.5", "--set", "input.mpp=0.5", "--set", "mask.classes=background,gland"]
        run(eosin, "segment", "--data", folder / "made" / "regions", "--out", folder / "run", "--arch", "resnet18",
            "--steps", 60, "--batch", 4, "--crop", 64, *small)
        slide = sorted((folder / "made" / "slides").glob("*.tif"))[0]
        for exact in (False, True):
            out = folder / f"out{exact}"
            run(eosin, "predict", "--model", folder / "run", "--out", out, "--probabilities", slide,
                *(["--exact-outlines", "--no-tissue"] if exact else []))
            with tifffile.TiffFile(out / f"{slide.stem}.labels.tif") as tiff:
                labels = tiff.pages[0].asarray()
                assert tiff.pages[0].photometric == tifffile.PHOTOMETRIC.PALETTE
                assert tiff.pages[0].is_tiled and labels.shape == (768, 1024)
                numerator, denominator = tiff.pages[0].tags["XResolution"].value
                assert abs(numerator / denominator - 10000) < 1, "1 um per pixel in pixels per cm"
                for i, page in enumerate(tiff.pages):
                    assert page.asarray().shape == (768 >> i, 1024 >> i)
            assert set(np.unique(labels)) <= {0, 1, NOT_PREDICTED}
            probabilities = tifffile.imread(out / f"{slide.stem}.probabilities.tif")
            assert probabilities.shape == (2, 768, 1024)
            known = labels != NOT_PREDICTED
            assert np.abs(probabilities.astype(int).sum(0)[known] - 255).max() <= 1
            sure = known & (np.abs(probabilities[0].astype(int) - probabilities[1]) > 1)
            assert np.array_equal(probabilities.argmax(0)[sure], labels[sure])
            features = check_geojson(out / f"{slide.stem}.geojson", labels, 2.0, exact)
            row, = csv.DictReader(open(out / "predictions.csv"))
            gland, both = np.sum(labels == 1) * 1e-6, float(row["gland_mm2"]) + float(row["background_mm2"])
            assert abs(float(row["gland_mm2"]) - gland) < 1e-6 and abs(both - np.sum(known) * 1e-6) < 1e-6, row
            if exact:  # everywhere
                assert row["mm2_of_tissue"] == "" and known.all()
            else:
                tissue = float(row["mm2_of_tissue"])
                assert abs(both - tissue) < 0.01 * tissue, row
            print(f"{'exact' if exact else 'simplified'}: {features} polygons, "
                  f"{'shapely, ' if shape else ''}json, tifffile and scikit-image agree")


if __name__ == "__main__":
    main()
