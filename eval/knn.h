// SPDX-License-Identifier: Apache-2.0
// Weighted k-nearest-neighbour classification of features, exact.
//
// kExp: cosine similarity s, each of the k nearest votes exp(s / temperature) for its class (Wu et
// al., InstDisc, arXiv 1805.01978; lightly and DINO vote so). kInverseDistance: Euclidean distance
// d of the features as they are, each votes 1 / (d + 1e-5) (solo-learn's default). The class with
// the largest sum wins; of equal sums the lowest class.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace eosin::eval {

enum class KnnVote { kExp, kInverseDistance };

struct KnnOptions {
  int64_t k = 200;  // lowered to the number of bank features
  double temperature = 0.1;
  int64_t block = 1024;  // queries a matrix product; bounds memory, changes nothing
  KnnVote vote = KnnVote::kExp;
};

// What published protocols use: 1, 5 (W-MSE), 10, 20 (DINO, solo-learn), 200 (InstDisc, lightly).
inline const std::vector<int64_t> kUsualKs = {1, 5, 10, 20, 200};

// bank (N,D) float, bank_labels (N) int64 in [0, classes), queries (M,D) float, all on one device.
// Returns the predicted class of each query, (M) int64. Features need not be normalised.
at::Tensor KnnPredict(const at::Tensor& bank, const at::Tensor& bank_labels,
                      const at::Tensor& queries, int64_t classes, const KnnOptions& options);

// The same for each k of a list from one search: (ks.size(), M). options.k is not read. A k above
// the number of bank features is lowered to it. ConfigError for a k below 1.
at::Tensor KnnPredictMany(const at::Tensor& bank, const at::Tensor& bank_labels,
                          const at::Tensor& queries, int64_t classes,
                          const std::vector<int64_t>& ks, const KnnOptions& options);

// The same, each k with a temperature of its own (kExp): still one search. options.temperature is
// not read. ConfigError unless there is one temperature a k.
at::Tensor KnnPredictMany(const at::Tensor& bank, const at::Tensor& bank_labels,
                          const at::Tensor& queries, int64_t classes,
                          const std::vector<int64_t>& ks, const std::vector<double>& temperatures,
                          const KnnOptions& options);

// Share of queries predicted right, 0..1.
double KnnAccuracy(const at::Tensor& bank, const at::Tensor& bank_labels, const at::Tensor& queries,
                   const at::Tensor& query_labels, int64_t classes, const KnnOptions& options);

// One share a k.
std::vector<double> KnnAccuracies(const at::Tensor& bank, const at::Tensor& bank_labels,
                                  const at::Tensor& queries, const at::Tensor& query_labels,
                                  int64_t classes, const std::vector<int64_t>& ks,
                                  const KnnOptions& options);

}  // namespace eosin::eval
