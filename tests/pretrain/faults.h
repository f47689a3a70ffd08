// SPDX-License-Identifier: Apache-2.0
// Training runs small enough for a test, and methods with faults that people build by accident.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/data/image_source.h"
#include "pretrain/standin.h"
#include "pretrain/trainer.h"

namespace eosin::pretrain {

// Made textures of all classes, kept in memory. Every image is its own group.
class TextureSet : public engine::ImageSource {
 public:
  TextureSet(int64_t count, int size) {
    for (int64_t i = 0; i < count; ++i) {
      images_.push_back(MakeTexture(5, static_cast<int>(label(i)), i, size));
    }
    for (int c = 0; c < kTextureClasses; ++c) classes_.push_back("texture" + std::to_string(c));
  }
  int64_t size() const override { return static_cast<int64_t>(images_.size()); }
  core::Image Read(int64_t i) const override { return images_[static_cast<size_t>(i)]; }
  std::string name(int64_t i) const override { return "tile" + std::to_string(i); }
  std::string group(int64_t i) const override { return name(i); }
  int64_t label(int64_t i) const override { return i % kTextureClasses; }
  const std::vector<std::string>& classes() const override { return classes_; }

 private:
  std::vector<core::Image> images_;
  std::vector<std::string> classes_;
};

// Names of the faulty methods that faults.cc registers:
//   simsiam            healthy: shared weights, predictor, stop-gradient (Chen & He, 2011.10566)
//   simsiam-no-stop    its gradient also flows into the compared projection
//   simclr-split       NT-Xent over each half of the batch: the negatives are not gathered
//   simclr-leak        BatchNorm over groups of four images with both their views
void RegisterFaults();

}  // namespace eosin::pretrain
