// SPDX-License-Identifier: Apache-2.0
#include "engine/models/init.h"

#include <algorithm>
#include <cmath>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include "core/base/philox.h"
#include "core/base/threads.h"

namespace eosin::engine {
namespace {

constexpr int64_t kChunk = 1 << 16;  // elements a stream draws; part of reproducibility

uint32_t HashName(const std::string& name) {  // FNV-1a
  uint32_t hash = 2166136261u;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return hash;
}

// Fills a parameter with draws made by `fill(stream, begin, end)`, chunk by chunk.
template <typename Fill>
void Draw(at::Tensor& parameter, uint64_t seed, const std::string& name, Fill&& fill) {
  at::Tensor values = at::empty(parameter.sizes(), at::kFloat);
  float* data = values.data_ptr<float>();
  const int64_t count = values.numel();
  const int64_t chunks = (count + kChunk - 1) / kChunk;
  core::ParallelFor(chunks, at::get_num_threads(), [&](int64_t chunk) {
    core::PhiloxStream stream(seed, core::DrawPurpose::kInit, HashName(name),
                              static_cast<uint32_t>(chunk));
    fill(stream, data + chunk * kChunk, data + std::min(count, (chunk + 1) * kChunk));
  });
  parameter.copy_(values);
}

void DrawUniform(at::Tensor& parameter, uint64_t seed, const std::string& name, float bound) {
  Draw(parameter, seed, name, [bound](core::PhiloxStream& stream, float* begin, float* end) {
    for (float* value = begin; value != end; ++value) *value = stream.Uniform(-bound, bound);
  });
}

void DrawNormal(at::Tensor& parameter, uint64_t seed, const std::string& name, float deviation) {
  // Box-Muller, both values of a pair: initialising a ResNet-50 is 25 million draws.
  Draw(parameter, seed, name, [deviation](core::PhiloxStream& stream, float* begin, float* end) {
    for (float* value = begin; value < end; value += 2) {
      const float radius = deviation * std::sqrt(-2.0f * std::log(1.0f - stream.Uniform()));
      const float angle = 6.283185307179586f * stream.Uniform();
      value[0] = radius * std::cos(angle);
      if (value + 1 < end) value[1] = radius * std::sin(angle);
    }
  });
}

void InitConv(torch::nn::Conv2dImpl& conv, uint64_t seed, ConvInit init, const std::string& name) {
  const int64_t taps = conv.weight.size(2) * conv.weight.size(3);
  const double fan_in = static_cast<double>(conv.weight.size(1) * taps);
  const double fan_out = static_cast<double>(conv.weight.size(0) * taps);
  double bound = 1.0 / std::sqrt(fan_in);
  if (init == ConvInit::kKaimingUniform) bound = std::sqrt(6.0 / fan_in);
  if (init == ConvInit::kXavierUniform) bound = std::sqrt(6.0 / (fan_in + fan_out));
  if (init == ConvInit::kKaimingFanOut) {
    DrawNormal(conv.weight, seed, name + ".weight", static_cast<float>(std::sqrt(2.0 / fan_out)));
  } else {
    DrawUniform(conv.weight, seed, name + ".weight", static_cast<float>(bound));
  }
  if (!conv.bias.defined()) return;
  if (init == ConvInit::kKaimingUniform || init == ConvInit::kXavierUniform) {
    conv.bias.zero_();
  } else {
    DrawUniform(conv.bias, seed, name + ".bias", static_cast<float>(1.0 / std::sqrt(fan_in)));
  }
}

template <typename BatchNorm>
bool InitBatchNorm(torch::nn::Module& module) {
  auto* norm = module.as<BatchNorm>();
  if (norm == nullptr) return false;
  if (norm->weight.defined()) norm->weight.fill_(1);
  if (norm->bias.defined()) norm->bias.zero_();
  if (norm->running_mean.defined()) norm->reset_running_stats();
  return true;
}

}  // namespace

void InitModule(torch::nn::Module& module, uint64_t seed, ConvInit conv_init,
                const std::string& prefix) {
  const torch::NoGradGuard guard;
  auto visit = [&](torch::nn::Module& item, const std::string& name) {
    if (auto* conv = item.as<torch::nn::Conv2dImpl>()) {
      InitConv(*conv, seed, conv_init, name);
    } else if (auto* linear = item.as<torch::nn::LinearImpl>()) {
      const auto bound =
          static_cast<float>(1.0 / std::sqrt(static_cast<double>(linear->weight.size(1))));
      DrawUniform(linear->weight, seed, name + ".weight", bound);
      if (linear->bias.defined()) DrawUniform(linear->bias, seed, name + ".bias", bound);
    } else if (!InitBatchNorm<torch::nn::BatchNorm2dImpl>(item)) {
      InitBatchNorm<torch::nn::BatchNorm1dImpl>(item);
    }
  };
  visit(module, prefix);
  for (const auto& item : module.named_modules("", /*include_self=*/false)) {
    visit(*item.value(), prefix + item.key());
  }
}

void ToChannelsLast(torch::nn::Module& module) {
  const torch::NoGradGuard guard;
  for (auto& parameter : module.parameters()) {
    if (parameter.dim() == 4) {
      parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
    }
  }
}

}  // namespace eosin::engine
