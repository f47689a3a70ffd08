// SPDX-License-Identifier: Apache-2.0
#include "eval/segmentation/image_scores.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <map>
#include <type_traits>

#include "core/base/error.h"
#include "core/stats/summary.h"

namespace eosin::eval {
namespace {

const std::string& NameOf(const std::string& id) { return id; }
const std::string& NameOf(const SlideKey& id) { return id.second; }

template <typename KeyOf>
std::vector<ImageScores> PoolBy(const std::vector<ImageScores>& images, KeyOf&& key) {
  std::map<std::decay_t<std::invoke_result_t<KeyOf, const ImageScores&>>, ImageScores> pooled;
  for (const ImageScores& image : images) {
    const auto id = key(image);
    const auto [place, is_new] = pooled.try_emplace(id, image);
    if (is_new) {
      place->second.name = NameOf(id);
    } else {
      place->second.Merge(image);
    }
  }
  std::vector<ImageScores> groups;
  for (auto& [id, group] : pooled) groups.push_back(std::move(group));
  return groups;
}

Objects TrueObjects(const MaskPair& masks, int c) {
  if (!masks.instances.empty() && c == 1) {
    return NumberedObjects(masks.instances, masks.width, masks.height);
  }
  return ConnectedObjects(masks.truth, masks.width, masks.height, static_cast<uint8_t>(c));
}

}  // namespace

void ScoreOptions::Bind(core::OptionSet& set, const std::string& prefix) {
  set.Add(prefix + ".tolerance", &tolerance,
          {.doc = "a boundary pixel is right when the other boundary is this near; px where "
                  "input.mpp is not known",
           .unit = "um",
           .min = 0,
           .max = 1e6});
  set.Add(prefix + ".min_area", &min_area,
          {.doc = "predicted objects below this area are not counted as objects; px where "
                  "input.mpp is not known",
           .unit = "um^2",
           .min = 0,
           .max = 1e12});
}

void ImageScores::Merge(const ImageScores& other) {
  counts.Merge(other.counts);
  if (slide != other.slide) slide.clear();
  if (detail.size() != other.detail.size()) {
    detail.clear();
    return;
  }
  for (size_t c = 0; c < detail.size(); ++c) {
    detail[c].surface.Merge(other.detail[c].surface);
    detail[c].objects.Merge(other.detail[c].objects);
  }
}

ConfusionMatrix CountPixels(const MaskPair& masks) {
  const auto pixels = static_cast<size_t>(masks.width) * static_cast<size_t>(masks.height);
  if (masks.truth.size() != pixels || masks.prediction.size() != pixels ||
      (!masks.instances.empty() && masks.instances.size() != pixels)) {
    throw core::DataError(
        fmt::format("an image of {} x {} px was compared with masks of {} and "
                    "{} pixels",
                    masks.width, masks.height, masks.truth.size(), masks.prediction.size()),
        "truth and prediction must have the size of the image");
  }
  ConfusionMatrix counts(masks.classes, masks.ignore);
  counts.Add(masks.truth, masks.prediction);
  return counts;
}

ImageScores ScoreMasks(const MaskPair& masks, const ScoreOptions& options) {
  ImageScores scores{"", "", CountPixels(masks), "", {}};
  const double mpp = masks.mpp > 0 ? masks.mpp : 1.0;
  const bool has_ignored = std::find(masks.truth.begin(), masks.truth.end(),
                                     static_cast<uint8_t>(masks.ignore)) != masks.truth.end();
  std::vector<uint8_t> seen(masks.prediction.begin(), masks.prediction.end());
  if (has_ignored) {
    for (size_t i = 0; i < seen.size(); ++i) {
      if (masks.truth[i] == masks.ignore) seen[i] = masks.truth[i];
    }
  }
  const auto true_lines =
      Boundaries(masks.truth, masks.width, masks.height, masks.classes, masks.ignore);
  const auto seen_lines = Boundaries(seen, masks.width, masks.height, masks.classes, masks.ignore);
  const auto min_area = static_cast<int64_t>(std::ceil(options.min_area / (mpp * mpp)));
  scores.detail.resize(static_cast<size_t>(masks.classes));
  for (int c = 0; c < masks.classes; ++c) {
    if (c == masks.background) continue;
    const auto at = static_cast<size_t>(c);
    SurfaceScores& surface = scores.detail[at].surface;
    surface = CompareBoundaries(true_lines[at], seen_lines[at], masks.width, masks.height, mpp,
                                options.tolerance);
    const bool is_true = scores.counts.truth_total(c) > 0;
    const bool is_seen = scores.counts.predicted_total(c) > 0;
    surface.missed = is_true && !is_seen;
    surface.spurious = is_seen && !is_true;
    const Objects truth = TrueObjects(masks, c);
    Objects predicted =
        ConnectedObjects(masks.prediction, masks.width, masks.height, static_cast<uint8_t>(c));
    if (has_ignored) RemoveIgnored(masks.truth, masks.ignore, truth, &predicted);
    RemoveSmall(min_area, &predicted);
    scores.detail[at].objects = CompareObjects(truth, predicted, mpp);
  }
  return scores;
}

std::vector<ImageScores> PoolByPatient(const std::vector<ImageScores>& images) {
  return PoolBy(images, [](const ImageScores& image) { return image.patient; });
}

SlideKey SlideOf(const ImageScores& image) {
  return {image.patient, image.slide.empty() ? image.name : image.slide};
}

std::vector<ImageScores> PoolBySlide(const std::vector<ImageScores>& images) {
  return PoolBy(images, SlideOf);
}

ImageScores PoolScores(const std::vector<ImageScores>& images, int classes) {
  if (images.empty()) return {"", "", ConfusionMatrix(classes), "", {}};
  return PoolBy(images, [](const ImageScores&) { return std::string(); }).front();
}

ConfusionMatrix PoolAll(const std::vector<ImageScores>& images, int classes) {
  ConfusionMatrix pooled(classes);
  for (const ImageScores& image : images) pooled.Merge(image.counts);
  return pooled;
}

double MacroScore(const std::vector<ImageScores>& patients, Metric metric, int c, int skip) {
  std::vector<double> scores;
  for (const ImageScores& patient : patients) {
    scores.push_back(c >= 0 ? patient.counts.Score(metric, c)
                            : patient.counts.MeanScore(metric, skip));
  }
  return core::Mean(scores);
}

}  // namespace eosin::eval
