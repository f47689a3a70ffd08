// SPDX-License-Identifier: Apache-2.0
// Weighted k-nearest-neighbour classification of features (Wu et al., InstDisc, arXiv 1805.01978):
// cosine similarity s, each of the k nearest votes exp(s / temperature) for its class.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace eosin::eval {

struct KnnOptions {
  int64_t k = 200;  // lowered to the number of bank features
  double temperature = 0.1;
  int64_t block = 1024;  // queries a matrix product; bounds memory, changes nothing
};

// bank (N,D) float, bank_labels (N) int64 in [0, classes), queries (M,D) float, all on one device.
// Returns the predicted class of each query, (M) int64. Features need not be normalised.
at::Tensor KnnPredict(const at::Tensor& bank, const at::Tensor& bank_labels,
                      const at::Tensor& queries, int64_t classes, const KnnOptions& options);

// Share of queries predicted right, 0..1.
double KnnAccuracy(const at::Tensor& bank, const at::Tensor& bank_labels, const at::Tensor& queries,
                   const at::Tensor& query_labels, int64_t classes, const KnnOptions& options);

}  // namespace eosin::eval
