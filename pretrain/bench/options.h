// SPDX-License-Identifier: Apache-2.0
// What `eosin bench cifar10` and `eosin bench stl10` run: a grid of pretrainings on a public set,
// each scored by kNN and a linear probe of the frozen encoder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config/option_set.h"
#include "engine/training/device.h"
#include "pretrain/options.h"

namespace eosin::pretrain {

struct BenchOptions {
  std::string set = "cifar10";  // cifar10 | stl10
  std::string data;             // folder of the set's original binaries
  bool quick = false;           // the small form; see Quick

  // The grid: methods x augmentations at one batch size, methods x batch sizes at one augmentation.
  std::vector<std::string> methods;  // simclr, byol, ...
  std::vector<std::string> augment;  // view presets (engine/augment/recipe.h)
  std::vector<double> batches;       // whole numbers
  int64_t study_batch = 512;         // batch of the augmentation study
  std::string study_augment;         // augmentation of the batch study
  bool full_cross = false;           // every augmentation at every batch size
  std::vector<std::string> archs;    // stl10: resnet50, resnet18
  // cifar10. test: learn from all training batches, ask about the test file. holdout: learn from
  // all but the last training batch, ask about that one. stl10 has its own: folds.
  std::vector<std::string> protocols;
  int64_t seeds = 3;
  int64_t first_seed = 0;

  // The budget of each cell.
  int64_t epochs = 200;
  int64_t images = 0;       // learn from so many images, drawn once; 0 = all
  int64_t test_images = 0;  // ask about the first so many; 0 = all
  int64_t width = 64;       // channels of the stem; 64 is the published network

  std::string test;  // cifar10: the test file; empty: test_batch.bin, else test_first_1000.bin
  int64_t knn_k = 200;
  double knn_temperature = 0.1;
  double probe_l2 = 1e-4;           // of the linear probe (eval/probe/linear_probe.h)
  std::vector<std::string> assign;  // key=value of eosin pretrain, for every cell
  int64_t workers = 0;
  engine::ComputeOptions compute;

  // Keys "bench.*", "compute.*". The set points into this object.
  void Bind(core::OptionSet& set);
  void Check() const;  // ConfigError

  // The published sizes (issue of CIFAR-10: ResNet-18 with the CIFAR stem, batch 512, 200 epochs).
  static BenchOptions Cifar10();
  static BenchOptions Stl10();
  // The same grid shrunk to minutes on a laptop: a few hundred images, few epochs, a narrow net,
  // one seed. Its figures say that everything works, nothing more.
  void Quick();

  int64_t size() const { return set == "stl10" ? 96 : 32; }  // px
  // Whether scores can be compared with published ones: full data, width and epochs.
  bool IsFullSize() const;
};

}  // namespace eosin::pretrain
