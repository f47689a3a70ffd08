// SPDX-License-Identifier: Apache-2.0
// The jobs of a study: arms x label fractions x seeds, fully crossed and paired. Pure, torch-free.
#pragma once

#include <string>
#include <vector>

#include "segment/data/split.h"
#include "segment/study/options.h"

namespace eosin::segment {

// An arm: where the backbone starts and what of it learns.
struct Arm {
  std::string name;          // "ssl_partial"
  std::string label;         // as shown in tables: "stand-in, not ImageNet"
  std::string init;          // "random" or a weights file
  std::string freeze;        // none | stem | layer1..layer4 | all
  double backbone_lr = 1.0;  // multiplier of the learning rate
  std::string skipped;       // why the arm cannot run; empty = it runs
};

struct Job {
  Arm arm;
  double fraction = 1.0;
  int64_t seed = 0;
  std::string name;            // folder under runs/: "ssl_partial-0.1-s0"
  std::vector<int64_t> train;  // the label subset, dataset indices in the order drawn
};

struct StudyPlan {
  ImageSplit split;
  std::vector<Arm> arms;  // skipped ones too
  std::vector<Job> jobs;  // by seed, then fraction, then arm: partial studies stay paired
};

// Known arms: random, imagenet, imagenet_partial, ssl, ssl_partial, ssl_frozen, ssl_from_imagenet;
// any other name needs name=FILE in study.arms ("mine=weights.pth", freeze "none").
std::vector<Arm> ResolveArms(const StudyOptions& options);

// Throws DataError when fractions give no images or a class is missing.
StudyPlan PlanStudy(const StudyOptions& options,
                    const std::vector<std::vector<int64_t>>& class_pixels, const ImageSplit& split);

}  // namespace eosin::segment
