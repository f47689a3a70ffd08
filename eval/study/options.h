// SPDX-License-Identifier: Apache-2.0
// What `eosin eval` measures and how. Keys eval.*, probe.*, finetune.* and compute.*.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/option_set.h"
#include "engine/training/device.h"
#include "eval/probe/finetune.h"
#include "eval/probe/linear_probe.h"

namespace eosin::eval {

struct EvalOptions {
  std::vector<std::string> encoders;  // weights files or run folders; may be empty: random alone
  std::string data;                   // labelled images
  std::string test;                   // another labelled set; empty: data is split
  std::string out;

  // Data.
  uint64_t seed() const { return static_cast<uint64_t>(seed_value); }
  int64_t seed_value = 0;
  double val_share = 0.2, test_share = 0.2;   // of the groups
  int64_t train_images = 0, test_images = 0;  // at most so many, stratified by class; 0 = all
  bool groups_per_class = false;
  bool drop_duplicates = false;
  int64_t size = 0;  // px; 0 = the images' own size up to 224, else 224
  // Of encoders whose file does not say: auto | imagenet | none | m,m,m,s,s,s.
  std::string normalization = "auto";
  int64_t batch = 64;
  int64_t workers = 0;  // 0 = one less than the cores

  // Which measures.
  std::string random_arch = "resnet18";  // of random init where no encoder is given
  std::string random_stem = "auto";
  int64_t random_width = 64;
  int64_t random_seeds = 3;
  std::vector<double> knn_ks = {200, 20};
  std::vector<double> knn_temperatures = {0.1, 0.07};  // one a k
  int64_t pixel_size = 32;
  LinearProbeOptions probe;
  std::vector<double> probe_l2s = {1e-4, 1e-3, 1e-2, 1e-1};  // chosen from on val
  std::vector<double> shots = {1, 5, 10};
  int64_t shot_draws = 20;
  bool finetune = false;
  FinetuneOptions finetuning;
  double reach = 0.9;  // of the best final accuracy: epochs to get there
  bool geometry = true;
  int64_t geometry_images = 2000;
  bool stain_shift = true;
  int64_t stain_images = 500;
  bool pictures = true;
  int64_t picture_images = 1500;
  int64_t draws = 1000;  // of the bootstrap

  engine::ComputeOptions compute{.precision = "fp32"};

  void Bind(core::OptionSet& set);
  void Check() const;
};

}  // namespace eosin::eval
