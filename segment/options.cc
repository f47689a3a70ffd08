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
  set.Add("model.head", &head,
          {.doc = "deeplabv3 as torchvision builds it, or deeplabv3plus with a skip at stride 4 as "
                  "segmentation_models.pytorch does",
           .choices = {"deeplabv3", "deeplabv3plus"}});
  set.Add(
      "model.rates", &rates,
      {.doc = "three dilations of the ASPP; [] = 3/16, 6/16 and 9/16 of the crop's feature map; "
              "too large for it they become 1x1",
       .min = 1,
       .max = 64});
  set.Add("model.head_channels", &head_channels,
          {.doc = "channels of the head; 256 in torchvision", .min = 8, .max = 1024});
  set.Add("model.separable", &separable,
          {.doc = "deeplabv3plus: separable convolutions in the ASPP"});
  set.Add("model.aux", &aux, {.doc = "deeplabv3: a second head on layer3 while training"});
  set.Add("model.dropout", &dropout, {.doc = "dropout of the head", .min = 0, .max = 0.95});

  set.Add("model.init", &init,
          {.doc = "random, or a weights file: a backbone or a whole segmentation net"});
  set.Add("model.init_part", &init_part,
          {.doc = "what to take from the file: the backbone, the body (all but the last "
                  "convolution, for other classes) or all",
           .choices = {"backbone", "body", "all"}});
  set.Add(
      "model.normalization", &normalization,
      {.doc = "of the input: auto (what the weights file says, else ImageNet's), imagenet, none, "
              "or three means and three deviations in 0..1"});
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
  set.Add("train.unfreeze_at", &unfreeze_at,
          {.doc = "share of the steps after which train.freeze ends; 0 = never. freeze = all with "
                  "0.2 trains the head first, then everything",
           .min = 0,
           .max = 0.99});
  set.Add("train.unfreeze_to", &unfreeze_to,
          {.doc = "what stays frozen after train.unfreeze_at", .choices = FreezeNames()});
  set.Add("train.stage_lr", &stage_lr,
          {.doc = "factors of the rate for stem, layer1, ..., layer4, times train.backbone_lr; the "
                  "head has 1",
           .min = 1e-6,
           .max = 100});
  set.Add(
      "train.schedule", &schedule,
      {.doc = "course of the rate; one-cycle rises to optimizer.lr over 30 % and falls to nothing",
       .choices = {"poly", "cosine", "one-cycle", "constant"}});
  set.Add("train.poly_power", &poly_power,
          {.doc = "rate falls as (1 - step / steps) ^ power", .min = 0, .max = 10});
  set.Add(
      "train.warmup", &warmup,
      {.doc = "so many steps at first with (step + 1) / (warmup + 1) of the rate, step from 0; at "
              "most a fifth of train.steps",
       .unit = "steps",
       .min = 0});
  set.Add("train.ce", &loss.ce, {.doc = "factor of the cross-entropy", .min = 0});
  set.Add("train.dice", &loss.dice, {.doc = "factor of the soft Dice loss", .min = 0});
  set.Add("train.focal", &loss.focal, {.doc = "factor of the focal loss", .min = 0});
  set.Add("train.focal_gamma", &loss.focal_gamma,
          {.doc = "how little easy pixels count in it", .min = 1, .max = 10});
  set.Add("train.lovasz", &loss.lovasz, {.doc = "factor of the Lovasz-softmax loss", .min = 0});
  set.Add("train.lovasz_per_image", &loss.lovasz_per_image,
          {.doc = "of each image alone instead of the batch's pixels together"});
  set.Add("train.class_weights", &class_weights,
          {.doc = "in cross-entropy and focal loss: none, inverse or sqrt (of the training pixels' "
                  "frequency), or a number a class: \"1, 4\""});
  set.Add("train.aux_weight", &aux_weight, {.doc = "weight of the second head's loss", .min = 0});
  set.Add("train.clip_grad", &clip_grad,
          {.doc = "largest L2 norm of the gradient; 0 = as it comes", .min = 0});
  set.Add("seed", &seed,
          {.doc = "draws the head, the order and the augmentation", .min = 0, .max = 1e9});
  set.Add("train.val_every", &val_every,
          {.doc = "validate every so many steps; 0 = ten times", .unit = "steps", .min = 0});
  set.Add(
      "train.patience", &patience,
      {.doc = "end after so many validations without a better one; 0 = train all steps", .min = 0});
  set.Add("train.checkpoint_every", &checkpoint_every,
          {.doc = "checkpoint every so many steps too, not only at validations; 0 = no",
           .unit = "steps",
           .min = 0});
  set.Add("train.views", &views,
          {.doc = "fixed crops an image, drawn once and used in turn; 0 = a new one every time",
           .min = 0,
           .max = 10000});
  set.Add("train.cache_features", &cache_features,
          {.doc = "keep what the frozen stages give for each fixed crop instead of computing it "
                  "again"});
  set.Add("train.cache_gb", &cache_gb,
          {.doc = "memory that it may take", .unit = "GB", .min = 0, .max = 10000});
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
  if (head == "deeplabv3plus" && output_stride == 32) {
    fail("model.head = deeplabv3plus has no output stride 32", "set model.output_stride = 16 or 8");
  }
  if (head == "deeplabv3plus" && aux) {
    fail("model.aux = true needs model.head = deeplabv3",
         "deeplabv3plus has no second head: set model.aux = false");
  }
  if ((!rates.empty() && rates.size() != 3) ||
      std::any_of(rates.begin(), rates.end(), [](double r) { return r != std::floor(r); })) {
    fail("model.rates must be three whole numbers, or none",
         "for example model.rates = [6, 12, 18], or [] to take them from the crop");
  }
  if (init == "random" && init_part != "backbone") {
    fail(fmt::format("model.init_part = {} without a weights file", init_part),
         "name the file with model.init");
  }
  if (loss.ce + loss.dice + loss.focal + loss.lovasz <= 0) {
    fail("train.ce, train.dice, train.focal and train.lovasz are all 0",
         "give at least one loss a factor above 0");
  }
  if (stage_lr.size() != 5) {
    fail(fmt::format("train.stage_lr has {} numbers", stage_lr.size()),
         "give five: stem, layer1, layer2, layer3, layer4");
  }
  const auto depth = [](const std::string& stage) {  // all is layer4
    const auto place = std::find(FreezeNames().begin(), FreezeNames().end(), stage);
    return std::min<int64_t>(place - FreezeNames().begin(), 5);
  };
  if (unfreeze_at > 0 && depth(unfreeze_to) >= depth(freeze)) {
    fail(fmt::format("train.unfreeze_at = {} unfreezes nothing: train.freeze = {}, "
                     "train.unfreeze_to = {}",
                     unfreeze_at, freeze, unfreeze_to),
         "freeze more at first, or set train.unfreeze_at = 0");
  }
  const int64_t change = UnfreezeStep();
  if (unfreeze_at > 0 && (change == 0 || change == steps)) {
    fail(fmt::format("train.unfreeze_at = {} of {} steps is step {}: {}", unfreeze_at, steps,
                     change, change == 0 ? "nothing is ever frozen" : "nothing is ever unfrozen"),
         "train longer, or choose a share that leaves a step before and after it");
  }
  if (warmup > steps / 5) {
    fail(fmt::format("train.warmup = {} is more than a fifth of train.steps = {}", warmup, steps),
         fmt::format("set train.warmup to at most {}, or train longer", steps / 5));
  }
  if (schedule == "one-cycle" && warmup > 0) {
    fail("train.warmup with train.schedule = one-cycle",
         "one-cycle has a rise of its own: set train.warmup = 0");
  }
  if (cache_features && (freeze == "none" || views == 0)) {
    fail("train.cache_features = true needs frozen stages and fixed crops",
         "set train.freeze to a stage and train.views to the number of crops an image");
  }
  if (views > 0 && data.crop_balance != "none") {
    fail(fmt::format("train.views = {} with crop.balance = {}", views, data.crop_balance),
         "fixed crops come once an epoch of every image: set crop.balance = none or train.views = "
         "0");
  }
  ClassWeights(class_weights, std::vector<int64_t>(data.classes.size(), 1));
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

int64_t SegmentOptions::MapSize() const {
  const int64_t stride = stem == "cifar" ? output_stride / 4 : output_stride;
  return (crop + stride - 1) / stride;
}

int64_t SegmentOptions::UnfreezeStep() const {
  return unfreeze_at > 0 ? std::llround(unfreeze_at * static_cast<double>(steps)) : steps;
}

std::vector<int64_t> SegmentOptions::Rates() const {
  std::vector<int64_t> result;
  for (const double rate : rates) result.push_back(static_cast<int64_t>(rate));
  for (int64_t i = 1; rates.empty() && i <= 3; ++i) {
    result.push_back(std::max<int64_t>(i, (3 * i * MapSize() + 8) / 16));
  }
  return result;
}

std::vector<std::string> Warnings(const SegmentOptions& options) {
  std::vector<std::string> warnings;
  const int64_t map = options.MapSize();
  for (const int64_t rate : options.Rates()) {
    if (TapsInside(map, rate) > 0.2) continue;
    warnings.push_back(fmt::format(
        "ASPP rate {} is little more than a 1x1 convolution on the {} x {} feature map of a {} px "
        "crop at output stride {}; {}",
        rate, map, map, options.crop, options.output_stride,
        options.rates.empty() ? "use larger crops, or output stride 8"
                              : "try smaller model.rates"));
  }
  return warnings;
}

}  // namespace eosin::segment
