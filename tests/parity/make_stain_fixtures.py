# SPDX-License-Identifier: Apache-2.0
"""Makes tests/fixtures/stain: what scikit-image and numpy give for the stain statistics of tiles.

Run in the parity venv:  python tests/parity/make_stain_fixtures.py DATA tests/fixtures/stain
DATA is the folder of real test data; of it only numbers are kept, with file names and crop boxes.
LAB is skimage.color.rgb2lab; Macenko (ISBI 2009) is written out below with numpy's eigh, percentile
and lstsq on natural optical density.
"""
import json
import pathlib
import sys

import numpy as np
from PIL import Image
from skimage.color import rgb2lab

DATA, OUT = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])


def made_tile(seed):
    """Haematoxylin nuclei on eosin with glass at one side."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:64, 0:64].astype(float)
    nuclei = np.exp(-((np.sin(x / 4 + seed) + np.cos(y / 5)) ** 2) * 4)
    h = 1.4 * nuclei + 0.1 + rng.normal(0, 0.03, x.shape)
    e = 0.7 + 0.3 * np.sin((x + 2 * y) / 9) + rng.normal(0, 0.03, x.shape)
    tissue = (x + 0.3 * y > 14)[..., None]
    od = (h[..., None] * [0.65, 0.70, 0.29] + e[..., None] * [0.12, 0.95, 0.25]) * tissue + 0.03
    return np.clip(np.rint(256 * np.exp(-od) - 1), 0, 255).astype(np.uint8)


def macenko(rgb, beta=0.15, alpha=1):
    od = -np.log((rgb.reshape(-1, 3).astype(np.float64) + 1) / 256)
    stained = od[(od > beta).all(axis=1)]
    _, vectors = np.linalg.eigh(np.cov(stained.T))
    plane = vectors[:, [2, 1]]
    plane = plane * np.where(stained.mean(0) @ plane < 0, -1, 1)
    # Angles about the mean direction, as the cluster may straddle +-180 degrees otherwise.
    p = stained @ plane
    middle = np.arctan2(p[:, 1].mean(), p[:, 0].mean())
    phi = (np.arctan2(p[:, 1], p[:, 0]) - middle + np.pi) % (2 * np.pi) - np.pi
    low, high = np.percentile(phi, [alpha, 100 - alpha]) + middle
    first = plane @ [np.cos(low), np.sin(low)]
    second = plane @ [np.cos(high), np.sin(high)]
    if first[0] < second[0]:
        first, second = second, first
    stains = np.stack([first, second])
    concentrations = np.linalg.lstsq(stains.T, od.T, rcond=None)[0]
    return stains, np.percentile(concentrations, 99, axis=1)


def row(rgb):
    lab = rgb2lab(rgb).reshape(-1, 3)
    stains, strongest = macenko(rgb)
    return [float(v) for v in [*lab.mean(0), *lab.std(0), *stains.ravel(), *strongest]]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    cases = []
    for seed in range(3):
        name = f"made_{seed}.png"
        Image.fromarray(made_tile(seed)).save(OUT / name)
        cases.append({"fixture": name, "row": row(made_tile(seed))})
    rng = np.random.default_rng(0)
    glas = sorted((DATA / "glas").rglob("*.jp*g"))
    for i in rng.choice(len(glas), 6, replace=False):
        rgb = np.asarray(Image.open(glas[i]).convert("RGB"))
        x, y = int(rng.integers(rgb.shape[1] - 128)), int(rng.integers(rgb.shape[0] - 128))
        cases.append({"data": str(glas[i].relative_to(DATA)), "box": [x, y, 128, 128],
                      "row": row(rgb[y:y + 128, x:x + 128])})
    slide = "slides/CMU-1-Small-Region.svs"
    rgb = np.asarray(Image.open(DATA / slide).convert("RGB"))
    for x, y in [(700, 300), (900, 1200), (1500, 2100)]:
        cases.append({"slide": slide, "box": [x, y, 256, 256],
                      "row": row(rgb[y:y + 256, x:x + 256])})
    colours = rng.integers(0, 256, (200, 3)).astype(np.uint8)
    colours[:8] = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [1, 1, 1],
                   [10, 11, 12], [128, 128, 128]]
    lab = rgb2lab(colours[None])[0]
    text = json.dumps({"colours": [[*map(int, c), *map(float, v)] for c, v in zip(colours, lab)],
                       "cases": cases}, indent=None, separators=(",", ":"))
    (OUT / "stain.json").write_text(text + "\n")


main()
