// SPDX-License-Identifier: Apache-2.0
#include "segment/model/build_model.h"

#include <fmt/format.h>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/formats/pth.h"
#include "engine/weights/weights.h"
#include "eval/encoder.h"
#include "segment/model/net_dialect.h"

namespace eosin::segment {
namespace {

using Metadata = std::map<std::string, std::string>;

// What no tensor's shape tells: the dilations and the output stride. Other ones make another net of
// the same weights.
struct Geometry {
  std::string rates, output_stride;  // "6,12,18", "16"
  bool operator==(const Geometry&) const = default;
  std::string Words() const {
    return fmt::format("dilations {} at output stride {}", rates, output_stride);
  }
};

std::string Joined(const std::vector<int64_t>& rates) {
  return fmt::format("{}", fmt::join(rates, ","));
}

// By the file's metadata, else what the net was published with; nothing where that is not known or
// is no geometry of eosin's (MappedNet::exact).
std::optional<Geometry> GeometryOf(const MappedNet& mapped, const Metadata& metadata) {
  const auto rates = metadata.find("eosin.rates"), stride = metadata.find("eosin.output_stride");
  if (rates != metadata.end() && stride != metadata.end()) {
    return Geometry{rates->second, stride->second};
  }
  if (!mapped.exact) return std::nullopt;
  return Geometry{"12,24,36", mapped.head == "deeplabv3plus" ? "16" : "8"};
}

void CompareGeometry(const SegmentOptions& options, const MappedNet& mapped,
                     const Metadata& metadata) {
  const Geometry mine{Joined(options.Rates()), std::to_string(options.output_stride)};
  const std::optional<Geometry> file = GeometryOf(mapped, metadata);
  if (!file || *file == mine) return;
  const std::string keys = fmt::format("model.rates = [{}] and model.output_stride = {}",
                                       file->rates, file->output_stride);
  if (!metadata.contains("eosin.rates")) {
    core::LogWarning(fmt::format(
        "{} does not say its dilations; a published {} has {}, but this run has {}: the same "
        "weights, another network. If the file is such a net, set {}",
        options.init, mapped.head, file->Words(), mine.Words(), keys));
    return;
  }
  const std::string message = fmt::format("the net in {} has {}, but this run has {}", options.init,
                                          file->Words(), mine.Words());
  if (options.init_part == "all") {
    throw core::ConfigError(
        message + ": with model.init_part = all it would be another network",
        fmt::format("set {}; or model.init_part = body, as a start to train from", keys));
  }
  core::LogWarning(fmt::format("{}; {} make them equal", message, keys));
}

// All of the file's net, or all but the convolution that gives the classes.
engine::LoadReport LoadNet(SegmentationNet& net, const SegmentOptions& options,
                           core::StateDict dict, const Metadata& metadata) {
  MappedNet mapped = MapSegmentationNet(std::move(dict));
  const auto holds = [&mapped] { return "the file holds a " + DescribeNet(mapped); };
  if (mapped.head != options.head) {
    throw core::WeightsError(
        fmt::format("the weights are a {}, the model is a {}", mapped.head, options.head),
        fmt::format("set model.head = {}, or model.init_part = backbone; {}", mapped.head,
                    holds()));
  }
  engine::LoadRules rules;
  rules.strict = true;
  rules.min_share = 1.0;
  rules.ignore_prefixes.clear();
  if (!options.aux) rules.ignore_prefixes.push_back("aux_classifier.");
  if (options.init_part == "body") {
    for (const char* last : {"classifier.4.", "aux_classifier.4.", "segmentation_head.0."}) {
      rules.ignore_prefixes.push_back(last);
    }
  }
  try {
    engine::LoadReport report = engine::LoadStateDict(*net, mapped.tensors, rules);
    report.dialect = mapped.dialect;
    CompareGeometry(options, mapped, metadata);
    if (!mapped.exact) {
      core::LogWarning(
          "segmentation_models.pytorch computes its DeepLabV3 with other dilations and another "
          "enlargement than torchvision, whose net this is: the weights are a start to train from");
    }
    return report;
  } catch (const core::WeightsError& error) {
    throw core::WeightsError(error.what(), fmt::format("{}; {}", error.hint(), holds()));
  }
}

}  // namespace

DeepLabOptions NetOptions(const SegmentOptions& options) {
  DeepLabOptions net;
  net.head = options.head;
  net.backbone.arch = options.arch;
  net.backbone.stem = options.stem;
  net.backbone.width = static_cast<int>(options.width);
  net.backbone.output_stride = static_cast<int>(options.output_stride);
  net.classes = static_cast<int>(options.data.classes.size());
  net.rates = options.Rates();
  net.head_channels = static_cast<int>(options.head_channels);
  net.separable = options.separable;
  net.aux = options.aux;
  net.dropout = options.dropout;
  return net;
}

std::map<std::string, std::string> NetMetadata(const SegmentOptions& options) {
  return {{"eosin.head", options.head},
          {"eosin.arch", options.arch},
          {"eosin.stem", options.stem},
          {"eosin.width", std::to_string(options.width)},
          {"eosin.output_stride", std::to_string(options.output_stride)},
          {"eosin.rates", Joined(options.Rates())},
          {"eosin.head_channels", std::to_string(options.head_channels)},
          {"eosin.separable", options.separable ? "true" : "false"},
          {"eosin.classes", fmt::format("{}", fmt::join(options.data.classes, ","))},
          {"eosin.crop", std::to_string(options.crop)},
          {"eosin.mpp", fmt::format("{}", options.data.ReadMpp())}};
}

BuiltModel BuildModel(const SegmentOptions& options, InitFile init) {
  BuiltModel model;
  model.net = SegmentationNet(NetOptions(options));
  const auto seed = static_cast<uint64_t>(options.seed);
  InitDeepLab(model.net, seed, seed);
  model.normalization = eval::ParseNormalization(options.normalization, "model.normalization");
  if (options.init == "random" || init == InitFile::kIgnore) return model;
  Metadata metadata;
  engine::LoadReport report;
  if (options.init_part == "backbone") {
    engine::LoadRules rules;
    rules.min_share = 1.0;  // a stage left at random would be judged as if it had been learnt
    report = engine::LoadEncoder(*model.net->backbone(), options.init, rules, &metadata);
  } else {
    engine::CheckHashInName(options.init);
    try {
      core::StateDict dict = core::ReadWeights(options.init, &metadata);
      report = LoadNet(model.net, options, std::move(dict), metadata);
    } catch (const core::WeightsError& error) {
      throw core::WeightsError(options.init + ": " + error.what(), error.hint());
    }
  }
  core::LogInfo(fmt::format("{} ({}):\n{}", options.init, options.init_part, report.Table()));
  model.matched = report.share_of_parameters;
  if (options.normalization == "auto") {
    if (const auto found = engine::NormalizationOf(metadata)) {
      model.normalization = *found;
    } else {
      core::LogInfo(
          "input normalised by ImageNet's mean and deviation (the file does not say; "
          "model.normalization changes it)");
    }
  }
  return model;
}

}  // namespace eosin::segment
