// SPDX-License-Identifier: Apache-2.0
#include "engine/augment/recipe.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace eosin::engine {
namespace {

// Groups of parameters have fixed places in the stream, 12 numbers each (the crop, which draws a
// varying number, is last), so that an operation added to one does not move the others.
enum Group : uint32_t { kGeometry, kJitterGroup, kAppearance, kStain, kCrop };

core::PhiloxStream StreamOf(core::PhiloxStream stream, Group group) {
  for (uint32_t i = 0; i < 12u * group; ++i) stream.Next();
  return stream;
}

void DrawCrop(const ViewRecipe& recipe, core::PhiloxStream stream, int width, int height,
              ViewParams* params) {
  const double area = static_cast<double>(width) * height;
  const double low = std::log(recipe.crop_ratio_min), high = std::log(recipe.crop_ratio_max);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double share =
        recipe.crop_scale_min + (recipe.crop_scale_max - recipe.crop_scale_min) * stream.Uniform();
    const double ratio = std::exp(low + (high - low) * stream.Uniform());
    const uint32_t raw_x = stream.Next(), raw_y = stream.Next();
    const int w = static_cast<int>(std::nearbyint(std::sqrt(area * share * ratio)));
    const int h = static_cast<int>(std::nearbyint(std::sqrt(area * share / ratio)));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    params->crop_w = static_cast<float>(w);
    params->crop_h = static_cast<float>(h);
    params->crop_x = static_cast<float>((uint64_t{raw_x} * uint64_t(width - w + 1)) >> 32);
    params->crop_y = static_cast<float>((uint64_t{raw_y} * uint64_t(height - h + 1)) >> 32);
    return;
  }
  int w = width, h = height;
  const double ratio = static_cast<double>(width) / height;
  if (ratio < recipe.crop_ratio_min) {
    h = static_cast<int>(std::nearbyint(w / recipe.crop_ratio_min));
  } else if (ratio > recipe.crop_ratio_max) {
    w = static_cast<int>(std::nearbyint(h * recipe.crop_ratio_max));
  }
  params->crop_w = static_cast<float>(std::clamp(w, 1, width));
  params->crop_h = static_cast<float>(std::clamp(h, 1, height));
  params->crop_x = static_cast<float>((width - static_cast<int>(params->crop_w)) / 2);
  params->crop_y = static_cast<float>((height - static_cast<int>(params->crop_h)) / 2);
}

float Factor(core::PhiloxStream& stream, double strength) {
  const double low = std::max(0.0, 1.0 - strength);
  return static_cast<float>(low + (1.0 + strength - low) * stream.Uniform());
}

bool Happens(core::PhiloxStream& stream, double probability) {
  return static_cast<double>(stream.Uniform()) < probability;
}

ViewRecipe ByolBase() {
  ViewRecipe recipe;
  recipe.brightness = recipe.contrast = 0.4;
  recipe.saturation = 0.2;
  recipe.hue = 0.1;
  return recipe;
}

ViewRecipe Histology() {
  ViewRecipe recipe;
  recipe.crop_scale_min = 0.2;
  recipe.vflip_probability = 0.5;
  recipe.rot90_probability = 1.0;
  recipe.brightness = recipe.contrast = 0.4;
  recipe.saturation = 0.4;
  recipe.hue = 0.1;
  recipe.hed_probability = 0.5;
  return recipe;
}

ViewRecipe Nothing() {
  ViewRecipe recipe;
  recipe.crop_scale_min = recipe.crop_scale_max = 1.0;
  recipe.crop_ratio_min = recipe.crop_ratio_max = 1.0;
  recipe.hflip_probability = recipe.jitter_probability = recipe.gray_probability = 0;
  recipe.blur_probability = 0;
  return recipe;
}

}  // namespace

const std::vector<std::string>& ViewRecipe::PresetNames() {
  static const std::vector<std::string> kNames = {"simclr",       "byol_a",    "byol_b",
                                                  "simclr_cifar", "histology", "none"};
  return kNames;
}

ViewRecipe ViewRecipe::Preset(const std::string& name) {
  ViewRecipe recipe;  // the defaults are simclr
  if (name == "simclr") return recipe;
  if (name == "histology") return Histology();
  if (name == "none") return Nothing();
  if (name == "byol_a") {
    recipe = ByolBase();
    recipe.blur_probability = 1.0;
    return recipe;
  }
  if (name == "byol_b") {
    recipe = ByolBase();
    recipe.blur_probability = 0.1;
    recipe.solarize_probability = 0.2;
    return recipe;
  }
  if (name == "simclr_cifar") {
    recipe.size = 32;
    recipe.brightness = recipe.contrast = recipe.saturation = 0.4;
    recipe.hue = 0.1;
    recipe.blur_probability = 0;
    return recipe;
  }
  throw core::ConfigError(fmt::format("unknown view preset {}", name),
                          fmt::format("presets are {}", fmt::join(PresetNames(), ", ")));
}

void ViewRecipe::Bind(core::OptionSet& set, const std::string& prefix) {
  auto number = [&](const char* key, double* value, const char* doc, double max, double min = 0,
                    const char* unit = "") {
    set.Add(prefix + "." + key, value, {.doc = doc, .unit = unit, .min = min, .max = max});
  };
  auto chance = [&](const char* key, double* value, const char* doc) {
    number(key, value, doc, 1);
  };
  set.Add(prefix + ".size", &size,
          {.doc = "side of the view", .unit = "px", .min = 8, .max = 4096});
  number("crop_scale_min", &crop_scale_min, "smallest share of the image's area in a crop", 1,
         1e-4);
  number("crop_scale_max", &crop_scale_max, "largest share of the image's area in a crop", 1, 1e-4);
  number("crop_ratio_min", &crop_ratio_min, "smallest width / height of a crop", 10, 0.1);
  number("crop_ratio_max", &crop_ratio_max, "largest width / height of a crop", 10, 0.1);
  chance("hflip_probability", &hflip_probability, "chance of a left-right mirror");
  chance("vflip_probability", &vflip_probability, "chance of a top-bottom mirror");
  chance("rot90_probability", &rot90_probability, "chance of a random number of quarter turns");
  chance("jitter_probability", &jitter_probability, "chance of colour jitter, in random order");
  number("brightness", &brightness, "factor from 1 - s to 1 + s", 10);
  number("contrast", &contrast, "factor from 1 - s to 1 + s", 10);
  number("saturation", &saturation, "factor from 1 - s to 1 + s", 10);
  number("hue", &hue, "shift from -s to s", 0.5, 0, "turns");
  chance("gray_probability", &gray_probability, "chance of a grey view");
  chance("blur_probability", &blur_probability, "chance of Gaussian blur");
  number("blur_sigma_min", &blur_sigma_min, "least blur", 100, 0.01, "px of the view");
  number("blur_sigma_max", &blur_sigma_max, "most blur", 100, 0.01, "px of the view");
  chance("solarize_probability", &solarize_probability, "chance of inverting the brighter half");
  chance("hed_probability", &hed_probability, "chance of stain jitter");
  number("hed_alpha", &hed_alpha, "stain factor from 1 - t to 1 + t", 1);
  number("hed_beta", &hed_beta, "stain offset from -t to t", 2, 0, "natural optical density");
  set.Add(prefix + ".hed_jitter_residual", &hed_jitter_residual,
          {.doc = "jitter the third (DAB or residual) channel too; tints unrealistically"});
  set.Add(prefix + ".hed_basis", &hed_basis,
          {.doc = "third channel of the stain space", .choices = {"residual", "dab"}});
}

void ViewRecipe::Check(const std::string& prefix) const {
  auto ordered = [&](const char* low_key, double low, const char* high_key, double high) {
    if (low <= high) return;
    throw core::ConfigError(
        fmt::format("{0}.{1} = {2} is above {0}.{3} = {4}", prefix, low_key, low, high_key, high),
        fmt::format("lower {0}.{1} or raise {0}.{2}", prefix, low_key, high_key));
  };
  ordered("crop_scale_min", crop_scale_min, "crop_scale_max", crop_scale_max);
  ordered("crop_ratio_min", crop_ratio_min, "crop_ratio_max", crop_ratio_max);
  ordered("blur_sigma_min", blur_sigma_min, "blur_sigma_max", blur_sigma_max);
}

ViewParams DrawView(const ViewRecipe& recipe, core::PhiloxStream stream, int width, int height) {
  ViewParams params;
  core::PhiloxStream draw = StreamOf(stream, kGeometry);
  params.hflip = Happens(draw, recipe.hflip_probability);
  params.vflip = Happens(draw, recipe.vflip_probability);
  const bool turn = Happens(draw, recipe.rot90_probability);
  const uint32_t turns = draw.Below(4);
  params.rot90 = static_cast<uint8_t>(turn ? turns : 0);

  draw = StreamOf(stream, kJitterGroup);
  params.jitter = Happens(draw, recipe.jitter_probability);
  params.brightness = Factor(draw, recipe.brightness);
  params.contrast = Factor(draw, recipe.contrast);
  params.saturation = Factor(draw, recipe.saturation);
  params.hue = static_cast<float>(recipe.hue * (2.0 * draw.Uniform() - 1.0));
  for (uint32_t i = 4; i > 1; --i) {
    std::swap(params.jitter_order[i - 1], params.jitter_order[draw.Below(i)]);
  }

  draw = StreamOf(stream, kAppearance);
  params.gray = Happens(draw, recipe.gray_probability);
  const bool blur = Happens(draw, recipe.blur_probability);
  const double sigma =
      recipe.blur_sigma_min + (recipe.blur_sigma_max - recipe.blur_sigma_min) * draw.Uniform();
  params.blur_sigma = blur ? static_cast<float>(sigma) : 0.0f;
  if (Happens(draw, recipe.solarize_probability)) params.solarize = 0.5f;

  draw = StreamOf(stream, kStain);
  const bool stain = Happens(draw, recipe.hed_probability);
  for (int s = 0; s < 3; ++s) {
    const double alpha = 1.0 + recipe.hed_alpha * (2.0 * draw.Uniform() - 1.0);
    const double beta = recipe.hed_beta * (2.0 * draw.Uniform() - 1.0);
    if (!stain || (s == 2 && !recipe.hed_jitter_residual)) continue;
    params.hed_alpha[s] = static_cast<float>(alpha);
    params.hed_beta[s] = static_cast<float>(beta);
  }
  if (stain) params.hed = recipe.hed_basis == "dab" ? kHedDab : kHedResidual;

  DrawCrop(recipe, StreamOf(stream, kCrop), width, height, &params);
  return params;
}

ViewParams CentreView(int width, int height) {
  ViewParams params;
  const int side = std::min(width, height);
  params.crop_w = params.crop_h = static_cast<float>(side);
  params.crop_x = static_cast<float>((width - side) / 2);
  params.crop_y = static_cast<float>((height - side) / 2);
  return params;
}

}  // namespace eosin::engine
