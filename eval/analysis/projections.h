// SPDX-License-Identifier: Apache-2.0
// Pictures of an embedding: PCA, t-SNE and UMAP in the plane, and what such a picture is worth.
//
// features (N, D), any float type, on the CPU. The same features and seed give the same points;
// t-SNE and UMAP themselves do not depend on the number of threads, the matrix products before them
// may in the last bit. Positions, sizes of clusters and distances between them mean little in t-SNE
// and UMAP: show them with Trustworthiness and never instead of kNN or a probe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "eval/analysis/distance.h"

namespace eosin::eval {

struct Pca {
  at::Tensor mean;        // (D) fp64
  at::Tensor components;  // (k, D) fp64, orthonormal, by falling variance; the entry of largest
                          // magnitude of each is positive, so signs are no chance
  at::Tensor variance;    // (k) fp64, n - 1
  at::Tensor share;       // (k) fp64, of the total variance
  at::Tensor Project(const at::Tensor& features) const;  // (M, k) fp32
};
// k is lowered to min(N, D). fp64 eigenvectors of the smaller of covariance and Gram matrix; a
// component without variance may be zero.
Pca FitPca(const at::Tensor& features, int64_t k);

struct TsneOptions {
  double perplexity = 30;     // lowered to (N - 1) / 3
  int64_t iterations = 1000;  // scikit-learn's
  int64_t exaggerated = 250;  // of them with P x exaggeration and momentum .5, then .8
  double exaggeration = 12;   //
  double learning_rate = 0;   // 0 = max(N / exaggeration / 4, 50), Belkina et al. 2019
};
struct TsneResult {
  at::Tensor points;  // (N, 2) fp32
  double kl = 0;      // Kullback-Leibler divergence of the result
};
// Exact t-SNE (van der Maaten & Hinton, JMLR 2008): all pairs, so N^2 memory (fp32) and time an
// iteration: meant for up to 5,000 rows, DataError above 20,000. Euclidean distances of `features`:
// give it UnitRows for cosine. Start: PCA scaled to standard deviation 1e-4.
TsneResult Tsne(const at::Tensor& features, const TsneOptions& options = {});

struct UmapOptions {
  int64_t neighbours = 15;  // with the row itself, as umap-learn counts
  double min_dist = 0.1;
  double spread = 1;
  int64_t epochs = 0;        // 0 = 500 up to 10,000 rows, else 200
  int64_t negatives = 5;     // a positive
  double learning_rate = 1;  //
  Distance distance = Distance::kEuclidean;
  uint64_t seed = 0;
};
// UMAP (McInnes, Healy & Melville, arXiv 1802.03426) as umap-learn computes it, with exact
// neighbours and a PCA start: points (N, 2) fp32. N^2 D for the neighbours, N for the rest.
at::Tensor Umap(const at::Tensor& features, const UmapOptions& options = {});

// How far neighbours in `points` (N, d) are neighbours in `features` too, 0..1; Venna & Kaski 2001,
// as scikit-learn: k neighbours, k < N / 2. Exact, N^2 D.
double Trustworthiness(const at::Tensor& features, const at::Tensor& points, int64_t k = 5,
                       Distance distance = Distance::kEuclidean);

struct ProjectionOptions {
  int64_t rows = 5000;  // larger sets are drawn from by StratifiedRows
  int64_t pca = 50;     // t-SNE and UMAP see this many principal components; 0 = all channels
  bool unit = true;     // rows are L2-normalised first, so that distances rank as cosines
  TsneOptions tsne;
  UmapOptions umap;
  uint64_t seed = 0;
};
struct Projection {
  std::string method;          // "pca", "tsne" or "umap"
  std::vector<int64_t> rows;   // of the features, sorted; which were drawn
  at::Tensor points;           // (rows.size(), 2) fp32
  double trustworthiness = 0;  // against the (normalised) features, k = 5
};
// method: "pca", "tsne", "umap"; ConfigError otherwise. labels (N), negative = none; for the draw
// only: no picture sees them.
Projection Project(const std::string& method, const at::Tensor& features, const at::Tensor& labels,
                   const ProjectionOptions& options);

}  // namespace eosin::eval
