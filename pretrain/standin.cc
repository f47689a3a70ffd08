// SPDX-License-Identifier: Apache-2.0
#include "pretrain/standin.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/tensor.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "core/base/interrupt.h"
#include "core/base/philox.h"
#include "core/base/progress.h"
#include "core/base/threads.h"
#include "core/formats/pth.h"
#include "engine/models/init.h"
#include "engine/models/resnet.h"
#include "engine/training/input.h"
#include "engine/training/optimizer.h"
#include "engine/training/schedule.h"
#include "engine/weights/weights.h"

namespace eosin::pretrain {
namespace {

using core::PhiloxStream;
constexpr float kPi = std::numbers::pi_v<float>;

// Smooth noise: random values on a lattice of `cell` pixels, cosine-interpolated. In 0..1.
class ValueNoise {
 public:
  ValueNoise(int size, int cell, PhiloxStream& draw) : cell_(cell), width_(size / cell + 2) {
    values_.resize(static_cast<size_t>(width_) * static_cast<size_t>(width_));
    for (float& v : values_) v = draw.Uniform();
  }
  float At(int x, int y) const {
    const float u = Ease(x), v = Ease(y);
    const int i = x / cell_, j = y / cell_;
    return (1 - v) * ((1 - u) * V(i, j) + u * V(i + 1, j)) +
           v * ((1 - u) * V(i, j + 1) + u * V(i + 1, j + 1));
  }

 private:
  float Ease(int p) const {
    return 0.5f - 0.5f * std::cos(kPi * static_cast<float>(p % cell_) / static_cast<float>(cell_));
  }
  float V(int i, int j) const { return values_[static_cast<size_t>(j * width_ + i)]; }
  int cell_, width_;
  std::vector<float> values_;
};

// The share of colour 1 at a pixel; the rest is colour 0.
std::vector<float> Pattern(int texture, int size, PhiloxStream& draw) {
  std::vector<float> pattern(static_cast<size_t>(size) * static_cast<size_t>(size));
  const float angle = draw.Uniform(0, kPi), c = std::cos(angle), s = std::sin(angle);
  const float period = draw.Uniform(5, 16);
  const float x0 = draw.Uniform(0, static_cast<float>(size));
  const float y0 = draw.Uniform(0, static_cast<float>(size));
  const ValueNoise fine(size, 2, draw);
  const ValueNoise coarse(size, std::max(4, size / 6), draw);
  auto wave = [&](float t) { return 0.5f + 0.5f * std::sin(2 * kPi * t / period); };
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      const float dx = static_cast<float>(x) - x0, dy = static_cast<float>(y) - y0;
      const float u = c * dx + s * dy, v = c * dy - s * dx;
      float value = 0;
      switch (texture) {
        case 0:
          value = wave(u);
          break;  // stripes
        case 1:
          value = (wave(u) > 0.5f) != (wave(v) > 0.5f) ? 1.0f : 0.0f;
          break;  // checker
        case 2:
          value = wave(std::sqrt(dx * dx + dy * dy));
          break;  // rings
        case 3:
          value = coarse.At(x, y) > 0.5f ? 1.0f : 0.0f;
          break;  // blobs
        case 4:
          value = fine.At(x, y);
          break;  // fine noise
        case 5:
          value = coarse.At(x, y);
          break;  // coarse noise
        case 6:
          value = std::clamp(0.5f + u / static_cast<float>(size), 0.0f, 1.0f);
          break;
        default:
          value = wave(u) * wave(v) > 0.55f ? 1.0f : 0.0f;
          break;  // dots
      }
      pattern[static_cast<size_t>(y * size + x)] = value;
    }
  }
  return pattern;
}

}  // namespace

core::Image MakeTexture(int64_t seed, int texture_class, int64_t index, int size) {
  PhiloxStream draw(static_cast<uint64_t>(seed), core::DrawPurpose::kSynth, 0x7e87,
                    static_cast<uint32_t>(index), static_cast<uint32_t>(texture_class));
  std::array<float, 3> colors[2];
  for (int c = 0; c < 3; ++c) colors[0][static_cast<size_t>(c)] = draw.Uniform(0, 255);
  for (int c = 0; c < 3; ++c) {
    // Far enough from the other colour to be seen.
    const float other = colors[0][static_cast<size_t>(c)];
    const float step = draw.Uniform(70, 127);
    colors[1][static_cast<size_t>(c)] = other > 127 ? other - step : other + step;
  }
  const float noise = draw.Uniform(2, 12);
  const std::vector<float> pattern = Pattern(texture_class, size, draw);
  core::Image image(size, size, 3);
  for (size_t i = 0; i < pattern.size(); ++i) {
    for (size_t c = 0; c < 3; ++c) {
      const float value = colors[0][c] + pattern[i] * (colors[1][c] - colors[0][c]) +
                          noise * (draw.Uniform() - 0.5f);
      image.pixels[3 * i + c] = static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f));
    }
  }
  return image;
}

double TrainStandIn(const StandInOptions& options, const std::filesystem::path& out_pth) {
  const engine::Compute compute = engine::ResolveCompute(options.compute);
  engine::ResNetOptions net_options;
  net_options.arch = options.arch;
  net_options.stem = options.stem;
  net_options.num_classes = kTextureClasses;
  engine::ResNet net(net_options);
  engine::InitResNet(net, static_cast<uint64_t>(options.seed));
  net->to(compute.device);
  engine::ToChannelsLast(*net);
  net->train();
  engine::NamedParameters parameters;
  for (const auto& item : net->named_parameters())
    parameters.emplace_back(item.key(), item.value());
  engine::OptimizerOptions sgd;
  sgd.lr = options.lr;
  engine::Optimizer optimizer(sgd, engine::MakeParamGroups(parameters, true));
  engine::ScheduleOptions shape;
  shape.warmup_epochs = 1e9;  // the cap: a fifth of the run
  const engine::LrSchedule schedule(shape, options.lr, 1, options.steps);

  const int size = static_cast<int>(options.size);
  const size_t bytes = static_cast<size_t>(size) * static_cast<size_t>(size) * 3;
  std::vector<uint8_t> tiles(static_cast<size_t>(options.batch) * bytes);
  std::vector<int64_t> labels(static_cast<size_t>(options.batch));
  int64_t right = 0, asked = 0;
  core::Progress progress("stand-in", options.steps, "steps");
  for (int64_t step = 0; step < options.steps; ++step) {
    core::ThrowIfInterrupted();
    core::ParallelFor(options.batch, core::AvailableCores(), [&](int64_t i) {
      const int64_t index = step * options.batch + i;
      const int texture = static_cast<int>(index % kTextureClasses);
      const core::Image tile = MakeTexture(options.seed, texture, index, size);
      std::copy(tile.pixels.begin(), tile.pixels.end(),
                tiles.data() + static_cast<size_t>(i) * bytes);
      labels[static_cast<size_t>(i)] = texture;
    });
    const at::Tensor input =
        engine::ToInput(tiles.data(), options.batch, size, compute.device, engine::Normalization());
    const at::Tensor target = at::tensor(labels, at::kLong).to(compute.device);
    optimizer.ZeroGrad();
    at::Tensor logits;
    {
      const engine::AutocastGuard autocast(compute.device.type(), compute.bf16);
      logits = net->forward(input);
    }
    logits = logits.to(at::kFloat);
    at::cross_entropy_loss(logits, target).backward();
    optimizer.Step(schedule.At(step));
    if (step >= options.steps - options.steps / 4) {
      right += logits.argmax(1).eq(target).sum().item<int64_t>();
      asked += options.batch;
    }
    progress.Advance();
  }
  core::WritePth(out_pth, engine::ToStateDict(*net));
  return asked > 0 ? static_cast<double>(right) / static_cast<double>(asked) : 0.0;
}

}  // namespace eosin::pretrain
