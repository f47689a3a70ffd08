// SPDX-License-Identifier: Apache-2.0
#include "segment/study/plan/options.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/error.h"
#include "core/stats/tests.h"
#include "segment/study/plan/arms.h"

namespace eosin::segment {
namespace {

using core::ConfigError;

// "0.1" or "n10".
bool ParseLevel(const std::string& text, LabelLevel* level) {
  if (text.empty()) return false;
  const bool is_count = text[0] == 'n';
  char* end = nullptr;
  const double value = std::strtod(text.c_str() + is_count, &end);
  if (end == text.c_str() + is_count || *end != '\0') return false;
  if (is_count) {
    level->count = static_cast<int64_t>(value);
    return value >= 1 && value == std::floor(value);
  }
  level->fraction = value;
  return true;
}

void CheckRising(const std::vector<double>& values, const std::string& key,
                 const std::string& example) {
  if (!std::is_sorted(values.begin(), values.end()) ||
      std::adjacent_find(values.begin(), values.end()) != values.end()) {
    throw ConfigError(key + " must rise", "for example " + key + " = " + example);
  }
}

}  // namespace

std::string LabelLevel::Name() const {
  return count > 0 ? fmt::format("n{}", count) : fmt::format("{}", fraction);
}

std::string LabelLevel::Label() const {
  if (count > 0) return fmt::format("{} labelled image{}", count, count == 1 ? "" : "s");
  return fmt::format("{:g} % of the labels", 100 * fraction);
}

PrimaryComparison ParsePrimary(const std::string& text) {
  PrimaryComparison primary;
  const size_t colon = text.rfind(':'), at = text.rfind('@', colon), dash = text.find('-');
  bool good = colon != std::string::npos && at != std::string::npos && dash != std::string::npos &&
              dash > 0 && dash + 1 < at && at + 1 < colon;
  if (good) {
    primary.arm_a = text.substr(0, dash);
    primary.arm_b = text.substr(dash + 1, at - dash - 1);
    const std::string metric = text.substr(colon + 1);
    good = ParseLevel(text.substr(at + 1, colon - at - 1), &primary.level) &&
           (metric == "dice" || metric == "iou");
    primary.metric = metric == "iou" ? eval::Metric::kIou : eval::Metric::kDice;
  }
  if (!good) {
    throw ConfigError(
        fmt::format("study.primary = \"{}\" does not name a comparison", text),
        "write ARM-ARM@FRACTION:METRIC, for example ssl-random@0.1:dice (or :iou), or "
        "ARM-ARM@nCOUNT:METRIC");
  }
  return primary;
}

void StudyOptions::Bind(core::OptionSet& set) {
  set.Add("note", &note, {.doc = "shown on top of the report, e.g. that budgets are too small"});
  set.Add("study.arms", &arms,
          {.doc = "random, imagenet, imagenet_partial, ssl, ssl_partial, ssl_frozen, "
                  "ssl_from_imagenet, random_again (a control: random with other heads, at the "
                  "primary level), or NAME=FILE for any other weights, with its options behind: "
                  "NAME=FILE;freeze=layer2;rate=0.1"});
  set.Add("study.fractions", &fractions,
          {.doc = "shares of the training images that have labels", .min = 1e-4, .max = 1});
  set.Add("study.counts", &counts,
          {.doc = "few-shot: numbers of training images that have labels; they lie inside the "
                  "fractions' images",
           .min = 1,
           .max = 1e6});
  set.Add("study.seeds", &seeds,
          {.doc = "repeats with another label subset, head, order and augmentation; fewer than 6 "
                  "cannot give a verdict",
           .min = 1,
           .max = core::kMaxSignFlips});
  set.Add("study.folds", &folds,
          {.doc = "deal the patients into so many folds and repeat everything, pretraining "
                  "included, with each fold as the test patients; 0 = one split",
           .min = 0,
           .max = 100});
  set.Add("study.primary", &primary,
          {.doc = "the one comparison that is tested: ARM-ARM@FRACTION:dice or :iou, or @nCOUNT"});
  set.Add(
      "study.reference", &reference,
      {.doc = "arm whose best score the others' speed is measured by; empty = imagenet where it "
              "runs, else random"});
  set.Add("study.partial_freeze", &partial_freeze,
          {.doc = "what ssl_partial and imagenet_partial freeze", .choices = FreezeNames()});
  set.Add("study.tune", &tune,
          {.doc = "learning rates tried for every arm alike, at the primary level and with a seed "
                  "of its own, chosen by validation; empty = optimizer.lr for all",
           .min = 1e-8,
           .max = 100});
  set.Add("study.steps", &steps,
          {.doc = "same = train.steps for every level; by_labels = in proportion to the labelled "
                  "images, alike in every arm",
           .choices = {"same", "by_labels"}});
  set.Add("study.min_steps", &min_steps,
          {.doc = "fewest steps under by_labels", .unit = "steps", .min = 1});
  set.Add("study.repeats", &repeats,
          {.doc = "how often one model is trained again with the same seed: the noise floor",
           .min = 0,
           .max = 20});
  set.Add("study.bootstrap_draws", &bootstrap_draws,
          {.doc = "draws of each interval", .min = 100, .max = 1000000});
  set.Add("study.jobs", &jobs,
          {.doc = "models trained at a time, each in a process of its own; they take turns on the "
                  "visible GPUs, or share the cores",
           .min = 1,
           .max = 256});
  set.Add("weights.imagenet", &imagenet,
          {.doc = "ImageNet weights file (torchvision); stand-in = trained here on made textures; "
                  "empty = the arm is skipped"});
  set.Add("weights.imagenet_label", &imagenet_label,
          {.doc = "how tables call the imagenet arm; empty = imagenet"});
  set.Add("weights.ssl", &ssl,
          {.doc = "encoder from eosin pretrain, with {fold} where each fold has its own; empty = "
                  "pretrain from [ssl]"});
  set.Add(
      "weights.ssl_from_imagenet", &ssl_from_imagenet,
      {.doc =
           "encoder pretrained further from ImageNet weights; empty = pretrain it from [ssl] and "
           "weights.imagenet"});
  split.Bind(set);
  segment.Bind(set);
}

std::vector<LabelLevel> StudyOptions::Levels() const {
  std::vector<LabelLevel> levels;
  for (const double count : counts) levels.push_back({0, static_cast<int64_t>(count)});
  for (const double fraction : fractions) levels.push_back({fraction, 0});
  return levels;
}

int64_t StudyOptions::StepsFor(int64_t labels, int64_t all) const {
  if (steps == "same" || all <= 0) return segment.steps;
  const double share = static_cast<double>(labels) / static_cast<double>(all);
  return std::clamp<int64_t>(std::llround(share * static_cast<double>(segment.steps)),
                             std::min(min_steps, segment.steps), segment.steps);
}

void StudyOptions::Check() const {
  segment.Check();
  split.Check();
  const int64_t fewest = std::min(min_steps, segment.steps);
  if (steps != "same" && segment.warmup > fewest / 5) {
    throw ConfigError(
        fmt::format("train.warmup = {} is more than a fifth of study.min_steps = {}",
                    segment.warmup, fewest),
        fmt::format("set train.warmup to at most {}, or raise study.min_steps", fewest / 5));
  }
  if (segment.patience > 0) {
    throw ConfigError("train.patience in a study: arms would train for unequal numbers of steps",
                      "set train.patience = 0; the report scores the best and the last state");
  }
  if (fractions.empty() && counts.empty()) {
    throw ConfigError("study.fractions and study.counts are empty",
                      "for example study.fractions = [0.1, 1.0]");
  }
  CheckRising(fractions, "study.fractions", "[0.1, 1.0]");
  CheckRising(counts, "study.counts", "[5, 10]");
  CheckRising(tune, "study.tune", "[1e-4, 3e-4, 1e-3]");
  for (const double count : counts) {
    if (count != std::floor(count)) {
      throw ConfigError(fmt::format("study.counts holds {}, which is no number of images", count),
                        "shares of the images go into study.fractions");
    }
  }
  if (tune.size() == 1) {
    throw ConfigError("study.tune holds one rate, so there is nothing to choose",
                      "set optimizer.lr instead, or name two or more rates");
  }
  if (folds > 1 && !split.file.empty()) {
    throw ConfigError("split.file and study.folds cannot be had together",
                      "a split file says one split; leave study.folds out");
  }
  for (const auto& [key, file] : {std::pair{"weights.ssl", &ssl},
                                  std::pair{"weights.ssl_from_imagenet", &ssl_from_imagenet}}) {
    if (folds <= 1 || file->empty() || file->find("{fold}") != std::string::npos) continue;
    throw ConfigError(
        fmt::format("{} = {} is one encoder for {} folds: whichever patients it was pretrained "
                    "without, other folds test it on patients that it may have seen",
                    key, *file, folds),
        "give each fold its own, with {fold} in the name, or let the study pretrain: [ssl]");
  }
  const SegmentOptions none;
  if (segment.init != none.init || segment.freeze != none.freeze || segment.seed != none.seed) {
    throw ConfigError(
        fmt::format("a study sets {} itself", segment.init != none.init       ? "model.init"
                                              : segment.freeze != none.freeze ? "train.freeze"
                                                                              : "seed"),
        "leave it out: arms say where models start and what is frozen, study.seeds counts seeds "
        "from 0");
  }
  const std::vector<Arm> known = ResolveArms(*this);  // unknown names throw
  std::vector<std::string> names;
  for (const Arm& arm : known) names.push_back(arm.name);
  if (std::set<std::string>(names.begin(), names.end()).size() != names.size()) {
    throw ConfigError("study.arms names an arm twice", "give every arm its own name");
  }
  auto has = [&](const std::string& arm) {
    return std::find(names.begin(), names.end(), arm) != names.end();
  };
  const PrimaryComparison p = ParsePrimary(primary);
  for (const std::string& arm : {p.arm_a, p.arm_b}) {
    if (!has(arm)) {
      throw ConfigError(
          fmt::format("study.primary = \"{}\" names {}, which is no arm of this study", primary,
                      arm),
          fmt::format("the arms are {}", fmt::join(names, ", ")));
    }
    if (arm == kControlArm) {
      throw ConfigError(
          fmt::format("study.primary = \"{}\" tests the control arm", primary),
          "compare two of the other arms: the control is compared with random anyway");
    }
  }
  if (p.arm_a == p.arm_b) {
    throw ConfigError(fmt::format("study.primary = \"{}\" compares an arm with itself", primary),
                      "name two different arms");
  }
  const std::vector<LabelLevel> levels = Levels();
  if (std::find(levels.begin(), levels.end(), p.level) == levels.end()) {
    std::vector<std::string> level_names;
    for (const LabelLevel& level : levels) level_names.push_back(level.Name());
    throw ConfigError(
        fmt::format("study.primary = \"{}\" names the level {}, which is not in {}", primary,
                    p.level.Name(), p.level.count > 0 ? "study.counts" : "study.fractions"),
        fmt::format("the levels are {}", fmt::join(level_names, ", ")));
  }
  if (has(kControlArm) && !has("random")) {
    throw ConfigError("study.arms has random_again but not random, which it is the control of",
                      "add random");
  }
  if (!reference.empty() && !has(reference)) {
    throw ConfigError(fmt::format("study.reference = \"{}\" is no arm of this study", reference),
                      fmt::format("the arms are {}", fmt::join(names, ", ")));
  }
}

}  // namespace eosin::segment
