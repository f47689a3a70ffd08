// SPDX-License-Identifier: Apache-2.0
#include "segment/study/plan.h"

#include <fmt/format.h>

#include "core/base/error.h"

namespace eosin::segment {
namespace {

struct KnownArm {
  const char* name;
  const char* weights;  // key that names the file; null: random
  const char* freeze;   // null: study.partial_freeze
};

constexpr KnownArm kKnownArms[] = {
    {"random", nullptr, "none"},
    {"imagenet", "weights.imagenet", "none"},
    {"imagenet_partial", "weights.imagenet", nullptr},
    {"ssl", "weights.ssl", "none"},
    {"ssl_partial", "weights.ssl", nullptr},
    {"ssl_frozen", "weights.ssl", "all"},
    {"ssl_from_imagenet", "weights.ssl_from_imagenet", "none"},
};

bool GoodName(const std::string& name) {
  return !name.empty() && name.find_first_not_of(
                              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
                              std::string::npos;
}

}  // namespace

std::vector<Arm> ResolveArms(const StudyOptions& options) {
  auto file_of = [&](const std::string& key) {
    if (key == "weights.imagenet") return options.imagenet;
    return key == "weights.ssl" ? options.ssl : options.ssl_from_imagenet;
  };
  std::vector<Arm> arms;
  for (const std::string& text : options.arms) {
    Arm arm;
    arm.backbone_lr = options.segment.backbone_lr;
    const size_t equals = text.find('=');
    if (equals != std::string::npos) {
      arm.name = arm.label = text.substr(0, equals);
      arm.init = text.substr(equals + 1);
      arm.freeze = "none";
      if (!GoodName(arm.name) || arm.init.empty()) {
        throw core::ConfigError(fmt::format("study.arms entry \"{}\" is not NAME=FILE", text),
                                "names are letters, digits and _");
      }
      arms.push_back(arm);
      continue;
    }
    const KnownArm* known = nullptr;
    std::vector<std::string> names;
    for (const KnownArm& candidate : kKnownArms) {
      names.push_back(candidate.name);
      if (text == candidate.name) known = &candidate;
    }
    if (!known) {
      const std::string nearest = core::NearestWord(text, names);
      throw core::ConfigError(fmt::format("study.arms names {}, which is no known arm", text),
                              nearest.empty()
                                  ? fmt::format("known: {}; or NAME=FILE", fmt::join(names, ", "))
                                  : fmt::format("did you mean {}?", nearest));
    }
    arm.name = arm.label = known->name;
    arm.freeze = known->freeze ? known->freeze : options.partial_freeze;
    if (!known->weights) {
      arm.init = "random";
      arm.backbone_lr = 1.0;
    } else {
      arm.init = file_of(known->weights);
      if (arm.init.empty()) {
        arm.skipped = fmt::format("no weights file was given ({})", known->weights);
      }
      if (std::string(known->weights) == "weights.imagenet" && !options.imagenet_label.empty()) {
        arm.label = text == "imagenet" ? options.imagenet_label
                                       : fmt::format("{} ({})", text, options.imagenet_label);
      }
    }
    arms.push_back(arm);
  }
  return arms;
}

StudyPlan PlanStudy(const StudyOptions& options,
                    const std::vector<std::vector<int64_t>>& class_pixels,
                    const ImageSplit& split) {
  StudyPlan plan;
  plan.split = split;
  plan.arms = ResolveArms(options);
  for (int64_t seed = 0; seed < options.seeds; ++seed) {
    const auto subsets = NestedSubsets(split.train, class_pixels, options.fractions,
                                       static_cast<uint64_t>(seed), options.segment.data.classes);
    for (size_t f = 0; f < options.fractions.size(); ++f) {
      for (const Arm& arm : plan.arms) {
        if (!arm.skipped.empty()) continue;
        plan.jobs.push_back({arm, options.fractions[f], seed,
                             fmt::format("{}-{}-s{}", arm.name, options.fractions[f], seed),
                             subsets[f]});
      }
    }
  }
  return plan;
}

}  // namespace eosin::segment
