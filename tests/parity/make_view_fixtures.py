# SPDX-License-Identifier: Apache-2.0
"""Makes tests/fixtures/views: what torchvision v2 (and scikit-image) give for fixed view records.

Run in the parity venv:  python tests/parity/make_view_fixtures.py tests/fixtures/views
Single colour operations run on uint8 tensors, as users run them; chains run on float tensors, since
uint8 tensors truncate after every operation and eosin does not. Stain cases use float64: HED jitter
the formulas of core/stain/hed.h with scikit-image's matrices, Macenko numpy's pinv, Reinhard's
transfer scikit-image's colour spaces.
"""
import itertools
import json
import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from skimage.color import hed_from_rgb, hed2rgb, hsv2rgb, lab2rgb, rgb2hed, rgb2hsv, rgb2lab, rgb_from_hed
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

OUT = pathlib.Path(sys.argv[1])
WIDTH, HEIGHT = 61, 47
OPS = ["brightness", "contrast", "saturation", "hue"]
ADJUST = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]


def source_image():
    """Smooth purple-pink blobs, a hard edge, pure colours, black and white."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    field = np.sin(x / 6) * np.cos(y / 5) + 0.3 * np.sin((x + y) / 2)
    image = np.stack([190 + 50 * field, 120 + 80 * field, 170 + 40 * field], -1)
    image += rng.normal(0, 6, image.shape)
    image[:, 40:44] = 20
    for i, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128)]):
        image[38:46, 3 + 8 * i:9 + 8 * i] = colour
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def stain_matrix(basis):
    if basis == 1:
        return rgb_from_hed.astype(np.float64)
    h, e = np.array([.650, .704, .286]), np.array([.072, .990, .105])
    r = np.cross(h, e)
    return np.stack([h, e, r / np.linalg.norm(r)])


def density(image):  # float HWC 0..1
    return -np.log((image * 255 + 1) / 256)


def level(od):  # the inverse, 0..1
    return (256 * np.exp(-od) - 1) / 255


def jitter_stains(image, p):
    matrix = stain_matrix(p["hed"])
    stains = density(image) @ np.linalg.inv(matrix) * p["hed_alpha"] + p["hed_beta"]
    return level(stains @ matrix)


def perturb_macenko(image, m):
    stains = np.array(m["stains"])
    od = density(image)
    concentration = od @ np.linalg.pinv(stains)
    rest = od - concentration @ stains
    first = stains[0] / np.linalg.norm(stains[0])
    second = stains[1] - stains[1] @ first * first
    second /= np.linalg.norm(second)
    turned = []
    for stain, angle in zip(stains, m["angle"]):
        x, y = stain @ first, stain @ second
        turned.append((np.cos(angle) * x - np.sin(angle) * y) * first + (np.sin(angle) * x + np.cos(angle) * y) * second)
    return level((concentration * m["alpha"] + m["beta"]) @ np.array(turned) + rest)


SPACES = {
    "lab": (rgb2lab, lab2rgb),
    "hsv": (rgb2hsv, lambda c: hsv2rgb(np.stack([c[..., 0] % 1, np.clip(c[..., 1], 0, 1), np.clip(c[..., 2], 0, 1)], -1))),
    "hed": (lambda c: density(c) @ np.linalg.inv(rgb_from_hed), lambda c: level(c @ rgb_from_hed)),
}


def measure(image, space):  # means, deviations
    pixels = SPACES[space][0](image).reshape(-1, 3)
    return np.concatenate([pixels.mean(0), pixels.std(0)]).tolist()


def transfer(image, m):
    there, back = SPACES[m["space"]]
    old, new = np.array(m["from"]), np.array(m["to"])
    return back((there(image) - old[:3]) / old[3:] * new[3:] + new[:3])


def map_stain(image, p):  # float CHW 0..1
    pixels = image.double().numpy().transpose(1, 2, 0)
    if p["hed"]:
        pixels = jitter_stains(pixels, p)
    elif "stains" in p["stain"]:
        pixels = perturb_macenko(pixels, p["stain"])
    else:
        pixels = transfer(pixels, p["stain"])
    return torch.from_numpy(np.clip(pixels, 0, 1).transpose(2, 0, 1)).float()


def apply(image, p, floating):
    """The record on an uint8 CHW tensor, by torchvision."""
    if floating:
        image = image.float() / 255
    x, y, w, h = p["crop"]
    turned = p["rot90"] % 2
    size = (p["out"][0], p["out"][1]) if turned else (p["out"][1], p["out"][0])  # (height, width) before rot90
    filter = InterpolationMode.BICUBIC if p["bicubic"] else InterpolationMode.BILINEAR
    image = F.resized_crop(image, y, x, h, w, list(size), filter, antialias=True)
    if p["bicubic"] and floating:
        image = image.clamp(0, 1)  # as every 8-bit path does
    if p["hflip"]:
        image = F.horizontal_flip(image)
    if p["vflip"]:
        image = F.vertical_flip(image)
    image = torch.rot90(image, p["rot90"], (1, 2))
    if p["hed"] or p["stain"]:
        image = map_stain(image, p)
    for op in p["jitter_order"] if p["jitter"] else []:
        image = ADJUST[op](image, p[OPS[op]])
    if p["gray"]:
        image = F.rgb_to_grayscale(image, 3)
    if p["blur_sigma"] > 0:
        kernel = 2 * (min(p["out"]) // 10 // 2) + 1
        image = F.gaussian_blur(image, [kernel, kernel], [p["blur_sigma"]] * 2)
    if p["solarize"] <= 1:
        image = F.solarize(image, p["solarize"] if floating else round(p["solarize"] * 256))
    if floating:
        image = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    return image


def record(name, **changes):
    p = dict(name=name, crop=[0, 0, WIDTH, HEIGHT], out=[WIDTH, HEIGHT], hflip=0, vflip=0, rot90=0, jitter=0,
             jitter_order=[0, 1, 2, 3], brightness=1.0, contrast=1.0, saturation=1.0, hue=0.0, gray=0, blur_sigma=0.0,
             solarize=2.0, bicubic=0, stain=None, hed=0, hed_alpha=[1.0, 1.0, 1.0], hed_beta=[0.0, 0.0, 0.0])
    p.update(changes)
    return p


def only(op, value):
    """Colour jitter whose other factors do nothing."""
    return {"jitter": 1, OPS[op]: value}


SINGLE = [
    record("identity"), record("enlarge", crop=[13, 9, 20, 17], out=[48, 40]),
    record("shrink", crop=[2, 1, 58, 45], out=[23, 19]), record("mixed", crop=[20, 3, 40, 18], out=[30, 30]),
    record("hflip", hflip=1), record("vflip_rot1", vflip=1, rot90=1, out=[HEIGHT, WIDTH]), record("rot2", rot90=2),
    record("hflip_rot3", hflip=1, rot90=3, out=[33, 44], crop=[5, 6, 40, 30]),
    record("brightness_up", **only(0, 1.7)), record("brightness_down", **only(0, 0.3)),
    record("contrast_up", **only(1, 1.8)), record("contrast_down", **only(1, 0.2)),
    record("saturation_up", **only(2, 1.8)), record("saturation_zero", **only(2, 0.0)),
    record("hue_plus", **only(3, 0.2)), record("hue_minus", **only(3, -0.35)), record("gray", gray=1),
    record("blur_small", blur_sigma=0.3), record("blur_large", blur_sigma=1.6), record("solarize", solarize=0.5),
    record("solarize_low", solarize=0.25),
    record("bicubic_enlarge", crop=[13, 9, 20, 17], out=[48, 40], bicubic=1),
    record("bicubic_shrink", crop=[2, 1, 58, 45], out=[23, 19], bicubic=1),
    record("bicubic_mixed", crop=[20, 3, 40, 18], out=[30, 30], bicubic=1),
]
CHAIN = [
    record("chain_simclr", crop=[7, 4, 45, 38], out=[40, 40], hflip=1, jitter=1, jitter_order=[3, 1, 0, 2], brightness=1.35,
           contrast=0.55, saturation=1.6, hue=-0.13, blur_sigma=1.1),
    record("chain_byol", crop=[0, 10, 52, 31], out=[40, 40], jitter=1, jitter_order=[2, 0, 3, 1], brightness=0.7, contrast=1.35,
           saturation=0.85, hue=0.08, gray=1, blur_sigma=0.6, solarize=0.5),
    record("hed_dab", out=[31, 24], hed=1, hed_alpha=[1.2, 0.85, 1.1], hed_beta=[0.1, -0.15, 0.05]),
    record("hed_residual", hed=2, hed_alpha=[0.8, 1.2, 1.0], hed_beta=[-0.1, 0.2, 0.0]),
    record("chain_histology", crop=[9, 9, 30, 30], out=[40, 40], rot90=3, vflip=1, hed=2, hed_alpha=[1.05, 0.95, 1.0],
           hed_beta=[0.03, -0.04, 0.0], jitter=1, jitter_order=[1, 3, 2, 0], brightness=1.2, contrast=1.3, saturation=0.7,
           hue=0.05, blur_sigma=0.9),
]


SMALL = dict(crop=[3, 2, 50, 40], out=[31, 24])
STAIN = [
    record("lab_shift", **SMALL, stain=dict(space="lab", to=[60, 25, -18, 18, 9, 7])),
    record("lab_light", **SMALL, stain=dict(space="lab", to=[82, 6, -3, 9, 14, 11])),
    record("hsv_shift", **SMALL, stain=dict(space="hsv", to=[0.45, 0.5, 0.7, 0.25, 0.2, 0.15])),
    record("hsv_turn", **SMALL, stain=dict(space="hsv", to=[0.95, 0.3, 0.8, 0.1, 0.3, 0.3])),
    record("hed_transfer", **SMALL, stain=dict(space="hed", to=[0.5, 0.3, 0.2, 0.25, 0.3, 0.2])),
    record("macenko", **SMALL, stain=dict(stains=[[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]], alpha=[0.7, 1.4],
                                          beta=[0.1, -0.15], angle=[0.08, -0.05])),
    record("chain_lab", crop=[9, 9, 30, 30], out=[24, 24], rot90=1, bicubic=1, stain=dict(space="lab", to=[65, 20, -14, 16, 10, 8]),
           jitter=1, jitter_order=[2, 3, 1, 0], brightness=0.8, contrast=1.2, saturation=1.3, hue=-0.04, blur_sigma=0.7),
]


def order_cases(tensor):
    """The 24 orders of the jitter, one view below the other."""
    views, cases = [], []
    for order in itertools.permutations(range(4)):
        p = record("order_" + "".join("bcsh"[i] for i in order), crop=[4, 1, 55, 45], out=[16, 12], jitter=1, jitter_order=list(order),
                   brightness=1.4, contrast=1.6, saturation=1.7, hue=0.15)
        views.append(apply(tensor, p, floating=True))
        cases.append(p)
    Image.fromarray(torch.cat(views, 1).numpy().transpose(1, 2, 0)).save(OUT / "orders.png", optimize=True)
    return cases


def hash_noise(size):
    """size x size x 3 bytes by a formula; tests/engine/views.h is its twin."""
    y, x, c = np.meshgrid(*(np.arange(n, dtype=np.uint32) for n in (size, size, 3)), indexing="ij")
    with np.errstate(over="ignore"):
        h = x * np.uint32(73856093) ^ y * np.uint32(19349663) ^ c * np.uint32(83492791)
        h ^= h >> np.uint32(13)
        h *= np.uint32(0x5BD1E995)
        h ^= h >> np.uint32(15)
    return (h & np.uint32(255)).astype(np.uint8)


def blur_cases():
    """Noise blurred; of each view some rows, the borders among them, one sigma below the other."""
    cases = []
    for size in (32, 96, 224):
        image = torch.from_numpy(hash_noise(size).transpose(2, 0, 1).copy())
        rows, sigmas = [0, 1, 2, size // 2, size - 2, size - 1], [0.1, 0.5, 1.1, 2.0]
        kernel = 2 * (size // 10 // 2) + 1
        strips = [F.gaussian_blur(image, [kernel, kernel], [s, s])[:, rows] for s in sigmas]
        Image.fromarray(torch.cat(strips, 1).numpy().transpose(1, 2, 0)).save(OUT / f"blur_{size}.png", optimize=True)
        cases.append({"size": size, "rows": rows, "sigmas": sigmas})
    return cases


def skimage_cases():
    """HED jitter in scikit-image's own unit, of pixels whose stains it does not clamp."""
    alpha, beta = np.array([1.04, 0.96, 1.0]), np.array([0.02, -0.015, 0.0])
    pixels = []
    for rgb in ([120, 60, 130], [200, 120, 160], [90, 40, 110], [180, 90, 150], [150, 70, 120], [210, 150, 190]):
        stains = rgb2hed(np.array(rgb, np.float64).reshape(1, 1, 3) / 255)
        moved = stains * alpha + beta
        if (stains > 0).all() and (moved > 0).all():
            pixels.append({"rgb": rgb, "out": (hed2rgb(moved) * 255).ravel().tolist()})
    assert len(pixels) >= 3
    return {"alpha": alpha.tolist(), "beta": beta.tolist(), "pixels": pixels}


def mask_cases(image):
    mask = torch.from_numpy((np.arange(WIDTH * HEIGHT).reshape(1, HEIGHT, WIDTH) * 7919 % 251).astype(np.uint8))
    Image.fromarray(mask[0].numpy()).save(OUT / "mask.png", optimize=True)
    cases = []
    for p in (SINGLE[1], SINGLE[2], SINGLE[7]):
        x, y, w, h = p["crop"]
        turned = p["rot90"] % 2
        size = (p["out"][0], p["out"][1]) if turned else (p["out"][1], p["out"][0])
        out = F.resized_crop(mask, y, x, h, w, list(size), InterpolationMode.NEAREST_EXACT)
        out = F.horizontal_flip(out) if p["hflip"] else out
        out = torch.rot90(F.vertical_flip(out) if p["vflip"] else out, p["rot90"], (1, 2))
        Image.fromarray(out[0].numpy()).save(OUT / f"mask_{p['name']}.png", optimize=True)
        cases.append(p["name"])
    return cases


def stain_pixels():
    """scikit-image's own numbers: H&E-like pixels, their stains (where none is clamped), and back."""
    rows = []
    for rgb in ([120, 60, 130], [200, 120, 160], [90, 40, 110], [180, 90, 150], [60, 30, 60]):
        pixel = np.array(rgb, np.float64).reshape(1, 1, 3) / 255
        stains = rgb2hed(pixel)
        if (stains > 0).all():
            rows.append({"rgb": rgb, "hed": stains.ravel().tolist(), "back": (hed2rgb(stains) * 255).ravel().tolist()})
    assert len(rows) >= 2
    return {"inverse": hed_from_rgb.tolist(), "pixels": rows}


def resize_cases(image):
    """PIL's resizes, which filter when they shrink."""
    cases = []
    for width, height in ((20, 13), (61, 20), (90, 70), (7, 5)):
        name = f"pil_{width}x{height}.png"
        Image.fromarray(image).resize((width, height), Image.BILINEAR).save(OUT / name, optimize=True)
        cases.append({"file": name, "width": width, "height": height, "box": [0, 0, WIDTH, HEIGHT]})
    return cases


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    image = source_image()
    Image.fromarray(image).save(OUT / "source.png", optimize=True)
    tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())
    for p in STAIN:
        if "space" in p["stain"]:
            p["stain"]["from"] = measure(image / 255, p["stain"]["space"])
    for p in SINGLE + CHAIN + STAIN:
        out = apply(tensor, p, floating=p not in SINGLE)
        Image.fromarray(out.numpy().transpose(1, 2, 0)).save(OUT / f"{p['name']}.png", optimize=True)
    manifest = {"views": SINGLE + CHAIN + STAIN, "masks": mask_cases(image), "stains": stain_pixels(),
                "resize": resize_cases(image), "orders": order_cases(tensor), "blurs": blur_cases(),
                "skimage": skimage_cases()}
    text = ",\n".join(json.dumps(p) for p in manifest["views"])
    rest = {k: v for k, v in manifest.items() if k != "views"}
    (OUT / "views.json").write_text('{"views": [\n' + text + "\n],\n" + json.dumps(rest)[1:] + "\n")
    print(sum(f.stat().st_size for f in OUT.iterdir()), "bytes")


main()
