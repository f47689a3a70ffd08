// SPDX-License-Identifier: Apache-2.0
// The published recipes as data.
#include <fmt/format.h>

#include "core/base/error.h"
#include "engine/augment/recipe.h"

namespace eosin::engine {
namespace {

struct Row {
  const char* name;
  int size;
  double scale_min, scale_max;
  bool bicubic;
  double jitter[4];  // brightness, contrast, saturation, hue; all 0: no jitter (else p 0.8)
  double gray, blur, solarize;
};

// Mirror 1/2, aspect 3/4-4/3, jitter with probability .8 in random order, blur sigma U[.1, 2] in
// all of them. Sources: [1] google-research/simclr data_util.py, README; [2] deepmind-research
// byol/utils/augmentations.py; [3] barlowtwins main.py; [4] lightly vicreg_transform.py, solo-learn
// cifar/vicreg.yaml; [5] moco --aug-plus, simsiam README; [6] swav README; [7] dino main_dino.py,
// RN50 scales of its README; [8] He 2022; [9] solo-learn scripts/pretrain/cifar/augmentations,
// solo/data/pretrain_dataloader.py; [10] lightly byol_transform.py with gaussian_blur = 0 in both
// views, as its cifar10_benchmark.py has it. [1] and [2] resize bicubically without anti-aliasing;
// here anti-aliased bilinear, as the PyTorch versions of these recipes do.
constexpr double kStrong[4] = {.8, .8, .8, .2};
constexpr Row kRows[] = {
    // name, size, scale, bicubic, jitter, gray, blur, solarise
    {"simclr", 224, .08, 1, false, {.8, .8, .8, .2}, .2, .5, 0},             // [1] strength 1
    {"simclr_cifar", 32, .08, 1, false, {.4, .4, .4, .1}, .2, 0, 0},         // [1] strength .5
    {"byol_a", 224, .08, 1, false, {.4, .4, .2, .1}, .2, 1, 0},              // [2]
    {"byol_b", 224, .08, 1, false, {.4, .4, .2, .1}, .2, .1, .2},            // [2]
    {"barlow_a", 224, .08, 1, true, {.4, .4, .2, .1}, .2, 1, 0},             // [3]
    {"barlow_b", 224, .08, 1, true, {.4, .4, .2, .1}, .2, .1, .2},           // [3]
    {"vicreg", 224, .08, 1, false, {.4, .4, .2, .1}, .2, .5, .1},            // [4]
    {"moco_v2", 224, .2, 1, false, {.4, .4, .4, .1}, .2, .5, 0},             // [5], SimSiam too
    {"swav_global", 224, .14, 1, false, {.8, .8, .8, .2}, .2, .5, 0},        // [6] two
    {"swav_local", 96, .05, .14, false, {.8, .8, .8, .2}, .2, .5, 0},        // [6] six
    {"dino_global1", 224, .14, 1, true, {.4, .4, .2, .1}, .2, 1, 0},         // [7]
    {"dino_global2", 224, .14, 1, true, {.4, .4, .2, .1}, .2, .1, .2},       // [7]
    {"dino_local", 96, .05, .14, true, {.4, .4, .2, .1}, .2, .5, 0},         // [7] eight
    {"mae", 224, .2, 1, true, {0, 0, 0, 0}, 0, 0, 0},                        // [8]
    {"solo_symmetric", 32, .08, 1, true, {.8, .8, .8, .2}, .2, .5, 0},       // [9]
    {"solo_symmetric_weak", 32, .08, 1, true, {.4, .4, .4, .1}, .2, .5, 0},  // [9]
    {"solo_asymmetric_a", 32, .08, 1, true, {.4, .4, .2, .1}, .2, 0, 0},     // [9]
    {"solo_asymmetric_b", 32, .08, 1, true, {.4, .4, .2, .1}, .2, 0, .2},    // [9]
    {"byol_cifar_a", 32, .08, 1, false, {.4, .4, .2, .1}, .2, 0, 0},         // [10]
    {"byol_cifar_b", 32, .08, 1, false, {.4, .4, .2, .1}, .2, 0, .2},        // [10]
};

ViewRecipe FromRow(const Row& row) {
  ViewRecipe recipe;
  recipe.size = row.size;
  recipe.crop_scale_min = row.scale_min, recipe.crop_scale_max = row.scale_max;
  recipe.interpolation = row.bicubic ? "bicubic" : "bilinear";
  recipe.brightness = row.jitter[0], recipe.contrast = row.jitter[1];
  recipe.saturation = row.jitter[2], recipe.hue = row.jitter[3];
  if (row.jitter[0] + row.jitter[1] + row.jitter[2] + row.jitter[3] == 0) {
    recipe.jitter_probability = 0;
  }
  recipe.gray_probability = row.gray;
  recipe.blur_probability = row.blur;
  recipe.solarize_probability = row.solarize;
  return recipe;
}

// The centre square, resized.
ViewRecipe Nothing() {
  ViewRecipe recipe;
  recipe.crop_scale_min = recipe.crop_scale_max = 1.0;
  recipe.crop_ratio_min = recipe.crop_ratio_max = 1.0;
  recipe.hflip_probability = recipe.jitter_probability = recipe.gray_probability = 0;
  recipe.blur_probability = 0;
  return recipe;
}

// Tiles have no up: all mirrors and quarter turns; larger crops and weaker colour than for
// photographs; HED-light (Tellez 2018).
ViewRecipe Histology() {
  ViewRecipe recipe;
  recipe.crop_scale_min = 0.2;
  recipe.vflip_probability = 0.5;
  recipe.rot90_probability = 1.0;
  recipe.brightness = recipe.contrast = 0.4;
  recipe.saturation = 0.4;
  recipe.hue = 0.1;
  recipe.stain = "hed";
  return recipe;
}

// The augmentation study on CIFAR-10: each configuration adds to the one before.
ViewRecipe Cifar(const std::string& step) {
  ViewRecipe recipe = FromRow(kRows[1]);  // crops of simclr_cifar
  recipe.hflip_probability = recipe.jitter_probability = recipe.gray_probability = 0;
  if (step == "minimal") return recipe;  // random crop
  recipe.hflip_probability = 0.5;
  recipe.gray_probability = 0.2;
  if (step == "moderate") return recipe;  // + mirror, grey
  recipe.jitter_probability = 0.8;        // strength 0.5
  recipe.blur_probability = 0.5;
  if (step == "full") return recipe;  // + colour jitter, blur
  recipe.crop_scale_min = 0.02;
  recipe.crop_ratio_min = 1.0 / 3, recipe.crop_ratio_max = 3.0;
  recipe.brightness = kStrong[0], recipe.contrast = kStrong[1];
  recipe.saturation = kStrong[2], recipe.hue = kStrong[3];
  return recipe;  // aggressive: extreme crops, colour at twice the strength
}

}  // namespace

const std::vector<std::string>& ViewRecipe::PresetNames() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (const Row& row : kRows) names.emplace_back(row.name);
    for (const char* name : {"histology", "histology_randstainna", "histology_macenko", "minimal",
                             "moderate", "full", "aggressive", "none"}) {
      names.emplace_back(name);
    }
    return names;
  }();
  return kNames;
}

ViewRecipe ViewRecipe::Preset(const std::string& name) {
  for (const Row& row : kRows) {
    if (name == row.name) return FromRow(row);
  }
  if (name == "none") return Nothing();
  if (name == "minimal" || name == "moderate" || name == "full" || name == "aggressive") {
    return Cifar(name);
  }
  ViewRecipe recipe = Histology();
  if (name == "histology") return recipe;
  if (name == "histology_macenko") {
    recipe.stain = "macenko";
    return recipe;
  }
  if (name == "histology_randstainna") {  // the best row of its published logs: lab, -0.3, p 1/2
    recipe.stain = "randstainna";
    recipe.randstainna_std_hyper = -0.3;
    return recipe;
  }
  throw core::ConfigError(fmt::format("unknown view preset {}", name),
                          fmt::format("presets are {}", fmt::join(PresetNames(), ", ")));
}

}  // namespace eosin::engine
