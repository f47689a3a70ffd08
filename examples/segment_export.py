"""Runs a model of `eosin segment` without eosin: DeepLabV3 in torchvision, V3+ in segmentation_models.pytorch, loaded
strictly.  python examples/segment_export.py runs/model/model.safetensors image.png classes.png"""
import sys

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file


def dilate(trunk, output_stride):
    """torchvision's rule: the first block of a dilated stage keeps the dilation before it. Unlike its own argument
    replace_stride_with_dilation this serves ResNet-18 and 34, too."""
    dilation = 1
    for layer, largest in ((trunk.layer3, 8), (trunk.layer4, 16)):
        if output_stride > largest:
            continue
        for number, block in enumerate(layer):
            for conv in block.modules():
                if isinstance(conv, torch.nn.Conv2d):
                    conv.stride = (1, 1)
                    if conv.kernel_size == (3, 3):
                        conv.dilation = conv.padding = (dilation if number == 0 else 2 * dilation,) * 2
        dilation *= 2


def torchvision_v3(facts, state):
    from torchvision.models._utils import IntermediateLayerGetter
    from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
    from torchvision.models.segmentation.fcn import FCNHead

    if facts["head_channels"] != "256":
        sys.exit("torchvision's head has 256 channels: train with model.head_channels = 256")
    trunk = getattr(torchvision.models, facts["arch"])()
    dilate(trunk, int(facts["output_stride"]))
    features, classes = trunk.fc.in_features, len(state["classifier.4.weight"])
    aux = FCNHead(features // 2, classes) if "aux_classifier.0.weight" in state else None
    stages = {"layer4": "out", "layer3": "aux"} if aux else {"layer4": "out"}
    rates = [int(rate) for rate in facts["rates"].split(",")]
    return DeepLabV3(IntermediateLayerGetter(trunk, stages), DeepLabHead(features, classes, rates), aux)


def smp_v3plus(facts, state):
    import segmentation_models_pytorch as smp

    return smp.DeepLabV3Plus(
        facts["arch"], encoder_weights=None, encoder_output_stride=int(facts["output_stride"]),
        decoder_channels=int(facts["head_channels"]), classes=len(state["segmentation_head.0.weight"]),
        decoder_atrous_rates=[int(rate) for rate in facts["rates"].split(",")],
        decoder_aspp_separable=facts["separable"] == "true")


def load(path):
    """The network in evaluation mode, and the function that makes its input of an RGB image."""
    with safe_open(path, "pt") as file:
        facts = {key.removeprefix("eosin."): value for key, value in file.metadata().items()}
    if facts["stem"] != "imagenet" or facts["width"] != "64":
        sys.exit("torchvision's ResNets have a stem of 7x7 and 64 channels")
    state = load_file(path)
    plus = facts["head"] == "deeplabv3plus"
    net = smp_v3plus(facts, state) if plus else torchvision_v3(facts, state)
    net.load_state_dict(state, strict=True)
    mean, std = (torch.tensor([float(v) for v in facts[k].split(",")]).view(3, 1, 1) for k in ("mean", "std"))

    def prepare(image):
        stride = int(facts["output_stride"])
        if plus and (image.width % stride or image.height % stride):
            sys.exit(f"segmentation_models.pytorch's DeepLabV3+ takes sides that are multiples of {stride}, not "
                     f"{image.width} x {image.height}: crop or pad the image")
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 255
        return ((pixels - mean) / std).unsqueeze(0)

    return net.eval(), prepare


def logits(net, x):
    with torch.no_grad():
        y = net(x)
    return y["out"] if isinstance(y, dict) else y


if __name__ == "__main__":
    network, prepare_image = load(sys.argv[1])
    # One window of the training crop's size sees what training saw; larger images: see `eosin predict`.
    classes = logits(network, prepare_image(Image.open(sys.argv[2]))).argmax(1)[0].to(torch.uint8)
    Image.fromarray(classes.numpy()).save(sys.argv[3])
    print("pixels of each class:", torch.bincount(classes.flatten().long()).tolist())
