# SPDX-License-Identifier: Apache-2.0
"""Makes tests/fixtures/stain: what scikit-image, numpy and scikit-learn give for the stain statistics
of tiles (stain.json), for stain transforms (transforms.json) and for mixtures (mixture.json).

Run in the parity venv:  python tests/parity/make_stain_fixtures.py DATA tests/fixtures/stain
DATA is the folder of real test data; of it only numbers are kept, with file names and crop boxes.
LAB and HSV are skimage.color's; Macenko (ISBI 2009) is written out below with numpy's eigh, percentile
and lstsq on natural optical density.
"""
import itertools
import json
import pathlib
import sys

import numpy as np
from PIL import Image
from skimage.color import rgb2hsv, rgb2lab
from sklearn.mixture import GaussianMixture

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
    transforms()
    mixture()


HED = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])


def density(rgb):
    return -np.log((rgb.astype(np.float64) + 1) / 256)


def level(od):
    return 256 * np.exp(-od) - 1


def residual_matrix():
    he = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105]])
    third = np.cross(he[0], he[1])
    return np.vstack([he, third / np.linalg.norm(third)])


def turned(v, h, e, angle):
    """v turned by angle in the plane of h and e, positive from h to e (Rodrigues)."""
    axis = np.cross(h, e)
    axis = axis / np.linalg.norm(axis)
    return v * np.cos(angle) + np.cross(axis, v) * np.sin(angle)


def macenko_jitter(od, stains, alpha, beta, angle):
    """tiatoolbox's StainAugmentor, with turned stains and the residual put back."""
    c = np.linalg.lstsq(stains.T, od.T, rcond=None)[0].T
    rest = od - c @ stains
    new = np.stack([turned(v, *stains, a) for v, a in zip(stains, angle)])
    return (alpha * c + beta) @ new + rest


def transforms():
    rng = np.random.default_rng(1)
    spaces = {"lab": lambda x: rgb2lab(x), "hsv": lambda x: rgb2hsv(x),
              "hed": lambda x: density(x) @ np.linalg.inv(HED)}
    tiles = []
    for seed in range(3):
        rgb = made_tile(seed)
        stats = {name: [*f(rgb).reshape(-1, 3).mean(0), *f(rgb).reshape(-1, 3).std(0)]
                 for name, f in spaces.items()}
        tiles.append({"fixture": f"made_{seed}.png", "stats": stats})
    colours = rng.integers(0, 256, (200, 3)).astype(np.uint8)
    colours[:12] = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 8],
                    [255, 255, 0], [255, 0, 255], [0, 255, 255], [128, 128, 128], [7, 9, 9],
                    [9, 7, 9]]
    hsv = rgb2hsv(colours[None])[0]
    macenko_cases = []
    for _ in range(6):
        stains = np.abs(rng.normal([[.65, .70, .29], [.12, .95, .25]], .05))
        stains = (stains / np.linalg.norm(stains, axis=1, keepdims=True)).astype(np.float32)
        alpha, beta = rng.uniform(.5, 1.5, 2), rng.uniform(-.25, .25, 2)
        angle = rng.normal(0, np.deg2rad(4), 2)
        # In the precision of the interface.
        alpha, beta, angle = (v.astype(np.float32).astype(np.float64) for v in (alpha, beta, angle))
        od = rng.uniform(0, 2.5, (4, 3))
        macenko_cases.append({
            "stains": stains.tolist(), "alpha": alpha.tolist(), "beta": beta.tolist(),
            "angle": angle.tolist(), "od": od.tolist(),
            "out": macenko_jitter(od, stains.astype(np.float64), alpha, beta, angle).tolist()})
    # RandStainNA in HED space: unmix, Reinhard each stain, mix.
    hed_cases = []
    for _ in range(4):
        source, target = rng.uniform(.1, .9, 6).round(3), rng.uniform(.1, .9, 6).round(3)
        od = rng.uniform(0, 2.5, (4, 3))
        s = od @ np.linalg.inv(HED)
        s = (s - source[:3]) / source[3:] * target[3:] + target[:3]
        hed_cases.append({"from": source.tolist(), "to": target.tolist(), "od": od.tolist(),
                          "out": (s @ HED).tolist()})
    shifts = []
    m = residual_matrix()
    shown = colours[:40]
    for a, c, b, d in itertools.product((.7, 1.3), (-.1, .1), (.7, 1.3), (-.1, .1)):
        s = density(shown) @ np.linalg.inv(m) * [a, b, 1] + [c, d, 0]
        out = np.rint(np.clip(level(s @ m), 0, 255)).astype(int)
        shifts.append({"alpha": [a, b], "beta": [c, d], "out": out.tolist()})
    text = json.dumps({"tiles": tiles, "macenko": macenko_cases, "reinhard_hed": hed_cases,
                       "colours": colours.tolist(), "hsv": hsv.tolist(), "shifts": shifts},
                      separators=(",", ":"))
    (OUT / "transforms.json").write_text(text + "\n")


def mixture():
    """Two laboratories' tiles: (mean, std) vectors in LAB, and what scikit-learn makes of them."""
    rng = np.random.default_rng(2)
    rows = []
    for n, centre, spread in [(140, [62, 25, -12, 18, 8, 6], [6, 4, 3, 3, 1.5, 1]),
                              (60, [75, 10, -4, 11, 5, 3], [3, 2, 2, 2, .8, .6])]:
        mix = np.diag(spread) @ (np.eye(6) + rng.uniform(-.4, .4, (6, 6)))
        rows.append(rng.normal(size=(n, 6)) @ mix.T + centre)
    rows = np.concatenate(rows).round(4)
    fits = []
    for k in (1, 2, 3):
        # Our floor is on standardised columns: sklearn gets those.
        z = (rows - rows.mean(0)) / rows.std(0)
        best = GaussianMixture(k, tol=1e-9, reg_covar=1e-6, max_iter=2000, n_init=20,
                               random_state=0).fit(z)
        order = np.argsort(-best.weights_)
        fits.append({"components": k, "log_likelihood": best.score(z), "bic": best.bic(z),
                     "weights": best.weights_[order].tolist(),
                     "means": (best.means_[order] * rows.std(0) + rows.mean(0)).tolist()})
    text = json.dumps({"rows": rows.tolist(), "mean": rows.mean(0).tolist(),
                       "std": rows.std(0, ddof=1).tolist(), "fits": fits}, separators=(",", ":"))
    (OUT / "mixture.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
