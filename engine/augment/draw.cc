// SPDX-License-Identifier: Apache-2.0
#include "engine/augment/draw.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/error.h"

namespace eosin::engine {
namespace draw {
namespace {

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

uint8_t OpOf(char letter) {
  switch (letter) {
    case 'b':
      return kBrightness;
    case 'c':
      return kContrast;
    case 's':
      return kSaturation;
    default:
      return kHue;
  }
}

}  // namespace

core::PhiloxStream At(core::PhiloxStream stream, Group group) {
  for (uint32_t i = 0; i < 12u * group; ++i) stream.Next();
  return stream;
}

bool Happens(core::PhiloxStream& stream, double probability) {
  return static_cast<double>(stream.Uniform()) < probability;
}

double Around(core::PhiloxStream& stream, double centre, double spread) {
  return centre + spread * (2.0 * stream.Uniform() - 1.0);
}

ViewParams AllButStain(const ViewRecipe& recipe, core::PhiloxStream stream, int width, int height) {
  ViewParams params;
  params.bicubic = recipe.interpolation == "bicubic";
  core::PhiloxStream draw = At(stream, kGeometry);
  params.hflip = Happens(draw, recipe.hflip_probability);
  params.vflip = Happens(draw, recipe.vflip_probability);
  const bool turn = Happens(draw, recipe.rot90_probability);
  const uint32_t turns = draw.Below(4);
  params.rot90 = static_cast<uint8_t>(turn ? turns : 0);

  draw = At(stream, kJitter);
  params.jitter = Happens(draw, recipe.jitter_probability);
  params.brightness = Factor(draw, recipe.brightness);
  params.contrast = Factor(draw, recipe.contrast);
  params.saturation = Factor(draw, recipe.saturation);
  params.hue = static_cast<float>(Around(draw, 0, recipe.hue));
  if (recipe.jitter_order == "random") {
    for (uint32_t i = 4; i > 1; --i) {
      std::swap(params.jitter_order[i - 1], params.jitter_order[draw.Below(i)]);
    }
  } else {
    for (size_t i = 0; i < 4; ++i) params.jitter_order[i] = OpOf(recipe.jitter_order.at(i));
  }

  draw = At(stream, kAppearance);
  params.gray = Happens(draw, recipe.gray_probability);
  const bool blur = Happens(draw, recipe.blur_probability);
  const double sigma =
      recipe.blur_sigma_min + (recipe.blur_sigma_max - recipe.blur_sigma_min) * draw.Uniform();
  params.blur_sigma = blur ? static_cast<float>(sigma) : 0.0f;
  if (Happens(draw, recipe.solarize_probability)) {
    params.solarize = static_cast<float>(recipe.solarize_threshold);
  }
  DrawCrop(recipe, At(stream, kCrop), width, height, &params);
  return params;
}

void SetMap(const core::StainAffine& map, StainModel model, ViewParams* params) {
  params->stain = kStainDensity;
  params->stain_model = model;
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) params->stain_matrix[3 * i + j] = map.a[i][j];
    params->stain_offset[i] = map.b[i];
  }
}

void Hed(const ViewRecipe& recipe, core::PhiloxStream& stream, ViewParams* params) {
  static const core::StainMatrix kDab = core::HedDabMatrix();
  static const core::StainMatrix kResidual = core::HedResidualMatrix();
  const double unit = recipe.hed_convention == "skimage" ? core::kSkimageOdUnit : 1.0;
  float alpha[3] = {1, 1, 1}, beta[3] = {0, 0, 0};
  const int stains = recipe.hed_jitter_residual ? 3 : 2;
  for (int s = 0; s < stains; ++s) {
    alpha[s] = static_cast<float>(Around(stream, 1, recipe.hed_alpha));
    beta[s] = static_cast<float>(Around(stream, 0, recipe.hed_beta * unit));
  }
  const bool dab = recipe.hed_basis == "dab";
  SetMap(core::HedJitterAffine(dab ? kDab : kResidual, alpha, beta),
         dab ? kModelHedDab : kModelHedResidual, params);
  std::copy_n(alpha, 3, params->stain_draw);
  std::copy_n(beta, 3, params->stain_draw + 3);
}

}  // namespace draw

ViewParams DrawView(const ViewRecipe& recipe, core::PhiloxStream stream, int width, int height) {
  if (recipe.NeedsFacts()) {
    throw core::ConfigError(
        "stain = " + recipe.stain + " looks at each image, which is not done here",
        "use stain = \"hed\" or \"off\"");
  }
  ViewParams params = draw::AllButStain(recipe, stream, width, height);
  if (recipe.stain == "hed") {
    core::PhiloxStream stain = draw::At(stream, draw::kStain);
    if (draw::Happens(stain, recipe.stain_probability)) draw::Hed(recipe, stain, &params);
  }
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
