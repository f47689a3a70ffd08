# SPDX-License-Identifier: Apache-2.0
"""Makes tests/fixtures/weights: reference outputs of torchvision and checkpoint files of torch.

Run with the parity venv: .venv-parity/bin/python tests/parity/make_weight_fixtures.py
"""

import io
import pathlib
import pickle
import struct
import tarfile
from collections import OrderedDict

import torch
import torchvision
from safetensors.torch import save_file

import formula

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "weights"


def networks():
    torch.manual_seed(0)
    result = {}
    for arch, size in (("resnet18", 64), ("resnet50", 96)):
        net = formula.fill(getattr(torchvision.models, arch)(num_classes=10)).eval()
        x = formula.image((2, 3, size, size))
        with torch.no_grad():
            y = net.maxpool(net.relu(net.bn1(net.conv1(x))))
            for layer in (1, 2, 3, 4):
                y = getattr(net, f"layer{layer}")(y)
                result[f"{arch}.layer{layer}"] = y[:1, ::32].clone()
            result[f"{arch}.logits"] = net(x)
            result[f"{arch}.features"] = y.mean((2, 3))

    # One training step's forward and backward: batch statistics and gradients, in float64, because
    # in float32 a ReLU at 0 takes another side on another CPU.
    net = formula.fill(torchvision.models.resnet18(num_classes=10)).double().train()
    loss = net(formula.image((4, 3, 64, 64)).double()).square().mean()
    loss.backward()
    result["train.loss"] = loss.detach().reshape(1)
    result["train.conv1_grad"] = net.conv1.weight.grad[:8].clone()
    result["train.layer4_bn_mean"] = net.layer4[1].bn2.running_mean.clone()
    result["train.bn1_var"] = net.bn1.running_var.clone()

    net = torchvision.models.segmentation.deeplabv3_resnet50(
        weights=None, weights_backbone=None, num_classes=5, aux_loss=True)
    formula.fill(net).eval()
    x = formula.image((2, 3, 96, 96))
    with torch.no_grad():
        y = net(x)
        feats = net.backbone(x)
    result["deeplab.out"] = y["out"][:, :, ::7, ::7].clone()
    result["deeplab.aux"] = y["aux"][:, :, ::7, ::7].clone()
    result["deeplab.layer4"] = feats["out"][:1, ::64].clone()
    for name, tensor in result.items():
        print(f"{name:24} {tuple(tensor.shape)} max {tensor.abs().max():.4g}")
    save_file({k: v.float().contiguous() for k, v in result.items()}, OUT / "networks.safetensors")


def values():
    """Every dtype and layout that a checkpoint holds; tests/core/pth_test.cc knows the values."""
    shared = torch.arange(10, dtype=torch.float32)
    return OrderedDict([
        ("f32", torch.arange(6, dtype=torch.float32).view(2, 3) * 0.5 - 1),
        ("f64", torch.tensor([1.5, -2.25, 1e300], dtype=torch.float64)),
        ("scalar", torch.tensor(7)),
        ("f16", torch.tensor([0.5, -3.0, 65504.0, 6e-8], dtype=torch.float16)),
        ("bf16", torch.tensor([1.0, -2.5, 3e38], dtype=torch.bfloat16)),
        ("i32", torch.tensor([-5, 6], dtype=torch.int32)),
        ("i16", torch.tensor([-300, 301], dtype=torch.int16)),
        ("i8", torch.tensor([-128, 127], dtype=torch.int8)),
        ("u8", torch.tensor([0, 255], dtype=torch.uint8)),
        ("bool", torch.tensor([True, False, True])),
        ("transposed", torch.arange(6, dtype=torch.float32).view(2, 3).t()),
        ("channels_last", torch.arange(24, dtype=torch.float32).view(1, 2, 3, 4)
            .contiguous(memory_format=torch.channels_last)),
        ("view_a", shared[2:5]),
        ("view_b", shared[1::3]),
        ("expanded", torch.tensor([1.0, 2.0]).unsqueeze(0).expand(3, 2)),
        ("parameter", torch.nn.Parameter(torch.tensor([0.25, 4.0]))),
        ("empty", torch.zeros(0, 3)),
    ])


class TarPickler(pickle.Pickler):
    """Pickles tensors as references by number, as torch before 0.1.10 did."""

    def persistent_id(self, obj):
        if isinstance(obj, torch.nn.Parameter):
            return None
        return str(id(obj)) if isinstance(obj, torch.Tensor) else None

    def reducer_override(self, obj):
        if isinstance(obj, torch.nn.Parameter):
            return torch._utils._rebuild_parameter, (obj.data_ref, True, OrderedDict())
        return NotImplemented


def save_tar(state, path):
    storages, tensors = {}, {}
    for value in list(state.values()):
        if isinstance(value, torch.nn.Parameter):
            value.data_ref = value.data
            value = value.data_ref
        tensors[id(value)] = value
        storage = value.untyped_storage()
        storages.setdefault(storage.data_ptr() or id(value), (value.dtype, storage))
    types = {torch.float32: torch.FloatStorage, torch.float64: torch.DoubleStorage,
             torch.float16: torch.HalfStorage, torch.bfloat16: torch.BFloat16Storage,
             torch.int64: torch.LongStorage, torch.int32: torch.IntStorage,
             torch.int16: torch.ShortStorage, torch.int8: torch.CharStorage,
             torch.uint8: torch.ByteStorage, torch.bool: torch.BoolStorage}
    parts = {"sys_info": pickle.dumps({"protocol_version": 1000, "little_endian": True}, 2)}
    out = io.BytesIO()
    pickle.dump(len(storages), out, 2)
    for key, (dtype, storage) in storages.items():
        pickle.dump((key, "cpu", types[dtype]), out, 2)
        size = torch._utils._element_size(dtype)
        out.write(struct.pack("<q", storage.nbytes() // size))
        out.write(bytes(storage))
    pickle.dump([], out, 2)
    parts["storages"] = out.getvalue()
    out = io.BytesIO()
    pickle.dump(len(tensors), out, 2)
    for key, tensor in tensors.items():
        pickle.dump((key, tensor.untyped_storage().data_ptr() or key, torch.FloatTensor), out, 2)
        out.write(struct.pack("<ii", tensor.dim(), 0))
        out.write(struct.pack(f"<{2 * tensor.dim() + 1}q", *tensor.shape, *tensor.stride(),
                              tensor.storage_offset()))
    parts["tensors"] = out.getvalue()
    out = io.BytesIO()
    TarPickler(out, 2).dump(state)
    parts["pickle"] = out.getvalue()
    with tarfile.open(path, "w:", format=tarfile.GNU_FORMAT) as tar:
        for name, data in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def checkpoints():
    state = values()
    torch.save(state, OUT / "zip.pth")
    torch.save(state, OUT / "legacy.pth", _use_new_zipfile_serialization=False)
    save_tar(state, OUT / "tar.pth")
    torch.save(state, OUT / "protocol4.pth", pickle_protocol=4)
    back = torch.load(OUT / "tar.pth", weights_only=False)
    for name, value in values().items():
        assert torch.equal(back[name], value) and back[name].shape == value.shape, name

    model = torch.nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.fill_(0.5)
        model.bias.fill_(-1)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    with torch.no_grad():
        model.weight.fill_(0.5)
        model.bias.fill_(-1)
    import argparse
    import numpy
    torch.save({"epoch": 3, "args": argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath("x")),
                "best": numpy.float64(0.5), "optimizer": optimizer.state_dict(),
                "state_dict": OrderedDict((f"model.{k}", v) for k, v in model.state_dict().items())},
               OUT / "wrapped.pth")
    torch.save(model, OUT / "whole_model.pth")

    class Hostile:
        def __reduce__(self):
            import os
            return os.system, ("touch /tmp/eosin-was-here",)

    torch.save({"state_dict": model.state_dict(), "x": Hostile()}, OUT / "hostile.pth")
    save_file({"w": torch.arange(6, dtype=torch.float32).view(2, 3),
               "n": torch.tensor([1, 2, 3])}, OUT / "small.safetensors", {"made_by": "safetensors"})


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    checkpoints()
    networks()
    for path in sorted(OUT.iterdir()):
        print(f"{path.name:24} {path.stat().st_size:8} bytes")
        assert path.stat().st_size <= 200_000
