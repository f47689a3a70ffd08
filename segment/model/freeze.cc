// SPDX-License-Identifier: Apache-2.0
#include "segment/model/freeze.h"

#include <fmt/format.h>
#include <algorithm>

#include "core/base/error.h"
#include "segment/options.h"

namespace eosin::segment {

FrozenStages::FrozenStages(DeepLabV3& net, const std::string& stage) {
  const std::vector<std::string>& all = engine::ResNetImpl::StageNames();
  const auto& names = FreezeNames();
  if (std::find(names.begin(), names.end(), stage) == names.end()) {
    throw core::ConfigError(fmt::format("freeze = {} is no stage", stage),
                            fmt::format("freeze is one of {}", fmt::join(names, ", ")));
  }
  size_t count = 0;
  if (stage == "all") {
    count = all.size();
  } else if (stage != "none") {
    count = static_cast<size_t>(std::find(all.begin(), all.end(), stage) - all.begin()) + 1;
  }
  stages_.assign(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
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

void FrozenStages::TrainMode(DeepLabV3& net) const {
  net->train();
  for (const auto& module : modules_) module->eval();
}

}  // namespace eosin::segment
