// SPDX-License-Identifier: Apache-2.0
#include "engine/augment/recipe.h"

#include <fmt/format.h>
#include <algorithm>

#include "core/base/error.h"

namespace eosin::engine {

void ViewRecipe::Bind(core::OptionSet& set, const std::string& prefix) {
  auto number = [&](const char* key, double* value, const char* doc, double max, double min = 0,
                    const char* unit = "") {
    set.Add(prefix + "." + key, value, {.doc = doc, .unit = unit, .min = min, .max = max});
  };
  auto chance = [&](const char* key, double* value, const char* doc) {
    number(key, value, doc, 1);
  };
  auto word = [&](const char* key, std::string* value, const char* doc,
                  std::vector<std::string> choices) {
    set.Add(prefix + "." + key, value, {.doc = doc, .choices = std::move(choices)});
  };
  set.Add(prefix + ".size", &size,
          {.doc = "side of the view", .unit = "px", .min = 8, .max = 4096});
  number("crop_scale_min", &crop_scale_min, "smallest share of the image's area in a crop", 1,
         1e-4);
  number("crop_scale_max", &crop_scale_max, "largest share of the image's area in a crop", 1, 1e-4);
  number("crop_ratio_min", &crop_ratio_min, "smallest width / height of a crop", 10, 0.1);
  number("crop_ratio_max", &crop_ratio_max, "largest width / height of a crop", 10, 0.1);
  word("interpolation", &interpolation, "filter of the crop's resize", {"bilinear", "bicubic"});
  chance("hflip_probability", &hflip_probability, "chance of a left-right mirror");
  chance("vflip_probability", &vflip_probability, "chance of a top-bottom mirror");
  chance("rot90_probability", &rot90_probability, "chance of a random number of quarter turns");
  chance("jitter_probability", &jitter_probability, "chance of colour jitter");
  number("brightness", &brightness, "factor from 1 - s to 1 + s", 10);
  number("contrast", &contrast, "factor from 1 - s to 1 + s", 10);
  number("saturation", &saturation, "factor from 1 - s to 1 + s", 10);
  number("hue", &hue, "shift from -s to s", 0.5, 0, "turns");
  word("jitter_order", &jitter_order,
       "random, or the letters b c s h (brightness, contrast, saturation, hue) in the order to run",
       {});
  chance("gray_probability", &gray_probability, "chance of a grey view");
  chance("blur_probability", &blur_probability, "chance of Gaussian blur");
  number("blur_sigma_min", &blur_sigma_min, "least blur", 100, 0.01, "px of the view");
  number("blur_sigma_max", &blur_sigma_max, "most blur", 100, 0.01, "px of the view");
  chance("solarize_probability", &solarize_probability, "chance of inverting bright levels");
  chance("solarize_threshold", &solarize_threshold,
         "share of full scale from which levels are inverted");
  word("stain", &stain,
       "stain augmentation: HED jitter, Macenko perturbation of the tile's own stains, or "
       "RandStainNA",
       {"off", "hed", "macenko", "randstainna"});
  chance("stain_probability", &stain_probability, "chance of stain augmentation");
  number("hed_alpha", &hed_alpha, "stain factor from 1 - t to 1 + t", 1);
  number("hed_beta", &hed_beta, "stain offset from -t to t, in the unit of hed_convention", 2);
  set.Add(prefix + ".hed_jitter_residual", &hed_jitter_residual,
          {.doc = "jitter the third (DAB or residual) channel too; tints unrealistically"});
  word("hed_basis", &hed_basis, "third channel of the stain space", {"residual", "dab"});
  word("hed_convention", &hed_convention,
       "unit of hed_beta: natural optical density, or scikit-image's since 0.18 (13.8 natural)",
       {"natural", "skimage"});
  number("macenko_alpha", &macenko_alpha, "concentration factor from 1 - t to 1 + t", 1);
  number("macenko_beta", &macenko_beta, "concentration offset from -t to t", 2, 0,
         "natural optical density");
  number("macenko_angle", &macenko_angle, "standard deviation of each stain's turn", 20, 0,
         "degrees");
  word("randstainna_space", &randstainna_space, "colour space of the transfer; random: one a view",
       {"lab", "hsv", "hed", "random"});
  word("randstainna_spread", &randstainna_spread,
       "how targets are drawn; mixture needs a template with one",
       {"normal", "laplace", "uniform", "mixture"});
  number("randstainna_std_hyper", &randstainna_std_hyper,
         "spreads of the template are multiplied by 1 + this", 10, -1);
  word("randstainna_template", &randstainna_template,
       "file written by `eosin stain fit`; empty: the published colorectal set, lab only", {});
  set.Renamed(prefix + ".hed_probability",
              fmt::format("it is now {0}.stain = \"hed\" with {0}.stain_probability", prefix));
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
  std::string letters = jitter_order;
  std::sort(letters.begin(), letters.end());
  if (jitter_order != "random" && letters != "bchs") {
    throw core::ConfigError(fmt::format("{}.jitter_order = {} is no order", prefix, jitter_order),
                            "give random, or each of b, c, s, h once, for example bcsh");
  }
  if (stain == "randstainna" && randstainna_template.empty() && randstainna_space != "lab") {
    throw core::ConfigError(
        fmt::format("{0}.randstainna_space = {1} needs {0}.randstainna_template: the published "
                    "statistics are for lab only",
                    prefix, randstainna_space),
        "fit a template from your tiles with `eosin stain fit`, or use lab");
  }
}

bool ViewRecipe::NeedsFacts() const { return stain == "macenko" || stain == "randstainna"; }

}  // namespace eosin::engine
