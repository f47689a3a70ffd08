// SPDX-License-Identifier: Apache-2.0
#include "segment/model/freeze.h"

#include <fmt/format.h>
#include <algorithm>

#include "core/base/error.h"
#include "segment/options.h"

namespace eosin::segment {

int FrozenDepth(const std::string& stage) {
  const auto& names = FreezeNames();
  const auto found = std::find(names.begin(), names.end(), stage);
  if (found == names.end()) {
    throw core::ConfigError(fmt::format("freeze = {} is no stage", stage),
                            fmt::format("freeze is one of {}", fmt::join(names, ", ")));
  }
  return std::min(static_cast<int>(found - names.begin()), 5);  // all is layer4
}

FrozenStages::FrozenStages(SegmentationNet& net, int depth) {
  const std::vector<std::string>& all = engine::ResNetImpl::StageNames();
  stages_.assign(all.begin(), all.begin() + depth);
  for (at::Tensor& parameter : net->parameters()) parameter.set_requires_grad(true);
  for (const std::string& name : stages_) {
    for (const auto& module : net->backbone()->StageModules(name)) {
      modules_.push_back(module);
      for (at::Tensor& parameter : module->parameters()) {
        parameter.set_requires_grad(false);
        parameters_ += parameter.numel();
      }
    }
  }
  TrainMode(net);
}

void FrozenStages::TrainMode(SegmentationNet& net) const {
  net->train();
  for (const auto& module : modules_) module->eval();
}

FreezeSchedule::FreezeSchedule(const SegmentOptions& options)
    : first_(FrozenDepth(options.freeze)),
      second_(FrozenDepth(options.unfreeze_to)),
      steps_(options.steps),
      change_(options.UnfreezeStep()) {}

}  // namespace eosin::segment
