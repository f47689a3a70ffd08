// SPDX-License-Identifier: Apache-2.0
#include "segment/train/result.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "eval/segmentation/scores_json.h"

namespace eosin::segment {
namespace {

using Json = nlohmann::ordered_json;

// JSON has no NaN: n/a is null.
double NumberOf(const Json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

}  // namespace

bool ChosenByValidation(const SegmentResult& result) {
  return std::any_of(result.curve.begin(), result.curve.end(),
                     [](const CurvePoint& point) { return !std::isnan(point.val_dice); });
}

void WriteResult(const std::filesystem::path& path, const SegmentResult& result) {
  Json curve = Json::array();
  for (const CurvePoint& point : result.curve) {
    curve.push_back({{"step", point.step},
                     {"loss", point.loss},
                     {"lr", point.lr},
                     {"val_dice", point.val_dice},
                     {"val_iou", point.val_iou}});
  }
  Json drift = Json::array();
  for (const StageChange& change : result.drift) {
    drift.push_back({{"stage", change.stage}, {"relative", change.relative}});
  }
  const Json root = {{"format", "eosin-segment-result"},
                     {"version", 2},
                     {"fingerprint", result.fingerprint},
                     {"classes", result.classes},
                     {"background", result.background},
                     {"init", result.init},
                     {"freeze", result.freeze},
                     {"parameters", result.parameters},
                     {"frozen_parameters", result.frozen_parameters},
                     {"weights_matched", result.weights_matched},
                     {"steps", result.steps},
                     {"best_step", result.best_step},
                     {"best_by", ChosenByValidation(result) ? "validation" : "last step"},
                     {"train_images", result.train_images},
                     {"curve", curve},
                     {"drift", drift},
                     {"mpp", result.mpp},
                     {"boundary_tolerance", result.score.tolerance},
                     {"min_object_area", result.score.min_area},
                     {"test", eval::ScoresToJson(result.test)},
                     {"test_last", eval::ScoresToJson(result.test_last)}};
  core::WriteFileAtomic(path, root.dump(1) + "\n");
}

SegmentResult ReadResult(const std::filesystem::path& path) {
  const std::string text = core::ReadFile(path);
  try {
    const Json root = Json::parse(text);
    if (root.at("format") != "eosin-segment-result") throw 0;
    if (root.at("version").get<int>() > 2) {
      throw core::DataError(fmt::format("{} is of version {}, which this program does not know",
                                        path.string(), root.at("version").dump()),
                            "use the eosin that made it, or delete the file: the run is then made "
                            "again");
    }
    SegmentResult result;
    result.fingerprint = root.at("fingerprint");
    result.classes = root.at("classes").get<std::vector<std::string>>();
    result.background = root.at("background");
    result.init = root.at("init");
    result.freeze = root.at("freeze");
    result.parameters = root.at("parameters");
    result.frozen_parameters = root.at("frozen_parameters");
    result.weights_matched = root.at("weights_matched");
    result.steps = root.at("steps");
    result.best_step = root.at("best_step");
    result.train_images = root.at("train_images").get<std::vector<std::string>>();
    for (const Json& point : root.at("curve")) {
      result.curve.push_back({point.at("step"), NumberOf(point.at("loss")),
                              NumberOf(point.at("lr")), NumberOf(point.at("val_dice")),
                              NumberOf(point.at("val_iou"))});
    }
    result.mpp = root.value("mpp", 0.0);
    result.score.tolerance = root.value("boundary_tolerance", result.score.tolerance);
    result.score.min_area = root.value("min_object_area", result.score.min_area);
    const int classes = static_cast<int>(result.classes.size());
    result.test = eval::ScoresFromJson(root.at("test"), classes);
    result.test_last = eval::ScoresFromJson(root.at("test_last"), classes);
    for (const Json& change : root.value("drift", Json::array())) {
      result.drift.push_back({change.at("stage"), NumberOf(change.at("relative"))});
    }
    return result;
  } catch (const core::Error&) {
    throw;
  } catch (...) {
    throw core::DataError(fmt::format("{} is not a result of eosin segment", path.string()),
                          "delete the file: the run is then made again");
  }
}

}  // namespace eosin::segment
