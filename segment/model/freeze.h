// SPDX-License-Identifier: Apache-2.0
// Freezing the backbone from its input up to and including a stage: no gradients, and batch norm
// that uses and keeps its running statistics. Batch norm is the trap: requires_grad = false does
// not stop running statistics, and every train() call undoes eval(); so a frozen net is put into
// training mode by TrainMode of this class only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "segment/model/deeplab.h"

namespace eosin::segment {

class FrozenStages {
 public:
  // stage: a name of FreezeNames(); "all" is the whole backbone. Throws ConfigError on others.
  FrozenStages(DeepLabV3& net, const std::string& stage);

  // net->train(), then the frozen stages back to evaluation.
  void TrainMode(DeepLabV3& net) const;

  int64_t parameters() const { return parameters_; }  // frozen ones
  const std::vector<std::string>& stages() const { return stages_; }

 private:
  std::vector<std::string> stages_;
  std::vector<std::shared_ptr<torch::nn::Module>> modules_;
  int64_t parameters_ = 0;
};

}  // namespace eosin::segment
