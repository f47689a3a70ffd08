// SPDX-License-Identifier: Apache-2.0
#include "eval/analysis/drift.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "eval/analysis/clusters.h"
#include "eval/analysis/distance.h"

namespace eosin::eval {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kRows = 4096;  // bounds the fp64 copies

void CheckPaired(const at::Tensor& x, const at::Tensor& y) {
  CheckRows(x);
  CheckRows(y);
  if (x.size(0) != y.size(0)) {
    throw core::DataError("two encoders are compared on different numbers of images",
                          "embed the same images by both");
  }
}

// |X'Y|_F of centred columns.
double CrossNorm(const at::Tensor& x, const at::Tensor& y) {
  const at::Tensor mean_x = x.mean(0, false, at::kDouble), mean_y = y.mean(0, false, at::kDouble);
  at::Tensor product = at::zeros({x.size(1), y.size(1)}, x.options().dtype(at::kDouble));
  for (int64_t begin = 0; begin < x.size(0); begin += kRows) {
    const int64_t count = std::min(kRows, x.size(0) - begin);
    const at::Tensor part_x = x.narrow(0, begin, count).to(at::kDouble) - mean_x;
    const at::Tensor part_y = y.narrow(0, begin, count).to(at::kDouble) - mean_y;
    product.addmm_(part_x.t(), part_y);
  }
  return product.norm().item<double>();
}

// Centroids of the present classes, less their mean.
at::Tensor CentredCentroids(const at::Tensor& features, const at::Tensor& labels,
                            const std::vector<int64_t>& present, int64_t classes) {
  const at::Tensor all = ClassCentroids(features, labels, classes);
  at::Tensor kept = at::zeros({static_cast<int64_t>(present.size()), all.size(1)}, at::kDouble);
  for (size_t i = 0; i < present.size(); ++i) {
    kept[static_cast<int64_t>(i)].copy_(all[present[i]]);
  }
  return kept - kept.mean(0, true);
}

// Distances between all pairs of rows.
std::vector<double> PairDistances(const at::Tensor& rows) {
  std::vector<double> distances;
  for (int64_t i = 0; i < rows.size(0); ++i) {
    for (int64_t j = 0; j < i; ++j) distances.push_back((rows[i] - rows[j]).norm().item<double>());
  }
  return distances;
}

double Pearson(const std::vector<double>& a, const std::vector<double>& b) {
  const double n = static_cast<double>(a.size());
  double mean_a = 0, mean_b = 0, aa = 0, bb = 0, ab = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    mean_a += a[i] / n;
    mean_b += b[i] / n;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
    ab += (a[i] - mean_a) * (b[i] - mean_b);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : kNaN;
}

bool IsParameter(const core::TensorBlob& tensor) {
  if (!core::IsFloating(tensor.dtype)) return false;
  const std::string& name = tensor.name;
  return !name.ends_with("running_mean") && !name.ends_with("running_var");
}

std::string StageOf(const std::string& name) {
  const std::string first = name.substr(0, name.find('.'));
  return first == "conv1" || first == "bn1" ? "stem" : first;
}

}  // namespace

double LinearCka(const at::Tensor& x, const at::Tensor& y) {
  CheckPaired(x, y);
  const at::NoGradGuard no_grad;
  if (x.size(0) < 2) return kNaN;
  const double scale = CrossNorm(x, x) * CrossNorm(y, y);
  const double cross = CrossNorm(x, y);
  return scale > 0 ? cross * cross / scale : kNaN;
}

double MeanCosine(const at::Tensor& x, const at::Tensor& y) {
  CheckSameRows(x, y);
  const at::NoGradGuard no_grad;
  if (x.size(0) == 0) return kNaN;
  return (UnitRows(x) * UnitRows(y)).sum(1).mean(0, false, at::kDouble).item<double>();
}

CentroidFacts CompareCentroids(const at::Tensor& x, const at::Tensor& y, const at::Tensor& labels) {
  CheckPaired(x, y);
  CheckLabels(x, labels);
  const at::NoGradGuard no_grad;
  CentroidFacts facts{{}, kNaN, kNaN, kNaN};
  const at::Tensor contiguous = labels.contiguous();
  std::vector<int64_t> present(contiguous.const_data_ptr<int64_t>(),
                               contiguous.const_data_ptr<int64_t>() + contiguous.numel());
  std::sort(present.begin(), present.end());
  present.erase(std::unique(present.begin(), present.end()), present.end());
  present.erase(present.begin(), std::lower_bound(present.begin(), present.end(), 0));
  if (present.empty()) return facts;
  const int64_t classes = present.back() + 1;
  const at::Tensor a = CentredCentroids(x, labels, present, classes);
  const at::Tensor b = CentredCentroids(y, labels, present, classes);
  if (present.size() >= 3) facts.geometry = Pearson(PairDistances(a), PairDistances(b));
  if (x.size(1) != y.size(1) || present.size() < 2) return facts;
  const double size = a.norm(2, {1}).mean().item<double>();
  facts.mean_cosine = facts.mean_distance = 0;
  for (size_t i = 0; i < present.size(); ++i) {
    const at::Tensor from = a[static_cast<int64_t>(i)], to = b[static_cast<int64_t>(i)];
    CentroidDrift one;
    one.label = present[i];
    one.cosine = from.dot(to).item<double>() /
                 std::max(from.norm().item<double>() * to.norm().item<double>(), 1e-300);
    one.distance = (to - from).norm().item<double>() / std::max(size, 1e-300);
    facts.mean_cosine += one.cosine / static_cast<double>(present.size());
    facts.mean_distance += one.distance / static_cast<double>(present.size());
    facts.classes.push_back(one);
  }
  return facts;
}

std::vector<StageDrift> CompareWeights(const core::StateDict& a, const core::StateDict& b) {
  struct Sums {
    double aa = 0, bb = 0, ab = 0, apart = 0;
  };
  std::vector<StageDrift> stages;
  std::vector<Sums> sums;
  const auto refuse = [](const std::string& name) {
    throw core::WeightsError("weight drift: " + name + " is not the same tensor in both encoders",
                             "compare encoders of one architecture");
  };
  for (const core::TensorBlob& other : b.tensors) {
    if (IsParameter(other) && !a.Find(other.name)) refuse(other.name);
  }
  for (const core::TensorBlob& tensor : a.tensors) {
    if (!IsParameter(tensor)) continue;
    const core::TensorBlob* other = b.Find(tensor.name);
    if (!other || other->shape != tensor.shape || !core::IsFloating(other->dtype)) {
      refuse(tensor.name);
    }
    const std::string stage = StageOf(tensor.name);
    size_t at = 0;
    while (at < stages.size() && stages[at].stage != stage) ++at;
    if (at == stages.size()) {
      stages.push_back({stage, 0, 0, 0});
      sums.emplace_back();
    }
    const std::vector<float> from = core::ToFloats(tensor), to = core::ToFloats(*other);
    for (size_t i = 0; i < from.size(); ++i) {
      const double p = from[i], q = to[i];
      sums[at].aa += p * p;
      sums[at].bb += q * q;
      sums[at].ab += p * q;
      sums[at].apart += (q - p) * (q - p);
    }
    stages[at].parameters += static_cast<int64_t>(from.size());
  }
  for (size_t i = 0; i < stages.size(); ++i) {
    const Sums& sum = sums[i];
    stages[i].relative = sum.aa > 0 ? std::sqrt(sum.apart / sum.aa) : kNaN;
    stages[i].cosine = sum.aa > 0 && sum.bb > 0 ? sum.ab / std::sqrt(sum.aa * sum.bb) : kNaN;
  }
  return stages;
}

}  // namespace eosin::eval
