#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seams of a trained network: are pixels near the borders of windows worse than others?

    tools/bench/seams.py build/release/bin/eosin RUN DATA --mpp UM [--overlap 0.5] [--window PX]

RUN: a run of eosin segment on the folder DATA (images/, masks/ with 0 as background, one foreground class). Predicts RUN's test
images with `eosin predict` twice, the grid of windows moved by half a stride the second time, and prints
 - the error rate within 2 px of where the inner part of a window ends, over the rate elsewhere (1 = no seams),
 - the share of pixels whose label the move changed,
with 95 % intervals by resampling images."""
import argparse, json, pathlib, subprocess, tempfile

import numpy as np
from PIL import Image

Image.MAX_IMAGE_PIXELS = None


def predict(eosin, run, images, out, overlap, window, shift, mpp):
    subprocess.run([eosin, "predict", "--model", run, "--out", out, "--mpp-override", str(mpp), "--overlap", str(overlap), "--window", str(window),
                    "--no-geojson", "--no-overlay", "--quiet", "--set", f"shift={shift}", images], check=True)


def labels(folder, stem):
    return np.array(Image.open(folder / f"{stem}.labels.tif"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("eosin")
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--mpp", type=float, required=True, help="um/px of the images")
    parser.add_argument("--overlap", type=float, default=0.5)
    parser.add_argument("--window", type=int, default=0, help="px of the label map; 0: the training crops'")
    args = parser.parse_args()
    names = [i["name"] for i in json.loads((args.run / "split.json").read_text())["test"]["images"]]
    with tempfile.TemporaryDirectory() as temp:
        temp = pathlib.Path(temp)
        (temp / "images").mkdir()
        for name in names:
            source = next((args.data / "images").glob(name + ".*"))
            (temp / "images" / source.name).symlink_to(source.resolve())
        for out, shift in (("still", 0.0), ("moved", (1 - args.overlap) / 2)):
            predict(args.eosin, args.run, temp / "images", temp / out, args.overlap, args.window, shift, args.mpp)
        stride = round((1 - args.overlap) * json.loads((temp / "still" / f"{names[0]}.json").read_text())["settings"]["window"])
        rows = []  # near and wrong, near; far and wrong, far; changed, all
        for name in names:
            still, moved = labels(temp / "still", name), labels(temp / "moved", name)
            truth = Image.open(next((args.data / "masks").glob(name + ".*")))
            truth = np.array(truth.resize(still.shape[::-1], Image.NEAREST)) > 0
            at = lambda n: np.minimum(np.arange(n) % stride, stride - np.arange(n) % stride) <= 2
            near = at(still.shape[0])[:, None] | at(still.shape[1])[None, :]
            wrong = still != truth
            rows.append([(wrong & near).sum(), near.sum(), (wrong & ~near).sum(), (~near).sum(), (still != moved).sum(), still.size])
    rows = np.array(rows, float)
    draws = np.random.default_rng(1).integers(0, len(rows), (2000, len(rows)))
    show = lambda name, f: print(f"{name}: {f(rows.sum(0)):.4f}, 95 % interval "
                                 f"{np.quantile([f(rows[d].sum(0)) for d in draws], .025):.4f} to "
                                 f"{np.quantile([f(rows[d].sum(0)) for d in draws], .975):.4f}")
    print(f"{len(names)} images, windows {stride} px apart, {100 * rows.sum(0)[[0, 2]].sum() / rows.sum(0)[5]:.1f} % of pixels wrong")
    show("error near seams over elsewhere", lambda r: r[0] / r[1] / (r[2] / r[3]))
    show("share of labels changed by half a stride", lambda r: r[4] / r[5])


if __name__ == "__main__":
    main()
