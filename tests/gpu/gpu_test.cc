// SPDX-License-Identifier: Apache-2.0
// CPU against CUDA: the input kernel within 1e-6, then a whole SimCLR and BYOL
// training step. Skips by name where there is no GPU.
#include <ATen/Context.h>
#include <ATen/Functions.h>

#include "core/base/philox.h"
#include "engine/kernels/normalize.h"
#include "engine/training/input.h"
#include "engine/training/optimizer.h"
#include "pretrain/method.h"
#include "tests/testing.h"

namespace eosin {
namespace {

#define EOSIN_REQUIRE_GPU() \
  if (!at::hasCUDA()) GTEST_SKIP() << "needs a CUDA device"

std::vector<uint8_t> RandomBytes(size_t count) {
  std::vector<uint8_t> bytes(count);
  core::PhiloxStream stream(11, core::DrawPurpose::kTest, 0, 0);
  for (auto& b : bytes) b = static_cast<uint8_t>(stream.Below(256));
  return bytes;
}

TEST(Gpu, InputMatchesTheHostFunction) {
  EOSIN_REQUIRE_GPU();
  for (const int64_t size : {31, 32, 224}) {
    const int64_t n = 3;
    const auto bytes = RandomBytes(static_cast<size_t>(n * size * size * 3));
    const engine::Normalization normalization;
    const at::Tensor gpu =
        engine::ToInput(bytes.data(), n, size, c10::Device("cuda:0"), normalization).cpu();
    const auto constants =
        engine::MakeNormalizeConstants(normalization.mean.data(), normalization.std.data());
    ASSERT_EQ(gpu.sizes(), at::IntArrayRef({n, 3, size, size}));
    const at::Tensor nhwc = gpu.permute({0, 2, 3, 1}).contiguous();
    const float* values = nhwc.data_ptr<float>();
    for (size_t i = 0; i < bytes.size(); ++i) {
      ASSERT_NEAR(values[i], engine::NormalizeValue(bytes[i], static_cast<int>(i % 3), constants),
                  1e-6f);
    }
  }
}

// Loss and parameters after one fp32 step from equal weights.
class Step : public ::testing::TestWithParam<const char*> {};

struct StepResult {
  double loss;
  engine::NamedParameters parameters;
};

StepResult TakeStep(const pretrain::PretrainOptions& options, c10::Device device) {
  engine::ResNet encoder(engine::ResNetOptions{.arch = "resnet18", .stem = "cifar"});
  engine::InitResNet(encoder, 5);
  auto method = pretrain::MakeMethod(options, encoder);
  method->To(device);
  method->SetTraining(true);
  engine::Optimizer optimizer(options.optimizer,
                              engine::MakeParamGroups(method->Trainable(), true));
  const auto bytes = RandomBytes(2 * 16 * 32 * 32 * 3);
  const at::Tensor views = engine::ToInput(bytes.data(), 32, 32, device, {});
  const pretrain::StepOutput output = method->Forward({views});
  output.loss.backward();
  optimizer.Step(0.1);
  method->AfterStep(0.5);
  StepResult result{output.loss.item<double>(), {}};
  for (const auto& [name, parameter] : method->Trainable()) {
    result.parameters.emplace_back(name, parameter.detach().to(at::kCPU, at::kDouble));
  }
  return result;
}

TEST_P(Step, CudaMatchesCpu) {
  EOSIN_REQUIRE_GPU();
  at::globalContext().setAllowTF32CuBLAS(false);
  at::globalContext().setAllowTF32CuDNN(false);
  pretrain::PretrainOptions options;
  options.method = GetParam();
  options.arch = "resnet18";
  options.stem = "cifar";
  options.size = 32;
  options.batch = 16;
  const StepResult cpu = TakeStep(options, c10::Device("cpu"));
  const StepResult gpu = TakeStep(options, c10::Device("cuda:0"));
  EXPECT_NEAR(cpu.loss, gpu.loss, 1e-4 * std::abs(cpu.loss));
  ASSERT_EQ(cpu.parameters.size(), gpu.parameters.size());
  double worst = 0;
  for (size_t i = 0; i < cpu.parameters.size(); ++i) {
    const auto& a = cpu.parameters[i].second;
    const double error =
        (a - gpu.parameters[i].second).norm().item<double>() / (a.norm().item<double>() + 1e-6);
    EXPECT_LT(error, 1e-3) << cpu.parameters[i].first;
    worst = std::max(worst, error);
  }
  std::printf("%s: loss %.6f cpu, %.6f cuda; worst relative parameter difference %.2e\n",
              GetParam(), cpu.loss, gpu.loss, worst);
}

INSTANTIATE_TEST_SUITE_P(Methods, Step, ::testing::Values("simclr", "byol"));

}  // namespace
}  // namespace eosin
