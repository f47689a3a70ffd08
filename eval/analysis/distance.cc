// SPDX-License-Identifier: Apache-2.0
#include "eval/analysis/distance.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/topk.h>
#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

#include "core/base/error.h"
#include "core/base/philox.h"

namespace eosin::eval {

void CheckRows(const at::Tensor& features) {
  if (!features.defined() || features.dim() != 2 || features.size(1) == 0 ||
      !features.is_floating_point()) {
    throw core::DataError("an analysis of embeddings needs features (N, D) of floats",
                          "give it the features of one encoder, a row an image");
  }
}

void CheckSameRows(const at::Tensor& x, const at::Tensor& y) {
  CheckRows(x);
  CheckRows(y);
  if (x.sizes() != y.sizes()) {
    throw core::DataError("two sets of features that are compared row by row differ in shape",
                          "embed the same images by encoders of one width");
  }
}

void CheckLabels(const at::Tensor& features, const at::Tensor& labels) {
  CheckRows(features);
  if (!labels.defined() || labels.dim() != 1 || labels.size(0) != features.size(0) ||
      labels.scalar_type() != at::kLong || !labels.is_cpu()) {
    throw core::DataError("labels must be one integer a row of the features, on the CPU",
                          "give the labels of the embedded images in their order");
  }
}

void CheckFinite(const at::Tensor& features) {
  if (!features.isfinite().all().item<bool>()) {
    throw core::DataError("features hold values that are not finite",
                          "the encoder diverged, or was fed damaged images; look at its run");
  }
}

at::Tensor AtLeastFloat(const at::Tensor& features) {
  return features.scalar_type() == at::kDouble ? features : features.to(at::kFloat);
}

at::Tensor UnitRows(const at::Tensor& features) {
  const at::Tensor values = AtLeastFloat(features);
  return values / values.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
}

at::Tensor RowsFor(const at::Tensor& features, Distance distance) {
  if (distance == Distance::kCosine) return UnitRows(features);
  const at::Tensor values = AtLeastFloat(features);
  return values - values.mean(0, true);
}

at::Tensor Distances(const at::Tensor& a, const at::Tensor& b, Distance distance) {
  if (distance == Distance::kCosine) return at::matmul(a, b.t()).neg_().add_(1).clamp_min_(0);
  const at::Tensor norms = b.square().sum(1).unsqueeze(0);
  return at::addmm(norms, a, b.t(), 1, -2).add_(a.square().sum(1, true)).clamp_min_(0).sqrt_();
}

Neighbours NearestNeighbours(const at::Tensor& features, int64_t k, Distance distance,
                             int64_t block) {
  CheckRows(features);
  const at::NoGradGuard no_grad;
  const at::Tensor rows = RowsFor(features, distance);
  const int64_t n = rows.size(0);
  k = std::clamp<int64_t>(k, 0, std::max<int64_t>(n - 1, 0));
  const int64_t candidates = std::min(k + 8, std::max<int64_t>(n - 1, 0));
  Neighbours near{at::empty({n, k}, rows.options().dtype(at::kLong)),
                  at::empty({n, k}, rows.options())};
  if (k == 0) return near;
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t count = std::min(block, n - begin);
    const at::Tensor mine = rows.narrow(0, begin, count);
    at::Tensor all = Distances(mine, rows, distance);
    all.narrow(1, begin, count).fill_diagonal_(std::numeric_limits<double>::infinity());
    const at::Tensor index = std::get<1>(at::topk(all, candidates, 1, /*largest=*/false));
    const at::Tensor others =
        rows.index_select(0, index.flatten()).view({count, candidates, rows.size(1)});
    // Between unit rows |a - b|^2 = 2 (1 - cos); rows of zeros keep what the product says.
    at::Tensor exact = (others - mine.unsqueeze(1)).square_().sum(2);
    if (distance == Distance::kCosine) {
      const at::Tensor unit = mine.square().sum(1, true).gt(0.5);
      const at::Tensor other_unit = others.square().sum(2).gt(0.5);
      exact = (exact * 0.5).where(unit.logical_and(other_unit), all.gather(1, index));
    } else {
      exact.sqrt_();
    }
    const auto [sorted, order] = exact.sort(/*stable=*/true, /*dim=*/1, /*descending=*/false);
    near.distance.narrow(0, begin, count).copy_(sorted.narrow(1, 0, k));
    near.index.narrow(0, begin, count).copy_(index.gather(1, order).narrow(1, 0, k));
  }
  return near;
}

std::vector<int64_t> StratifiedRows(const at::Tensor& labels, int64_t count, uint64_t seed) {
  const at::Tensor contiguous = labels.to(at::kLong).contiguous();
  const int64_t* label = contiguous.const_data_ptr<int64_t>();
  const int64_t n = contiguous.numel();
  std::map<int64_t, std::vector<int64_t>> classes;
  for (int64_t i = 0; i < n; ++i) classes[std::max<int64_t>(label[i], -1)].push_back(i);
  std::vector<int64_t> rows;
  if (count >= n) {
    rows.resize(static_cast<size_t>(n));
    std::iota(rows.begin(), rows.end(), int64_t{0});
    return rows;
  }
  // Largest remainder, with one row a class first.
  struct Share {
    int64_t key, take, remainder;
  };
  std::vector<Share> shares;
  int64_t given = 0;
  for (const auto& [key, members] : classes) {
    const int64_t size = static_cast<int64_t>(members.size());
    const int64_t take = std::min(size, std::max<int64_t>(size * count / n, 1));
    shares.push_back({key, take, size * count % n});
    given += take;
  }
  std::stable_sort(shares.begin(), shares.end(),
                   [](const Share& a, const Share& b) { return a.remainder > b.remainder; });
  for (size_t s = 0; given < count; s = (s + 1) % shares.size()) {
    if (shares[s].take == static_cast<int64_t>(classes[shares[s].key].size())) continue;
    ++shares[s].take;
    ++given;
  }
  while (given > count) {  // many tiny classes: the largest give back, at last the smallest go
    auto most = std::max_element(shares.begin(), shares.end(),
                                 [](const Share& a, const Share& b) { return a.take < b.take; });
    --most->take;
    --given;
  }
  for (const Share& share : shares) {
    std::vector<int64_t>& members = classes[share.key];
    core::Shuffle(members, core::PhiloxStream(seed, core::DrawPurpose::kAnalysis, 0,
                                              static_cast<uint32_t>(share.key + 1)));
    rows.insert(rows.end(), members.begin(), members.begin() + share.take);
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace eosin::eval
