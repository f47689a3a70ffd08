// SPDX-License-Identifier: Apache-2.0
#include "segment/data/mask_dataset.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/threads.h"
#include "core/formats/csv.h"
#include "core/image/codec.h"
#include "core/image/resample.h"

namespace eosin::segment {
namespace {

using core::ConfigError;
using core::DataError;

const std::vector<std::string> kTableNames = {"grade.csv", "regions.csv", "patients.csv"};

std::map<std::string, fs::path> ByStem(const fs::path& folder, const std::string& what,
                                       const std::vector<std::string>& extensions) {
  std::map<std::string, fs::path> files;
  for (const fs::path& path : core::ListFiles(folder, extensions, false)) {
    const auto [place, is_new] = files.try_emplace(path.stem().string(), path);
    if (!is_new) {
      throw DataError(fmt::format("two {} have the same name: {} and {}", what,
                                  place->second.string(), path.string()),
                      "images and masks are paired by name without extension: rename one");
    }
  }
  return files;
}

struct Origin {
  std::string patient, slide;
};

// Image name -> patient and, where the table has the column, slide.
std::map<std::string, Origin> ReadPatients(const fs::path& path) {
  const core::CsvTable table = core::ReadCsv(path);
  const int name = table.Column("name"), patient = table.Column("patient_id");
  if (name < 0 || patient < 0) {
    throw DataError(
        fmt::format("{} has no column {}", path.string(), name < 0 ? "name" : "patient_id"),
        "the table of patients needs the columns name (image without extension) and "
        "patient_id");
  }
  const int slide = table.Column("slide");
  std::map<std::string, Origin> patients;
  for (const auto& row : table.rows) {
    const std::string stem = row[static_cast<size_t>(name)];
    const std::string id = row[static_cast<size_t>(patient)];
    const std::string from = slide < 0 ? "" : row[static_cast<size_t>(slide)];
    const auto [place, is_new] = patients.try_emplace(stem, Origin{id, from});
    if (!is_new && place->second.patient != id) {
      throw DataError(fmt::format("{} gives image {} to patients {} and {}", path.string(), stem,
                                  place->second.patient, id),
                      "one patient an image");
    }
  }
  return patients;
}

int Scaled(int pixels, double scale) {
  return std::max(1, static_cast<int>(std::lround(pixels * scale)));
}

core::Image ResizeNearest(const core::Image& mask, int width, int height) {
  core::Image out(width, height, 1);
  for (int y = 0; y < height; ++y) {
    const int from_y = static_cast<int>((y + 0.5) * mask.height / height);
    for (int x = 0; x < width; ++x) {
      out.row(y)[x] = mask.row(from_y)[static_cast<int>((x + 0.5) * mask.width / width)];
    }
  }
  return out;
}

int ParseByte(const std::string& text, const std::string& entry) {
  const bool digits =
      !text.empty() && text.size() <= 3 &&
      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  const int value = digits ? std::stoi(text) : -1;
  if (value < 0 || value > 255) {
    throw ConfigError(
        fmt::format("mask.map entry \"{}\" does not start with a value from 0 to 255", entry),
        "write entries like \"0=background\", \"255=gland\" or \"7-9=ignore\"");
  }
  return value;
}

}  // namespace

void MaskDataOptions::Bind(core::OptionSet& set) {
  set.Add("data", &data, {.doc = "folder with images/ and masks/, paired by file name"});
  set.Add("images", &images, {.doc = "folder of images, when it is not data/images"});
  set.Add("masks", &masks, {.doc = "folder of masks (PNG), when it is not data/masks"});
  set.Add("groups", &groups,
          {.doc = "CSV with columns name and patient_id; empty = grade.csv, regions.csv or "
                  "patients.csv in data"});
  set.Add("input.scale", &scale,
          {.doc = "images and masks are resized by this factor", .min = 0.01, .max = 4});
  set.Add("input.mpp", &mpp,
          {.doc = "microns per pixel of the images as stored; 0 = not known: then distances are in "
                  "pixels, and predicting slides needs --mpp",
           .min = 0,
           .max = 100});
  set.Add("input.in_memory", &in_memory, {.doc = "keep decoded images in memory"});
  set.Add("mask.classes", &classes, {.doc = "class names; the position is the class number"});
  set.Add("mask.rule", &rule,
          {.doc = "what mask values mean: classes = the class number; instances = 0 or any object, "
                  "class 1; map = see mask.map",
           .choices = {"classes", "instances", "map"}});
  set.Add("mask.map", &map,
          {.doc = "for rule map: VALUE=CLASS or FROM-TO=CLASS, class a name, a number or ignore"});
  set.Add("mask.ignore", &ignore,
          {.doc = "mask value of pixels that do not count; -1 = none", .min = -1, .max = 255});
  set.Add("mask.background", &background,
          {.doc = "class left out of means over classes; -1 = none", .min = -1, .max = 254});
}

std::array<int, 256> MaskDataOptions::ClassTable() const {
  std::array<int, 256> table;
  table.fill(kUnknownValue);
  constexpr int kIgnored = 255;  // how ignored pixels are stored, whatever their value in the file
  const int count = static_cast<int>(classes.size());
  if (rule == "classes") {
    for (int v = 0; v < count; ++v) table[static_cast<size_t>(v)] = v;
  } else if (rule == "instances") {
    for (int v = 0; v < 256; ++v) table[static_cast<size_t>(v)] = v > 0;
    return table;  // 255 is an object like any other here
  } else {
    for (const std::string& entry : map) {
      const size_t equals = entry.find('=');
      if (equals == std::string::npos) {
        throw ConfigError(fmt::format("mask.map entry \"{}\" has no =", entry),
                          "write entries like \"0=background\", \"255=gland\" or \"7-9=ignore\"");
      }
      const std::string values = entry.substr(0, equals), target = entry.substr(equals + 1);
      const size_t dash = values.find('-');
      const int first = ParseByte(values.substr(0, dash), entry);
      const int last =
          dash == std::string::npos ? first : ParseByte(values.substr(dash + 1), entry);
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
      for (int v = first; v <= last; ++v) table[static_cast<size_t>(v)] = c;
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
  ClassTable();
}

MaskDataset::MaskDataset(const MaskDataOptions& options)
    : options_(options), table_(options.ClassTable()) {
  options_.Check();
  if (options_.data.empty() && (options_.images.empty() || options_.masks.empty())) {
    throw ConfigError("no data were named",
                      "give data = FOLDER (with images/ and masks/), or images and masks");
  }
  const fs::path root = options_.data;
  const fs::path image_folder =
      options_.images.empty() ? root / "images" : fs::path(options_.images);
  const fs::path mask_folder = options_.masks.empty() ? root / "masks" : fs::path(options_.masks);
  const auto images = ByStem(image_folder, "images", {".jpg", ".jpeg", ".png"});
  const auto masks = ByStem(mask_folder, "masks", {".png"});
  if (images.empty()) {
    throw DataError(fmt::format("no images in {}", image_folder.string()),
                    "put *.jpg or *.png there, and masks of the same names (*.png) into masks/");
  }
  for (const auto& [stem, path] : masks) {
    if (!images.contains(stem)) {
      throw DataError(
          fmt::format("mask {} has no image in {}", path.string(), image_folder.string()),
          "images and masks are paired by name without extension");
    }
  }

  fs::path table_path = options_.groups;
  if (table_path.empty()) {
    std::vector<fs::path> folders = {image_folder.parent_path()};
    if (!root.empty()) folders.insert(folders.begin(), root);
    for (const fs::path& folder : folders) {
      for (const std::string& name : kTableNames) {
        if (table_path.empty() && fs::exists(folder / name)) table_path = folder / name;
      }
    }
  }
  if (table_path.empty()) {
    throw DataError(
        fmt::format("no table of patients beside {}", image_folder.string()),
        "give groups = FILE.csv with columns name and patient_id: images of one patient "
        "must not be split");
  }
  const auto patients = ReadPatients(table_path);

  for (const auto& [stem, path] : images) {
    const auto mask = masks.find(stem);
    if (mask == masks.end()) {
      throw DataError(fmt::format("image {} has no mask {}", path.string(),
                                  (mask_folder / (stem + ".png")).string()),
                      "every image needs a PNG mask of the same name");
    }
    const auto patient = patients.find(stem);
    if (patient == patients.end() || patient->second.patient.empty()) {
      throw DataError(fmt::format("image {} has no patient in {}", stem, table_path.string()),
                      "add a row with its name (without extension) and patient_id");
    }
    items_.push_back({stem, patient->second.patient, path, mask->second, patient->second.slide});
  }

  core::ParallelFor(size(), core::AvailableCores(), [&](int64_t i) {
    const MaskItem& it = item(i);
    int size[4];
    const std::string image_bytes = core::ReadFile(it.image), mask_bytes = core::ReadFile(it.mask);
    auto span = [](const std::string& bytes) {
      return std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    };
    core::ImageSize(span(image_bytes), it.image.string(), &size[0], &size[1]);
    core::ImageSize(span(mask_bytes), it.mask.string(), &size[2], &size[3]);
    if (size[0] != size[2] || size[1] != size[3]) {
      throw DataError(fmt::format("mask {} is {} x {}, its image {} x {}", it.mask.string(),
                                  size[2], size[3], size[0], size[1]),
                      "a mask has one pixel for each pixel of its image");
    }
  });
  if (options_.in_memory) cache_.resize(items_.size());
}

std::shared_ptr<const MaskedImage> MaskDataset::Read(int64_t index) const {
  const auto at = static_cast<size_t>(index);
  if (options_.in_memory) {
    std::lock_guard lock(mutex_);
    if (cache_[at]) return cache_[at];
  }
  const MaskItem& it = items_[at];
  auto pair = std::make_shared<MaskedImage>();
  pair->image = core::ReadRgb(it.image);
  pair->mask = core::ReadMask(it.mask);
  if (pair->image.width != pair->mask.width || pair->image.height != pair->mask.height) {
    throw DataError(fmt::format("mask {} and its image differ in size", it.mask.string()),
                    "a mask has one pixel for each pixel of its image");
  }
  std::array<bool, 256> seen{};
  for (uint8_t& value : pair->mask.pixels) {
    seen[value] = true;
    value = static_cast<uint8_t>(table_[value]);  // unknown values are caught right below
  }
  for (int v = 0; v < 256; ++v) {
    if (!seen[static_cast<size_t>(v)] || table_[static_cast<size_t>(v)] != kUnknownValue) continue;
    std::string fix = fmt::format(
        "the classes are 0 to {}; say what {} means with mask.rule = map and for example "
        "mask.map = [\"0={}\", \"{}={}\"]",
        classes() - 1, v, options_.classes.front(), v, options_.classes.back());
    throw DataError(
        fmt::format("mask {} holds the value {}, which is no class", it.mask.string(), v), fix);
  }
  if (options_.scale != 1.0) {
    const int width = Scaled(pair->image.width, options_.scale);
    const int height = Scaled(pair->image.height, options_.scale);
    pair->image = core::Resize(pair->image, width, height);
    pair->mask = ResizeNearest(pair->mask, width, height);
  }
  if (options_.in_memory) {
    std::lock_guard lock(mutex_);
    cache_[at] = pair;
  }
  return pair;
}

const std::vector<std::vector<int64_t>>& MaskDataset::ClassPixels(int workers) const {
  {
    std::lock_guard lock(mutex_);
    if (!class_pixels_.empty()) return class_pixels_;
  }
  std::vector<std::vector<int64_t>> counts(items_.size());
  std::vector<int64_t> ignored(items_.size());
  core::ParallelFor(size(), workers, [&](int64_t i) {
    std::vector<int64_t> by_value(256, 0);
    const auto pair = Read(i);
    for (const uint8_t value : pair->mask.pixels) ++by_value[value];
    ignored[static_cast<size_t>(i)] = by_value[255];
    by_value.resize(static_cast<size_t>(classes()));
    counts[static_cast<size_t>(i)] = std::move(by_value);
  });
  bool any_foreground = false;
  for (const auto& image : counts) {
    for (int c = 0; c < classes(); ++c) {
      any_foreground =
          any_foreground || (c != options_.background && image[static_cast<size_t>(c)] > 0);
    }
  }
  if (!any_foreground) {
    const auto first =
        std::find_if(ignored.begin(), ignored.end(), [](int64_t n) { return n > 0; });
    if (first == ignored.end()) {
      throw DataError(fmt::format("the masks of {} images hold nothing but background", size()),
                      "check that these are the right masks");
    }
    // The commonest slip: foreground saved as 255, which is also the customary ignore value.
    throw DataError(
        fmt::format("the masks hold no class but background, and {} holds the value {}, which is "
                    "ignored",
                    item(first - ignored.begin()).mask.string(), options_.ignore),
        fmt::format("if {0} is the foreground, set mask.rule = map and mask.map = [\"0={1}\", "
                    "\"{0}={2}\"]",
                    options_.ignore, options_.classes.front(), options_.classes.back()));
  }
  std::lock_guard lock(mutex_);
  if (class_pixels_.empty()) class_pixels_ = std::move(counts);
  return class_pixels_;
}

const std::vector<MaskDataset::Hashes>& MaskDataset::FileHashes(int workers) const {
  {
    std::lock_guard lock(mutex_);
    if (!hashes_.empty()) return hashes_;
  }
  std::vector<Hashes> hashes(items_.size());
  core::ParallelFor(size(), workers, [&](int64_t i) {
    hashes[static_cast<size_t>(i)] = {core::Sha256File(item(i).image),
                                      core::Sha256File(item(i).mask)};
  });
  std::lock_guard lock(mutex_);
  if (hashes_.empty()) hashes_ = std::move(hashes);
  return hashes_;
}

}  // namespace eosin::segment
