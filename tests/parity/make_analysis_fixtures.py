# SPDX-License-Identifier: Apache-2.0
"""Makes tests/fixtures/analysis: what scikit-learn, umap-learn, torch and plain numpy give.

Run with scikit-learn, torch and umap-learn installed (the parity venv has the first two):
    python tests/parity/make_analysis_fixtures.py tests/fixtures/analysis
The pictures are scikit-learn's digits (8x8, 0-16; UCI optical recognition of handwritten digits).
"""
import json
import math
import pathlib
import sys

import numpy as np
import torch
from sklearn import metrics
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from sklearn.manifold._t_sne import _joint_probabilities

OUT = pathlib.Path(sys.argv[1])


def numbers(array, digits=9):
    return [float(f"{v:.{digits}g}") for v in np.asarray(array, dtype=np.float64).ravel()]


def rank_me(z):
    s = np.linalg.svd(z, compute_uv=False)
    p = s / s.sum() + 1e-7
    return float(np.exp(-(p * np.log(p)).sum()))


def unit(z):
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def cka(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    return float(np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


def knn(bank, labels, query, classes, k, vote, temperature=0.1):
    """The rules of lightly (exp) and solo-learn (inverse distance), a loop a query."""
    predicted = []
    for q in query:
        if vote == "exp":
            s = [float(b @ q / (np.linalg.norm(b) * np.linalg.norm(q))) for b in bank]
        else:
            s = [1 / (float(np.linalg.norm(b - q)) + 1e-5) for b in bank]
        near = sorted(range(len(bank)), key=lambda i: -s[i])[:k]
        votes = [0.0] * classes
        for i in near:
            votes[labels[i]] += math.exp(s[i] / temperature) if vote == "exp" else s[i]
        predicted.append(int(np.argmax(votes)))
    return predicted


def small():
    """Five overlapping classes in 7 dimensions, one of a single sample."""
    rng = np.random.default_rng(5)
    counts = [20, 17, 12, 10, 1]
    labels = np.repeat(np.arange(5), counts)
    centres = rng.normal(0, 1.6, (5, 7))
    x = np.round(centres[labels] + rng.normal(0, 1, (60, 7)) + 0.5, 3).astype(np.float32)
    order = rng.permutation(60)
    x, labels = x[order].astype(np.float64), labels[order]
    y = np.round(x @ rng.normal(0, 1, (7, 7)) * 0.3 + x + rng.normal(0, 0.2, x.shape), 3)
    other = labels.copy()
    other[::4] = (other[::4] + 1) % 3
    pca = PCA(4).fit(x)
    bank, query = x[:40], x[40:]
    u = torch.tensor(unit(x))
    return {
        "x": numbers(x), "y": numbers(y), "labels": labels.tolist(), "other": other.tolist(),
        "silhouette_euclidean": metrics.silhouette_score(x, labels),
        "silhouette_cosine": metrics.silhouette_score(x, labels, metric="cosine"),
        "davies_bouldin": metrics.davies_bouldin_score(x, labels),
        "nmi": metrics.normalized_mutual_info_score(labels, other),
        "ari": metrics.adjusted_rand_score(labels, other),
        "kmeans_inertia": KMeans(4, n_init=50, random_state=0).fit(x).inertia_,
        "pca_components": numbers(pca.components_),
        "pca_variance": numbers(pca.explained_variance_),
        "pca_share": numbers(pca.explained_variance_ratio_),
        "trustworthiness": trustworthiness(x, x[:, :2], n_neighbors=5),
        "trustworthiness_cosine": trustworthiness(x, x[:, :2], n_neighbors=7, metric="cosine"),
        "rank_me": rank_me(x), "rank_me_wide": rank_me(x[:5]),
        "uniformity": torch.pdist(u).pow(2).mul(-2).exp().mean().log().item(),
        "alignment": (u - torch.tensor(unit(y))).norm(dim=1).pow(2).mean().item(),
        "std_ratio": u.std(0).mean().item() * math.sqrt(7),
        "cka": cka(x, y), "cka_narrow": cka(x, y[:, :3]),
        "knn": {vote: {str(k): knn(bank, labels[:40], query, 5, k, vote)
                       for k in (1, 5, 10, 20, 200)} for vote in ("exp", "inverse")},
        "joint": numbers(_joint_probabilities(
            metrics.pairwise_distances(x, squared=True).astype(np.float32), 9.0, 0), 7),
    }


def pictures():
    """Digits: what t-SNE and UMAP of the usual packages keep of their neighbourhoods."""
    import umap
    from umap.umap_ import find_ab_params, fuzzy_simplicial_set, smooth_knn_dist
    data = load_digits()
    x = data.data[:400].astype(np.float32)
    tsne = TSNE(2, perplexity=30, init="pca", method="exact", random_state=0)
    trust = [trustworthiness(x, umap.UMAP(random_state=seed, init=init).fit_transform(x), n_neighbors=5)
             for seed in (0, 1, 2) for init in ("spectral", "pca")]
    near = np.sort(metrics.pairwise_distances(x[:80].astype(np.float64)), axis=1)[:, :15]
    near[:, 0] = 0
    near[3, 1:4] = 0  # rows in one place
    sigma, rho = smooth_knn_dist(near.astype(np.float32), 15.0)
    graph = fuzzy_simplicial_set(x[:80], 15, np.random.RandomState(0), "euclidean")[0].tocoo()
    order = np.lexsort((graph.col, graph.row))
    edges = [[int(graph.row[i]), int(graph.col[i]), float(f"{graph.data[i]:.6g}")]
             for i in order if graph.data[i] > 0]
    t = tsne.fit_transform(x)
    return {
        "pixels": "".join(chr(ord("a") + int(v)) for v in x.ravel()),
        "labels": data.target[:400].tolist(),
        "tsne_trust": trustworthiness(x, t, n_neighbors=5), "tsne_kl": float(tsne.kl_divergence_),
        "umap_trust": trust,
        "near": numbers(near, 8), "sigma": numbers(sigma, 6), "rho": numbers(rho, 8),
        "edges": edges[:600], "edge_count": len(edges),
        "curves": [[d, s, *map(float, find_ab_params(s, d))]
                   for d, s in [(0.1, 1.0), (0.0, 1.0), (0.5, 1.0), (0.25, 2.0)]],
    }


OUT.mkdir(parents=True, exist_ok=True)
for name, made in (("small", small()), ("digits", pictures())):
    (OUT / f"{name}.json").write_text(json.dumps(made, separators=(",", ":")) + "\n")
