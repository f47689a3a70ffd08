# SPDX-License-Identifier: Apache-2.0
"""Makes tests/fixtures/segmentation: masks and what scipy, scikit-image, scikit-learn
and the published formulas, written out plainly, give for them.

Run with numpy, Pillow, scipy, scikit-image and scikit-learn (the parity venv has them):
    python tests/parity/make_segmentation_score_fixtures.py tests/fixtures/segmentation
"""
import io
import json
import pathlib
import sys

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial.distance import directed_hausdorff
from skimage.measure import label
from sklearn.metrics import accuracy_score, confusion_matrix, precision_score, recall_score

OUT = pathlib.Path(sys.argv[1])
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
IGNORE = DIGITS.index("z")


def rows(mask):
    return ["".join(DIGITS[v] for v in row) for row in mask]


def number(value):
    return None if value is None or np.isnan(value) else float(f"{value:.12g}")


# --- boundaries: MedPy's surface (a mask minus its erosion by the cross) and distances


def surface(mask, ignored):
    """Towards ignored pixels a class has no border: they erode nothing."""
    cross = ndimage.generate_binary_structure(2, 1)
    return (mask & ~ignored) & ~ndimage.binary_erosion(mask | ignored, structure=cross)


def boundary_scores(truth, seen, ignored, spacing, tolerance):
    truth, seen = surface(truth, ignored), surface(seen, ignored)
    if not truth.any() or not seen.any():
        none = not truth.any() and not seen.any()
        return {"boundary_f1": None if none else 0.0, "hd95": None, "assd": None}
    t = ndimage.distance_transform_edt(~seen, sampling=spacing)[truth]
    s = ndimage.distance_transform_edt(~truth, sampling=spacing)[seen]
    recall, precision = (t <= tolerance).mean(), (s <= tolerance).mean()
    f1 = 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)
    return {
        "boundary_f1": number(f1),
        "hd95": number(np.percentile(np.hstack((t, s)), 95)),
        "assd": number((t.mean() + s.mean()) / 2),
    }


# --- objects: the GlaS challenge's evaluation, as its MATLAB program does it


def ids(objects):
    return [int(v) for v in np.unique(objects) if v != 0]


def partner(mask, others):
    """The object that overlaps most; of equal ones the lowest number; 0 without any."""
    inside = others[mask]
    inside = inside[inside != 0]
    return 0 if inside.size == 0 else int(np.argmax(np.bincount(inside)))


def hausdorff(a, b, spacing):
    p, q = np.argwhere(a) * spacing, np.argwhere(b) * spacing
    return max(directed_hausdorff(p, q)[0], directed_hausdorff(q, p)[0])


def glas_f1(truth, seen):
    if not ids(seen) and not ids(truth):
        return np.nan
    tp = 0
    for s in ids(seen):
        g = partner(seen == s, truth)
        if g and ((seen == s) & (truth == g)).sum() / (truth == g).sum() > 0.5:
            tp += 1
    fp, fn = len(ids(seen)) - tp, len(ids(truth)) - tp
    if tp == 0:
        return 0.0
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    return 2 * precision * recall / (precision + recall)


def without_ignored(truth, seen, ignored):
    """PanopticAPI: void is out of the union, and what then matches nothing is forgiven when more
    than half of it lies in void."""
    kept = seen.copy()
    for s in ids(seen):
        mask = seen == s
        void = (mask & ignored).sum()
        ious = []
        for g in ids(truth):
            inter = (mask & (truth == g)).sum()
            ious.append(inter / (mask.sum() + (truth == g).sum() - inter - void))
        if max(ious, default=0) <= 0.5 and void / mask.sum() > 0.5:
            kept[mask] = 0
    kept[ignored] = 0
    return kept


def weighted(own, other, spacing):
    """Area-weighted Dice and Hausdorff distance of each object of `own` and its partner."""
    dice = distance = 0.0
    total = (own > 0).sum()
    for k in ids(own):
        mask = own == k
        p = partner(mask, other)
        if p:
            dice += mask.sum() / total * 2 * (mask & (other == p)).sum() / (mask.sum() + (other == p).sum())
            d = hausdorff(mask, other == p, spacing)
        else:
            d = min(hausdorff(mask, other == j, spacing) for j in ids(other))
        distance += mask.sum() / total * d
    return dice, distance


def object_scores(truth, seen, spacing):
    t, s = ids(truth), ids(seen)
    if not t and not s:
        names = "object_dice object_f1 object_hausdorff aji pq sq rq".split()
        return {name: None for name in names}
    scores = {"object_f1": number(glas_f1(truth, seen))}
    if t and s:
        a, b = weighted(truth, seen, spacing), weighted(seen, truth, spacing)
        scores["object_dice"] = number((a[0] + b[0]) / 2)
        scores["object_hausdorff"] = number((a[1] + b[1]) / 2)
    else:
        scores["object_dice"], scores["object_hausdorff"] = 0.0, None

    # AJI, algorithm 1 of Kumar et al. 2017
    intersection = union = 0
    used = set()
    for g in t:
        best, joined = 0.0, None
        for k in s:
            i, u = ((truth == g) & (seen == k)).sum(), ((truth == g) | (seen == k)).sum()
            if i / u > best:
                best, joined = i / u, (k, i, u)
        if joined:
            used.add(joined[0])
            intersection += joined[1]
            union += joined[2]
        else:
            union += (truth == g).sum()
    union += sum((seen == k).sum() for k in s if k not in used)
    scores["aji"] = number(intersection / union)

    # panoptic quality of one class, Kirillov et al. 2019
    ious = []
    for g in t:
        for k in s:
            iou = ((truth == g) & (seen == k)).sum() / ((truth == g) | (seen == k)).sum()
            if iou > 0.5:
                ious.append(iou)
    fp, fn = len(s) - len(ious), len(t) - len(ious)
    scores["rq"] = number(len(ious) / (len(ious) + fp / 2 + fn / 2))
    scores["sq"] = number(np.mean(ious)) if ious else None
    scores["pq"] = number(sum(ious) / (len(ious) + fp / 2 + fn / 2))
    return scores


# --- made masks


def blobs(rng, height, width, count, low, high):
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), int)
    for k in range(count):
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        ry, rx, turn = rng.uniform(low, high), rng.uniform(low, high), rng.uniform(0, np.pi)
        u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        v = -(x - cx) * np.sin(turn) + (y - cy) * np.cos(turn)
        mask[(u / rx) ** 2 + (v / ry) ** 2 <= 1] = k + 1
    return mask


def shaken(rng, mask):
    """A prediction that moves, grows, loses and makes up objects."""
    seen = np.zeros_like(mask, dtype=bool)
    for k in ids(mask):
        if rng.random() < 0.2:
            continue
        one = np.roll(mask == k, rng.integers(-3, 4, 2), axis=(0, 1))
        one = ndimage.binary_dilation(one, iterations=2) if rng.random() < 0.3 else one
        seen |= one
    for _ in range(rng.integers(0, 4)):
        r, c = rng.integers(0, mask.shape[0] - 3), rng.integers(0, mask.shape[1] - 3)
        seen[r:r + rng.integers(1, 4), c:c + rng.integers(1, 4)] = True
    return seen


def case(name, truth, seen, classes=2, instances=None, mpp=0.5, tolerance=1.0, min_area=0):
    valid = truth != IGNORE
    entry = {
        "name": name, "mpp": mpp, "tolerance": tolerance, "min_area": min_area, "classes": classes,
        "truth": rows(truth), "prediction": rows(seen),
        "confusion": confusion_matrix(truth[valid], seen[valid], labels=range(classes)).tolist(),
    }
    entry["pixel_accuracy"] = number(accuracy_score(truth[valid], seen[valid]))
    if instances is not None:
        entry["instances"] = rows(instances)
    entry["scores"] = []
    for c in range(1, classes):
        t, s = truth == c, seen == c
        objects = instances if instances is not None and c == 1 else label(t, connectivity=2)
        components = label(s, connectivity=2)
        components = without_ignored(objects, components, ~valid)
        for k in ids(components):
            if (components == k).sum() * mpp * mpp < min_area:
                components[components == k] = 0
        scores = boundary_scores(t, s, ~valid, mpp, tolerance)
        scores |= object_scores(objects, components, mpp)
        both = (t & s & valid).sum()
        total = (t & valid).sum() + (s & valid).sum()
        scores["dice"] = number(2 * both / total) if total else None
        scores["iou"] = number(both / (total - both)) if total else None
        # zero_division is told apart by us: nothing predicted of a class that is there is 0
        seen_at, true_at = (s & valid).any(), (t & valid).any()
        p = precision_score(truth[valid], seen[valid], labels=[c], average=None, zero_division=0)[0]
        r = recall_score(truth[valid], seen[valid], labels=[c], average=None, zero_division=0)[0]
        scores["precision"] = number(p) if seen_at or true_at else None
        scores["recall"] = number(r) if true_at else None
        entry["scores"].append(scores)
    return entry


def main():
    cases = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        instances = blobs(rng, 48, 60, 7, 3, 9)
        cases.append(case(f"instances {seed}", (instances > 0).astype(int),
                          shaken(rng, instances).astype(int), instances=instances,
                          mpp=[0.5, 0.62005, 1.0][seed % 3], min_area=[0, 2.0][seed % 2]))
    for seed in range(3):
        rng = np.random.default_rng(100 + seed)
        truth, seen = np.zeros((40, 52), int), np.zeros((40, 52), int)
        for c in (1, 2, 3):
            objects = blobs(rng, 40, 52, 3, 2, 8)
            truth[objects > 0] = c
            seen[shaken(rng, objects)] = c
        cases.append(case(f"classes {seed}", truth, seen, classes=4, tolerance=[0.5, 1.0, 3.0][seed]))
    ring = np.zeros((40, 40), int)
    y, x = np.mgrid[:40, :40]
    distance = np.hypot(x - 20, y - 20)
    ring[(distance < 15) & (distance > 9)] = 1
    disc = (distance < 6).astype(int)
    cases.append(case("ring around disc", ring, disc))
    cases.append(case("disc in ring", disc, ring))
    cases.append(case("filled ring", ring, (distance < 15).astype(int)))
    nothing = np.zeros((12, 12), int)
    square = nothing.copy()
    square[3:9, 2:7] = 1
    cases.append(case("missed", square, nothing))
    cases.append(case("spurious", nothing, square))
    cases.append(case("neither", nothing, nothing))
    full = np.ones((12, 12), int)
    cases.append(case("everywhere", full, square))
    far = nothing.copy()
    far[0, 0] = 1
    cases.append(case("no overlap", square, far))
    rng = np.random.default_rng(7)
    truth = (blobs(rng, 30, 30, 5, 2, 7) > 0).astype(int)
    seen = shaken(rng, blobs(np.random.default_rng(7), 30, 30, 5, 2, 7)).astype(int)
    truth[5:12, 10:25] = IGNORE
    cases.append(case("ignored", truth, seen))
    for seed in range(4):  # annotated patches inside ignored pixels, two classes
        rng = np.random.default_rng(200 + seed)
        truth, seen = np.zeros((36, 44), int), np.zeros((36, 44), int)
        for c in (1, 2):
            objects = blobs(rng, 36, 44, 4, 3, 8)
            truth[objects > 0] = c
            seen[shaken(rng, objects)] = c
        outside = np.ones(truth.shape, bool)
        for _ in range(3):
            r, w = rng.integers(0, 24), rng.integers(0, 30)
            outside[r:r + 14, w:w + 16] = False
        truth[outside] = IGNORE
        cases.append(case(f"patches {seed}", truth, seen, classes=3))
    patch = np.full((16, 14), IGNORE)
    patch[5:11, 4:10] = 1
    whole = np.zeros((16, 14), int)
    whole[2:14, 2:12] = 1
    cases.append(case("patch of one class", patch, whole))
    cases.append(case("patch missed", patch, np.zeros((16, 14), int)))
    split = whole.copy()
    split[:, 7] = 0
    cases.append(case("patch split", patch, split))
    one, halves = np.zeros((4, 12), int), np.zeros((4, 12), int)
    one[1, 2:6], halves[1, 2:4] = 1, 1
    cases.append(case("half", one, halves))
    OUT.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"ignore": DIGITS[IGNORE], "cases": cases}, indent=0, separators=(",", ":"))
    (OUT / "scores.json").write_text(text + "\n")

    rng = np.random.default_rng(3)
    maps = []
    for shape, share in (((1, 9), 0.3), ((9, 1), 0.3), ((17, 23), 0.01), ((30, 41), 0.1), ((12, 50), 0.6)):
        points = (rng.random(shape) < share).astype(int)
        points[shape[0] // 2, shape[1] // 3] = 1
        squared = np.rint(ndimage.distance_transform_edt(points == 0) ** 2).astype(int)
        maps.append({"set": rows(points), "squared": squared.ravel().tolist()})
    # mask files as Pillow writes them
    files = {}
    values = np.array([[0, 1, 255], [256, 300, 65535]], np.uint16)
    indices = np.array([[0, 1, 2], [3, 7, 200]], np.uint8)
    palette = Image.fromarray(indices, mode="P")
    palette.putpalette(rng.integers(0, 256, 768).tolist())
    few = Image.fromarray(indices[:, :2] % 4, mode="P")
    few.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    for name, picture, expected in (("16 bits", Image.fromarray(values), values),
                                    ("palette", palette, indices), ("2 bits", few, indices[:, :2] % 4)):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", bits=2) if name == "2 bits" else picture.save(buffer, "PNG")
        files[name] = {"bytes": list(buffer.getvalue()), "shape": list(expected.shape),
                       "values": expected.ravel().tolist()}
    (OUT / "mask_files.json").write_text(json.dumps(files, separators=(",", ":")) + "\n")

    (OUT / "distances.json").write_text(json.dumps(maps, separators=(",", ":")) + "\n")


main()
