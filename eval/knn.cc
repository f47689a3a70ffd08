// SPDX-License-Identifier: Apache-2.0
#include "eval/knn.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <algorithm>
#include <numeric>

#include "core/base/error.h"

namespace eosin::eval {
namespace {

at::Tensor Normalized(const at::Tensor& features) {
  const at::Tensor values = features.to(at::kFloat);
  return values / values.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
}

struct Nearest {
  at::Tensor value, index;  // (m, k), nearest first; value: what VotesOf takes
};

// `bank` and `queries` as Prepare made them.
Nearest Search(const at::Tensor& bank, const at::Tensor& queries, int64_t k, KnnVote vote) {
  if (vote == KnnVote::kExp) {
    auto [similarity, index] = at::topk(at::matmul(queries, bank.t()), k, 1);
    // Relative to the nearest: the winner is the same, and a low temperature cannot overflow.
    const at::Tensor best = similarity.narrow(1, 0, 1);
    return {similarity - best, index};
  }
  const at::Tensor squares = at::addmm(bank.square().sum(1).unsqueeze(0), queries, bank.t(), 1, -2);
  const at::Tensor index = std::get<1>(at::topk(squares, k, 1, /*largest=*/false));
  // The expanded square has no digits left between near duplicates, where 1 / d is largest.
  const at::Tensor found =
      bank.index_select(0, index.flatten()).view({queries.size(0), k, bank.size(1)});
  const at::Tensor distance = (found - queries.unsqueeze(1)).square_().sum(2).sqrt_();
  const auto [sorted, order] = distance.sort(/*stable=*/true, /*dim=*/1, /*descending=*/false);
  return {sorted, index.gather(1, order)};
}

at::Tensor VotesOf(const at::Tensor& value, KnnVote vote, double temperature) {
  return vote == KnnVote::kExp ? (value / temperature).exp() : (value + 1e-5).reciprocal();
}

}  // namespace

at::Tensor KnnPredictMany(const at::Tensor& bank, const at::Tensor& bank_labels,
                          const at::Tensor& queries, int64_t classes,
                          const std::vector<int64_t>& ks, const KnnOptions& options) {
  return KnnPredictMany(bank, bank_labels, queries, classes, ks,
                        std::vector<double>(ks.size(), options.temperature), options);
}

at::Tensor KnnPredictMany(const at::Tensor& bank, const at::Tensor& bank_labels,
                          const at::Tensor& queries, int64_t classes,
                          const std::vector<int64_t>& ks, const std::vector<double>& temperatures,
                          const KnnOptions& options) {
  if (bank.dim() != 2 || queries.dim() != 2 || bank.size(0) == 0 ||
      bank.size(1) != queries.size(1) || bank_labels.numel() != bank.size(0)) {
    throw core::DataError("kNN needs features (N,D) with N labels, and queries (M,D)",
                          "give it the features of one encoder");
  }
  for (const int64_t k : ks) {
    if (k >= 1) continue;
    throw core::ConfigError(fmt::format("kNN with k = {}", k), "use a k of 1 or more");
  }
  if (temperatures.size() != ks.size()) {
    throw core::ConfigError(
        fmt::format("kNN with {} k and {} temperatures", ks.size(), temperatures.size()),
        "give each k its temperature");
  }
  const at::NoGradGuard no_grad;
  const int64_t lists = static_cast<int64_t>(ks.size()), count = queries.size(0);
  const at::Tensor labels = bank_labels.to(at::kLong);
  at::Tensor predicted = at::empty({lists, count}, labels.options());
  if (ks.empty() || count == 0) return predicted;
  // Ascending within a temperature, so that each k adds its votes to those of the k before.
  std::vector<size_t> order(ks.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(temperatures[a], ks[a]) < std::pair(temperatures[b], ks[b]);
  });
  const int64_t most = std::min(*std::max_element(ks.begin(), ks.end()), bank.size(0));
  // Euclidean distances do not change when all rows are moved; their digits do.
  const bool exp_vote = options.vote == KnnVote::kExp;
  const at::Tensor centre = exp_vote ? at::Tensor() : bank.to(at::kFloat).mean(0, true);
  const auto prepare = [&](const at::Tensor& rows) {
    return exp_vote ? Normalized(rows) : rows.to(at::kFloat) - centre;
  };
  const at::Tensor keys = prepare(bank);
  // The Euclidean search holds (block, k, D).
  const int64_t block = exp_vote ? options.block : std::min<int64_t>(options.block, 64);
  for (int64_t begin = 0; begin < count; begin += block) {
    const int64_t rows = std::min(block, count - begin);
    const Nearest near = Search(keys, prepare(queries.narrow(0, begin, rows)), most, options.vote);
    const at::Tensor voted = labels.index_select(0, near.index.flatten()).view_as(near.index);
    at::Tensor votes, scores;
    int64_t done = 0;
    double temperature = 0;
    for (const size_t list : order) {
      if (!votes.defined() || temperatures[list] != temperature) {
        temperature = temperatures[list];
        votes = VotesOf(near.value, options.vote, temperature);
        scores = at::zeros({rows, classes}, votes.options());
        done = 0;
      }
      const int64_t k = std::min(ks[list], most);
      if (k > done) {
        scores.scatter_add_(1, voted.narrow(1, done, k - done), votes.narrow(1, done, k - done));
      }
      done = k;
      predicted[static_cast<int64_t>(list)].narrow(0, begin, rows).copy_(scores.argmax(1));
    }
  }
  return predicted;
}

at::Tensor KnnPredict(const at::Tensor& bank, const at::Tensor& bank_labels,
                      const at::Tensor& queries, int64_t classes, const KnnOptions& options) {
  return KnnPredictMany(bank, bank_labels, queries, classes, {options.k}, options)[0];
}

std::vector<double> KnnAccuracies(const at::Tensor& bank, const at::Tensor& bank_labels,
                                  const at::Tensor& queries, const at::Tensor& query_labels,
                                  int64_t classes, const std::vector<int64_t>& ks,
                                  const KnnOptions& options) {
  if (queries.size(0) == 0) {
    throw core::DataError("kNN accuracy of no queries", "give it at least one labelled image");
  }
  const at::Tensor predicted = KnnPredictMany(bank, bank_labels, queries, classes, ks, options);
  const at::Tensor right = predicted.eq(query_labels.to(at::kLong).unsqueeze(0))
                               .to(at::kDouble)
                               .mean(1)
                               .cpu()
                               .contiguous();
  const double* shares = right.const_data_ptr<double>();
  return {shares, shares + right.numel()};
}

double KnnAccuracy(const at::Tensor& bank, const at::Tensor& bank_labels, const at::Tensor& queries,
                   const at::Tensor& query_labels, int64_t classes, const KnnOptions& options) {
  return KnnAccuracies(bank, bank_labels, queries, query_labels, classes, {options.k}, options)[0];
}

}  // namespace eosin::eval
