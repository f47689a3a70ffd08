// SPDX-License-Identifier: Apache-2.0
#include "pretrain/online_knn.h"

#include <ATen/ops/tensor.h>
#include <algorithm>
#include <cmath>
#include <map>

#include "core/base/philox.h"
#include "eval/embed.h"
#include "eval/knn.h"

namespace eosin::pretrain {
namespace {

at::Tensor Labels(const engine::ImageSource& source, const std::vector<int64_t>& indices) {
  std::vector<int64_t> labels;
  for (const int64_t i : indices) labels.push_back(source.label(i));
  return at::tensor(labels, at::kLong);
}

}  // namespace

KnnSplit SplitForKnn(const PretrainOptions& options, const engine::ImageSource& source) {
  KnnSplit split;
  std::vector<int64_t> labelled;
  for (int64_t i = 0; i < source.size(); ++i) {
    if (source.label(i) >= 0) labelled.push_back(i);
  }
  if (labelled.empty()) {
    split.problem = "the data has no labels";
    return split;
  }
  core::PhiloxStream draw(options.seed(), core::DrawPurpose::kSplit, 0, 0);
  if (static_cast<int64_t>(labelled.size()) > options.knn_images) {
    core::Shuffle(labelled, draw);
    labelled.resize(static_cast<size_t>(options.knn_images));
    std::sort(labelled.begin(), labelled.end());
  }
  std::map<std::string, std::vector<int64_t>> groups;
  for (const int64_t i : labelled) groups[source.group(i)].push_back(i);
  if (groups.size() < 2) {
    split.problem = "all labelled images belong to one slide or patient";
    return split;
  }
  std::vector<std::string> names;
  for (const auto& [name, images] : groups) names.push_back(name);
  core::Shuffle(names, core::PhiloxStream(options.seed(), core::DrawPurpose::kSplit, 0, 1));
  const auto held =
      std::clamp<int64_t>(std::llround(options.knn_holdout * static_cast<double>(names.size())), 1,
                          static_cast<int64_t>(names.size()) - 1);
  for (size_t g = 0; g < names.size(); ++g) {
    auto& part = static_cast<int64_t>(g) < held ? split.queries : split.bank;
    const auto& images = groups[names[g]];
    part.insert(part.end(), images.begin(), images.end());
  }
  std::sort(split.bank.begin(), split.bank.end());
  std::sort(split.queries.begin(), split.queries.end());
  return split;
}

double OnlineKnn(const PretrainOptions& options, const KnnSplit& split, engine::ResNet encoder,
                 const engine::ImageSource& source, const engine::Compute& compute,
                 const engine::Normalization& normalization, int workers) {
  eval::EmbedOptions embedding;
  embedding.size = options.size;
  embedding.batch = std::max<int64_t>(2 * options.batch, 16);
  embedding.workers = workers;
  embedding.normalization = normalization;
  const at::Tensor bank = eval::Embed(encoder, source, split.bank, embedding, compute);
  const at::Tensor queries = eval::Embed(encoder, source, split.queries, embedding, compute);
  return eval::KnnAccuracy(bank, Labels(source, split.bank), queries, Labels(source, split.queries),
                           static_cast<int64_t>(source.classes().size()),
                           {.k = options.knn_k, .temperature = options.knn_temperature});
}

}  // namespace eosin::pretrain
