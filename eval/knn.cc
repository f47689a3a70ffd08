// SPDX-License-Identifier: Apache-2.0
#include "eval/knn.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros.h>
#include <algorithm>

#include "core/base/error.h"

namespace eosin::eval {
namespace {

at::Tensor Normalized(const at::Tensor& features) {
  const at::Tensor values = features.to(at::kFloat);
  return values / values.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
}

}  // namespace

at::Tensor KnnPredict(const at::Tensor& bank, const at::Tensor& bank_labels,
                      const at::Tensor& queries, int64_t classes, const KnnOptions& options) {
  if (bank.dim() != 2 || queries.dim() != 2 || bank.size(0) == 0 ||
      bank.size(1) != queries.size(1) || bank_labels.numel() != bank.size(0)) {
    throw core::DataError("kNN needs features (N,D) with N labels, and queries (M,D)",
                          "give it the features of one encoder");
  }
  const at::NoGradGuard no_grad;
  const int64_t k = std::min(options.k, bank.size(0));
  const at::Tensor keys = Normalized(bank).t();
  const at::Tensor labels = bank_labels.to(at::kLong);
  std::vector<at::Tensor> predictions;
  for (int64_t begin = 0; begin < queries.size(0); begin += options.block) {
    const int64_t count = std::min(options.block, queries.size(0) - begin);
    const at::Tensor block = Normalized(queries.narrow(0, begin, count));
    const auto [similarity, nearest] = at::topk(at::matmul(block, keys), k, 1);
    const at::Tensor votes = (similarity / options.temperature).exp();
    at::Tensor scores = at::zeros({count, classes}, votes.options());
    scores.scatter_add_(1, labels.index_select(0, nearest.flatten()).view_as(nearest), votes);
    predictions.push_back(scores.argmax(1));
  }
  if (predictions.empty()) return at::empty({0}, labels.options());
  return at::cat(predictions);
}

double KnnAccuracy(const at::Tensor& bank, const at::Tensor& bank_labels, const at::Tensor& queries,
                   const at::Tensor& query_labels, int64_t classes, const KnnOptions& options) {
  if (queries.size(0) == 0) {
    throw core::DataError("kNN accuracy of no queries", "give it at least one labelled image");
  }
  const at::Tensor predicted = KnnPredict(bank, bank_labels, queries, classes, options);
  return predicted.eq(query_labels.to(at::kLong)).to(at::kDouble).mean().item<double>();
}

}  // namespace eosin::eval
