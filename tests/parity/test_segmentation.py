# SPDX-License-Identifier: Apache-2.0
"""DeepLabV3+ against segmentation_models.pytorch, both directions, and the exports of `eosin segment` in
torchvision and segmentation_models.pytorch by the committed example.

.venv-parity/bin/python tests/parity/test_segmentation.py build/release
Prints the largest differences; asserts <= 1e-4 (of the largest value, where that is above 1) and that every file
loads strictly.
"""

import importlib.util
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

TOLERANCE = 1e-4
ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/release") / "bin"


def run(program, *arguments):
    done = subprocess.run([BIN / program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, f"{program} {arguments}: {done.stderr}"
    return done.stdout


def randomise(model):
    """Batch norms with statistics and weights of their own, as after training."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.3, 0.7)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def compare(title, got, wanted):
    error, scale = (got - wanted).abs().max().item(), wanted.abs().max().item()
    print(f"  {title:58} max abs error {error:.2e} (values up to {scale:.2f})")
    # A fresh net's activations grow from block to block: beyond 1 the tolerance is relative.
    error /= max(1.0, scale)
    assert got.shape == wanted.shape and error <= TOLERANCE, title
    return error


def networks(folder):
    worst = 0
    x = torch.randn(2, 3, 96, 112)
    save_file({"x": x}, folder / "x.safetensors")
    for encoder in ("resnet18", "resnet34", "resnet50"):
        for stride in (8, 16):
            for separable in (True, False):
                arch = f"deeplabv3plus_{encoder}_os{stride}" + ("" if separable else "_plain")

                def make():
                    return smp.DeepLabV3Plus(encoder, encoder_weights=None, encoder_output_stride=stride,
                                             decoder_aspp_separable=separable, classes=21)

                def forward(weights):
                    run("parity_tool", "forward", "--arch", arch, "--weights", weights, "--input",
                        folder / "x.safetensors", "--output", folder / "y.safetensors")
                    return load_file(folder / "y.safetensors")["out"]

                net = randomise(make())
                torch.save(net.state_dict(), folder / "w.pth")
                with torch.no_grad():
                    worst = max(worst, compare(f"Python -> C++ {arch}", forward(folder / "w.pth"), net(x)))
                run("parity_tool", "init", "--arch", arch, "--seed", 5, "--out", folder / "init.pth")
                other = make()
                state = torch.load(folder / "init.pth", weights_only=True)
                other.load_state_dict(state, strict=True)
                assert list(state) == list(net.state_dict()), "order of the entries"
                with torch.no_grad():
                    worst = max(worst, compare(f"C++ -> Python {arch}", forward(folder / "init.pth"),
                                               other.eval()(x)))
    return worst


def made_data(folder):
    """Six patients, two images each: a dark disc on pink."""
    random = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rows = ["name,patient_id"]
    y, x = np.mgrid[:80, :80]
    for number in range(12):
        inside = (x - random.integers(25, 55)) ** 2 + (y - random.integers(25, 55)) ** 2 < 300
        image = np.where(inside[..., None], [90, 40, 130], [220, 160, 200]) + random.integers(0, 30, (80, 80, 3))
        Image.fromarray(image.astype(np.uint8)).save(folder / "images" / f"i{number}.png")
        Image.fromarray(inside.astype(np.uint8)).save(folder / "masks" / f"i{number}.png")
        rows.append(f"i{number},p{number // 2}")
    (folder / "patients.csv").write_text("\n".join(rows) + "\n")


def exports(folder):
    """What eosin segment wrote, in the other programs, on an image and its normalisation."""
    spec = importlib.util.spec_from_file_location("segment_export", ROOT / "examples" / "segment_export.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    made_data(folder / "data")
    image = folder / "data" / "images" / "i3.png"
    worst = 0
    for name, head, arch, stride, extra in (
            ("v3_r50", "deeplabv3", "resnet50", 8, ("model.aux=true",)),
            ("v3_r18", "deeplabv3", "resnet18", 16, ("model.normalization=0.7,0.5,0.6,0.2,0.25,0.2",)),
            ("plus_r34", "deeplabv3plus", "resnet34", 16, ()),
            ("plus_r18_plain", "deeplabv3plus", "resnet18", 8, ("model.separable=false",))):
        out = folder / name
        settings = (f"model.head={head}", f"model.output_stride={stride}", *extra, "eval.keep_predictions=0")
        run("eosin", "segment", "--data", folder / "data", "--out", out, "--arch", arch, "--crop", 64,
            "--steps", 2, "--batch", 2, "--device", "cpu", *(w for s in settings for w in ("--set", s)),
            "--set", "compute.precision=fp32")
        net, prepare = example.load(out / "model.safetensors")
        wanted = example.logits(net, prepare(Image.open(image)))
        run("parity_tool", "image", "--weights", out / "model.safetensors", "--image", image,
            "--output", folder / "y.safetensors")
        worst = max(worst, compare(f"eosin segment -> Python, {name}", load_file(folder / "y.safetensors")["out"],
                                   wanted))
        state = torch.load(out / "model.pth", weights_only=True)
        print("   model.pth strict:", net.load_state_dict(state, strict=True))
    # A class with a comma in its name, as the class convolution counts it.
    out = folder / "comma"
    config = folder / "comma.toml"
    config.write_text('[mask]\nclasses = ["background", "gland, benign"]\n')
    run("eosin", "segment", "--config", config, "--data", folder / "data", "--out", out, "--arch", "resnet18", "--crop",
        64, "--steps", 2, "--batch", 2, "--device", "cpu")
    net, prepare = example.load(out / "model.safetensors")
    assert example.logits(net, prepare(Image.open(image))).shape == (1, 2, 80, 80)
    # V3+ on a side that is no multiple of its stride: one sentence.
    Image.open(image).crop((0, 0, 77, 80)).save(folder / "odd.png")
    done = subprocess.run([sys.executable, ROOT / "examples" / "segment_export.py",
                           folder / "plus_r34" / "model.safetensors", folder / "odd.png", folder / "classes.png"],
                          capture_output=True, text=True)
    assert done.returncode == 1 and "multiples of 16, not 77 x 80" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    # The example as a user runs it.
    subprocess.run([sys.executable, ROOT / "examples" / "segment_export.py",
                    folder / "v3_r50" / "model.safetensors", image, folder / "classes.png"], check=True)
    assert Image.open(folder / "classes.png").size == (80, 80)
    return worst


def main():
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        worst = max(networks(folder), exports(folder))
    print(f"worst error {worst:.2e}, tolerance {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
