# SPDX-License-Identifier: Apache-2.0
"""Weights and networks against torch and torchvision, both directions.

.venv-parity/bin/python tests/parity/test_weights.py build/release
Prints the largest differences; asserts <= 1e-4 and that every file loads strictly.
"""

import pathlib
import subprocess
import sys
import tempfile

import torch
import torchvision
from safetensors.torch import load_file, save_file

TOLERANCE = 1e-4
TOOL = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/release") / "bin" / "parity_tool"


def tool(*arguments):
    done = subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, f"parity_tool {arguments}: {done.stderr}"
    return done.stdout


def make(arch):
    if arch.startswith("deeplab"):
        return torchvision.models.segmentation.deeplabv3_resnet50(
            weights=None, weights_backbone=None, num_classes=21, aux_loss=arch.endswith("_aux"))
    return getattr(torchvision.models, arch)(weights=None)


def randomise(model):
    """Batch norms with statistics and weights of their own, as after training."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.3, 0.7)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            module.num_batches_tracked.fill_(11)
    return model.eval()


def outputs(model, x):
    with torch.no_grad():
        y = model(x)
    return dict(y) if isinstance(y, dict) else {"out": y}


def compare(title, got, wanted):
    assert got.keys() == wanted.keys(), (got.keys(), wanted.keys())
    for name in wanted:
        error = (got[name] - wanted[name]).abs().max().item()
        scale = wanted[name].abs().max().item()
        print(f"  {title:52} {name}: max abs error {error:.2e} (values up to {scale:.2f})")
        assert error <= TOLERANCE, title
    return max((got[n] - wanted[n]).abs().max().item() for n in wanted)


def main():
    torch.manual_seed(1)
    worst = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        x = torch.randn(2, 3, 97, 113)
        save_file({"x": x}, folder / "x.safetensors")

        def forward(arch, weights):
            tool("forward", "--arch", arch, "--weights", weights, "--input", folder / "x.safetensors",
                 "--output", folder / "y.safetensors")
            return load_file(folder / "y.safetensors")

        for arch in ("resnet18", "resnet34", "resnet50", "deeplabv3_resnet50", "deeplabv3_resnet50_aux"):
            model = randomise(make(arch))
            wanted = outputs(model, x)
            state = model.state_dict()
            writers = {
                "zip": lambda p: torch.save(state, p),
                "legacy": lambda p: torch.save(state, p, _use_new_zipfile_serialization=False),
                "wrapped": lambda p: torch.save({"state_dict": state, "epoch": 3}, p),
                "safetensors": lambda p: save_file(state, p),
            }
            for kind, write in writers.items():
                if kind != "zip" and arch not in ("resnet50", "deeplabv3_resnet50_aux"):
                    continue
                write(folder / "weights")
                worst = max(worst, compare(f"Python -> C++ {arch} {kind}",
                                           forward(arch, folder / "weights"), wanted))

            for extension in ("pth", "safetensors"):
                path = folder / f"init.{extension}"
                tool("init", "--arch", arch, "--seed", 5, "--out", path)
                loaded = torch.load(path, weights_only=True) if extension == "pth" else load_file(path)
                other = make(arch)
                print("  strict:", other.load_state_dict(loaded, strict=True))
                if extension == "pth":
                    assert list(loaded) == list(state), "order of the entries"
                worst = max(worst, compare(f"C++ -> Python {arch} {extension}",
                                           forward(arch, path), outputs(other.eval(), x)))

        odd = {"half": torch.randn(5).half(), "bf16": torch.randn(2, 3).bfloat16(), "n": torch.tensor(3),
               "flags": torch.tensor([True, False]), "empty": torch.zeros(0, 4),
               "turned": torch.arange(6.0).view(2, 3).t(), "i8": torch.tensor([-1], dtype=torch.int8),
               "f64": torch.randn(3, dtype=torch.float64), "i16": torch.tensor([-300], dtype=torch.int16),
               "i32": torch.tensor([1 << 30], dtype=torch.int32), "u8": torch.tensor([255], dtype=torch.uint8)}
        torch.save(odd, folder / "odd.pth")
        for extension in ("pth", "safetensors"):
            tool("convert", "--in", folder / "odd.pth", "--out", folder / f"back.{extension}")
            back = (torch.load(folder / "back.pth", weights_only=True) if extension == "pth"
                    else load_file(folder / "back.safetensors"))
            assert back.keys() == odd.keys()
            for key, value in odd.items():
                assert back[key].dtype == value.dtype and torch.equal(back[key], value), key
        print("  every dtype returned from C++ bit for bit, .pth and .safetensors")
    print(f"worst error {worst:.2e}, tolerance {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
