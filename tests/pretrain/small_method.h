// SPDX-License-Identifier: Apache-2.0
// What tests of methods share: a narrow ResNet-18 and options to match, views, a head's shapes.
#pragma once

#include <torch/types.h>
#include <map>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "engine/weights/weights.h"
#include "pretrain/method.h"

namespace eosin::pretrain {

inline engine::ResNet SmallEncoder() {
  engine::ResNetOptions net;
  net.arch = "resnet18";
  net.stem = "cifar";
  net.width = 8;
  engine::ResNet encoder(net);
  engine::InitResNet(encoder, 5);
  return encoder;
}

inline PretrainOptions Small(const std::string& method) {
  PretrainOptions options;
  options.method = method;
  options.arch = "resnet18";
  options.stem = "cifar";
  options.Set("byol.hidden", "32");
  options.Set("byol.out", "16");
  return options;
}

// (count, 3, size, size), normally distributed, the same for equal arguments.
inline at::Tensor RandomViews(int64_t count, int64_t size, uint64_t seed = 4) {
  at::Tensor views = torch::empty({count, 3, size, size});
  core::PhiloxStream stream(seed, core::DrawPurpose::kTest, 0, 0);
  float* values = views.data_ptr<float>();
  for (int64_t i = 0; i < views.numel(); ++i) values[i] = stream.Normal();
  return views;
}

// Parameters and buffers by name with their shapes, BatchNorm's step counters left out.
inline std::map<std::string, std::vector<int64_t>> Shapes(const torch::nn::Module& module) {
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const core::TensorBlob& blob : engine::ToStateDict(module).tensors) {
    if (!blob.name.ends_with("num_batches_tracked")) shapes[blob.name] = blob.shape;
  }
  return shapes;
}

}  // namespace eosin::pretrain
