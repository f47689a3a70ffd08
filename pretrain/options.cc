// SPDX-License-Identifier: Apache-2.0
#include "pretrain/options.h"

#include <fmt/format.h>
#include <algorithm>

#include "core/base/error.h"
#include "pretrain/registry.h"

namespace eosin::pretrain {
namespace {

// The 7x7 stem and its pooling leave too little of smaller views.
constexpr int64_t kImagenetSide = 32, kCifarSide = 8;

bool HasImagenetStem(const PretrainOptions& options) {
  return options.stem == "imagenet" || (options.stem == "auto" && options.size > 64);
}

// SwAV's share, 96 of 224, in eights. Not below `size` where the stem takes no smaller views.
int64_t LocalSize(const PretrainOptions& options) {
  const int64_t share = (options.size * 96 / 224 + 4) / 8 * 8;
  return std::max(share, HasImagenetStem(options) ? kImagenetSide : kCifarSide);
}

}  // namespace

PretrainOptions::PretrainOptions() {
  view_local = engine::ViewRecipe::Preset("swav_local");
  view_a.size = view_b.size = view_local.size = kOpenSize;
}

void PretrainOptions::Bind(core::OptionSet& set) {
  std::vector<std::string> names;
  for (const MethodEntry& entry : Methods()) names.push_back(entry.name);
  BindCommon(set, std::move(names));
  methods.Bind(set);
}

std::string PretrainOptions::ToToml() const {
  PretrainOptions copy = *this;
  core::OptionSet set;
  copy.BindCommon(set, {});
  copy.methods.Bind(set, method);
  return set.ToToml();
}

void PretrainOptions::BindCommon(core::OptionSet& set, std::vector<std::string> method_names) {
  const double most = 1e9;
  set.Add("data.path", &data, {.doc = "folder of tile stores, or of images"});
  set.Add("data.mix", &mix,
          {.doc = "several sets as \"weight:path\" instead of data.path, mixed by weight"});
  set.Add("data.split", &split,
          {.doc = "only images of which the column `split` of index.csv says so, e.g. train; empty "
                  "= all"});
  set.Add("data.size", &size, {.doc = "side of a view", .unit = "px", .min = 8, .max = 4096});
  set.Add("data.workers", &workers,
          {.doc = "loader threads, 0 = one less than the cores; changes no result",
           .min = 0,
           .max = 1024});
  set.Add("data.neighbour_probability", &neighbour_probability,
          {.doc = "chance that a view after the first is cut from a neighbouring tile",
           .min = 0,
           .max = 1});
  set.Add("data.neighbour_radius", &neighbour_radius,
          {.doc = "farthest neighbour", .unit = "tile strides", .min = 0.01, .max = 1000});
  set.Add("method", &method,
          {.doc = "how to learn without labels", .choices = std::move(method_names)});
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
  set.Add("compute.placement", &placement,
          {.doc = "CUDA: images resident in GPU memory, streamed to it, or views made by the host",
           .choices = {"auto", "resident", "streamed", "host"}});
  set.Add("compute.resident_share", &resident_share,
          {.doc = "auto: resident when the images take at most this share of the GPU's memory",
           .min = 0,
           .max = 0.9});
  optimizer.Bind(set);
  schedule.Bind(set);
  view_a.Bind(set, "view_a");
  view_b.Bind(set, "view_b");
  set.Add(
      "views.local_count", &local_count,
      {.doc = "multi-crop: small views an image besides the two global ones", .min = 0, .max = 32});
  view_local.Bind(set, "view_local");
  set.Add("knn.every", &knn_every,
          {.doc = "epochs between kNN scores (needs labels), 0 = never", .min = 0});
  set.Add("knn.k", &knn_k, {.doc = "neighbours", .min = 1});
  set.Add("knn.temperature", &knn_temperature, {.doc = "of the neighbours' votes", .min = 1e-3});
  set.Add("knn.holdout", &knn_holdout,
          {.doc = "share of the slides or patients that is asked about", .min = 0.01, .max = 0.9});
  set.Add("knn.images", &knn_images, {.doc = "at most this many labelled images", .min = 2});
}

void PretrainOptions::Check() const {
  if (data.empty() && mix.empty()) {
    throw core::ConfigError("no data given", "name a folder with --data");
  }
  if (!data.empty() && !mix.empty()) {
    throw core::ConfigError("both data.path and data.mix are given",
                            "name all sets in data.mix, or one in data.path");
  }
  optimizer.Check();
  view_a.Check("view_a");
  view_b.Check("view_b");
  if (local_count > 0) view_local.Check("view_local");
  for (const auto& [name, view] : {std::pair{"view_a", &view_a}, std::pair{"view_b", &view_b}}) {
    if (view->size == size) continue;
    throw core::ConfigError(
        fmt::format("{}.size = {} differs from data.size = {}", name, view->size, size),
        "set data.size alone and leave the views' sizes out: they follow it");
  }
  if (stem == "imagenet" && size < kImagenetSide) {
    throw core::ConfigError(fmt::format("model.stem = imagenet needs views of 32 px, not {}", size),
                            "set model.stem = cifar, or a larger data.size");
  }
  if (stem == "imagenet" && local_count > 0 && view_local.size < kImagenetSide) {
    throw core::ConfigError(
        fmt::format("model.stem = imagenet needs views of 32 px, not view_local.size = {}",
                    view_local.size),
        "set model.stem = cifar, or a larger view_local.size");
  }
  // Views of one size are one group to the loader: a method would take local for global ones.
  if (local_count > 0 && view_local.size >= size) {
    throw core::ConfigError(
        fmt::format("view_local.size = {} is not below data.size = {}", view_local.size, size),
        "leave view_local.size out, raise data.size, or set views.local_count = 0");
  }
  methods.Get(method).Check(method);
}

void PretrainOptions::SetViews(const std::string& a, const std::string& b, int64_t pixels) {
  size = pixels;
  view_a = engine::ViewRecipe::Preset(a);
  view_b = engine::ViewRecipe::Preset(b);
  view_a.size = view_b.size = kOpenSize;
  view_local = view_b;
  view_local.crop_scale_min = 0.05;
  view_local.crop_scale_max = 0.14;
}

void PretrainOptions::Set(const std::string& key, const std::string& value) {
  core::OptionSet set;
  Bind(set);
  set.Set(key, value);
}

std::vector<engine::ViewRecipe> PretrainOptions::Views() const {
  std::vector<engine::ViewRecipe> views = {view_a, view_b};
  views.insert(views.end(), static_cast<size_t>(local_count), view_local);
  return views;
}

void PretrainOptions::Resolve() {
  if (stem == "auto") stem = HasImagenetStem(*this) ? "imagenet" : "cifar";
  if (view_a.size == kOpenSize) view_a.size = size;
  if (view_b.size == kOpenSize) view_b.size = size;
  if (view_local.size == kOpenSize) view_local.size = LocalSize(*this);
}

void PretrainOptions::ReopenViewSizes() {
  if (view_a.size == size) view_a.size = kOpenSize;
  if (view_b.size == size) view_b.size = kOpenSize;
  if (view_local.size == LocalSize(*this)) view_local.size = kOpenSize;
}

PretrainOptions ReadOptions(const std::string& preset, const std::string& toml_path,
                            const std::vector<std::pair<std::string, std::string>>& assignments) {
  auto read = [&](PretrainOptions options) {
    core::OptionSet set;
    options.Bind(set);
    if (!toml_path.empty()) set.ReadToml(toml_path);
    options.ReopenViewSizes();
    for (const auto& [key, value] : assignments) set.Set(key, value);
    return options;
  };
  if (!preset.empty()) {
    PretrainOptions options = read(Preset(preset));
    options.Resolve();
    return options;
  }
  // The method decides what the other keys start from.
  PretrainOptions options = read(StartOf(read(PretrainOptions()).method));
  options.Resolve();
  return options;
}

}  // namespace eosin::pretrain
