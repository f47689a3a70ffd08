#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/fixtures/eval/logistic.safetensors: features, labels and scikit-learn's multinomial
logistic regression of the standardised features, solved far beyond its default tolerance."""
import pathlib

import numpy as np
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

L2 = 1e-2

rng = np.random.default_rng(5)
labels = np.arange(120) % 4
centres = rng.normal(size=(4, 10))
x = centres[labels] + 1.5 * rng.normal(size=(120, 10))
x = (x * rng.uniform(0.1, 30, 10) + rng.normal(size=10) * 5).astype(np.float32)
x[:, 7] = 3.25  # a channel without spread
scaled = StandardScaler().fit_transform(x.astype(np.float64))
model = LogisticRegression(C=1 / (L2 * len(x)), tol=1e-10, max_iter=100000)
model.fit(scaled, labels)
logits = scaled @ model.coef_.T + model.intercept_
log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
loss = -log_p[np.arange(len(x)), labels].mean() + L2 / 2 * (model.coef_**2).sum()
out = pathlib.Path(__file__).parents[1] / "fixtures" / "eval" / "logistic.safetensors"
out.parent.mkdir(exist_ok=True)
save_file(
    {
        "features": x,
        "labels": labels.astype(np.int64),
        "weight": np.ascontiguousarray(model.coef_, np.float32),
        "log_p": log_p.astype(np.float32),
        "loss": np.array([loss], np.float32),
    },
    out,
)
print(out, loss, (logits.argmax(1) == labels).mean())
