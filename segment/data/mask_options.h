// SPDX-License-Identifier: Apache-2.0
// Which images and masks are meant, and what the masks' values are. Torch-free.
//
// Mask values become classes by one of three rules (mask.rule):
//   classes    the value is the class; values outside the class list are refused (except ignore)
//   instances  0 = background, any other value = class 1 (GlaS: one number a gland); the numbers
//              are kept for scoring
//   map        an explicit table, mask.map = ["0=background", "255=gland", "7-9=ignore"]; entries
//              rise and do not overlap
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/option_set.h"

namespace eosin::segment {

struct MaskDataOptions {
  std::string data;    // folder with images/ and masks/, or a tile store, or a folder of stores
  std::string images;  // explicit folder of images instead of data/images
  std::string masks;   // explicit folder of masks instead of data/masks; may be that of the images
  std::string suffix;  // of mask names: image "a" has mask "a<suffix>.png"
  std::string labels = "annotation";  // which labels of a tile store
  // CSV with columns name (or slide) and patient_id; empty: grade.csv, regions.csv or patients.csv
  // beside images/, for stores the patient in the store. "image" or "slide": the user states that
  // every image or slide is a patient of its own.
  std::string groups;
  double scale = 1.0;      // images and masks are resized by this factor while reading
  double mpp = 0.0;        // microns per pixel of the images as stored; 0 = not known
  bool in_memory = false;  // keep all decoded images, however many

  std::vector<std::string> classes{"background", "foreground"};
  std::string rule = "classes";  // classes | instances | map
  std::vector<std::string> map;
  int64_t ignore = 255;    // mask value of pixels that do not count; -1 = none; not of instances
  int64_t background = 0;  // class left out of means over classes; -1 = none

  // Where training crops lie: uniformly over the image, unless one of these says otherwise.
  double crop_foreground = 0.0;       // share of crops centred on a foreground pixel
  std::string crop_balance = "none";  // none | equal | sqrt: the class of the centre pixel

  void Bind(core::OptionSet& set);
  void Check() const;
  // Microns per pixel of what is read, after scaling; 0 = not known.
  double ReadMpp() const { return mpp / scale; }
  // Mask value -> class for all 65,536 values: kUnknownValue where there is no rule. Throws
  // ConfigError.
  std::vector<int16_t> ClassTable() const;
};

inline constexpr int16_t kUnknownValue = -1;
// How ignored pixels are stored, whatever their value in the file.
inline constexpr uint8_t kIgnoredPixel = 255;

// Starting points for public data sets; keys given besides win.
//   glas  GlaS (Warwick-QU): instances, 20x at 0.62005 um/px (the challenge's data description),
//         patients from Grade.csv
//   dsb   H&E images of the 2018 Data Science Bowl with merged 0/255 nucleus masks: no scale and no
//         patients are published, so every image counts as its own. Nuclei that touch are one true
//         object, so AJI and PQ are not those of nuclei
std::vector<std::string> DataPresetNames();
// Throws ConfigError for other names.
MaskDataOptions DataPreset(const std::string& name);

}  // namespace eosin::segment
