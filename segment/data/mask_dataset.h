// SPDX-License-Identifier: Apache-2.0
// Images with class masks, each with its patient, from folders of pictures or from tile stores.
// Pixels are read on demand; decoded images are kept up to 1 GiB (input.in_memory: all of them),
// and those that came first stay: when every epoch reads every image once, that serves as many
// reads as memory can (throwing out the least recently used serves none of a set that does not
// fit). Torch-free; every method is thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/image/image.h"
#include "segment/data/class_index.h"
#include "segment/data/mask_options.h"
#include "segment/data/mask_source.h"

namespace eosin::segment {

struct MaskedImage {
  core::Image image;  // RGB
  core::Image mask;   // 1 channel, class indices and 255 = ignored
  // Numbers of the objects, (height, width), 0 = none; only with mask.rule = instances.
  std::vector<uint16_t> instances;
};

class MaskDataset {
 public:
  // Lists and checks as OpenMaskSource does; reads no pixels.
  // memory: bytes of decoded images that are kept; input.in_memory lifts the limit.
  explicit MaskDataset(const MaskDataOptions& options, int64_t memory = int64_t{1} << 30);

  int64_t size() const { return static_cast<int64_t>(items().size()); }
  const MaskItem& item(int64_t index) const { return source_->item(index); }
  const std::vector<MaskItem>& items() const { return source_->items(); }
  const MaskDataOptions& options() const { return options_; }
  int classes() const { return static_cast<int>(options_.classes.size()); }
  // Microns per pixel of what Read returns; 0 = not known.
  double ReadMpp() const { return options_.ReadMpp(); }

  // Decoded, scaled, mapped. Throws DataError naming the file, the value and the fix when a mask
  // holds a value without a class (255 used as foreground, for instance).
  std::shared_ptr<const MaskedImage> Read(int64_t index) const;

  // Reads every image once, in parallel. Throws DataError when no mask shows a class but background
  // (foreground saved as the ignore value, for instance), when some masks of pictures seem to be
  // 0/255 among 0/1 ones, and when under rule instances no mask numbers its objects.
  const std::vector<ImageClasses>& ClassIndex(int workers) const;
  // Pixels of each class, by image and class.
  const std::vector<std::vector<int64_t>>& ClassPixels(int workers) const;

  // By index; computed once.
  using Hashes = MaskHashes;
  const std::vector<Hashes>& FileHashes(int workers) const;

  // Bytes of the decoded images that are kept; how often an image was decoded that had been before.
  int64_t kept_bytes() const { return kept_bytes_; }
  int64_t decoded_again() const { return decoded_again_; }
  // In words, after all images were read, when they do not all fit into memory; else empty.
  std::string MemoryWarning() const;

 private:
  void Map(const core::Mask16& raw, int64_t index, MaskedImage* pair) const;
  void CheckForeground(const std::vector<ImageClasses>& index) const;
  void CheckIgnored(const std::vector<ImageClasses>& index) const;
  void CheckNumbers(const std::vector<std::pair<int, int>>& objects) const;

  MaskDataOptions options_;
  const int64_t memory_;
  std::vector<int16_t> table_;
  std::unique_ptr<MaskSource> source_;
  mutable std::mutex mutex_;
  mutable std::vector<std::shared_ptr<const MaskedImage>> kept_;
  mutable std::vector<bool> was_read_;
  mutable std::atomic<int64_t> kept_bytes_{0}, decoded_again_{0};
  mutable std::vector<ImageClasses> class_index_;
  mutable std::vector<std::vector<int64_t>> class_pixels_;
  mutable std::vector<Hashes> hashes_;
};

}  // namespace eosin::segment
