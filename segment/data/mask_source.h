// SPDX-License-Identifier: Apache-2.0
// Where images and their masks come from: folders of pictures, or tile stores with labels. Lists
// are made once, pixels are read on demand by any number of threads. Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/image/codec.h"
#include "segment/data/mask_options.h"

namespace eosin::segment {

namespace fs = std::filesystem;

// What is known of one image before reading its pixels.
struct MaskItem {
  std::string name;     // file stem; "<store>#<row>" for a tile
  std::string patient;  // never split
  fs::path image, mask;
  std::string slide;  // the level between image and patient; empty = none
  std::string part;   // of a published split: "train", "val", "test"; empty = none
};

struct RawMask {
  core::Image image;  // RGB
  core::Mask16 mask;  // values as stored
};

// SHA-256 of what is stored: files, or the tile's and mask's bytes.
struct MaskHashes {
  std::string image, mask;
};

class MaskSource {
 public:
  virtual ~MaskSource() = default;
  const std::vector<MaskItem>& items() const { return items_; }
  const MaskItem& item(int64_t index) const { return items_[static_cast<size_t>(index)]; }
  // Microns per pixel that the files know; 0 = they do not.
  double mpp() const { return mpp_; }

  // Throws DataError or StoreError for what cannot be decoded.
  virtual RawMask Read(int64_t index) const = 0;
  virtual MaskHashes Hash(int64_t index) const = 0;

 protected:
  std::vector<MaskItem> items_;
  double mpp_ = 0;
};

// Images paired with masks by stem, headers of all files read. Throws DataError: empty folder,
// image without mask, mask without image, pictures that are neither PNG nor JPEG, two files of one
// stem, JPEG masks, no patient, sizes that differ, unreadable headers. The part comes from the
// table's column split, else from names that begin with train, val or test, as GlaS' do.
std::unique_ptr<MaskSource> OpenMaskFolder(const MaskDataOptions& options);

// Tiles with masks in labels/<mask.labels>, of one .h5 file or all in a folder (recursively);
// blank and bad tiles are left out. Throws DataError or StoreError: no such labels (those there are
// named), classes that disagree with the store's, scales that differ, a slide without patient.
// Parts as above, of the slides' names.
std::unique_ptr<MaskSource> OpenMaskStores(const MaskDataOptions& options);

// Whether options.data is a store or a folder of stores.
bool IsStoreData(const MaskDataOptions& options);
std::unique_ptr<MaskSource> OpenMaskSource(const MaskDataOptions& options);

// Sets options->mpp from stores where the user gave none, so that config.toml has it. Throws
// DataError when both are known and differ by more than 1 %.
void ResolveScale(MaskDataOptions* options);

}  // namespace eosin::segment
