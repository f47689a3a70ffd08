// SPDX-License-Identifier: Apache-2.0
// A set of images to train on or to embed, by index: tiles of tile stores, picture files, or the
// binary files of CIFAR-10 and STL-10. Nothing is held in memory but the list; images are read and
// decoded on demand, by any number of threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/image/image.h"
#include "core/stain/tile_stain.h"

namespace eosin::engine {

// Where a tile lies: which slide, and its upper left corner in tile strides of that slide's grid.
struct TilePlace {
  int64_t slide = 0;
  double x = 0, y = 0;
};

class ImageSource {
 public:
  virtual ~ImageSource() = default;
  virtual int64_t size() const = 0;
  // RGB. Thread-safe. Throws DataError or StoreError when this image is damaged.
  virtual core::Image Read(int64_t index) const = 0;
  // A name for messages and tables: "store.h5#12", or the picture's path below the folder.
  virtual std::string name(int64_t index) const = 0;
  // Slide or patient key for grouped splits: the patient that the tiler stored, else the store's
  // stem; the picture's stem, or the column `group` of the folder's index.csv. Images of CIFAR-10
  // and STL-10 are each their own group.
  virtual std::string group(int64_t index) const = 0;
  // Whether group() is a fact: a slide, a patient, the column `group`. False where it is only the
  // image's own name. A mix says true when all its sets do.
  virtual bool has_groups() const { return false; }
  // Index into classes(), -1 without a label.
  virtual int64_t label(int64_t index) const = 0;
  virtual const std::vector<std::string>& classes() const = 0;

  // Facts that only some sources have.
  // Width and height when all images have one size, else {0, 0}.
  virtual std::pair<int, int> uniform_size() const { return {0, 0}; }
  // What the tiler measured of this tile; nothing where it did not.
  virtual std::optional<core::StainRow> stain(int64_t) const { return std::nullopt; }
  virtual std::optional<TilePlace> place(int64_t) const { return std::nullopt; }
  // The column `split` of an index.csv, "" where there is none.
  virtual std::string split(int64_t) const { return ""; }

  // A weighted mix of sets (mixed_source.h): the weight of each set, and the set of an image. An
  // epoch has samples of the sets in proportion to the weights (epoch_order.h). One set otherwise.
  virtual std::vector<double> part_weights() const { return {1.0}; }
  virtual int64_t part(int64_t) const { return 0; }
};

// Opens
//  - a folder that holds tile stores (*.h5, recursively): their tiles in order of path and row,
//    status 2 (blank) and 3 (bad) left out; an index.csv beside them must have no column `split`;
//  - a folder of pictures (*.png, *.jpg, *.jpeg, recursively): labelled when they lie in two or
//    more direct subfolders, whose names are the classes. An index.csv in the folder with the
//    columns `file` and optionally `class`, `group`, `split` gives these instead, and the order;
//  - a folder of CIFAR-10 or STL-10 in their published binaries (binary_sets.h): what is there to
//    train on, not the test images;
//  - a .txt file with one store, picture or binary path a line (relative to the list; # comments),
//    or one such file.
// DataError "no tiles or images in X" when empty; StoreError/DataError on damage.
std::unique_ptr<ImageSource> OpenImageSource(const std::filesystem::path& path);

// The images whose group satisfies keep, in the same order. Takes over the source.
std::unique_ptr<ImageSource> FilterGroups(std::unique_ptr<ImageSource> source,
                                          const std::function<bool(const std::string&)>& keep);

// The images whose split() is this one, in the same order; `path` is for the error when a set (or
// one of a mix) has none. Takes over the source.
std::unique_ptr<ImageSource> FilterSplit(std::unique_ptr<ImageSource> source,
                                         const std::string& split, const std::string& path);

// The images at these indices, in this order.
std::unique_ptr<ImageSource> SelectImages(std::unique_ptr<ImageSource> source,
                                          std::vector<int64_t> indices);

}  // namespace eosin::engine
