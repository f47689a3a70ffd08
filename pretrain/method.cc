// SPDX-License-Identifier: Apache-2.0
#include "pretrain/method.h"

#include <algorithm>

#include "engine/models/init.h"

namespace eosin::pretrain {

engine::NamedParameters Method::Trainable() const {
  engine::NamedParameters parameters;
  for (const auto& [part, module] : parts_) {
    if (std::find(frozen_parts_.begin(), frozen_parts_.end(), part) != frozen_parts_.end())
      continue;
    for (const auto& item : module->named_parameters()) {
      if (item.value().requires_grad()) {
        parameters.emplace_back(part + "." + item.key(), item.value());
      }
    }
  }
  return parameters;
}

std::vector<engine::ParamGroup> Method::ParamGroups(
    const engine::OptimizerOptions& optimizer) const {
  std::map<double, engine::NamedParameters> by_scale;
  for (const auto& parameter : Trainable()) {
    const std::string part = parameter.first.substr(0, parameter.first.find('.'));
    const auto scale = lr_scales_.find(part);
    by_scale[scale == lr_scales_.end() ? 1.0 : scale->second].push_back(parameter);
  }
  std::vector<engine::ParamGroup> groups;
  for (const auto& [scale, parameters] : by_scale) {
    for (engine::ParamGroup& group :
         engine::MakeParamGroups(parameters, optimizer.exclude_bias_and_norm, scale)) {
      groups.push_back(std::move(group));
    }
  }
  return groups;
}

void Method::To(c10::Device device) {
  for (const auto& [part, module] : parts_) {
    module->to(device);
    engine::ToChannelsLast(*module);
  }
}

void Method::SetTraining(bool on) {
  for (const auto& [part, module] : parts_) module->train(on);
}

std::vector<at::Tensor> SplitViews(const at::Tensor& views, int64_t n, bool concat_views) {
  if (concat_views) return {views};
  return views.split(n);
}

std::unique_ptr<Method> MakeMethod(const PretrainOptions& options, engine::ResNet encoder) {
  const MethodOptions& method = options.methods.Get(options.method);
  method.Check(options.method);
  return method.Make({.encoder = encoder,
                      .seed = options.seed(),
                      .batch = options.batch,
                      .concat_views = options.concat_views});
}

}  // namespace eosin::pretrain
