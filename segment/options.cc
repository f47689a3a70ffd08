// SPDX-License-Identifier: Apache-2.0
#include "segment/options.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/threads.h"

namespace eosin::segment {

const std::vector<std::string>& FreezeNames() {
  static const std::vector<std::string> names = {"none",   "stem",   "layer1", "layer2",
                                                 "layer3", "layer4", "all"};
  return names;
}

SegmentOptions::SegmentOptions() {
  optimizer.name = "sgd";
  optimizer.lr = 0.01;
  optimizer.momentum = 0.9;
  optimizer.weight_decay = 1e-4;
}

void SegmentOptions::Bind(core::OptionSet& set) {
  data.Bind(set);
  set.Add("model.arch", &arch,
          {.doc = "backbone", .choices = {"resnet18", "resnet34", "resnet50"}});
  set.Add("model.stem", &stem,
          {.doc = "first layers of the backbone; must fit the weights file",
           .choices = {"imagenet", "cifar"}});
  set.Add(
      "model.width", &width,
      {.doc = "channels of the first layer; 64 in every published network", .min = 4, .max = 256});
  set.Add("model.output_stride", &output_stride,
          {.doc = "input pixels a feature pixel: 8, 16 or 32; 16 costs a third of 8",
           .min = 8,
           .max = 32});
  set.Add("model.rates", &rates,
          {.doc = "dilations of the ASPP; too large for the crop's feature map they become 1x1",
           .min = 1,
           .max = 64});
  set.Add("model.head_channels", &head_channels,
          {.doc = "channels of the head; 256 in torchvision", .min = 8, .max = 1024});
  set.Add("model.aux", &aux, {.doc = "a second head on layer3 while training"});
  set.Add("model.dropout", &dropout, {.doc = "dropout of the head", .min = 0, .max = 0.95});

  set.Add("model.init", &init, {.doc = "random, or a weights file for the backbone"});
  set.Add(
      "train.freeze", &freeze,
      {.doc = "the backbone from its input up to and including this stage stays as it is, batch "
              "norm statistics too",
       .choices = FreezeNames()});
  set.Add("train.crop", &crop,
          {.doc = "side of a training crop and of an inference window",
           .unit = "px",
           .min = 16,
           .max = 4096});
  set.Add("train.batch", &batch, {.doc = "crops a step", .min = 2, .max = 4096});
  set.Add("train.steps", &steps,
          {.doc = "optimiser steps, whatever the number of images", .min = 1});
  set.Add("train.backbone_lr", &backbone_lr,
          {.doc = "learning rate of a backbone that comes from a file, times optimizer.lr",
           .min = 0,
           .max = 100});
  set.Add("train.poly_power", &poly_power,
          {.doc = "rate falls as (1 - step / steps) ^ power", .min = 0, .max = 10});
  set.Add("train.warmup", &warmup,
          {.doc = "the rate rises from 0 over so many steps", .unit = "steps", .min = 0});
  set.Add("train.ce", &ce, {.doc = "weight of the cross-entropy", .min = 0});
  set.Add("train.dice", &dice, {.doc = "weight of the soft Dice loss", .min = 0});
  set.Add("train.aux_weight", &aux_weight, {.doc = "weight of the second head's loss", .min = 0});
  set.Add("seed", &seed,
          {.doc = "draws the head, the order and the augmentation", .min = 0, .max = 1e9});
  set.Add("train.val_every", &val_every,
          {.doc = "validate every so many steps; 0 = ten times", .unit = "steps", .min = 0});
  optimizer.Bind(set, "optimizer");

  set.Add("augment.scale_min", &scale_min,
          {.doc = "smallest magnification of a crop", .min = 0.1, .max = 10});
  set.Add("augment.scale_max", &scale_max,
          {.doc = "largest magnification of a crop", .min = 0.1, .max = 10});
  set.Add("augment.flips", &flips, {.doc = "mirror and turn crops by quarter turns"});
  set.Add("augment.jitter", &jitter, {.doc = "probability of a colour change", .min = 0, .max = 1});
  set.Add("augment.brightness", &brightness,
          {.doc = "factor within 1 - s to 1 + s", .min = 0, .max = 1});
  set.Add("augment.contrast", &contrast,
          {.doc = "factor within 1 - s to 1 + s", .min = 0, .max = 1});
  set.Add("augment.saturation", &saturation,
          {.doc = "factor within 1 - s to 1 + s", .min = 0, .max = 1});
  set.Add("augment.hue", &hue, {.doc = "hue turns within -s to s", .min = 0, .max = 0.5});
  set.Add("augment.hed", &hed,
          {.doc = "probability of a stain change in optical density", .min = 0, .max = 1});
  set.Add("augment.hed_strength", &hed_strength,
          {.doc = "stains times 1 +- s, plus +- s", .min = 0, .max = 1});
  set.Add("augment.blur", &blur, {.doc = "probability of a blur", .min = 0, .max = 1});

  set.Add("eval.overlap", &overlap,
          {.doc = "share of a window that its neighbour covers too", .min = 0, .max = 0.9});
  set.Add("eval.batch", &eval_batch, {.doc = "windows a forward pass", .min = 1, .max = 4096});
  score.Bind(set, "eval");
  set.Add("eval.keep_predictions", &keep_predictions,
          {.doc = "test images whose predicted masks are kept as PNG", .min = 0});
  set.Add("workers", &workers,
          {.doc = "decoding threads, 0 = all cores; they change no result", .min = 0, .max = 1024});
  compute.Bind(set, "compute");
}

void SegmentOptions::Check() const {
  data.Check();
  optimizer.Check("optimizer");
  auto fail = [](const std::string& message, const std::string& hint) {
    throw core::ConfigError(message, hint);
  };
  if (output_stride != 8 && output_stride != 16 && output_stride != 32) {
    fail(fmt::format("model.output_stride = {} is not possible", output_stride),
         "model.output_stride must be 8, 16 or 32");
  }
  if (rates.size() != 3 ||
      std::any_of(rates.begin(), rates.end(), [](double r) { return r != std::floor(r); })) {
    fail("model.rates must be three whole numbers", "for example model.rates = [6, 12, 18]");
  }
  if (ce + dice <= 0) {
    fail("train.ce and train.dice are both 0", "give at least one loss a weight above 0");
  }
  if (scale_min > scale_max) {
    fail(fmt::format("augment.scale_min = {} is larger than augment.scale_max = {}", scale_min,
                     scale_max),
         "swap them");
  }
  if (crop % 8 != 0) {
    fail(fmt::format("train.crop = {} is not a multiple of 8", crop),
         "use for example 128, 256 or 512");
  }
}

engine::ViewRecipe SegmentOptions::Recipe() const {
  engine::ViewRecipe recipe = engine::ViewRecipe::Preset("none");
  recipe.size = crop;
  recipe.hflip_probability = recipe.vflip_probability = flips ? 0.5 : 0.0;
  recipe.rot90_probability = flips ? 1.0 : 0.0;
  recipe.jitter_probability = jitter;
  recipe.brightness = brightness;
  recipe.contrast = contrast;
  recipe.saturation = saturation;
  recipe.hue = hue;
  recipe.gray_probability = recipe.solarize_probability = 0;
  recipe.blur_probability = blur;
  recipe.blur_sigma_min = 0.1;
  recipe.blur_sigma_max = 1.0;
  recipe.stain = "hed";
  recipe.stain_probability = hed;
  recipe.hed_alpha = recipe.hed_beta = hed_strength;
  recipe.hed_basis = "residual";
  return recipe;
}

int SegmentOptions::Workers() const {
  return workers > 0 ? static_cast<int>(workers) : core::AvailableCores();
}

int64_t SegmentOptions::ValEvery() const {
  return val_every > 0 ? val_every : std::max<int64_t>(1, steps / 10);
}

double TapsInside(int64_t map, int64_t rate) {
  // Along one axis: the centre always counts, either side tap for max(0, map - rate) positions.
  const double side = static_cast<double>(std::max<int64_t>(0, map - rate));
  const double per_axis = 1.0 + 2.0 * side / static_cast<double>(map);
  return per_axis * per_axis / 9.0;
}

std::vector<std::string> Warnings(const SegmentOptions& options) {
  std::vector<std::string> warnings;
  const int64_t stride =
      options.stem == "cifar" ? options.output_stride / 4 : options.output_stride;
  const int64_t map = std::max<int64_t>(1, options.crop / stride);
  for (const double rate : options.rates) {
    if (TapsInside(map, static_cast<int64_t>(rate)) > 0.2) continue;
    warnings.push_back(fmt::format(
        "ASPP rate {} is little more than a 1x1 convolution on the {} x {} feature map of a {} px "
        "crop at output stride {}; try smaller model.rates",
        rate, map, map, options.crop, options.output_stride));
  }
  return warnings;
}

}  // namespace eosin::segment
