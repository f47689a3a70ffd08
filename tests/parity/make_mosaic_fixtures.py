# SPDX-License-Identifier: Apache-2.0
"""Makes tests/fixtures/mosaic: windows of one picture resampled by Pillow.

Run in the parity venv:  python tests/parity/make_mosaic_fixtures.py tests/fixtures/mosaic
Windows are in 1/64 pixels, since Pillow's boxes are single precision. Outputs stand below each other
in one picture a case; the filter is BILINEAR where the window shrinks and BICUBIC where it grows.
"""
import json
import pathlib
import sys

import numpy as np
from PIL import Image

OUT = pathlib.Path(sys.argv[1])
WIDTH, HEIGHT = 150, 130


def source_picture():
    """Blobs of tissue colours, noise, hard edges, black and white."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    field = np.sin(x / 5) * np.cos(y / 4) + 0.4 * np.sin((x + y) / 1.7)
    image = np.stack([190 + 50 * field, 120 + 80 * field, 170 + 40 * field], -1)
    image += rng.normal(0, 12, image.shape)
    image[:, 70:73] = 0
    image[60:62] = 255
    image[20:40, 20:40] = 255 * (np.indices((20, 20)).sum(0) % 2)[..., None]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(source_picture())
    picture.save(OUT / "source.png", optimize=True)
    cases = []
    for name, outputs, side, places in [
        ("half", 24, 48 + 6 / 64, [(0, 0), (31.25, 17.5), (101.90625 - 0.015625, 81.90625 - 0.015625)]),
        ("two", 20, 40, [(0, 0), (33, 28), (110, 90)]),
        ("third", 19, 55 + 9 / 64, [(12.25, 3.75), (90, 70)]),
        ("near", 32, 33.5, [(0.5, 60.25), (116.5, 96.5)]),
        ("eighth", 12, 96 + 11 / 64, [(0, 0), (50.5, 30.75)]),
        ("enlarge", 30, 22.75, [(0, 0), (18.5, 18.25), (127.25, 107.25)]),
    ]:
        kind = Image.BILINEAR if side >= outputs else Image.BICUBIC
        rows = [np.asarray(picture.resize((outputs, outputs), kind, box=(x, y, x + side, y + side)))
                for x, y in places]
        Image.fromarray(np.concatenate(rows)).save(OUT / f"{name}.png", optimize=True)
        cases.append({"file": f"{name}.png", "outputs": outputs, "side": side, "places": places})
    (OUT / "mosaic.json").write_text(json.dumps({"windows": cases}, indent=1) + "\n")


main()
