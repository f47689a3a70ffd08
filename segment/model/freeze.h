// SPDX-License-Identifier: Apache-2.0
// Freezing the backbone from its input up to and including a stage: no gradients, and batch norm
// that uses and keeps its running statistics. Batch norm is the trap: requires_grad = false does
// not stop running statistics, and every train() call undoes eval(); so a net with frozen stages is
// put into training mode by TrainMode of FrozenStages only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "segment/model/deeplab.h"

namespace eosin::segment {

struct SegmentOptions;

// How many stages (stem, layer1, ..., layer4) a name of FreezeNames() freezes: none 0, stem 1, ...,
// layer4 and all 5. Throws ConfigError on other names.
int FrozenDepth(const std::string& stage);

class FrozenStages {
 public:
  // The first `depth` stages lose their gradients, all other parameters get theirs (back).
  FrozenStages(SegmentationNet& net, int depth);
  FrozenStages(SegmentationNet& net, const std::string& stage)
      : FrozenStages(net, FrozenDepth(stage)) {}

  // net->train(), then the frozen stages back to evaluation.
  void TrainMode(SegmentationNet& net) const;

  int depth() const { return static_cast<int>(stages_.size()); }
  int64_t parameters() const { return parameters_; }  // frozen ones
  const std::vector<std::string>& stages() const { return stages_; }

 private:
  std::vector<std::string> stages_;
  std::vector<std::shared_ptr<torch::nn::Module>> modules_;
  int64_t parameters_ = 0;
};

// What is frozen at which step: options.freeze before options.UnfreezeStep(), options.unfreeze_to
// from there on. Frozen throughout, linear probe then fine-tuning (all, then none) and "unfreeze at
// 20 %" are all this.
class FreezeSchedule {
 public:
  explicit FreezeSchedule(const SegmentOptions& options);

  int DepthAt(int64_t step) const { return step < change_ ? first_ : second_; }
  int always() const { return change_ < steps_ ? std::min(first_, second_) : first_; }

 private:
  int first_, second_;
  int64_t steps_, change_;
};

}  // namespace eosin::segment
