// SPDX-License-Identifier: Apache-2.0
#include "pretrain/options.h"

#include <fmt/format.h>

#include "core/base/error.h"

namespace eosin::pretrain {

void PretrainOptions::Bind(core::OptionSet& set) {
  const double most = 1e9;
  set.Add("data.path", &data, {.doc = "folder of tile stores, or of images"});
  set.Add("data.size", &size, {.doc = "side of a view", .unit = "px", .min = 8, .max = 4096});
  set.Add("data.workers", &workers,
          {.doc = "loader threads, 0 = one less than the cores; changes no result",
           .min = 0,
           .max = 1024});
  set.Add("method", &method, {.doc = "how to learn without labels", .choices = {"simclr", "byol"}});
  set.Add("seed", &seed_value, {.doc = "of initialisation, order and augmentation", .min = 0});
  set.Add("model.arch", &arch, {.doc = "encoder", .choices = {"resnet18", "resnet34", "resnet50"}});
  set.Add("model.stem", &stem,
          {.doc = "imagenet: 7x7 stride 2 and pooling; cifar: 3x3; auto: cifar up to 64 px",
           .choices = {"auto", "imagenet", "cifar"}});
  set.Add("model.width", &width,
          {.doc = "channels of the stem; 64 is torchvision's, less makes a small net",
           .min = 4,
           .max = 512});
  set.Add("model.zero_init_residual", &zero_init_residual,
          {.doc = "each residual block starts as the identity"});
  set.Add("model.init", &init, {.doc = "weights file to start the encoder from; empty = random"});
  set.Add("train.epochs", &epochs, {.doc = "passes over the data", .min = 1, .max = most});
  set.Add("train.batch", &batch,
          {.doc = "images a step; the network sees two views of each", .min = 2, .max = most});
  set.Add("train.accumulate", &accumulate,
          {.doc = "batches whose gradients are averaged into one step; contrastive methods find "
                  "their negatives within one batch",
           .min = 1,
           .max = 1e6});
  set.Add("train.max_steps", &max_steps,
          {.doc = "end after so many steps, schedules too; 0 = epochs decide", .min = 0});
  set.Add("train.checkpoint_every", &checkpoint_every,
          {.doc = "steps between checkpoints, 0 = one an epoch", .min = 0});
  set.Add("checkpoint.keep", &checkpoint_keep,
          {.doc = "how many numbered checkpoints to keep besides last and best", .min = 0});
  set.Add("train.log_every", &log_every, {.doc = "steps between rows of metrics", .min = 1});
  set.Add("train.concat_views", &concat_views,
          {.doc = "one forward pass for both views, so that BatchNorm sees them together"});
  compute.Bind(set);
  optimizer.Bind(set);
  schedule.Bind(set);
  view_a.Bind(set, "view_a");
  view_b.Bind(set, "view_b");
  set.Add("simclr.temperature", &temperature, {.doc = "of NT-Xent", .min = 1e-3, .max = 100});
  set.Add("simclr.hidden", &simclr_hidden,
          {.doc = "projector width, 0 = the encoder's features", .min = 0, .max = 65536});
  set.Add("simclr.out", &simclr_out, {.doc = "projection dimensions", .min = 2, .max = 65536});
  set.Add("simclr.batch_norm", &simclr_batch_norm,
          {.doc = "BatchNorm after both projector layers; off: biases instead"});
  set.Add("byol.hidden", &byol_hidden,
          {.doc = "width of projector and predictor", .min = 2, .max = 65536});
  set.Add("byol.out", &byol_out, {.doc = "projection dimensions", .min = 2, .max = 65536});
  set.Add("byol.ema", &byol_ema,
          {.doc = "first momentum of the target, rises to 1", .min = 0, .max = 1});
  set.Add("knn.every", &knn_every,
          {.doc = "epochs between kNN scores (needs labels), 0 = never", .min = 0});
  set.Add("knn.k", &knn_k, {.doc = "neighbours", .min = 1});
  set.Add("knn.temperature", &knn_temperature, {.doc = "of the neighbours' votes", .min = 1e-3});
  set.Add("knn.holdout", &knn_holdout,
          {.doc = "share of the slides or patients that is asked about", .min = 0.01, .max = 0.9});
  set.Add("knn.images", &knn_images, {.doc = "at most this many labelled images", .min = 2});
}

void PretrainOptions::Check() const {
  if (data.empty()) throw core::ConfigError("no data given", "name a folder with --data");
  optimizer.Check();
  view_a.Check("view_a");
  view_b.Check("view_b");
  for (const auto& [name, view] : {std::pair{"view_a", &view_a}, std::pair{"view_b", &view_b}}) {
    if (view->size == size) continue;
    throw core::ConfigError(
        fmt::format("{}.size = {} differs from data.size = {}", name, view->size, size),
        "set data.size alone: both views follow it");
  }
  if (stem == "imagenet" && size < 32) {
    throw core::ConfigError(fmt::format("model.stem = imagenet needs views of 32 px, not {}", size),
                            "set model.stem = cifar, or a larger data.size");
  }
}

void PretrainOptions::Resolve() {
  if (stem == "auto") stem = size <= 64 ? "cifar" : "imagenet";
  const int64_t unset = engine::ViewRecipe().size;
  if (view_a.size == unset) view_a.size = size;
  if (view_b.size == unset) view_b.size = size;
}

const std::vector<std::string>& PresetNames() {
  static const std::vector<std::string> names = {"simclr-histology", "byol-histology",
                                                 "simclr-natural",   "byol-natural",
                                                 "simclr-cifar",     "byol-cifar"};
  return names;
}

PretrainOptions Preset(const std::string& name) {
  using engine::ViewRecipe;
  PretrainOptions p;
  p.schedule.warmup_epochs = 10;
  const bool byol = name.rfind("byol", 0) == 0;
  p.method = byol ? "byol" : "simclr";
  if (name == "simclr-histology" || name == "byol-histology") {
    // SGD copes with the small batches of a few thousand tiles; views after pathology's practice.
    p.view_a = p.view_b = ViewRecipe::Preset("histology");
    p.optimizer.lr = byol ? 0.1 : 0.12;
  } else if (name == "simclr-natural") {
    p.view_a = p.view_b = ViewRecipe::Preset("simclr");
    p.temperature = 0.1;
    p.optimizer.name = "lars";
    p.optimizer.lr = 0.075;
    p.schedule.scale = "sqrt";
  } else if (name == "byol-natural") {
    p.view_a = ViewRecipe::Preset("byol_a");
    p.view_b = ViewRecipe::Preset("byol_b");
    p.optimizer.name = "lars";
    p.optimizer.lr = 0.45;
    p.optimizer.weight_decay = 1e-6;
  } else if (name == "simclr-cifar" || name == "byol-cifar") {
    p.view_a = p.view_b = ViewRecipe::Preset("simclr_cifar");
    if (byol) p.view_b.solarize_probability = 0.2;
    p.arch = "resnet18";
    p.size = 32;
    p.batch = 512;
    p.epochs = 200;
    p.optimizer.lr = 0.12;
    p.optimizer.weight_decay = 5e-4;
    p.byol_hidden = 1024;
  } else {
    std::string names;
    for (const std::string& known : PresetNames()) names += (names.empty() ? "" : ", ") + known;
    throw core::ConfigError("unknown preset " + name, "one of " + names);
  }
  return p;
}

PretrainOptions ReadOptions(const std::string& preset, const std::string& toml_path,
                            const std::vector<std::pair<std::string, std::string>>& assignments) {
  auto read = [&](PretrainOptions options) {
    core::OptionSet set;
    options.Bind(set);
    if (!toml_path.empty()) set.ReadToml(toml_path);
    for (const auto& [key, value] : assignments) set.Set(key, value);
    return options;
  };
  if (!preset.empty()) {
    PretrainOptions options = read(Preset(preset));
    options.Resolve();
    return options;
  }
  // The method decides what the other keys start from.
  PretrainOptions options = read(Preset(read(PretrainOptions()).method + "-histology"));
  options.Resolve();
  return options;
}

}  // namespace eosin::pretrain
