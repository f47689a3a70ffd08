// SPDX-License-Identifier: Apache-2.0
// Batches of augmented views, made by worker threads ahead of the training step, into a ring of
// reusable buffers. What a batch holds depends on (seed, epoch, step) alone: not on workers, ring
// length, or where an epoch was resumed.
//
// An image that does not decode is replaced by the next one in the epoch's order that does; views
// of the replacement are drawn with the missing sample's key. Replacements are counted and named in
// the log; more than 10 and more than 1 % of the samples delivered stop the run with DataError. A
// neighbour that does not decode counts too; its views are cut from the sample's own image.
//
// View v of a sample is drawn from PhiloxStream(seed, kView, epoch, index, v), index being that of
// the image asked for. When a weighted mix brings an image k times more in one epoch, v has k << 12
// added, so that its views differ.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/augment/recipe.h"
#include "engine/augment/view_params.h"
#include "engine/data/epoch_order.h"
#include "engine/data/image_source.h"

namespace eosin::engine {

// Where the ring's buffers come from: plain memory, or pinned memory for a GPU.
struct BufferAllocator {
  std::function<void*(size_t bytes)> allocate;
  std::function<void(void* buffer)> release;
};

// What a batch carries.
enum class Payload : uint8_t {
  kViews,    // executed views
  kImages,   // decoded images (all of one size) and view records: another executor makes the views
  kRecords,  // records alone: the images are where the executor is
};

struct LoaderOptions {
  int64_t batch = 256;   // images a batch
  int64_t workers = 2;   // threads
  int64_t prefetch = 0;  // batches in the ring, the one in use included; 0: 3
  uint64_t seed = 0;
  bool drop_last = true;  // leave out the last, smaller batch
  bool shuffle = true;    // false: order 0, 1, 2, ... in every epoch
  Payload payload = Payload::kViews;
  // Views after the first are cut, with this chance, from a neighbouring tile of the same slide, at
  // most so many tile strides away (NearbyPatchCL); needs a source with places. 0: never.
  // A sample has one neighbour, equally likely among all in reach; a tile alone keeps its own.
  double neighbour_probability = 0;
  double neighbour_radius = 1.5;
  // kRecords does not read images and so cannot see damage: the indices that failed when the
  // executor loaded them, treated as if they had failed here. Any payload accepts it.
  std::vector<int64_t> damaged;
  // Samples of earlier processes of the same run: they count for what share is damaged.
  int64_t delivered_before = 0, replaced_before = 0;
  BufferAllocator allocator;  // empty: plain memory, 64-byte aligned
};

// Views of one size, made by consecutive recipes: the loader's recipes in order, cut where the size
// changes.
struct ViewGroup {
  int64_t size = 0;                 // pixels a side
  int64_t count = 0;                // views an image
  const uint8_t* pixels = nullptr;  // (count * N, size, size, 3), view-major; null without kViews
};

struct Batch {
  int64_t step = 0;              // within the epoch
  std::vector<int64_t> indices;  // (N) into the source: the images that were read
  std::vector<int64_t> labels;   // (N), -1 without
  std::vector<ViewGroup> groups;
  const uint8_t* views = nullptr;  // groups[0].pixels
  // With every payload: (V * N) records, view-major, and the image each is cut from: with kImages a
  // row of `images`, else an index into the source.
  std::vector<ViewParams> records;
  std::vector<int64_t> record_images;
  const uint8_t* images = nullptr;  // kImages: (image_count, height, width, 3)
  int64_t image_count = 0;          // N own images, then at most N neighbours (0 where unused)
  int64_t size() const { return static_cast<int64_t>(indices.size()); }
};

class ViewLoader {
 public:
  // The source must outlive the loader. ConfigError when batch is larger than the source (with
  // drop_last), when neighbours are asked of a source without places, when kImages or kRecords is
  // asked of a source without uniform_size(), or when there are 2^32 images or more.
  ViewLoader(const ImageSource& source, std::vector<ViewRecipe> views, LoaderOptions options);
  ~ViewLoader();  // joins the workers, mid-epoch too
  ViewLoader(const ViewLoader&) = delete;
  ViewLoader& operator=(const ViewLoader&) = delete;

  int64_t steps_per_epoch() const;

  // Starts (or restarts) epoch at a step; what was under way is dropped.
  void StartEpoch(int64_t epoch, int64_t first_step = 0);

  // The next batch, or nullptr at the end of the epoch. Valid until the next call of Next,
  // StartEpoch or the destructor. Rethrows what a worker threw while making this batch.
  const Batch* Next();

  double wait_seconds() const;  // time spent blocked in Next so far
  int64_t bad_count() const;    // replaced samples in the batches delivered so far
  size_t buffer_bytes() const;  // memory of the ring
  int64_t image_size() const;   // pixels a side of the first group's views
  int64_t view_count() const;   // of an image, all groups together
  // Sizes and counts of the groups of every batch, without pixels.
  const std::vector<ViewGroup>& groups() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace eosin::engine
