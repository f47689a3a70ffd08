// SPDX-License-Identifier: Apache-2.0
#include "eval/segmentation/measures.h"

#include <limits>

#include "core/base/error.h"
#include "core/config/option_set.h"
#include "core/stats/summary.h"

namespace eosin::eval {
namespace {

template <double (SurfaceScores::*kScore)() const>
double OfSurface(const ImageScores& scores, int c) {
  if (scores.detail.empty()) return std::numeric_limits<double>::quiet_NaN();
  return (scores.detail[static_cast<size_t>(c)].surface.*kScore)();
}

template <double (ObjectScores::*kScore)() const>
double OfObjects(const ImageScores& scores, int c) {
  if (scores.detail.empty()) return std::numeric_limits<double>::quiet_NaN();
  return (scores.detail[static_cast<size_t>(c)].objects.*kScore)();
}

template <double ClassScores::* kScore>
double OfPixels(const ImageScores& scores, int c) {
  return scores.counts.Scores(c).*kScore;
}

}  // namespace

const std::vector<SegmentationMeasure>& Measures() {
  static const std::vector<SegmentationMeasure> measures = {
      {"dice", "Dice", true, false, OfPixels<&ClassScores::dice>},
      {"iou", "IoU", true, false, OfPixels<&ClassScores::iou>},
      {"precision", "precision", true, false, OfPixels<&ClassScores::precision>},
      {"recall", "recall", true, false, OfPixels<&ClassScores::recall>},
      {"boundary_f1", "boundary F1", true, false, OfSurface<&SurfaceScores::BoundaryF1>},
      {"hd95", "Hausdorff 95 %", false, true, OfSurface<&SurfaceScores::Hausdorff95>},
      {"assd", "surface distance", false, true, OfSurface<&SurfaceScores::MeanDistance>},
      {"object_dice", "object Dice", true, false, OfObjects<&ObjectScores::Dice>},
      {"object_f1", "object F1", true, false, OfObjects<&ObjectScores::F1>},
      {"object_hausdorff", "object Hausdorff", false, true, OfObjects<&ObjectScores::Hausdorff>},
      {"aji", "AJI", true, false, OfObjects<&ObjectScores::Aji>},
      {"pq", "PQ", true, false, OfObjects<&ObjectScores::Pq>},
      {"sq", "SQ", true, false, OfObjects<&ObjectScores::Sq>},
      {"rq", "RQ", true, false, OfObjects<&ObjectScores::Rq>}};
  return measures;
}

const SegmentationMeasure& FindMeasure(const std::string& name) {
  std::vector<std::string> names;
  for (const SegmentationMeasure& measure : Measures()) {
    if (measure.name == name) return measure;
    names.push_back(measure.name);
  }
  const std::string nearest = core::NearestWord(name, names);
  std::string all;
  for (const std::string& known : names) all += (all.empty() ? "" : ", ") + known;
  throw core::ConfigError(
      "there is no score " + name,
      (nearest.empty() ? "" : "did you mean " + nearest + "? ") + "scores are " + all);
}

double ClassMean(const SegmentationMeasure& measure, const ImageScores& scores, int background) {
  std::vector<double> values;
  for (int c = 0; c < scores.counts.classes(); ++c) {
    if (c != background) values.push_back(measure.value(scores, c));
  }
  return core::Mean(values);
}

double Macro(const SegmentationMeasure& measure, const std::vector<ImageScores>& groups, int c,
             int background) {
  std::vector<double> values;
  for (const ImageScores& group : groups) {
    values.push_back(c >= 0 ? measure.value(group, c) : ClassMean(measure, group, background));
  }
  return core::Mean(values);
}

}  // namespace eosin::eval
