// SPDX-License-Identifier: Apache-2.0
// Everything that decides a study: one segmentation recipe, and the arms, fractions and seeds it is
// crossed with. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/option_set.h"
#include "eval/segmentation_metrics.h"
#include "segment/data/split.h"
#include "segment/options.h"

namespace eosin::segment {

// The one comparison that is tested alone at .05, named before running: "ssl-random@0.1:dice".
struct PrimaryComparison {
  std::string arm_a, arm_b;  // the difference is a - b
  double fraction = 1.0;
  eval::Metric metric = eval::Metric::kDice;
};

// Throws ConfigError when the text does not read as ARM-ARM@FRACTION:dice|iou.
PrimaryComparison ParsePrimary(const std::string& text);

struct StudyOptions {
  SegmentOptions segment;  // model.init, train.freeze and seed are set by each job
  SplitOptions split;
  std::vector<std::string> arms{"random", "imagenet", "ssl_partial", "ssl"};
  std::vector<double> fractions{0.1, 1.0};
  int64_t seeds = 6;
  std::string primary = "ssl-random@0.1:dice";
  std::string partial_freeze = "layer2";  // what ssl_partial and imagenet_partial freeze
  std::string imagenet;        // weights file; "stand-in": trained on made textures; empty: skipped
  std::string imagenet_label;  // how tables call the arm; empty = "imagenet"
  std::string ssl;             // weights file of self-supervised pretraining
  std::string ssl_from_imagenet;
  int64_t bootstrap_draws = 10000;
  std::string note;  // shown on top of the report, e.g. "smoke: budgets too small"

  void Bind(core::OptionSet& set);
  // Throws ConfigError: unknown arms, fractions outside (0, 1], a primary comparison of arms or of
  // a fraction that the study does not have, too many seeds for the exact test.
  void Check() const;
};

}  // namespace eosin::segment
