# SPDX-License-Identifier: Apache-2.0
"""A whole training step of SimCLR and BYOL against plain torch from the same weights and views.

.venv-parity/bin/python tests/parity/test_step.py build/release
torchvision's ResNet-18 (CIFAR stem), heads, losses, torch.optim.SGD or a LARS written down from its
source, the moving average: one step, then every parameter and statistic is compared. One, because
units near a ReLU's kink fall on either side of it by rounding: torch in float32 is 3e-4 away from
float64 after one step, 3e-2 after two.
"""
import copy
import math
import pathlib
import subprocess
import sys
import tempfile

import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file

import make_training_fixtures as recipes

STEPS = 1
TOLERANCE = 1e-2  # of the distance moved
TOOL = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/release") / "bin" / "step_tool"


def encoder():
    net = torchvision.models.resnet18(weights=None)
    net.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    net.maxpool = torch.nn.Identity()
    net.fc = torch.nn.Identity()
    return net


def head(state):
    """The MLP that these parameters make: Linear, BatchNorm1d where there are statistics, ReLU."""
    layers, last = [], max(int(name.split(".")[0]) for name in state)
    for i in range(last + 1):
        weight = state.get(f"{i}.weight")
        if weight is None:
            layers.append(torch.nn.ReLU())
        elif weight.dim() == 1:
            layers.append(torch.nn.BatchNorm1d(weight.numel()))
        else:
            layers.append(torch.nn.Linear(weight.shape[1], weight.shape[0], bias=f"{i}.bias" in state))
    return torch.nn.Sequential(*layers)


def part(record, prefix):
    return {name[len(prefix):]: value for name, value in record.items() if name.startswith(prefix)}


def load(module, state):
    problems = module.load_state_dict(state, strict=False)
    assert not problems.unexpected_keys, problems
    assert all(name.endswith("num_batches_tracked") for name in problems.missing_keys), problems
    return module.train()


def nt_xent(z, temperature):
    z = F.normalize(z, dim=1)
    logits = (z @ z.T / temperature).fill_diagonal_(float("-inf"))
    n = len(z) // 2
    return F.cross_entropy(logits, torch.cat([torch.arange(n, 2 * n), torch.arange(n)]))


def forward(modules, views, concat):
    inputs = [views] if concat else views.chunk(2)
    def run(x):
        for module in modules:
            x = module(x)
        return x
    return torch.cat([run(x) for x in inputs])


class Lars:
    def __init__(self, rule, named, **options):
        self.rule, self.named, self.options = rule, named, dict(options, nesterov=False, momentum=0.9, exclude=True)
        self.buffers = {name: torch.zeros_like(p) for name, p in named}

    @torch.no_grad()
    def step(self, rate):
        for name, p in self.named:
            recipes.SHAPES[name] = tuple(p.shape)  # by which the rules know biases and norms
            w, self.buffers[name] = self.rule(p, p.grad, self.buffers[name], rate, name, self.options)
            p.copy_(w)


CASES = {
    # preset: (rate, concatenated, optimiser, loss settings)
    "simclr-lightly-cifar": dict(rate=0.05, concat=False, decay=5e-4, temperature=0.5, scale=1),
    "simclr-google-cifar": dict(rate=2.0, concat=True, lars=recipes.google, decay=1e-4, eta=1e-3,
                                temperature=0.5, scale=2, fixed=["7.bias"]),
    "simclr-solo-cifar": dict(rate=0.4, concat=False, lars=recipes.solo, decay=1e-4, eta=0.02,
                              temperature=0.2, scale=1),
    "byol-lightly-cifar": dict(rate=0.05, concat=False, decay=5e-4, scale=0.25, momentum=lambda t: 0.99),
    "byol-1000": dict(rate=3.2, concat=False, lars=recipes.byol, decay=1.5e-6, eta=1e-3, scale=1,
                      momentum=lambda t: 1 - (1 - 0.996) * (math.cos(math.pi * t) + 1) / 2),
}


def check(preset, case, folder):
    path = pathlib.Path(folder) / f"{preset}.safetensors"
    done = subprocess.run([TOOL, preset, str(case["rate"]), str(STEPS), path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = load_file(path)
    names = ["encoder", "projector"] + (["predictor"] if "momentum" in case else [])
    nets = {}
    for name in names:
        state = part(record, f"before.{name}.")
        nets[name] = load(encoder() if name == "encoder" else head(state), state)
    targets = [copy.deepcopy(nets[name]) for name in names[:2]]
    named = [(f"{name}.{key}", p) for name in names for key, p in nets[name].named_parameters()
             if not (name == "projector" and key in case.get("fixed", []))]
    if "lars" in case:
        optimizer = Lars(case["lars"], named, decay=case["decay"], eta=case["eta"])
    else:
        optimizer = torch.optim.SGD([p for _, p in named], lr=case["rate"], momentum=0.9, weight_decay=case["decay"])
    for step in range(STEPS):
        views = record[f"views.{step}"]
        z = forward([nets[name] for name in names], views, case["concat"])
        if "momentum" in case:
            with torch.no_grad():
                t = forward(targets, views, case["concat"])
            p0, p1 = z.chunk(2)
            t0, t1 = t.chunk(2)
            loss = case["scale"] * ((2 - 2 * F.cosine_similarity(p0, t1)).mean() + (2 - 2 * F.cosine_similarity(p1, t0)).mean())
        else:
            loss = case["scale"] * nt_xent(z, case["temperature"])
        difference = abs(loss.item() - record[f"loss.{step}"].item())
        assert difference <= 2e-5 * max(1, abs(loss.item())), (preset, step, loss.item(), record[f"loss.{step}"].item())
        for _, p in named:
            p.grad = None
        loss.backward()
        optimizer.step(case["rate"]) if "lars" in case else optimizer.step()
        if "momentum" in case:
            # The point of the schedule that step_tool.cc takes.
            m = case["momentum"]((step + 1) / (STEPS + 2))
            with torch.no_grad():
                for net, target in zip([nets["encoder"], nets["projector"]], targets):
                    for a, b in zip(net.parameters(), target.parameters()):
                        b.mul_(m).add_(a, alpha=1 - m)
    parts = dict(nets)
    if "momentum" in case:
        parts.update(target_encoder=targets[0], target_projector=targets[1])
    worst, moved = 0.0, 0.0
    for name, net in parts.items():
        state = net.state_dict()
        for key, got in part(record, f"after.{name}.").items():
            before = record[f"before.{name}.{key}"]
            # An error counts against how far the steps moved the tensor.
            error = (got - state[key]).norm().item() / max((state[key] - before).norm().item(), 1e-4 * before.norm().item(), 1e-3)
            moved = max(moved, (state[key] - before).norm().item())
            worst = max(worst, error)
            assert error <= TOLERANCE, f"{preset} {name}.{key}: {error:.2e}"
    assert moved > 0.01, preset
    print(f"  {preset:24} loss {loss.item():.5f}: worst error {worst:.1e} of the distance moved")


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for preset, case in CASES.items():
            check(preset, case, folder)


if __name__ == "__main__":
    main()
