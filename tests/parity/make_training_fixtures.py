# SPDX-License-Identifier: Apache-2.0
"""Makes tests/fixtures/training: optimisers and learning rates of published recipes.

Run in the parity venv:  python tests/parity/make_training_fixtures.py tests/fixtures/training
LARS is written down here four times, once for each code that papers mean by it, one tensor at a
time in float64 and following the order of operations of its source; nothing is shared with the
C++ side. Adam and the cosine by epoch are torch.optim's own.
"""
import json
import math
import pathlib
import sys

import torch

RATES = [0.5, 2.0, 1.0, 0.25]
# weights drawn; all weights zero; all gradients zero; one-dimensional (bias, BatchNorm)
SHAPES = {"dense": (2, 3), "conv": (2, 1, 2, 2), "zero_weight": (1, 2), "zero_grad": (1, 2), "bias": (3,)}


def data():
    generator = torch.Generator().manual_seed(3)
    weights, grads = {}, []
    for name, shape in SHAPES.items():
        weights[name] = torch.randn(shape, generator=generator).double()
    weights["zero_weight"].zero_()
    for _ in RATES:
        step = {name: torch.randn(shape, generator=generator).double() for name, shape in SHAPES.items()}
        step["zero_grad"].zero_()
        grads.append(step)
    return weights, grads


def excluded(name, options):
    return options["exclude"] and len(SHAPES[name]) == 1


def google(w, g, v, lr, name, o):
    """google-research/simclr lars_optimizer.py, classic momentum."""
    trust = 1.0
    if not excluded(name, o):
        g = g + o["decay"] * w
        w_norm, g_norm = w.norm(), g.norm()
        trust = o["eta"] * w_norm / g_norm if w_norm > 0 and g_norm > 0 else 1.0
    scaled_lr = lr * trust
    next_v = o["momentum"] * v + scaled_lr * g
    update = o["momentum"] * next_v + scaled_lr * g if o["nesterov"] else next_v
    return w - update, next_v


def byol(w, g, v, lr, name, o):
    """deepmind-research byol/utils/optimizers.py: add_weight_decay, scale_by_lars, scale(-lr)."""
    if not excluded(name, o):
        g = g + o["decay"] * w
        w_norm, g_norm = w.norm(), g.norm()
        if w_norm > 0 and g_norm > 0:
            g = g * (o["eta"] * w_norm / g_norm)
    mu = o["momentum"] * v + g
    return w - lr * mu, mu


def bolts_momentum(w, d_p, v, lr, o):
    buf = o["momentum"] * v + d_p
    d_p = d_p + o["momentum"] * buf if o["nesterov"] else buf
    return w - lr * d_p, buf


def lightly(w, g, v, lr, name, o):
    """lightly/utils/lars.py; excluded parameters sit in a group whose decay is 0."""
    decay = 0.0 if excluded(name, o) else o["decay"]
    p_norm, g_norm = w.norm(), g.norm()
    d_p = g
    if decay != 0 and p_norm != 0 and g_norm != 0:
        lars_lr = p_norm / (g_norm + p_norm * decay + 1e-8) * o["eta"]
        d_p = (g + decay * w) * lars_lr
    return bolts_momentum(w, d_p, v, lr, o)


def solo(w, g, v, lr, name, o):
    """solo-learn solo/utils/lars.py with clip_lr and exclude_bias_n_norm."""
    p_norm, g_norm = w.norm(), g.norm()
    d_p = g
    if not excluded(name, o) and p_norm != 0 and g_norm != 0:
        lars_lr = p_norm / (g_norm + p_norm * o["decay"] + 1e-8) * o["eta"]
        lars_lr = min(float(lars_lr) / lr, 1.0)
        d_p = (g + o["decay"] * w) * lars_lr
    return bolts_momentum(w, d_p, v, lr, o)


def flat(tensors):
    return {name: [float(f"{x:.9g}") for x in t.flatten().tolist()] for name, t in tensors.items()}


def lars_cases():
    cases = []
    for dialect, update in {"google": google, "byol": byol, "lightly": lightly, "solo": solo}.items():
        for nesterov in [False, True]:
            if nesterov and dialect == "byol":
                continue  # its source has none
            # eta 0.02 as solo-learn; 2.0 makes its clip bite for some tensors and steps
            for exclude, decay, eta in [(True, 0.05, 1e-3), (True, 0.0, 0.02), (False, 0.05, 2.0)]:
                options = dict(nesterov=nesterov, exclude=exclude, decay=decay, eta=eta, momentum=0.9)
                weights, grads = data()
                momenta = {name: torch.zeros_like(w) for name, w in weights.items()}
                for lr, step in zip(RATES, grads):
                    for name in SHAPES:
                        weights[name], momenta[name] = update(
                            weights[name], step[name], momenta[name], lr, name, options)
                cases.append(dict(options, dialect=dialect, weights=flat(weights)))
    return cases


def adam_cases():
    cases = []
    for name, optimizer in {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}.items():
        weights, grads = data()
        params = {key: torch.nn.Parameter(w) for key, w in weights.items()}
        adam = optimizer(params.values(), lr=0.01, weight_decay=0.1)
        for step in grads:
            for key, param in params.items():
                param.grad = step[key]
            adam.step()
        cases.append({"name": name, "weights": flat({k: p.detach() for k, p in params.items()})})
    return cases


def google_rate(step, peak, warmup, total):
    """model_util.py learning_rate_schedule with tf.train.cosine_decay; byol's is the same."""
    if step < warmup:
        return step / warmup * peak
    done = min(step - warmup, total - warmup) / (total - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * done))


def lightly_rate(step, peak, warmup, total):
    """lightly/utils/scheduler.py cosine_warmup_schedule as CosineWarmupScheduler calls it."""
    end = 0.001
    if step < warmup:
        return peak * (0.0 + (1.0 - 0.0) * (step + 1) / warmup)
    step, total = step - warmup, total - warmup
    if step >= total - 1:
        return peak * end
    return peak * (end - (end - 1.0) * (math.cos(math.pi * step / (total - 1)) + 1) / 2)


def solo_rate(step, peak, warmup, total):
    """solo/utils/lr_scheduler.py LinearWarmupCosineAnnealingLR, its chained form."""
    start, rate = 3e-5, 0.0
    for s in range(step + 1):
        if s == 0:
            rate = start
        elif s < warmup:
            rate = rate + (peak - start) / (warmup - 1)
        elif s == warmup:
            rate = peak
        else:
            now = 1 + math.cos(math.pi * (s - warmup) / (total - warmup))
            before = 1 + math.cos(math.pi * (s - warmup - 1) / (total - warmup))
            rate = now / before * rate
    return rate


def epoch_rates(peak, epochs, steps_per_epoch):
    """torch CosineAnnealingLR stepped once an epoch, as lightly's CIFAR-10 benchmark does."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    rates = []
    for _ in range(epochs):
        rates += [optimizer.param_groups[0]["lr"]] * steps_per_epoch
        optimizer.step()
        scheduler.step()
    return rates


def schedules():
    peak, steps_per_epoch, epochs, warmup = 0.8, 5, 12, 10
    total = epochs * steps_per_epoch
    result = dict(peak=peak, steps_per_epoch=steps_per_epoch, total=total, warmup_epochs=2)
    for name, rate in {"google": google_rate, "lightly": lightly_rate, "solo": solo_rate}.items():
        result[name] = [rate(step, peak, warmup, total) for step in range(total)]
    result["per_epoch"] = epoch_rates(peak, epochs, steps_per_epoch)
    return result


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    weights, grads = data()
    (out / "optimizers.json").write_text(json.dumps({
        "rates": RATES, "shapes": SHAPES, "weights": flat(weights), "grads": [flat(g) for g in grads],
        "lars": lars_cases(), "adam": adam_cases()}, indent=None, separators=(",", ":")) + "\n")
    (out / "schedules.json").write_text(json.dumps(schedules(), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
