// SPDX-License-Identifier: Apache-2.0
#include "segment/study/options.h"

#include <fmt/format.h>
#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/stats/tests.h"
#include "segment/study/plan.h"

namespace eosin::segment {

using core::ConfigError;

PrimaryComparison ParsePrimary(const std::string& text) {
  PrimaryComparison primary;
  const size_t colon = text.rfind(':'), at = text.rfind('@', colon), dash = text.find('-');
  bool good = colon != std::string::npos && at != std::string::npos && dash != std::string::npos &&
              dash > 0 && dash + 1 < at && at + 1 < colon;
  if (good) {
    primary.arm_a = text.substr(0, dash);
    primary.arm_b = text.substr(dash + 1, at - dash - 1);
    const std::string fraction = text.substr(at + 1, colon - at - 1);
    const std::string metric = text.substr(colon + 1);
    char* end = nullptr;
    primary.fraction = std::strtod(fraction.c_str(), &end);
    good = end && *end == '\0' && (metric == "dice" || metric == "iou");
    primary.metric = metric == "iou" ? eval::Metric::kIou : eval::Metric::kDice;
  }
  if (!good) {
    throw ConfigError(fmt::format("study.primary = \"{}\" does not name a comparison", text),
                      "write ARM-ARM@FRACTION:METRIC, for example ssl-random@0.1:dice (or :iou)");
  }
  return primary;
}

void StudyOptions::Bind(core::OptionSet& set) {
  set.Add("note", &note, {.doc = "shown on top of the report, e.g. that budgets are too small"});
  set.Add("study.arms", &arms,
          {.doc = "random, imagenet, imagenet_partial, ssl, ssl_partial, ssl_frozen, "
                  "ssl_from_imagenet, or NAME=FILE for any other weights"});
  set.Add("study.fractions", &fractions,
          {.doc = "shares of the training images that have labels", .min = 1e-4, .max = 1});
  set.Add("study.seeds", &seeds,
          {.doc = "repeats with another label subset, head, order and augmentation; fewer than 6 "
                  "cannot give a verdict",
           .min = 1,
           .max = core::kMaxSignFlips});
  set.Add("study.primary", &primary,
          {.doc = "the one comparison that is tested: ARM-ARM@FRACTION:dice or :iou"});
  set.Add("study.partial_freeze", &partial_freeze,
          {.doc = "what ssl_partial and imagenet_partial freeze", .choices = FreezeNames()});
  set.Add("study.bootstrap_draws", &bootstrap_draws,
          {.doc = "draws of each interval", .min = 100, .max = 1000000});
  set.Add("weights.imagenet", &imagenet,
          {.doc = "ImageNet weights file (torchvision); stand-in = trained here on made textures; "
                  "empty = the arm is skipped"});
  set.Add("weights.imagenet_label", &imagenet_label,
          {.doc = "how tables call the imagenet arm; empty = imagenet"});
  set.Add("weights.ssl", &ssl, {.doc = "encoder from eosin pretrain; empty = pretrain from [ssl]"});
  set.Add("weights.ssl_from_imagenet", &ssl_from_imagenet,
          {.doc = "encoder pretrained further from ImageNet weights"});
  split.Bind(set);
  segment.Bind(set);
}

void StudyOptions::Check() const {
  segment.Check();
  split.Check();
  if (segment.patience > 0) {
    throw ConfigError("train.patience in a study: arms would train for unequal numbers of steps",
                      "set train.patience = 0; the report scores the best and the last state");
  }
  if (fractions.empty()) {
    throw ConfigError("study.fractions is empty", "for example study.fractions = [0.1, 1.0]");
  }
  if (!std::is_sorted(fractions.begin(), fractions.end()) ||
      std::adjacent_find(fractions.begin(), fractions.end()) != fractions.end()) {
    throw ConfigError("study.fractions must rise", "for example study.fractions = [0.1, 1.0]");
  }
  const std::vector<Arm> known = ResolveArms(*this);  // unknown names throw
  std::vector<std::string> names;
  for (const Arm& arm : known) names.push_back(arm.name);
  if (std::set<std::string>(names.begin(), names.end()).size() != names.size()) {
    throw ConfigError("study.arms names an arm twice", "give every arm its own name");
  }
  const PrimaryComparison p = ParsePrimary(primary);
  for (const std::string& arm : {p.arm_a, p.arm_b}) {
    if (std::find(names.begin(), names.end(), arm) == names.end()) {
      throw ConfigError(
          fmt::format("study.primary = \"{}\" names {}, which is no arm of this study", primary,
                      arm),
          fmt::format("the arms are {}", fmt::join(names, ", ")));
    }
  }
  if (p.arm_a == p.arm_b) {
    throw ConfigError(fmt::format("study.primary = \"{}\" compares an arm with itself", primary),
                      "name two different arms");
  }
  if (std::find(fractions.begin(), fractions.end(), p.fraction) == fractions.end()) {
    throw ConfigError(fmt::format("study.primary = \"{}\" names the fraction {}, which is not in "
                                  "study.fractions",
                                  primary, p.fraction),
                      fmt::format("the fractions are {}", fmt::join(fractions, ", ")));
  }
}

}  // namespace eosin::segment
