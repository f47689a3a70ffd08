// SPDX-License-Identifier: Apache-2.0
#include "segment/train/result.h"

#include <fmt/format.h>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"

namespace eosin::segment {
namespace {

using Json = nlohmann::ordered_json;

Json CountsToJson(const std::vector<eval::ImageCounts>& images) {
  Json out = Json::array();
  for (const eval::ImageCounts& image : images) {
    Json rows = Json::array();
    for (int t = 0; t < image.counts.classes(); ++t) {
      Json row = Json::array();
      for (int p = 0; p < image.counts.classes(); ++p) row.push_back(image.counts.count(t, p));
      rows.push_back(row);
    }
    out.push_back({{"name", image.name}, {"patient", image.patient}, {"confusion", rows}});
  }
  return out;
}

std::vector<eval::ImageCounts> CountsFromJson(const Json& json, int classes) {
  std::vector<eval::ImageCounts> images;
  for (const Json& entry : json) {
    eval::ConfusionMatrix counts(classes);
    const Json& rows = entry.at("confusion");
    for (int t = 0; t < classes; ++t) {
      for (int p = 0; p < classes; ++p) {
        counts.AddCount(t, p, rows.at(static_cast<size_t>(t)).at(static_cast<size_t>(p)));
      }
    }
    images.push_back({entry.at("name"), entry.at("patient"), counts});
  }
  return images;
}

// JSON has no NaN: n/a is null.
double NumberOf(const Json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

}  // namespace

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
                     {"version", 1},
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
                     {"train_images", result.train_images},
                     {"curve", curve},
                     {"drift", drift},
                     {"test", CountsToJson(result.test)},
                     {"test_last", CountsToJson(result.test_last)}};
  core::WriteFileAtomic(path, root.dump(1) + "\n");
}

SegmentResult ReadResult(const std::filesystem::path& path) {
  const std::string text = core::ReadFile(path);
  try {
    const Json root = Json::parse(text);
    if (root.at("format") != "eosin-segment-result" || root.at("version") != 1) throw 0;
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
    const int classes = static_cast<int>(result.classes.size());
    result.test = CountsFromJson(root.at("test"), classes);
    result.test_last = CountsFromJson(root.at("test_last"), classes);
    for (const Json& change : root.value("drift", Json::array())) {
      result.drift.push_back({change.at("stage"), NumberOf(change.at("relative"))});
    }
    return result;
  } catch (...) {
    throw core::DataError(fmt::format("{} is not a result of eosin segment", path.string()),
                          "delete the file: the run is then made again");
  }
}

}  // namespace eosin::segment
