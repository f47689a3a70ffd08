# SPDX-License-Identifier: Apache-2.0
"""Makes tests/fixtures/segmentation (DeepLabV3+ of segmentation_models.pytorch, losses) and
tests/fixtures/training/one_cycle.json (torch's OneCycleLR).

Run with the parity venv: .venv-parity/bin/python tests/parity/make_segmentation_fixtures.py
Cross-entropy is torch's; Dice and focal loss are segmentation_models.pytorch's; Lovász-softmax is
written down here from Berman et al. 2018, algorithm 1, one class and one image at a time.
"""

import json
import pathlib

import segmentation_models_pytorch as smp
import torch
from safetensors.torch import save_file
from segmentation_models_pytorch.losses._functional import softmax_focal_loss_with_logits
from torch.nn import functional as F

import formula

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "segmentation"
IGNORE = 255

# name: encoder, output stride, separable, rates, classes
PLUS = {
    "r18_os16": ("resnet18", 16, True, (2, 4, 6), 3),
    "r34_os8": ("resnet34", 8, False, (6, 12, 18), 4),
    "r50_os16": ("resnet50", 16, True, (12, 24, 36), 5),
    "r50_os8": ("resnet50", 8, True, (12, 24, 36), 2),
}


def plus(name):
    encoder, stride, separable, rates, classes = PLUS[name]
    return smp.DeepLabV3Plus(encoder, encoder_weights=None, encoder_output_stride=stride,
                             decoder_atrous_rates=rates, decoder_aspp_separable=separable,
                             classes=classes)


def networks():
    result = {}
    x = formula.image((2, 3, 96, 64))
    for name in PLUS:
        net = formula.fill(plus(name)).eval()
        with torch.no_grad():
            result[f"{name}.out"] = net(x)[:, :, ::5, ::5].clone()
            result[f"{name}.layer4"] = net.encoder(x)[5][:1, ::64].clone()
    # One training step's forward and backward: batch statistics, gradients of both branches. In
    # float64: in float32 one ReLU on the other side of 0 moves the stem's gradient by 5e-4, and
    # which side it is depends on the CPU's kernels.
    net = formula.fill(smp.DeepLabV3Plus("resnet18", encoder_weights=None, decoder_aspp_dropout=0.0,
                                         decoder_atrous_rates=(2, 4, 6), classes=3)
                       ).double().train()
    loss = net(formula.image((4, 3, 64, 64)).double()).square().mean()
    loss.backward()
    result["train.loss"] = loss.detach().reshape(1)
    result["train.stem_grad"] = net.encoder.conv1.weight.grad[:4].clone()
    result["train.skip_grad"] = net.decoder.block1[0].weight.grad[:8].clone()
    result["train.pool_mean"] = net.decoder.aspp[0].convs[4][2].running_mean[:32].clone()
    for name, tensor in result.items():
        print(f"{name:20} {tuple(tensor.shape)} max {tensor.abs().max():.4g}")
    save_file({k: v.float().contiguous() for k, v in result.items()}, OUT / "networks.safetensors")


def lovasz_class(p, truth):
    """Lovász extension of the Jaccard loss of one class; p, truth: flat."""
    errors = (truth.to(p.dtype) - p).abs()
    errors, order = errors.sort(descending=True)
    truth = truth[order].to(p.dtype)
    inter = truth.sum() - truth.cumsum(0)
    union = truth.sum() + (1 - truth).cumsum(0)
    jaccard = 1 - inter / union
    grad = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
    return (errors * grad).sum()


def lovasz(logits, target, per_image):
    p = logits.softmax(1)

    def flat(p, target):  # (C, P), (P)
        keep = target != IGNORE
        p, target = p[:, keep], target[keep]
        terms = [lovasz_class(p[c], target == c) for c in range(p.shape[0]) if (target == c).any()]
        return sum(terms) / len(terms) if terms else p.sum() * 0

    if per_image:
        return sum(flat(q.flatten(1), t.flatten()) for q, t in zip(p, target)) / len(p)
    return flat(p.transpose(0, 1).flatten(1), target.flatten())


def focal(logits, target, gamma, weights=None):
    keep = (target != IGNORE).flatten()
    flat = logits.permute(0, 2, 3, 1).flatten(0, 2)[keep]
    y = target.flatten()[keep]
    if weights is None:
        return softmax_focal_loss_with_logits(flat, y, gamma=gamma)
    each = softmax_focal_loss_with_logits(flat, y, gamma=gamma, reduction="none")
    return (each * weights[y]).sum() / weights[y].sum()


def losses():
    generator = torch.Generator().manual_seed(11)
    cases = []
    for classes, absent, ignored in ((2, False, 0.0), (2, False, 0.3), (4, False, 0.2), (4, True, 0.2)):
        shape = (3, classes, 5, 7)
        logits = (torch.randn(shape, generator=generator) * 2).double().requires_grad_()
        target = torch.randint(0, classes, (3, 5, 7), generator=generator)
        if absent:
            target[target == 2] = 1
            target[2] = IGNORE  # an image without any pixel that counts
        target[torch.rand(target.shape, generator=generator) < ignored] = IGNORE
        weights = torch.rand(classes, generator=generator).double() + 0.2
        dice = smp.losses.DiceLoss("multiclass", ignore_index=IGNORE)(logits, target)
        present = sum(int((target == c).any()) for c in range(classes))
        values = {
            "ce": F.cross_entropy(logits, target, ignore_index=IGNORE),
            "weighted_ce": F.cross_entropy(logits, target, weight=weights, ignore_index=IGNORE),
            "dice": dice * classes / present,  # SMP counts absent classes as 0
            "focal2": focal(logits, target, 2.0),
            "focal1.5_weighted": focal(logits, target, 1.5, weights),
            "lovasz_batch": lovasz(logits, target, False),
            "lovasz_image": lovasz(logits, target, True),
        }
        case = {"shape": shape, "logits": logits.detach().flatten().tolist(),
                "target": target.flatten().tolist(), "weights": weights.tolist(), "losses": {}}
        for name, value in values.items():
            (grad,) = torch.autograd.grad(value, logits, retain_graph=True)
            case["losses"][name] = {"value": value.item(), "grad": [round(g, 10) for g in grad.flatten().tolist()]}
        cases.append(case)
    (OUT / "losses.json").write_text(json.dumps(cases) + "\n")


def one_cycle():
    rows = {}
    for steps, peak in ((10, 0.1), (37, 0.01), (100, 1.0)):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps,
                                                       cycle_momentum=False)
        rates = []
        for step in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if step + 1 < steps:
                schedule.step()
        rows[f"{steps} {peak}"] = rates
    (OUT.parent / "training" / "one_cycle.json").write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    losses()
    one_cycle()
    networks()
    for path in sorted(OUT.iterdir()):
        print(f"{path.name:24} {path.stat().st_size:8} bytes")
        assert path.stat().st_size <= 200_000
