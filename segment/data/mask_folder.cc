// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/threads.h"
#include "segment/data/mask_source.h"
#include "segment/data/patients.h"

namespace eosin::segment {
namespace {

using core::ConfigError;
using core::DataError;
using Files = std::map<std::string, fs::path>;  // by stem

const std::vector<std::string> kPictures = {".jpg", ".jpeg", ".png"};
const std::vector<std::string> kOtherPictures = {".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2"};

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

void AddUnique(const std::string& stem, const fs::path& path, const std::string& what,
               Files* files) {
  const auto [place, is_new] = files->try_emplace(stem, path);
  if (is_new) return;
  throw DataError(fmt::format("two {} have the same name: {} and {}", what, place->second.string(),
                              path.string()),
                  "images and masks are paired by name without extension: rename one");
}

// Width and height from the first MiB; a picture whose header lies behind longer metadata is read
// whole.
std::pair<int, int> HeaderSize(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string head(size_t{1} << 20, '\0');
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<size_t>(in.gcount()));
  const bool whole = in.eof();
  int width = 0, height = 0;
  const auto parse = [&](const std::string& bytes) {
    core::ImageSize({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, path.string(),
                    &width, &height);
  };
  try {
    parse(head);
  } catch (const DataError&) {
    if (whole) throw;
    parse(core::ReadFile(path));
  }
  return {width, height};
}

// Pictures that cannot be read must not be left out in silence. One that was converted, with the
// original beside it, is there.
void RefuseOtherPictures(const fs::path& folder) {
  std::set<std::string> read;
  for (const fs::path& path : core::ListFiles(folder, kPictures, false)) {
    read.insert(path.stem().string());
  }
  for (const fs::path& path : core::ListFiles(folder, kOtherPictures, false)) {
    if (read.contains(path.stem().string())) continue;
    throw DataError(fmt::format("{} is neither PNG nor JPEG", path.string()),
                    "convert it, and others like it, to PNG, or move it out of the folder");
  }
}

class MaskFolder : public MaskSource {
 public:
  explicit MaskFolder(const MaskDataOptions& options) {
    if (options.data.empty() && (options.images.empty() || options.masks.empty())) {
      throw ConfigError("no data were named",
                        "give data = FOLDER (with images/ and masks/) or a tile store, or images "
                        "and masks");
    }
    const fs::path root = options.data;
    const fs::path images = options.images.empty() ? root / "images" : fs::path(options.images);
    const fs::path masks = options.masks.empty() ? root / "masks" : fs::path(options.masks);
    List(options, images, masks);
    FindPatients(options, root, images);
    CheckSizes();
  }

  RawMask Read(int64_t index) const override {
    return {core::ReadRgb(item(index).image), core::ReadMask16(item(index).mask)};
  }

  MaskHashes Hash(int64_t index) const override {
    return {core::Sha256File(item(index).image), core::Sha256File(item(index).mask)};
  }

 private:
  void List(const MaskDataOptions& options, const fs::path& image_folder,
            const fs::path& mask_folder) {
    Files images, masks;
    const bool shared = image_folder == mask_folder;
    if (shared && options.suffix.empty()) {
      throw ConfigError(fmt::format("images and masks are both {}", image_folder.string()),
                        "say what masks are called with mask.suffix, for example mask.suffix = "
                        "\"_anno\"");
    }
    RefuseOtherPictures(image_folder);
    if (!shared) RefuseOtherPictures(mask_folder);
    for (const fs::path& path : core::ListFiles(image_folder, kPictures, false)) {
      const std::string stem = path.stem().string();
      if (shared && EndsWith(stem, options.suffix)) continue;
      AddUnique(stem, path, "images", &images);
    }
    if (images.empty()) {
      throw DataError(fmt::format("no images in {}", image_folder.string()),
                      "put *.jpg or *.png there, and masks of the same names (*.png) into masks/");
    }
    for (const fs::path& path : core::ListFiles(mask_folder, kPictures, false)) {
      const std::string stem = path.stem().string();
      if (!EndsWith(stem, options.suffix)) {
        if (shared) continue;
        throw DataError(fmt::format("mask {} does not end with mask.suffix = {}", path.string(),
                                    options.suffix),
                        "correct mask.suffix, or leave it out");
      }
      if (core::Extension(path) != ".png") {
        throw DataError(fmt::format("mask {} is a JPEG", path.string()),
                        "save masks as PNG: JPEG changes class numbers");
      }
      AddUnique(stem.substr(0, stem.size() - options.suffix.size()), path, "masks", &masks);
    }
    for (const auto& [stem, path] : masks) {
      if (images.contains(stem)) continue;
      throw DataError(
          fmt::format("mask {} has no image in {}", path.string(), image_folder.string()),
          "images and masks are paired by name without extension; see mask.suffix");
    }
    for (const auto& [stem, path] : images) {
      const auto mask = masks.find(stem);
      if (mask == masks.end()) {
        throw DataError(fmt::format("image {} has no mask {}", path.string(),
                                    (mask_folder / (stem + options.suffix + ".png")).string()),
                        "every image needs a PNG mask of the same name, or see mask.suffix");
      }
      items_.push_back({stem, "", path, mask->second, "", PartOf(stem)});
    }
  }

  void FindPatients(const MaskDataOptions& options, const fs::path& root, const fs::path& images) {
    if (options.groups == "image") {
      for (MaskItem& item : items_) item.patient = item.name;
      return;
    }
    if (options.groups == "slide") {
      throw ConfigError("groups = slide, but pictures belong to no slide",
                        "give groups = FILE.csv, or groups = image if every image is of another "
                        "patient");
    }
    fs::path path = options.groups;
    if (path.empty() && !root.empty()) path = PatientTable::FindIn(root);
    if (path.empty()) path = PatientTable::FindIn(images.parent_path());
    if (path.empty()) {
      throw DataError(fmt::format("no table of patients beside {}", images.string()),
                      "give groups = FILE.csv with columns name and patient_id: images of one "
                      "patient must not be split; groups = image if every image is of another");
    }
    const PatientTable table(path);
    for (MaskItem& item : items_) {
      const PatientRow& row = table.Of(item.name, "image");
      item.patient = row.patient;
      item.slide = row.slide;
      if (!row.part.empty()) item.part = row.part;
    }
  }

  void CheckSizes() const {
    core::ParallelFor(static_cast<int64_t>(items_.size()), core::AvailableCores(), [&](int64_t i) {
      const auto image = HeaderSize(item(i).image), mask = HeaderSize(item(i).mask);
      if (image == mask) return;
      throw DataError(fmt::format("mask {} is {} x {}, its image {} x {}", item(i).mask.string(),
                                  mask.first, mask.second, image.first, image.second),
                      "a mask has one pixel for each pixel of its image");
    });
  }
};

}  // namespace

std::unique_ptr<MaskSource> OpenMaskFolder(const MaskDataOptions& options) {
  return std::make_unique<MaskFolder>(options);
}

}  // namespace eosin::segment
