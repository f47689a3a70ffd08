// SPDX-License-Identifier: Apache-2.0
// The arms of a study: where the backbone starts and what of it learns. Torch-free.
#pragma once

#include <string>
#include <vector>

#include "segment/study/plan/options.h"

namespace eosin::segment {

// Random against random: the same label subsets, other heads, order and augmentation. It runs at
// the level of the primary comparison, and must show no difference.
inline constexpr const char* kControlArm = "random_again";

struct Arm {
  std::string name;          // "ssl_partial"
  std::string label;         // as shown in tables: "stand-in, not ImageNet"
  std::string init;          // "random" or a weights file
  std::string freeze;        // none | stem | layer1..layer4 | all
  double backbone_lr = 1.0;  // multiplier of the learning rate
  std::string skipped;       // why the arm cannot run; empty = it runs

  bool control() const { return name == kControlArm; }
};

// Known arms: random, random_again, imagenet, imagenet_partial, ssl, ssl_partial, ssl_frozen,
// ssl_from_imagenet; any other name needs NAME=FILE in study.arms, with `;freeze=STAGE` (default
// none) and `;rate=NUMBER` (default train.backbone_lr) behind. In FILE and in weights.*, {fold}
// becomes the number of the fold. Throws ConfigError.
std::vector<Arm> ResolveArms(const StudyOptions& options, int64_t fold = 0);

}  // namespace eosin::segment
