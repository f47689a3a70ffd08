// SPDX-License-Identifier: Apache-2.0
#include "pretrain/method.h"

#include <fmt/format.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>
#include <algorithm>

#include "core/base/error.h"
#include "engine/models/init.h"
#include "pretrain/byol.h"
#include "pretrain/heads.h"
#include "pretrain/simclr.h"

namespace eosin::pretrain {

torch::nn::Sequential MakeHead(const HeadOptions& options, uint64_t seed, const std::string& name) {
  using torch::nn::BatchNorm1d, torch::nn::Linear, torch::nn::LinearOptions;
  torch::nn::Sequential head;
  head->push_back(Linear(LinearOptions(options.in, options.hidden).bias(options.hidden_bias)));
  if (options.hidden_norm) head->push_back(BatchNorm1d(options.hidden));
  head->push_back(torch::nn::ReLU(torch::nn::ReLUOptions(/*inplace=*/true)));
  head->push_back(Linear(LinearOptions(options.hidden, options.out).bias(options.out_bias)));
  if (options.out_norm) head->push_back(BatchNorm1d(options.out));
  engine::InitModule(*head, seed, engine::ConvInit::kDefault, name + ".");
  return head;
}

engine::NamedParameters Method::Trainable() const {
  engine::NamedParameters parameters;
  for (const auto& [part, module] : parts_) {
    if (std::find(frozen_parts_.begin(), frozen_parts_.end(), part) != frozen_parts_.end())
      continue;
    for (const auto& item : module->named_parameters()) {
      parameters.emplace_back(part + "." + item.key(), item.value());
    }
  }
  return parameters;
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

std::unique_ptr<Method> MakeMethod(const PretrainOptions& options, engine::ResNet encoder) {
  if (options.method == "simclr") return std::make_unique<SimClr>(options, encoder);
  if (options.method == "byol") return std::make_unique<Byol>(options, encoder);
  throw core::ConfigError(fmt::format("unknown method {}", options.method), "simclr or byol");
}

}  // namespace eosin::pretrain
