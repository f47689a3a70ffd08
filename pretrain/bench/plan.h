// SPDX-License-Identifier: Apache-2.0
// The cells of a benchmark, and what a cell learns from and is asked about.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/data/image_source.h"
#include "pretrain/bench/options.h"

namespace eosin::pretrain {

struct BenchCell {
  std::string name;  // also its folder: "simclr-full-b512-test-s0"
  std::string method, augment, arch, protocol;
  int64_t batch = 0, seed = 0;
  PretrainOptions pretrain;  // resolved

  // The same but for the seed: what is averaged.
  bool SameSetting(const BenchCell& other) const;
};

// Seed by seed, so that an unfinished grid is a whole one of fewer seeds. No cell appears twice.
// CIFAR-10 cells start from lightly's published recipes (presets <method>-cifar), STL-10's from
// presets <method>-stl10 (of SimCLR: stl10-baseline); ConfigError when a method has no such preset.
std::vector<BenchCell> PlanCells(const BenchOptions& options);

// Data of one protocol.
struct BenchData {
  std::unique_ptr<engine::ImageSource> learn;  // pretraining; labels are not looked at
  std::unique_ptr<engine::ImageSource> bank;   // labelled: neighbours, training of the probe
  std::unique_ptr<engine::ImageSource> test;   // labelled
  // stl10: indices into bank, one list a fold, each to train a probe of its own on. Else empty.
  std::vector<std::vector<int64_t>> folds;
  std::string learn_name, test_name;  // for tables, with counts
};

// CIFAR-10: data_batch_*.bin, the bank being the images learnt from. STL-10: train_X.bin and
// unlabeled_X.bin are learnt from, the bank is train_X.bin, the test images are test_X.bin, folds
// from fold_indices.txt. DataError when a file is missing.
BenchData OpenBenchData(const BenchOptions& options, const std::string& protocol);

}  // namespace eosin::pretrain
