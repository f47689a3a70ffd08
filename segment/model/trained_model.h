// SPDX-License-Identifier: Apache-2.0
// The model of a finished run of `eosin segment`, ready to predict: config.toml says how it is
// built, model.safetensors holds it. Other than this, nothing of the run is looked at; the weights
// file that its backbone started from may be gone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/training/device.h"
#include "engine/training/input.h"
#include "segment/model/deeplab.h"
#include "segment/options.h"

namespace eosin::segment {

class TrainedModel {
 public:
  // WeightsError when `run` is no run folder, has no model yet, or a model that does not fit its
  // config or does not say how its input is normalised. On compute.device, in evaluation mode.
  TrainedModel(const std::filesystem::path& run, const engine::Compute& compute);

  const SegmentOptions& options() const { return options_; }
  // SHA-256 of all that decides its numbers: weights, how the net is built, input normalisation.
  const std::string& hash() const { return hash_; }

  // images: (count, side, side, 3) uint8, of any side; fills (count, classes, side, side) with
  // softmax probabilities in units of 1 / one (at most 32767). No gradients.
  void Predict(const uint8_t* images, int64_t count, int64_t side, int one,
               uint16_t* probabilities);

 private:
  const engine::Compute compute_;
  SegmentOptions options_;
  engine::Normalization normalization_;
  SegmentationNet net_{nullptr};
  std::string hash_;
};

}  // namespace eosin::segment
