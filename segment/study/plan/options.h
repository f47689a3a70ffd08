// SPDX-License-Identifier: Apache-2.0
// Everything that decides a study: one segmentation recipe, and the arms, label levels, seeds and
// folds it is crossed with. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/option_set.h"
#include "segment/data/split.h"
#include "segment/options.h"

namespace eosin::segment {

// How many training images have labels: a share of them or a number.
struct LabelLevel {
  double fraction = 0;  // 0..1; 0: `count` says it
  int64_t count = 0;    // images

  bool operator==(const LabelLevel&) const = default;
  std::string Name() const;   // in run names and study.primary: "0.1", "n10"
  std::string Label() const;  // for people: "10 % of the labels", "10 labelled images"
};

// The one comparison that is tested alone at .05, named before running: "ssl-random@0.1:dice".
struct PrimaryComparison {
  std::string arm_a, arm_b;  // the difference is a - b
  LabelLevel level;
  eval::Metric metric = eval::Metric::kDice;
};

// Throws ConfigError when the text does not read as ARM-ARM@FRACTION:dice|iou or
// ARM-ARM@nCOUNT:dice|iou.
PrimaryComparison ParsePrimary(const std::string& text);

struct StudyOptions {
  SegmentOptions segment;  // model.init, train.freeze, seed and the rate are set by each job
  SplitOptions split;
  std::vector<std::string> arms{"random", "imagenet", "ssl_partial", "ssl"};
  std::vector<double> fractions{0.1, 1.0};
  std::vector<double> counts;  // few-shot: labelled images; whole numbers
  int64_t seeds = 6;
  int64_t folds = 0;  // 0: one split; K: every patient is tested once, in one of K folds
  std::string primary = "ssl-random@0.1:dice";
  std::string reference;                  // arm of the transfer speed; empty: imagenet or random
  std::string partial_freeze = "layer2";  // what ssl_partial and imagenet_partial freeze
  std::vector<double> tune;               // learning rates tried for every arm; empty: none
  std::string steps = "same";             // same | by_labels
  int64_t min_steps = 100;                // of by_labels
  int64_t repeats = 1;                    // runs of one job with the same seed, for the noise floor
  std::string imagenet;        // weights file; "stand-in": trained on made textures; empty: skipped
  std::string imagenet_label;  // how tables call the arm; empty = "imagenet"
  // Weights file of self-supervised pretraining; {fold} in it is replaced by the fold's number.
  std::string ssl;
  std::string ssl_from_imagenet;
  int64_t bootstrap_draws = 10000;
  int64_t jobs = 1;  // processes that train at a time; changes no result of one device and threads
  std::string note;  // shown on top of the report, e.g. "smoke: budgets too small"

  void Bind(core::OptionSet& set);
  // Throws ConfigError: unknown arms, levels that are not possible, a primary comparison of arms or
  // of a level that the study does not have, too many seeds for the exact test.
  void Check() const;

  // Few-shot counts first, then fractions, each rising. Which is more depends on the data.
  std::vector<LabelLevel> Levels() const;
  int64_t Folds() const { return folds < 2 ? 1 : folds; }
  // Optimiser steps of a model that learns from `labels` of `all` training images.
  int64_t StepsFor(int64_t labels, int64_t all) const;
};

}  // namespace eosin::segment
