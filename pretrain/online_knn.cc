// SPDX-License-Identifier: Apache-2.0
#include "pretrain/online_knn.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/nan_to_num.h>
#include <ATen/ops/tensor.h>
#include <algorithm>
#include <cmath>
#include <map>

#include <numeric>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "eval/analysis/spread.h"
#include "eval/embed.h"
#include "eval/knn.h"

namespace eosin::pretrain {
namespace {

at::Tensor Labels(const engine::ImageSource& source, const std::vector<int64_t>& indices) {
  std::vector<int64_t> labels;
  for (const int64_t i : indices) labels.push_back(source.label(i));
  return at::tensor(labels, at::kLong);
}

// Any images to measure features on.
void TakeSample(const PretrainOptions& options, const engine::ImageSource& source,
                KnnSplit* split) {
  split->sample.resize(static_cast<size_t>(source.size()));
  std::iota(split->sample.begin(), split->sample.end(), int64_t{0});
  if (source.size() <= kFeatureSample) return;
  core::Shuffle(split->sample, core::PhiloxStream(options.seed(), core::DrawPurpose::kSplit, 0, 2));
  split->sample.resize(kFeatureSample);
  std::sort(split->sample.begin(), split->sample.end());
}

void DropUnreadable(const engine::ImageSource& source, std::vector<int64_t>* images) {
  std::erase_if(*images, [&](int64_t i) {
    try {
      source.Read(i);
      return false;
    } catch (const core::DataError&) {
      return true;
    } catch (const core::StoreError&) {
      return true;
    }
  });
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
    TakeSample(options, source, &split);
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
    TakeSample(options, source, &split);
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

OnlineScore ScoreOnline(const PretrainOptions& options, KnnSplit* split, engine::ResNet encoder,
                        const engine::ImageSource& source, const engine::Compute& compute,
                        const engine::Normalization& normalization, int workers) {
  eval::EmbedOptions embedding;
  embedding.size = options.size;
  embedding.batch = std::max<int64_t>(2 * options.batch, 16);
  embedding.workers = workers;
  embedding.normalization = normalization;
  auto embed = [&](std::vector<int64_t>* images) {
    try {
      return eval::Embed(encoder, source, *images, embedding, compute);
    } catch (const core::DataError&) {
      DropUnreadable(source, images);
      return eval::Embed(encoder, source, *images, embedding, compute);
    }
  };
  OnlineScore score;
  at::Tensor features;
  if (split->problem.empty()) {
    const at::Tensor bank = embed(&split->bank), queries = embed(&split->queries);
    if (!split->bank.empty() && !split->queries.empty()) {
      score.knn = eval::KnnAccuracy(bank, Labels(source, split->bank), queries,
                                    Labels(source, split->queries),
                                    static_cast<int64_t>(source.classes().size()),
                                    {.k = options.knn_k, .temperature = options.knn_temperature});
    }
    features = at::cat({bank, queries});
  } else {
    features = embed(&split->sample);
  }
  const eval::SpreadFacts spread = eval::MeasureSpread(
      at::nan_to_num(features.narrow(0, 0, std::min(features.size(0), 2 * kFeatureSample))));
  score.rank_me = spread.rank_me;
  score.feature_std = spread.std_ratio;
  score.dead_share = spread.dead_share;
  return score;
}

}  // namespace eosin::pretrain
