// SPDX-License-Identifier: Apache-2.0
// The C++ side of test_step.py: makes the method of a preset around a ResNet-18 with the CIFAR
// stem, takes training steps on random views and writes what is needed to repeat them:
//   step_tool PRESET RATE STEPS OUT.safetensors
// with "before.<part>.<name>", "after.<part>.<name>", "views.<step>", "loss.<step>".
#include <torch/types.h>
#include <cstdio>
#include <cstdlib>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/formats/safetensors.h"
#include "engine/weights/weights.h"
#include "pretrain/method.h"

namespace eosin {
namespace {

constexpr int64_t kImages = 6, kSize = 16;

void Put(core::StateDict* dict, const std::string& name, const at::Tensor& tensor) {
  const at::Tensor values = tensor.detach().to(at::kFloat).contiguous();
  const float* data = values.data_ptr<float>();
  dict->Add(name, values.sizes().vec(), std::vector<float>(data, data + values.numel()));
}

void PutParts(core::StateDict* dict, const std::string& prefix, const pretrain::Method& method) {
  for (const auto& [part, module] : method.parts()) {
    for (const auto& item : module->named_parameters()) {
      Put(dict, prefix + part + "." + item.key(), item.value());
    }
    for (const auto& item : module->named_buffers()) {
      if (item.value().is_floating_point()) {
        Put(dict, prefix + part + "." + item.key(), item.value());
      }
    }
  }
}

void Run(const std::string& preset, double rate, int64_t steps, const std::string& out) {
  at::set_num_threads(1);
  pretrain::PretrainOptions options = pretrain::Preset(preset);
  options.Set("byol.hidden", "64");
  engine::ResNet encoder(engine::ResNetOptions{
      .arch = "resnet18", .stem = "cifar", .zero_init_residual = options.zero_init_residual});
  engine::InitResNet(encoder, 5);
  const auto method = pretrain::MakeMethod(options, encoder);
  method->To(c10::Device("cpu"));
  method->SetTraining(true);
  engine::Optimizer optimizer(options.optimizer, method->ParamGroups(options.optimizer));
  core::StateDict record;
  PutParts(&record, "before.", *method);
  for (int64_t step = 0; step < steps; ++step) {
    at::Tensor views = torch::empty({2 * kImages, 3, kSize, kSize});
    core::PhiloxStream stream(1, core::DrawPurpose::kTest, 0, static_cast<uint32_t>(step));
    float* values = views.data_ptr<float>();
    for (int64_t i = 0; i < views.numel(); ++i) values[i] = stream.Normal();
    optimizer.ZeroGrad();
    const pretrain::StepOutput output =
        method->Forward({views.contiguous(at::MemoryFormat::ChannelsLast)});
    output.loss.backward();
    optimizer.Step(rate);
    // Some point of the momentum's schedule, neither its start nor its end; test_step.py has it
    // too.
    method->AfterStep(static_cast<double>(step + 1) / static_cast<double>(steps + 2));
    Put(&record, "views." + std::to_string(step), views);
    Put(&record, "loss." + std::to_string(step), output.loss);
  }
  PutParts(&record, "after.", *method);
  core::WriteSafetensors(out, record);
}

}  // namespace
}  // namespace eosin

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: step_tool PRESET RATE STEPS OUT.safetensors\n");
    return 2;
  }
  try {
    eosin::Run(argv[1], std::atof(argv[2]), std::atol(argv[3]), argv[4]);
  } catch (const eosin::core::Error& error) {
    std::fprintf(stderr, "error: %s\nhint: %s\n", error.what(), error.hint().c_str());
    return static_cast<int>(error.code());
  }
  return 0;
}
