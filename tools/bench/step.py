# SPDX-License-Identifier: Apache-2.0
"""The reference of bench_step: one SimCLR training step in Python torch. Same networks, loss,
optimiser, batch and memory format as tools/bench/step.cc. Prints one line a case: name and the
median seconds of a step."""
import argparse
import statistics
import time

import torch
import torchvision
from torch import nn

CASES = {
    "resnet18-cifar-32": dict(arch="resnet18", cifar=True, size=32, batch=64),
    "resnet50-224": dict(arch="resnet50", cifar=False, size=224, batch=8),
}


def build(arch, cifar):
    trunk = getattr(torchvision.models, arch)()
    features = trunk.fc.in_features
    trunk.fc = nn.Identity()
    if cifar:
        trunk.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        trunk.maxpool = nn.Identity()
    head = nn.Sequential(nn.Linear(features, features), nn.ReLU(inplace=True), nn.Linear(features, 128))
    return nn.Sequential(trunk, head).to(memory_format=torch.channels_last).train()


def contrast(z, temperature):
    z = nn.functional.normalize(z.float(), dim=1)
    count = z.shape[0]
    logits = (z @ z.T / temperature).fill_diagonal_(float("-inf"))
    other_view = torch.arange(count).roll(count // 2)
    return nn.functional.cross_entropy(logits, other_view)


def measure(case, bf16, repeats):
    torch.manual_seed(0)
    model = build(case["arch"], case["cifar"])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4)
    views = torch.randn(2 * case["batch"], 3, case["size"], case["size"])
    views = views.to(memory_format=torch.channels_last)
    seconds = []
    for repeat in range(repeats + 1):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            embedding = model(views)
        contrast(embedding, 0.5).backward()
        optimizer.step()
        if repeat > 0:  # the first one warms up
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", choices=sorted(CASES), required=True)
    parser.add_argument("--precision", choices=("fp32", "bf16"), required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{measure(CASES[options.case], options.precision == 'bf16', options.repeats):.6f}")


main()
