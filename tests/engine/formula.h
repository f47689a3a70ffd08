// SPDX-License-Identifier: Apache-2.0
// Network weights by a formula, so that fixtures need no weights: the twin of
// tests/parity/formula.py, and comparison with the outputs that torchvision gave.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "core/formats/safetensors.h"
#include "tests/testing.h"

namespace eosin::testing {

// count floats in [-1, 1): murmur3's finaliser over FNV-1a(name) + index.
inline std::vector<float> Uniform(const std::string& name, int64_t count) {
  uint32_t seed = 2166136261u;
  for (const char c : name) seed = (seed ^ static_cast<uint8_t>(c)) * 16777619u;
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    auto h = static_cast<uint32_t>(seed + i * 2654435761u);
    h ^= h >> 16;
    h *= 0x85EBCA6Bu;
    h ^= h >> 13;
    h *= 0xC2B2AE35u;
    h ^= h >> 16;
    values[i] = static_cast<float>(h >> 8) * 0x1p-23f - 1.0f;
  }
  return values;
}

inline at::Tensor UniformTensor(const std::string& name, at::IntArrayRef shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return torch::tensor(Uniform(name, count)).reshape(shape);
}

inline at::Tensor FormulaImage(at::IntArrayRef shape) { return UniformTensor("input", shape) * 2; }

inline void FillByFormula(torch::nn::Module& module) {
  const torch::NoGradGuard guard;
  auto entries = module.named_parameters();
  const auto buffers = module.named_buffers();
  for (const auto& item : buffers) entries.insert(item.key(), item.value());
  for (auto& item : entries) {
    const std::string& name = item.key();
    at::Tensor& target = item.value();
    const std::string parent = name.substr(0, name.rfind('.'));
    if (name.ends_with("num_batches_tracked")) {
      target.fill_(7);
      continue;
    }
    at::Tensor u = UniformTensor(name, target.sizes());
    if (name.ends_with("running_var")) {
      u = 1 + 0.5 * u;
    } else if (name.ends_with("weight") && buffers.contains(parent + ".running_mean")) {
      u = 0.5 + 0.2 * u;
    } else if (target.dim() < 2) {
      u = 0.1 * u;
    } else {
      u = std::sqrt(3.0 * static_cast<double>(target.size(0)) /
                    static_cast<double>(target.numel())) *
          u;
    }
    target.copy_(u);
  }
}

// The reference outputs of tests/fixtures/weights/networks.safetensors.
inline at::Tensor Reference(const std::string& name) {
  static const core::StateDict dict =
      core::ReadSafetensors(FixtureFolder() / "weights" / "networks.safetensors");
  const core::TensorBlob* blob = dict.Find(name);
  if (blob == nullptr) throw core::DataError("no reference " + name, "run the fixture maker");
  return torch::tensor(core::ToFloats(*blob)).reshape(blob->shape);
}

inline double MaxDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

inline void ExpectReference(const at::Tensor& got, const std::string& name, double tolerance) {
  const at::Tensor wanted = Reference(name);
  ASSERT_EQ(got.sizes(), wanted.sizes()) << name;
  const double difference = MaxDifference(got, wanted);
  EXPECT_LE(difference, tolerance) << name;
  std::printf("  %-22s max abs difference to torchvision %.2e\n", name.c_str(), difference);
}

}  // namespace eosin::testing
