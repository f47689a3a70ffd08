// SPDX-License-Identifier: Apache-2.0
// Embeddings on disk, so that an evaluation goes on where it was stopped: one HDF5 file a set below
// <folder>/<encoder>/ with `features` (N, D) float32 and `labels` (N) int64, and as attributes what
// they were made from. A file is reused when the encoder's fingerprint, the hash of the images and
// the settings agree; else made anew.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include <ATen/core/Tensor.h>

#include "eval/study/split.h"

namespace eosin::eval {

struct FeatureKey {
  std::string encoder;      // name; becomes the folder
  std::string set;          // "train", "test", "test-views", ...; becomes the file
  std::string fingerprint;  // of the encoder
  std::string images;       // hash of the images and their labels
  std::string settings;     // what else changes the features
};

class FeatureCache {
 public:
  explicit FeatureCache(std::filesystem::path folder) : folder_(std::move(folder)) {}
  // The stored features, or what make() gives, stored. A damaged file counts as absent.
  at::Tensor Get(const FeatureKey& key, const ImageSet& images,
                 const std::function<at::Tensor()>& make) const;
  int64_t reused() const { return reused_; }

 private:
  std::filesystem::path folder_;
  mutable int64_t reused_ = 0;
};

// A name as a file name: letters, digits, '.', '-' and '_' stay.
std::string FileName(const std::string& name);

}  // namespace eosin::eval
