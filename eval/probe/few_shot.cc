// SPDX-License-Identifier: Apache-2.0
#include "eval/probe/few_shot.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <map>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/philox.h"
#include "eval/analysis/distance.h"
#include "eval/probe/linear_probe.h"

namespace eosin::eval {

std::vector<int64_t> DrawShots(const std::vector<int64_t>& labels,
                               const std::vector<std::string>& groups, int64_t classes,
                               int64_t shots, uint64_t seed, int64_t draw) {
  std::vector<int64_t> drawn;
  for (int64_t c = 0; c < classes; ++c) {
    std::map<std::string, std::vector<int64_t>> by_group;
    int64_t count = 0;
    for (size_t p = 0; p < labels.size(); ++p) {
      if (labels[p] != c) continue;
      by_group[groups[p]].push_back(static_cast<int64_t>(p));
      ++count;
    }
    if (count < shots) {
      throw core::DataError(
          fmt::format("{} shots a class were asked for, but class {} has {} training images", shots,
                      c, count),
          "lower eval.shots");
    }
    std::vector<std::vector<int64_t>> piles;
    for (auto& [name, pile] : by_group) piles.push_back(std::move(pile));
    core::PhiloxStream stream(seed, core::DrawPurpose::kSplit, static_cast<uint32_t>(draw),
                              static_cast<uint32_t>(c), 3);
    for (size_t i = piles.size(); i > 1; --i) {
      std::swap(piles[i - 1], piles[stream.Below(static_cast<uint32_t>(i))]);
    }
    for (auto& pile : piles) {
      for (size_t i = pile.size(); i > 1; --i) {
        std::swap(pile[i - 1], pile[stream.Below(static_cast<uint32_t>(i))]);
      }
    }
    int64_t taken = 0;
    for (size_t round = 0; taken < shots; ++round) {
      for (const auto& pile : piles) {
        if (round >= pile.size() || taken == shots) continue;
        drawn.push_back(pile[round]);
        ++taken;
      }
    }
  }
  return drawn;
}

at::Tensor NearestCentroid(const at::Tensor& features, const at::Tensor& labels, int64_t classes,
                           const at::Tensor& queries) {
  const at::NoGradGuard no_grad;
  const at::Tensor rows = UnitRows(features);
  at::Tensor means = at::zeros({classes, rows.size(1)}, rows.options());
  means.index_add_(0, labels, rows);
  return at::matmul(UnitRows(queries), UnitRows(means).t()).argmax(1);
}

FewShotResult FewShot(const at::Tensor& train, const std::vector<int64_t>& labels,
                      const std::vector<std::string>& groups, const at::Tensor& test,
                      int64_t classes, const FewShotOptions& options) {
  const at::NoGradGuard no_grad;
  const at::Tensor mean = train.mean(0);
  at::Tensor std = train.std(0, /*unbiased=*/false);
  std = at::where(std > 1e-6 * mean.abs() + 1e-12, std, at::ones_like(std));
  const at::Tensor scaled_test = (test - mean) / std;

  LinearProbeOptions probe;
  probe.standardise = false;
  probe.l2 = 1.0 / static_cast<double>(options.shots * classes);
  probe.tolerance = 1e-4;  // scikit-learn's
  FewShotResult result;
  for (int64_t draw = 0; draw < options.draws; ++draw) {
    core::ThrowIfInterrupted();
    const std::vector<int64_t> places =
        DrawShots(labels, groups, classes, options.shots, options.seed, draw);
    std::vector<int64_t> shot_labels;
    for (const int64_t p : places) shot_labels.push_back(labels[static_cast<size_t>(p)]);
    const at::Tensor rows = train.index_select(0, at::tensor(places, at::kLong));
    const at::Tensor y = at::tensor(shot_labels, at::kLong);
    result.nearest.push_back(NearestCentroid(rows, y, classes, test));
    result.logistic.push_back(
        FitLinear((rows - mean) / std, y, classes, probe).Predict(scaled_test));
  }
  return result;
}

}  // namespace eosin::eval
