# SPDX-License-Identifier: Apache-2.0
"""The reference of bench_segment_step: one training step of torchvision's deeplabv3_resnet50 in Python torch. Same
network, crop, batch, loss, optimiser and memory format. Prints the median seconds of a step."""
import argparse
import statistics
import time

import torch
import torchvision
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", choices=("os8", "os16"), required=True)
    parser.add_argument("--precision", choices=("fp32", "bf16"), required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    trunk = torchvision.models.resnet50(replace_stride_with_dilation=[False, options.case == "os8", True])
    net = DeepLabV3(IntermediateLayerGetter(trunk, {"layer4": "out"}), DeepLabHead(2048, 2))
    net = net.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    x = torch.randn(4, 3, 128, 128).to(memory_format=torch.channels_last)
    y = torch.randint(0, 2, (4, 128, 128))
    seconds = []
    for repeat in range(options.repeats + 1):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            out = net(x)["out"]
        torch.nn.functional.cross_entropy(out.float(), y, ignore_index=255).backward()
        optimizer.step()
        if repeat > 0:  # the first one warms up
            seconds.append(time.perf_counter() - start)
    print(f"{statistics.median(seconds):.6f}")


main()
