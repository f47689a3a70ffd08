// SPDX-License-Identifier: Apache-2.0
// What may happen to a view: probabilities and ranges, and the draw of one ViewParams from them.
// Presets follow the papers' tables: SimCLR (Chen 2020), BYOL (Grill 2020, two asymmetric views),
// the CIFAR variant without blur, and a histology set (tiles have no up: all quarter turns; weaker
// colour; HED stain jitter after Tellez 2018).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "core/config/option_set.h"
#include "engine/augment/view_params.h"

namespace eosin::engine {

struct ViewRecipe {
  int64_t size = 224;                                         // output pixels a side
  double crop_scale_min = 0.08, crop_scale_max = 1.0;         // share of the source's area
  double crop_ratio_min = 3.0 / 4, crop_ratio_max = 4.0 / 3;  // width / height
  double hflip_probability = 0.5;
  double vflip_probability = 0.0;
  double rot90_probability = 0.0;  // then 0..3 quarter turns, equally likely
  double jitter_probability = 0.8;
  double brightness = 0.8, contrast = 0.8, saturation = 0.8;  // factor ~ U[max(0, 1-s), 1+s]
  double hue = 0.2;                                           // turns ~ U[-s, s]
  double gray_probability = 0.2;
  double blur_probability = 0.5;
  double blur_sigma_min = 0.1, blur_sigma_max = 2.0;  // output pixels
  double solarize_probability = 0.0;                  // at half of full scale
  double hed_probability = 0.0;
  double hed_alpha = 0.05;             // alpha ~ U[1-t, 1+t]
  double hed_beta = 0.05;              // beta ~ U[-t, t], natural optical density
  bool hed_jitter_residual = false;    // also the third (DAB or residual) channel
  std::string hed_basis = "residual";  // dab | residual

  // "simclr", "byol_a", "byol_b", "simclr_cifar", "histology" (byol's asymmetry not included),
  // "none" (centre square, resized). ConfigError on another name.
  static ViewRecipe Preset(const std::string& name);
  static const std::vector<std::string>& PresetNames();

  // Keys "<prefix>.crop_scale_min" and so on. `size` is bound too.
  void Bind(core::OptionSet& set, const std::string& prefix);
  // Rules over several fields; ConfigError naming `prefix`.key.
  void Check(const std::string& prefix = "view") const;
};

// Draws one view of a source of width x height pixels (>= 1). Pure: the stream is taken by value.
// Each operation has its own place in the stream, so that a probability can change without moving
// the draws of the other operations. The crop follows torchvision's RandomResizedCrop: ten tries,
// then the largest centred box whose aspect ratio is allowed.
ViewParams DrawView(const ViewRecipe& recipe, core::PhiloxStream stream, int width, int height);

// The centred largest square, resized: what evaluation sees.
ViewParams CentreView(int width, int height);

}  // namespace eosin::engine
