// SPDX-License-Identifier: Apache-2.0
#include "segment/data/mask_options.h"

#include <fmt/format.h>
#include <algorithm>
#include <set>

#include "core/base/error.h"

namespace eosin::segment {
namespace {

using core::ConfigError;

constexpr int kValues = 1 << 16;

int ParseValue(const std::string& text, const std::string& entry) {
  const bool digits =
      !text.empty() && text.size() <= 5 &&
      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  const int value = digits ? std::stoi(text) : -1;
  if (value < 0 || value >= kValues) {
    throw ConfigError(
        fmt::format("mask.map entry \"{}\" does not start with a value from 0 to 65535", entry),
        "write entries like \"0=background\", \"255=gland\" or \"7-9=ignore\"");
  }
  return value;
}

}  // namespace

void MaskDataOptions::Bind(core::OptionSet& set) {
  set.Add(
      "data", &data,
      {.doc = "folder with images/ and masks/, paired by file name; or a tile store with labels, "
              "or a folder of stores"});
  set.Add("images", &images, {.doc = "folder of images, when it is not data/images"});
  set.Add("masks", &masks, {.doc = "folder of masks (PNG), when it is not data/masks"});
  set.Add(
      "groups", &groups,
      {.doc = "CSV with columns name (or slide) and patient_id; empty = grade.csv, regions.csv or "
              "patients.csv in data, for stores the patient in the store; image or slide = each "
              "is a patient of its own"});
  set.Add("input.scale", &scale,
          {.doc = "images and masks are resized by this factor", .min = 0.01, .max = 4});
  set.Add("input.mpp", &mpp,
          {.doc = "microns per pixel of the images as stored; 0 = not known: then distances are in "
                  "pixels, and predicting slides needs --mpp",
           .min = 0,
           .max = 100});
  set.Add("input.in_memory", &in_memory,
          {.doc = "keep all decoded images in memory; otherwise the first 1 GiB of them"});
  set.Add("mask.suffix", &suffix,
          {.doc = "image a has mask a<suffix>.png, e.g. _anno; masks may lie beside the images"});
  set.Add("mask.labels", &labels, {.doc = "which masks of a tile store, labels/<name>"});
  set.Add("mask.classes", &classes, {.doc = "class names; the position is the class number"});
  set.Add("mask.rule", &rule,
          {.doc = "what mask values mean: classes = the class number; instances = 0 or any object, "
                  "class 1; map = see mask.map",
           .choices = {"classes", "instances", "map"}});
  set.Add("mask.map", &map,
          {.doc = "for rule map: VALUE=CLASS or FROM-TO=CLASS, class a name, a number or ignore"});
  set.Add("mask.ignore", &ignore,
          {.doc = "mask value of pixels that do not count; -1 = none; under rule instances it is a "
                  "number like any other",
           .min = -1,
           .max = 65535});
  set.Add("mask.background", &background,
          {.doc = "class left out of means over classes; -1 = none", .min = -1, .max = 254});
  set.Add("crop.foreground", &crop_foreground,
          {.doc = "share of training crops that are centred on a foreground pixel, its class drawn "
                  "from those of the image (nnU-Net: 0.33); the others lie anywhere",
           .min = 0,
           .max = 1});
  set.Add(
      "crop.balance", &crop_balance,
      {.doc = "class of the pixel in the centre of a training crop: none = as it comes; equal = "
              "all classes alike; sqrt = by the square root of their pixels. Images without the "
              "drawn class are passed over",
       .choices = {"none", "equal", "sqrt"}});
}

std::vector<int16_t> MaskDataOptions::ClassTable() const {
  std::vector<int16_t> table(kValues, kUnknownValue);
  constexpr int kIgnored = kIgnoredPixel;
  const int count = static_cast<int>(classes.size());
  if (rule == "classes") {
    for (int v = 0; v < count; ++v) table[static_cast<size_t>(v)] = static_cast<int16_t>(v);
  } else if (rule == "instances") {
    std::fill(table.begin(), table.end(), int16_t{1});
    table[0] = 0;
    return table;  // the value of mask.ignore is an object like any other here
  } else {
    std::vector<const std::string*> owner(kValues, nullptr);
    for (const std::string& entry : map) {
      const size_t equals = entry.find('=');
      if (equals == std::string::npos) {
        throw ConfigError(fmt::format("mask.map entry \"{}\" has no =", entry),
                          "write entries like \"0=background\", \"255=gland\" or \"7-9=ignore\"");
      }
      const std::string values = entry.substr(0, equals), target = entry.substr(equals + 1);
      const size_t dash = values.find('-');
      const int first = ParseValue(values.substr(0, dash), entry);
      const int last =
          dash == std::string::npos ? first : ParseValue(values.substr(dash + 1), entry);
      int c = kUnknownValue;
      const auto named = std::find(classes.begin(), classes.end(), target);
      if (target == "ignore") {
        c = kIgnored;
      } else if (named != classes.end()) {
        c = static_cast<int>(named - classes.begin());
      } else if (target.size() <= 3 && !target.empty() &&
                 target.find_first_not_of("0123456789") == std::string::npos) {
        c = std::stoi(target);
      }
      if (c == kUnknownValue || (c >= count && c != kIgnored)) {
        throw ConfigError(
            fmt::format("mask.map entry \"{}\" names no class", entry),
            fmt::format("the classes are {} (mask.classes), or ignore", fmt::join(classes, ", ")));
      }
      if (last < first) {
        throw ConfigError(fmt::format("mask.map entry \"{}\" ends before it begins", entry),
                          fmt::format("write \"{}-{}={}\"", last, first, target));
      }
      for (int v = first; v <= last; ++v) {
        const auto at = static_cast<size_t>(v);
        if (owner[at]) {
          throw ConfigError(fmt::format("mask.map entries \"{}\" and \"{}\" both say what {} is",
                                        *owner[at], entry, v),
                            "give every value to one entry");
        }
        owner[at] = &entry;
        table[at] = static_cast<int16_t>(c);
      }
    }
  }
  if (ignore >= 0 && table[static_cast<size_t>(ignore)] == kUnknownValue) {
    table[static_cast<size_t>(ignore)] = kIgnored;
  }
  return table;
}

void MaskDataOptions::Check() const {
  if (classes.size() < 2 || classes.size() > 255) {
    throw ConfigError(fmt::format("mask.classes has {} names", classes.size()),
                      "name 2 to 255 classes, background included");
  }
  if (std::set<std::string>(classes.begin(), classes.end()).size() != classes.size()) {
    throw ConfigError("mask.classes has a name twice", "give every class its own name");
  }
  if (rule == "instances" && classes.size() != 2) {
    throw ConfigError("mask.rule = instances knows two classes, background and object",
                      "name two classes in mask.classes, or use mask.rule = map");
  }
  if (rule == "map" && map.empty()) {
    throw ConfigError("mask.rule = map but mask.map is empty",
                      "for example mask.map = [\"0=background\", \"255=gland\"]");
  }
  if (background >= static_cast<int64_t>(classes.size())) {
    throw ConfigError(fmt::format("mask.background = {} is no class", background),
                      fmt::format("classes are numbered 0 to {}; -1 = none", classes.size() - 1));
  }
  if (crop_foreground > 0 && crop_balance != "none") {
    throw ConfigError("crop.foreground and crop.balance both say where crops lie",
                      "set crop.foreground = 0 or crop.balance = none");
  }
  if (crop_foreground > 0 && background < 0) {
    throw ConfigError("crop.foreground needs to know what is not foreground",
                      "set mask.background, or use crop.balance = equal");
  }
  ClassTable();
}

std::vector<std::string> DataPresetNames() { return {"glas", "dsb"}; }

MaskDataOptions DataPreset(const std::string& name) {
  MaskDataOptions options;
  if (name == "glas") {
    options.classes = {"background", "gland"};
    options.rule = "instances";
    options.mpp = 0.62005;
  } else if (name == "dsb") {
    options.classes = {"background", "nucleus"};
    options.rule = "map";
    options.map = {"0=background", "255=nucleus"};
    options.groups = "image";
  } else {
    throw ConfigError(fmt::format("there is no preset {}", name),
                      fmt::format("presets are {}", fmt::join(DataPresetNames(), ", ")));
  }
  return options;
}

}  // namespace eosin::segment
