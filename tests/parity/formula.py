# SPDX-License-Identifier: Apache-2.0
"""Network weights by a formula, so that fixtures need no weights: tests/engine/formula.h is its twin."""

import numpy as np
import torch


def uniform(name, count):
    """count floats in [-1, 1): murmur3's finaliser over FNV-1a(name) + index."""
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    h = (np.uint64(seed) + np.arange(count, dtype=np.uint64) * np.uint64(2654435761)).astype(np.uint32)
    with np.errstate(over="ignore"):
        h ^= h >> np.uint32(16)
        h *= np.uint32(0x85EBCA6B)
        h ^= h >> np.uint32(13)
        h *= np.uint32(0xC2B2AE35)
        h ^= h >> np.uint32(16)
    return (h >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)


def value(name, shape, norm):
    """The value of one state dict entry; norm: it belongs to a batch norm."""
    count = int(np.prod(shape, dtype=np.int64))
    u = uniform(name, count)
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    if name.endswith("running_var"):
        u = np.float32(1.0) + np.float32(0.5) * u
    elif norm and name.endswith("weight"):
        u = np.float32(0.5) + np.float32(0.2) * u
    elif len(shape) < 2:
        u = np.float32(0.1) * u
    else:
        fan_in = int(np.prod(shape[1:], dtype=np.int64))
        u = np.float32(np.sqrt(3.0 / fan_in)) * u
    return torch.from_numpy(u.reshape(shape))


def fill(model):
    state = model.state_dict()
    for name in state:
        norm = name.rsplit(".", 1)[0] + ".running_mean" in state
        state[name] = value(name, tuple(state[name].shape), norm)
    model.load_state_dict(state)
    return model


def image(shape):
    return torch.from_numpy(uniform("input", int(np.prod(shape))).reshape(shape)) * 2
