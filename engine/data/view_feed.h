// SPDX-License-Identifier: Apache-2.0
// From an image set to network input on the run's device. On a CPU: the loader's workers execute
// the views. On CUDA, by what fits:
//   resident   all images as uint8 in GPU memory; only indices and view records travel
//   streamed   decoded images travel through a pinned ring on a copy stream; views are made there
//   host       views made by the workers (images of different sizes), bytes travel as above
// All modes draw the same records, and their views agree within one grey level, but
// for single pixels where a record jumps (augment/apply.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/view_loader.h"
#include "engine/training/device.h"
#include "engine/training/input.h"

#include <ATen/core/Tensor.h>

namespace eosin::engine {

struct ViewBatch {
  int64_t step = 0;                      // within the epoch
  std::vector<int64_t> indices, labels;  // (N)
  // One tensor a group of views of one size: (views * N, 3, S, S) fp32, channels_last, normalised,
  // view-major (row v * N + n). groups[0] holds the two global views, the rest local crops.
  std::vector<at::Tensor> groups;
  int64_t size() const { return static_cast<int64_t>(indices.size()); }
};

struct FeedOptions {
  LoaderOptions loader;
  std::string placement = "auto";  // auto | resident | streamed | host (CUDA only)
  double resident_share = 0.25;  // auto: resident when the set takes at most this share of the GPU
  Normalization normalization;
};

class ViewFeed {
 public:
  virtual ~ViewFeed() = default;
  virtual int64_t steps_per_epoch() const = 0;
  virtual void StartEpoch(int64_t epoch, int64_t first_step = 0) = 0;
  // The next batch, nothing at the end of the epoch. Tensors stay valid as long as they are held.
  virtual std::optional<ViewBatch> Next() = 0;
  virtual double wait_seconds() const = 0;   // blocked in Next for want of images
  virtual int64_t bad_count() const = 0;     // images replaced so far
  virtual std::string Describe() const = 0;  // e.g. "resident on the GPU, 0.15 GB"
};

// source must outlive the feed. Throws as ViewLoader; MachineError when placement = resident does
// not fit, ConfigError when a placement cannot serve the source.
std::unique_ptr<ViewFeed> MakeViewFeed(const ImageSource& source, std::vector<ViewRecipe> views,
                                       const FeedOptions& options, const Compute& compute);

// GPU memory that the images of such a feed would occupy for its whole life, by what is free now:
// the set's size where it would be resident, else 0.
int64_t ResidentBytes(const ImageSource& source, const std::vector<ViewRecipe>& views,
                      const FeedOptions& options, const Compute& compute);

}  // namespace eosin::engine
