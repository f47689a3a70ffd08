# SPDX-License-Identifier: Apache-2.0
"""What `eosin pretrain` leaves behind, opened by torch and torchvision: encoder.pth and
encoder.safetensors load strictly, agree with each other and with the checkpoint, and a run can start
from them again.

.venv-parity/bin/python tests/parity/test_pretrain_weights.py build/release
"""

import pathlib
import subprocess
import sys
import tempfile

import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file

PROGRAM = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/release") / "bin" / "eosin"


def eosin(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, f"eosin {arguments}: {done.stderr}"
    return done.stdout + done.stderr


def main():
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "data").mkdir()
        for i in range(8):
            pixels = torch.randint(0, 256, (40, 40, 3), dtype=torch.uint8).numpy()
            Image.fromarray(pixels).save(folder / "data" / f"{i}.png")
        for method in ("simclr", "byol"):
            run = folder / method
            eosin("pretrain", "--data", folder / "data", "--out", run, "--method", method, "--arch",
                  "resnet18", "--size", 32, "--batch", 4, "--epochs", 1, "--device", "cpu", "--set",
                  "model.stem=imagenet", "byol.hidden=64")
            state = torch.load(run / "encoder.pth", weights_only=True)
            model = torchvision.models.resnet18(weights=None)
            model.fc = torch.nn.Identity()  # an encoder has none
            print("  strict:", method, model.load_state_dict(state, strict=True))
            assert list(state) == list(model.state_dict()), "order of the entries"
            for file in ("encoder.safetensors", "checkpoints/last/encoder.safetensors"):
                other = load_file(run / file)
                assert other.keys() == state.keys(), file
                for key, value in state.items():
                    assert torch.equal(other[key], value), (file, key)
            assert int(state["bn1.num_batches_tracked"]) == 2
            assert all(torch.isfinite(v).all() for v in state.values() if v.is_floating_point())
            said = eosin("pretrain", "--data", folder / "data", "--out", folder / f"{method}-again",
                         "--method", method, "--arch", "resnet18", "--size", 32, "--batch", 4,
                         "--device", "cpu", "--init", run / "encoder.pth", "--set",
                         "model.stem=imagenet", "byol.hidden=64", "train.max_steps=1",
                         "optimizer.lr=0")
            assert "encoder from" in said, said
            again = torch.load(folder / f"{method}-again" / "encoder.pth", weights_only=True)
            for key, value in state.items():  # running statistics moved on
                if "running" not in key and "tracked" not in key:
                    assert torch.equal(again[key], value), key
    print("  encoder.pth and encoder.safetensors are torchvision's, bit for bit")


if __name__ == "__main__":
    main()
