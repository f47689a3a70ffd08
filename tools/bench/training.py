#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whole SimCLR training on a folder of images: eosin pretrain against lightly as its documentation shows it.

    .venv-parity/bin/python tools/bench/training.py FOLDER [--case ARCH:SIZE:BATCH ...] [--rounds 9]

Same images, network, head, batch, optimiser and steps; both run as their users start them (lightly: fp32, its
transform, two loader processes; eosin: its defaults, which are bf16 where the CPU has it). --precision fp32 holds
eosin to lightly's arithmetic. Images per second of the second half of the steps, processes in turns; prints each
round, then the median ratio with the smallest and the largest.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time


def lightly_rate(folder, arch, size, batch, steps, workers):
    import torch
    import torchvision
    from lightly.data import LightlyDataset
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform

    class SimCLR(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = getattr(torchvision.models, arch)()
            width = self.backbone.fc.in_features
            self.backbone.fc = torch.nn.Identity()
            self.head = SimCLRProjectionHead(width, width, 128)

        def forward(self, images):
            return self.head(self.backbone(images).flatten(start_dim=1))

    data = LightlyDataset(folder, transform=SimCLRTransform(input_size=size))
    loader = torch.utils.data.DataLoader(data, batch_size=batch, shuffle=True, drop_last=True, num_workers=workers)
    model, criterion = SimCLR(), NTXentLoss(temperature=0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.06, momentum=0.9, weight_decay=5e-4)
    done, start = 0, 0.0
    while done < steps:
        for images, *_ in loader:
            loss = criterion(model(images[0]), model(images[1]))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            done += 1
            if done == steps // 2:
                start = time.perf_counter()
            if done == steps:
                break
    return batch * (steps - steps // 2) / (time.perf_counter() - start)


def eosin_rate(program, folder, arch, size, batch, steps, precision):
    width = 2048 if arch == "resnet50" else 512
    keys = ["model.stem=imagenet", "optimizer.name=sgd", "optimizer.lr=0.06", "optimizer.weight_decay=0.0005",
            "optimizer.exclude_bias_and_norm=false", "schedule.scale=none", "schedule.shape=constant",
            "schedule.warmup_epochs=0", "simclr.temperature=0.5", f"simclr.hidden={width}",
            f"train.max_steps={steps}", f"train.log_every={steps // 2}", f"compute.precision={precision}"]
    with tempfile.TemporaryDirectory() as out:
        command = [program, "pretrain", "--preset", "simclr-lightly", "--data", folder, "--out", out + "/run",
                   "--arch", arch, "--size", str(size), "--batch", str(batch), "--epochs", "1000000"]
        for key in keys:
            command += ["--set", key]
        subprocess.run(command, check=True, capture_output=True)
        with open(out + "/run/metrics.jsonl") as rows:
            rates = [row["images_per_second"] for row in map(json.loads, rows) if "images_per_second" in row]
    return rates[-1]  # the second half: one row a half


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--case", action="append",
                        help="default resnet18:32:128 (its README), resnet18:64:32, resnet18:224:16")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--precision", default="auto", choices=("auto", "bf16", "fp32"))
    parser.add_argument("--eosin", default="build/release/bin/eosin")
    parser.add_argument("--only-lightly", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    for case in args.case or ["resnet18:32:128", "resnet18:64:32", "resnet18:224:16"]:
        arch, size, batch = case.split(":")
        shape = (args.folder, arch, int(size), int(batch), args.steps)
        if args.only_lightly:
            print(lightly_rate(*shape, args.workers))
            return
        ratios = []
        for number in range(args.rounds):
            theirs_command = [sys.executable, os.path.abspath(__file__), args.folder, "--case", case, "--steps",
                              str(args.steps), "--workers", str(args.workers), "--only-lightly"]
            measured = {}
            for who in ("eosin", "lightly") if number % 2 == 0 else ("lightly", "eosin"):  # who goes first alternates
                measured[who] = eosin_rate(args.eosin, *shape, args.precision) if who == "eosin" else float(
                    subprocess.run(theirs_command, check=True, capture_output=True, text=True).stdout.split()[-1])
            ratios.append(measured["eosin"] / measured["lightly"])
            print(f"  {case} round {number + 1}: eosin {measured['eosin']:.1f}, lightly {measured['lightly']:.1f} images/s",
                  file=sys.stderr, flush=True)
        print(f"{case} {args.precision}: images/s of eosin over lightly {statistics.median(ratios):.2f} "
              f"({min(ratios):.2f} to {max(ratios):.2f}, {args.rounds} rounds)", flush=True)


if __name__ == "__main__":
    main()
