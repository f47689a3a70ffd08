// SPDX-License-Identifier: Apache-2.0
#include "eval/analysis/clusters.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "core/base/error.h"

namespace eosin::eval {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// The labelled rows alone, their labels, and how many rows each class has.
struct Labelled {
  at::Tensor features, labels;
  std::vector<double> count;
  int64_t present = 0;
};

Labelled KeepLabelled(const at::Tensor& features, const at::Tensor& labels) {
  CheckLabels(features, labels);
  CheckFinite(features);
  Labelled kept{features, labels.contiguous(), {}, 0};
  const at::Tensor mask = labels.ge(0);
  if (!mask.all().item<bool>()) {
    const at::Tensor rows = mask.nonzero().squeeze(1);
    kept.features = features.index_select(0, rows);
    kept.labels = labels.index_select(0, rows);
  }
  const int64_t* label = kept.labels.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < kept.labels.numel(); ++i) {
    if (label[i] >= static_cast<int64_t>(kept.count.size())) {
      kept.count.resize(static_cast<size_t>(label[i]) + 1);
    }
    if (kept.count[static_cast<size_t>(label[i])]++ == 0) ++kept.present;
  }
  return kept;
}

// Silhouette of one sample from the sums of its distances to each class.
double Silhouette(const double* sums, size_t own, const std::vector<double>& count) {
  if (count[own] < 2) return 0;
  const double a = sums[own] / (count[own] - 1);
  double b = std::numeric_limits<double>::infinity();
  for (size_t c = 0; c < count.size(); ++c) {
    if (c != own && count[c] > 0) b = std::min(b, sums[c] / count[c]);
  }
  const double larger = std::max(a, b);
  return larger > 0 ? (b - a) / larger : 0;
}

}  // namespace

ClassDistances MeasureClasses(const at::Tensor& features, const at::Tensor& labels,
                              Distance distance, int64_t block) {
  const at::NoGradGuard no_grad;
  const Labelled data = KeepLabelled(features, labels);
  const size_t classes = data.count.size();
  const int64_t c = static_cast<int64_t>(classes), n = data.features.size(0);
  ClassDistances result{kNaN, kNaN, kNaN, kNaN, at::full({c, c}, kNaN, at::kDouble)};
  if (n == 0) return result;
  const at::Tensor rows = RowsFor(data.features, distance);
  at::Tensor one_hot = at::zeros({n, c}, rows.options());
  one_hot.scatter_(1, data.labels.unsqueeze(1), 1);
  std::vector<double> sums(classes * classes);
  double silhouette = 0;
  const int64_t* label = data.labels.const_data_ptr<int64_t>();
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t count = std::min(block, n - begin);
    at::Tensor all = Distances(rows.narrow(0, begin, count), rows, distance);
    all.narrow(1, begin, count).fill_diagonal_(0);
    const at::Tensor to_class = at::matmul(all, one_hot).to(at::kDouble).contiguous();
    for (int64_t i = 0; i < count; ++i) {
      const double* row = to_class.const_data_ptr<double>() + i * c;
      const size_t own = static_cast<size_t>(label[begin + i]);
      silhouette += Silhouette(row, own, data.count);
      for (size_t k = 0; k < classes; ++k) sums[own * classes + k] += row[k];
    }
  }
  double within = 0, within_pairs = 0, across = 0, across_pairs = 0;
  double* between = result.between.data_ptr<double>();
  for (size_t i = 0; i < classes; ++i) {
    for (size_t j = 0; j < classes; ++j) {
      const double sum = sums[i * classes + j];
      const double pairs = data.count[i] * (i == j ? data.count[i] - 1 : data.count[j]);
      if (pairs > 0) between[i * classes + j] = sum / pairs;
      (i == j ? within : across) += sum;
      (i == j ? within_pairs : across_pairs) += pairs;
    }
  }
  if (within_pairs > 0) result.intra = within / within_pairs;
  if (across_pairs > 0) result.inter = across / across_pairs;
  if (result.inter > 0) result.ratio = result.intra / result.inter;
  if (data.present >= 2) result.silhouette = silhouette / static_cast<double>(n);
  return result;
}

at::Tensor ClassCentroids(const at::Tensor& features, const at::Tensor& labels, int64_t classes) {
  CheckLabels(features, labels);
  const at::NoGradGuard no_grad;
  at::Tensor sums = at::zeros({classes + 1, features.size(1)}, at::kDouble);
  at::Tensor counts = at::zeros({classes + 1}, at::kDouble);
  // Rows without a class of interest go to one more, which is dropped.
  const at::Tensor slot = labels.where(labels.ge(0).logical_and(labels.lt(classes)), classes);
  constexpr int64_t kRows = 4096;  // bounds the fp64 copy
  for (int64_t begin = 0; begin < features.size(0); begin += kRows) {
    const int64_t count = std::min(kRows, features.size(0) - begin);
    const at::Tensor part = slot.narrow(0, begin, count);
    sums.index_add_(0, part, features.narrow(0, begin, count).to(at::kDouble));
    counts.index_add_(0, part, at::full({count}, 1.0, at::kDouble));
  }
  return sums.narrow(0, 0, classes) / counts.narrow(0, 0, classes).unsqueeze(1);  // 0 / 0 = NaN
}

double DaviesBouldin(const at::Tensor& features, const at::Tensor& labels) {
  const at::NoGradGuard no_grad;
  const Labelled data = KeepLabelled(features, labels);
  if (data.present < 2) return kNaN;
  const size_t classes = data.count.size();
  const int64_t n = data.features.size(0);
  const at::Tensor centroids =
      ClassCentroids(data.features, data.labels, static_cast<int64_t>(classes));
  std::vector<double> spread(classes);
  const int64_t* label = data.labels.const_data_ptr<int64_t>();
  constexpr int64_t kRows = 4096;
  for (int64_t begin = 0; begin < n; begin += kRows) {
    const int64_t count = std::min(kRows, n - begin);
    const at::Tensor own = centroids.index_select(0, data.labels.narrow(0, begin, count));
    const at::Tensor apart =
        (data.features.narrow(0, begin, count).to(at::kDouble) - own).norm(2, {1}).contiguous();
    for (int64_t i = 0; i < count; ++i) {
      const size_t c = static_cast<size_t>(label[begin + i]);
      spread[c] += apart.const_data_ptr<double>()[i] / data.count[c];
    }
  }
  double sum = 0;
  for (size_t i = 0; i < classes; ++i) {
    if (data.count[i] == 0) continue;
    double worst = 0;
    for (size_t j = 0; j < classes; ++j) {
      if (j == i || data.count[j] == 0) continue;
      const double apart = (centroids[static_cast<int64_t>(i)] - centroids[static_cast<int64_t>(j)])
                               .norm()
                               .item<double>();
      const double both = spread[i] + spread[j];
      // Two classes in one place are as bad as can be, unless they are points.
      if (apart > 0) {
        worst = std::max(worst, both / apart);
      } else if (both > 0) {
        worst = std::numeric_limits<double>::infinity();
      }
    }
    sum += worst;
  }
  return sum / static_cast<double>(data.present);
}

Agreement CompareLabels(const at::Tensor& a, const at::Tensor& b) {
  if (a.dim() != 1 || a.sizes() != b.sizes() || a.scalar_type() != at::kLong ||
      b.scalar_type() != at::kLong) {
    throw core::DataError("two labellings that are compared must have one integer a sample each",
                          "label the same samples");
  }
  const at::Tensor first = a.cpu().contiguous(), second = b.cpu().contiguous();
  const double n = static_cast<double>(first.numel());
  std::map<std::pair<int64_t, int64_t>, double> both;
  std::map<int64_t, double> left, right;
  for (int64_t i = 0; i < first.numel(); ++i) {
    const int64_t x = first.const_data_ptr<int64_t>()[i], y = second.const_data_ptr<int64_t>()[i];
    ++both[{x, y}];
    ++left[x];
    ++right[y];
  }
  if (left.size() <= 1 && right.size() <= 1) return {1, 1};
  double information = 0, pairs_both = 0, pairs_left = 0, pairs_right = 0;
  for (const auto& [key, count] : both) {
    information += count / n * std::log(n * count / (left[key.first] * right[key.second]));
    pairs_both += count * (count - 1) / 2;
  }
  const auto entropy = [n](const std::map<int64_t, double>& counts, double* pairs) {
    double sum = 0;
    for (const auto& [key, count] : counts) {
      sum -= count / n * std::log(count / n);
      *pairs += count * (count - 1) / 2;
    }
    return sum;
  };
  const double mean = (entropy(left, &pairs_left) + entropy(right, &pairs_right)) / 2;
  Agreement agreement;
  agreement.nmi = mean > 0 ? std::max(0.0, information / mean) : 0;
  const double expected = pairs_left * pairs_right / (n * (n - 1) / 2);
  const double largest = (pairs_left + pairs_right) / 2;
  agreement.ari = largest > expected ? (pairs_both - expected) / (largest - expected) : 1;
  return agreement;
}

}  // namespace eosin::eval
