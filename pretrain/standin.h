// SPDX-License-Identifier: Apache-2.0
// A stand-in for ImageNet weights where no file is at hand, so that the whole study can be
// exercised offline: a ResNet trained with labels on tiles of made textures (stripes, checker,
// rings, blobs, fine noise, coarse noise, gradient, dots; random colours; nothing of histology).
// It is a supervised initialisation of the right format, not ImageNet: call it so in every table.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/image/image.h"
#include "engine/training/device.h"

namespace eosin::pretrain {

inline constexpr int kTextureClasses = 8;

struct StandInOptions {
  std::string arch = "resnet18";
  std::string stem = "imagenet";
  int64_t size = 64;  // px
  int64_t batch = 32;
  int64_t steps = 60;
  double lr = 0.02;
  int64_t seed = 0;
  engine::ComputeOptions compute;
};

// One tile of a class in [0, kTextureClasses); depends on (seed, class, index) alone.
core::Image MakeTexture(int64_t seed, int texture_class, int64_t index, int size);

// Trains and writes a .pth with torchvision's keys, fc (kTextureClasses rows) included. Bitwise
// repeatable on a CPU at equal threads. Returns the accuracy over the last quarter of the steps.
double TrainStandIn(const StandInOptions& options, const std::filesystem::path& out_pth);

}  // namespace eosin::pretrain
