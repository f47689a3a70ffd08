// SPDX-License-Identifier: Apache-2.0
// Trains one segmentation net, chooses the best state by validation, and looks at the test images
// once, with the best and with the last state. On a CPU the result is bitwise the same for equal
// options and threads, also when the run was killed and continued.
#pragma once

#include <filesystem>

#include "segment/data/mask_dataset.h"
#include "segment/data/split.h"
#include "segment/options.h"
#include "segment/train/result.h"
#include "segment/train/train_state.h"

namespace eosin::segment {

struct TrainExtras {
  bool save_model = false;  // model.safetensors and model.pth (best), last.safetensors
  // Empty: a progress line of its own. A continued run calls it for the steps done before, too.
  StepHook hook;
};

// Writes metrics.csv (and .jsonl, TensorBoard), checkpoints/last (train_state.h),
// predictions/<name>.png of the first test images and, when asked, the weights into `folder`, which
// must exist. A checkpoint found there is continued. The caller writes result.json and then removes
// the checkpoint.
//
// Throws WeightsError when options.init does not fit the network; ConfigError when the checkpoint
// is of other options or data; DataError when no validation image shows a class but background, or
// when the loss is no number: the batch is then kept in folder/nan (its crops as PNG, batch.json,
// the weights); InterruptedError on SIGINT, after saving.
SegmentResult TrainSegmenter(const SegmentOptions& options, const MaskDataset& data,
                             const ImageSplit& split, const std::filesystem::path& folder,
                             const TrainExtras& extras = {});

}  // namespace eosin::segment
