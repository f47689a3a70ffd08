// SPDX-License-Identifier: Apache-2.0
// Trains one DeepLabV3 for a fixed number of steps, chooses the best state by validation, and looks
// at the test images once, with the best and with the last state. On a CPU the result is bitwise
// the same for equal options and threads.
#pragma once

#include <filesystem>

#include "segment/data/mask_dataset.h"
#include "segment/data/split.h"
#include "segment/options.h"
#include "segment/train/result.h"

namespace eosin::segment {

struct TrainExtras {
  bool save_model = false;  // model.safetensors and model.pth (best), last.safetensors
  StepHook hook;            // empty: a progress line of its own
};

// Writes metrics.csv (and .jsonl, TensorBoard), predictions/<name>.png of the first test images
// and, when asked, the weights into `folder`, which must exist. The caller writes result.json.
// Throws WeightsError when options.init does not fit the network, DataError when the loss is no
// number, InterruptedError on SIGINT (the run starts again next time).
SegmentResult TrainSegmenter(const SegmentOptions& options, const MaskDataset& data,
                             const ImageSplit& split, const std::filesystem::path& folder,
                             const TrainExtras& extras = {});

}  // namespace eosin::segment
