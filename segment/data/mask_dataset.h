// SPDX-License-Identifier: Apache-2.0
// Images with class masks, paired by file stem, each with its patient. Pixels are read on demand;
// nothing stays in memory unless asked. Torch-free; every method is thread-safe.
//
// Mask values become classes by one of three rules (mask.rule):
//   classes    the value is the class; values outside the class list are refused (except ignore)
//   instances  0 = background, any other value = class 1 (GlaS: one number a gland)
//   map        an explicit table, mask.map = ["0=background", "255=gland", "7-9=ignore"]
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/config/option_set.h"
#include "core/image/image.h"

namespace eosin::segment {

namespace fs = std::filesystem;

struct MaskDataOptions {
  std::string data;    // folder with images/ and masks/ (and maybe a table of patients)
  std::string images;  // explicit folder of images instead of data/images
  std::string masks;   // explicit folder of masks instead of data/masks
  std::string groups;  // CSV with columns name and patient_id; empty: grade.csv, regions.csv or
                       // patients.csv beside images/
  double scale = 1.0;  // images and masks are resized by this factor while reading
  double mpp = 0.0;    // microns per pixel of the images as stored; 0 = not known
  bool in_memory = false;

  std::vector<std::string> classes{"background", "foreground"};
  std::string rule = "classes";  // classes | instances | map
  std::vector<std::string> map;
  int64_t ignore = 255;    // mask value and class of pixels that do not count
  int64_t background = 0;  // class left out of means over classes; -1 = none

  void Bind(core::OptionSet& set);
  void Check() const;
  // Microns per pixel of what is read, after scaling; 0 = not known.
  double ReadMpp() const { return mpp / scale; }
  // Mask value -> class for all 256 values; kUnknownValue where there is no rule. Throws
  // ConfigError.
  std::array<int, 256> ClassTable() const;
};

inline constexpr int kUnknownValue = -1;

// What a dataset knows of one image before reading its pixels.
struct MaskItem {
  std::string name;  // file stem
  std::string patient;
  fs::path image, mask;
  std::string slide;  // column `slide` of the table of patients; empty where it has none
};

struct MaskedImage {
  core::Image image;  // RGB
  core::Image mask;   // 1 channel, class indices and the ignore value
};

class MaskDataset {
 public:
  // Lists and pairs the files, reads the table of patients and the headers of all images. Throws
  // DataError: empty folder, image without mask, mask without image, image without patient, sizes
  // that differ.
  explicit MaskDataset(const MaskDataOptions& options);

  int64_t size() const { return static_cast<int64_t>(items_.size()); }
  const MaskItem& item(int64_t index) const { return items_[static_cast<size_t>(index)]; }
  const std::vector<MaskItem>& items() const { return items_; }
  const MaskDataOptions& options() const { return options_; }
  int classes() const { return static_cast<int>(options_.classes.size()); }

  // Decoded, scaled, mapped. Throws DataError naming the file, the value and the fix when a mask
  // holds a value without a class (255 used as foreground, for instance).
  std::shared_ptr<const MaskedImage> Read(int64_t index) const;

  // Pixels of each class, by image and class; reads every image once, in parallel. Throws DataError
  // when no mask shows a class but background (foreground saved as the ignore value, for instance).
  const std::vector<std::vector<int64_t>>& ClassPixels(int workers) const;

  // SHA-256 of the image's and the mask's files, by index; computed once.
  struct Hashes {
    std::string image, mask;
  };
  const std::vector<Hashes>& FileHashes(int workers) const;

 private:
  MaskDataOptions options_;
  std::array<int, 256> table_;
  std::vector<MaskItem> items_;
  mutable std::mutex mutex_;
  mutable std::vector<std::shared_ptr<const MaskedImage>> cache_;
  mutable std::vector<std::vector<int64_t>> class_pixels_;
  mutable std::vector<Hashes> hashes_;
};

}  // namespace eosin::segment
