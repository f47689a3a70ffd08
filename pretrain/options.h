// SPDX-License-Identifier: Apache-2.0
// Everything that decides a pretraining run, bound once to TOML keys and --set. The run folder's
// config.toml holds all of it, so that a run can be repeated from that file alone.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/config/option_set.h"
#include "engine/augment/recipe.h"
#include "engine/training/device.h"
#include "engine/training/optimizer.h"
#include "engine/training/schedule.h"

namespace eosin::pretrain {

struct MethodOptions;  // registry.h

// The options of every registered method, copied by value.
class MethodSettings {
 public:
  MethodSettings();  // each method's defaults
  MethodSettings(const MethodSettings& other);
  MethodSettings& operator=(const MethodSettings& other);
  MethodSettings(MethodSettings&&) noexcept;
  MethodSettings& operator=(MethodSettings&&) noexcept;
  ~MethodSettings();

  // Throws ConfigError when no such method is registered.
  MethodOptions& Get(const std::string& method) const;
  // For a method's own file, which knows the type.
  template <typename Options>
  Options& As(const std::string& method) const {
    return dynamic_cast<Options&>(Get(method));
  }
  void Bind(core::OptionSet& set);
  void Bind(core::OptionSet& set, const std::string& method);  // the keys of this one alone

 private:
  std::map<std::string, std::unique_ptr<MethodOptions>> by_name_;
};

struct PretrainOptions {
  // data
  std::string data;              // folder of tile stores or of images, or a set's own file
  std::vector<std::string> mix;  // several sets, "weight:path", instead of data
  std::string split;             // of index.csv: only its images
  // Views after the first are cut, with this chance, from a neighbouring tile of the same slide, at
  // most so many tile strides away.
  double neighbour_probability = 0;
  double neighbour_radius = 1.5;
  int64_t size = 224;   // px of a view
  int64_t workers = 0;  // loader threads, 0 = one less than the cores; changes no result
  // method and network
  std::string method = "simclr";  // a registered method (registry.h)
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
  // CUDA: where images are kept and views are made (engine::FeedOptions).
  std::string placement = "auto";  // auto | resident | streamed | host
  double resident_share = 0.25;    // auto: resident when the set takes at most this share
  engine::OptimizerOptions optimizer;
  engine::ScheduleOptions schedule;
  engine::ViewRecipe view_a, view_b;
  int64_t local_count = 0;        // multi-crop: small views an image besides the two global ones
  engine::ViewRecipe view_local;  // of its own size
  MethodSettings methods;         // heads and losses: keys "<method>.<key>"
  // online kNN, when the data has labels
  int64_t knn_every = 1;  // epochs, 0 = never
  int64_t knn_k = 200;
  double knn_temperature = 0.1;
  double knn_holdout = 0.2;    // share of the groups (slides, patients) asked about
  int64_t knn_images = 10000;  // at most this many images, drawn by the seed

  PretrainOptions();

  // In view_a.size, view_b.size, view_local.size until Resolve: to follow `size`.
  static constexpr int64_t kOpenSize = 0;

  // Every key, those of methods that are not in use too. The set points into this object.
  void Bind(core::OptionSet& set);
  // config.toml: without the tables of other methods, so that a program with other ones reads it.
  std::string ToToml() const;
  // For presets: the global views' recipes by name, and their size. Local views, if a user wants
  // some, are as the second one but for SwAV's crops of 5 to 14 % and a smaller side (96 of 224).
  void SetViews(const std::string& a, const std::string& b, int64_t pixels);
  // One assignment, as --set makes it.
  void Set(const std::string& key, const std::string& value);
  // The recipes of an image's views, global ones first: what the loader is given.
  std::vector<engine::ViewRecipe> Views() const;
  // Rules over several fields. Throws ConfigError.
  void Check() const;
  // Fills what was left open: stem `auto`, the views' sizes. Call it before writing the config;
  // RunPretrain does so too. Changes nothing when called again.
  void Resolve();
  // Opens again the views' sizes that are what Resolve would make of `size`: a written config names
  // them, and they are to follow when another data.size is given beside it.
  void ReopenViewSizes();

 private:
  void BindCommon(core::OptionSet& set, std::vector<std::string> method_names);
};

// Starting points by name or alias, with their sources in the methods' files. The first of a method
// is what `method = <name>` alone starts from. Throws ConfigError with the names when there is none
// such.
PretrainOptions Preset(const std::string& name);
std::vector<std::string> PresetNames();
std::string PresetHelp();                            // a line each
PretrainOptions StartOf(const std::string& method);  // the method's first preset

// What a command line comes to: the preset (empty: the first of the method that the file or the
// assignments name), then the TOML file (empty: none), then the assignments key = value in order.
// Sizes of views follow data.size, except where they differ from it in the file or are assigned.
// Resolved; call Check next.
PretrainOptions ReadOptions(const std::string& preset, const std::string& toml_path,
                            const std::vector<std::pair<std::string, std::string>>& assignments);

}  // namespace eosin::pretrain
