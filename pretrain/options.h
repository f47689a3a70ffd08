// SPDX-License-Identifier: Apache-2.0
// Everything that decides a pretraining run, bound once to TOML keys and --set. The run folder's
// config.toml holds all of it, so that a run can be repeated from that file alone.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/config/option_set.h"
#include "engine/augment/recipe.h"
#include "engine/training/device.h"
#include "engine/training/optimizer.h"
#include "engine/training/schedule.h"

namespace eosin::pretrain {

struct PretrainOptions {
  // data
  std::string data;     // folder of tile stores or of images
  int64_t size = 224;   // px of a view
  int64_t workers = 0;  // loader threads, 0 = one less than the cores; changes no result
  // method and network
  std::string method = "simclr";  // simclr | byol
  std::string arch = "resnet50";  // resnet18 | resnet34 | resnet50
  std::string stem = "auto";      // imagenet | cifar | auto: cifar when size <= 64
  int64_t width = 64;             // channels of the stem; 64 is torchvision's
  bool zero_init_residual = false;
  std::string init;  // weights file to start the encoder from; empty: random
  // training
  int64_t epochs = 100;
  int64_t batch = 256;  // source images a step; the network sees two views of each
  uint64_t seed() const { return static_cast<uint64_t>(seed_value); }
  int64_t seed_value = 0;
  int64_t accumulate = 1;        // micro-batches of `batch` images a step
  int64_t max_steps = 0;         // end early, 0 = epochs decide; schedules end there too
  int64_t checkpoint_every = 0;  // steps, 0 = once an epoch
  int64_t checkpoint_keep = 0;   // numbered step checkpoints kept besides last and best
  int64_t log_every = 10;        // steps between metric rows
  bool concat_views = true;      // one forward for both views: BatchNorm sees them together
  engine::ComputeOptions compute;
  engine::OptimizerOptions optimizer;
  engine::ScheduleOptions schedule;
  engine::ViewRecipe view_a, view_b;
  // heads and losses
  double temperature = 0.5;   // SimCLR
  int64_t simclr_hidden = 0;  // 0 = the encoder's feature dimension
  int64_t simclr_out = 128;
  bool simclr_batch_norm = true;  // after both linear layers (google); off: biases instead
  int64_t byol_hidden = 4096;
  int64_t byol_out = 256;
  double byol_ema = 0.99;  // base momentum of the target, rises to 1 by a cosine
  // online kNN, when the data has labels
  int64_t knn_every = 1;  // epochs, 0 = never
  int64_t knn_k = 200;
  double knn_temperature = 0.1;
  double knn_holdout = 0.2;    // share of the groups (slides, patients) asked about
  int64_t knn_images = 10000;  // at most this many images, drawn by the seed

  // Keys as in config.toml. The set points into this object.
  void Bind(core::OptionSet& set);
  // Rules over several fields. Throws ConfigError.
  void Check() const;
  // Fills what was left open: stem `auto`, the views' size. Call it before writing the config;
  // RunPretrain does so too. Changes nothing when called again.
  void Resolve();
};

// Starting points by name: <method>-histology, <method>-natural (the papers' ImageNet recipes),
// <method>-cifar. Throws ConfigError with the names when there is none such.
PretrainOptions Preset(const std::string& name);
const std::vector<std::string>& PresetNames();

// What a command line comes to: the preset (empty: <method>-histology of the method that the file
// or the assignments name), then the TOML file (empty: none), then the assignments key = value in
// order. Resolved; call Check next.
PretrainOptions ReadOptions(const std::string& preset, const std::string& toml_path,
                            const std::vector<std::pair<std::string, std::string>>& assignments);

}  // namespace eosin::pretrain
