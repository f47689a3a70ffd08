#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two views at 224 px from JPEG bytes: eosin against what Python users run, images per CPU-second.

    .venv-parity/bin/python tools/bench/views.py FOLDER [--bench build/release/bin/bench_views] [--rounds 9]

Peers: torchvision v2 on decoded tensors, torchvision v1 on PIL (lightly's way), and v1 on PIL after
scikit-image HED jitter. All on one thread, same files, same recipe, rounds interleaved. Prints each
round's ratios, then their medians.
"""
import argparse
import glob
import io
import re
import statistics
import subprocess
import time

import numpy as np
import torch
import torchvision
from PIL import Image
from skimage.color import hed2rgb, rgb2hed
from torchvision.transforms import v2


def recipe(t, size=224):
    return t.Compose([t.RandomResizedCrop(size, scale=(0.2, 1.0), antialias=True), t.RandomHorizontalFlip(),
                      t.RandomVerticalFlip(), t.RandomApply([t.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
                      t.RandomGrayscale(0.2), t.RandomApply([t.GaussianBlur(23, (0.1, 2.0))], p=0.5)])


V2, V1, TO_TENSOR = recipe(v2), recipe(torchvision.transforms), torchvision.transforms.ToTensor()


def jitter_stains(pixels):
    hed = rgb2hed(pixels)
    hed = hed * np.random.uniform(0.95, 1.05, 3) + np.random.uniform(-0.05, 0.05, 3)
    return (np.clip(hed2rgb(hed), 0, 1) * 255).astype(np.uint8)


def on_tensor(data):
    image = torchvision.io.decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8),
                                       mode=torchvision.io.ImageReadMode.RGB)
    return [V2(image).float().div_(255) for _ in range(2)]


def on_pil(data):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return [TO_TENSOR(V1(image)) for _ in range(2)]


def on_pil_hed(data):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return [TO_TENSOR(V1(Image.fromarray(jitter_stains(np.asarray(image))))) for _ in range(2)]


PEERS = [("torchvision v2 on tensors", on_tensor, "plain", 100),
         ("torchvision v1 on PIL", on_pil, "plain", 100),
         ("v1 on PIL + scikit-image HED", on_pil_hed, "hed", 30)]


def rate(function, files):
    start = time.process_time()
    for data in files:
        function(data)
    return len(files) / (time.process_time() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--bench", default="build/release/bin/bench_views")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted(glob.glob(args.folder + "/**/*.jp*g", recursive=True))[:300]
    files = [open(path, "rb").read() for path in paths]
    for _, function, _, _ in PEERS:
        rate(function, files[:5])
    ratios = {name: [] for name, _, _, _ in PEERS}
    for number in range(1, args.rounds + 1):
        output = subprocess.run([args.bench, args.folder, "1", "300"], check=True, capture_output=True, text=True).stdout
        ours = {kind: float(value) for kind, value in re.findall(r"^(plain|hed) ([\d.]+)", output, re.M)}
        line = f"round {number}: eosin {ours['plain']:.0f} (HED {ours['hed']:.0f})"
        for name, function, kind, count in PEERS:
            theirs = rate(function, files[:count])
            ratios[name].append(ours[kind] / theirs)
            line += f" | {name} {theirs:.1f}: {ratios[name][-1]:.1f}x"
        print(line, flush=True)
    for name, values in ratios.items():
        print(f"median of {args.rounds} rounds: {statistics.median(values):.1f}x {name} (from {min(values):.1f} to {max(values):.1f})")


main()
