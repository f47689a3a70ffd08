// SPDX-License-Identifier: Apache-2.0
// What may happen to a view: probabilities and ranges, and the draw of one ViewParams from them.
// Published recipes are presets (table in presets.cc).
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
  std::string interpolation = "bilinear";  // bilinear | bicubic, both anti-aliased
  double hflip_probability = 0.5;
  double vflip_probability = 0.0;
  double rot90_probability = 0.0;  // then 0..3 quarter turns, equally likely
  double jitter_probability = 0.8;
  double brightness = 0.8, contrast = 0.8, saturation = 0.8;  // factor ~ U[max(0, 1-s), 1+s]
  double hue = 0.2;                                           // turns ~ U[-s, s]
  // "random" draws a permutation a view; else the four letters b, c, s, h in the order to run.
  std::string jitter_order = "random";
  double gray_probability = 0.2;
  double blur_probability = 0.5;
  double blur_sigma_min = 0.1, blur_sigma_max = 2.0;  // output pixels
  double solarize_probability = 0.0;
  double solarize_threshold = 0.5;  // share of full scale from which levels invert

  // Stain augmentation, before the colour jitter. All pixels count as tissue: background moves too.
  std::string stain = "off";  // off | hed | macenko | randstainna
  double stain_probability = 0.5;
  // HED jitter (Tellez 2018): stain s becomes alpha * s + beta.
  double hed_alpha = 0.05;                 // alpha ~ U[1-t, 1+t]
  double hed_beta = 0.05;                  // beta ~ U[-t, t], in the unit of hed_convention
  bool hed_jitter_residual = false;        // also the third (DAB or residual) channel
  std::string hed_basis = "residual";      // dab | residual
  std::string hed_convention = "natural";  // natural | skimage (>= 0.18: 13.8 natural units)
  // Macenko perturbation (tiatoolbox's StainAugmentor, plus the angle) of the tile's own stains.
  double macenko_alpha = 0.5;  // concentration factor ~ U[1-t, 1+t]
  double macenko_beta = 0.25;  // concentration offset ~ U[-t, t], natural optical density
  double macenko_angle = 3;    // degrees; turn of each stain within the stain plane ~ N(0, t)
  // RandStainNA (Shen 2022): Reinhard transfer of the whole tile to a drawn mean and deviation.
  std::string randstainna_space = "lab";      // lab | hsv | hed | random: one of the three a view
  std::string randstainna_spread = "normal";  // normal | laplace | uniform | mixture
  double randstainna_std_hyper = 0;           // spreads are multiplied by 1 + this
  std::string
      randstainna_template;  // file of `eosin stain fit`; empty: the published CRC set (lab)

  // A published or eosin's own recipe; ConfigError on another name.
  static ViewRecipe Preset(const std::string& name);
  static const std::vector<std::string>& PresetNames();

  // Keys "<prefix>.crop_scale_min" and so on. `size` is bound too.
  void Bind(core::OptionSet& set, const std::string& prefix);
  // Rules over several fields; ConfigError naming `prefix`.key.
  void Check(const std::string& prefix = "view") const;
  // Whether a draw looks at the image: Macenko and RandStainNA do.
  bool NeedsFacts() const;
};

// Draws one view of a source of width x height pixels (>= 1) with a recipe that does not need facts
// of the image (else ConfigError: use ViewSampler, which gives the same records). Pure: the stream
// is taken by value. Each operation has its own place in the stream, so that a probability can
// change without moving the draws of the other operations. The crop follows torchvision's
// RandomResizedCrop: ten tries, then the largest centred box whose aspect ratio is allowed.
ViewParams DrawView(const ViewRecipe& recipe, core::PhiloxStream stream, int width, int height);

// The centred largest square, resized: what evaluation sees.
ViewParams CentreView(int width, int height);

}  // namespace eosin::engine
