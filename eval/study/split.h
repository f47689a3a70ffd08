// SPDX-License-Identifier: Apache-2.0
// Which labelled images an evaluation learns from, tunes on and tests on. No group (patient, slide)
// is on two sides. In this order:
//   another set is given for testing: `data` is train, `test` is test, there is no val;
//   `data` is a folder whose index.csv has a column `split` (train | val | test): as it says, for
//   every image;
//   else the groups are drawn, by Philox: test, val and the rest train.
// Images without a label are left out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/data/image_source.h"

namespace eosin::eval {

struct ImageSet {
  std::shared_ptr<const engine::ImageSource> source;
  std::vector<int64_t> indices;  // into source
  std::vector<int64_t> labels;   // one an index, in the split's classes
  bool groups_per_class = false;

  int64_t size() const { return static_cast<int64_t>(indices.size()); }
  at::Tensor Labels() const;                // (N) int64
  std::vector<std::string> Groups() const;  // one an image
  // The images at these places of the set, in this order.
  ImageSet Take(const std::vector<int64_t>& places) const;
};

struct Split {
  std::vector<std::string> classes;
  ImageSet train, val, test;  // val may be empty
  std::string how;            // one sentence
  bool grouped = false;       // groups of all images are known: not just every picture its own
  // Lines: images, groups and images a class of each part.
  std::string Describe() const;
};

struct SplitOptions {
  double val_share = 0.2, test_share = 0.2;
  int64_t train_images = 0, test_images = 0;  // 0 = all; stratified by class
  // Group names count within a class: "7" of one class is not "7" of another (LC25000 numbers its
  // photographs so).
  bool groups_per_class = false;
  uint64_t seed = 0;
};

// test: empty, or another set. Throws DataError when there are fewer than two classes or groups,
// when the test set names a class that the training set does not name, when a part is empty, when
// CheckClasses does, and when a group lies on two sides. Two sets of ungrouped pictures may share
// file names: that is no leak.
Split MakeSplit(const std::filesystem::path& data, const std::filesystem::path& test,
                const SplitOptions& options);

// Sentences about classes that are in the test part alone, or in the training part alone: what the
// draw of groups, thinning or dropped duplicates may leave. Throws DataError when the training part
// holds one class only.
std::vector<std::string> CheckClasses(const Split& split);

// Reads every image once (by `workers` threads).
struct ImageHashes {
  std::vector<std::string> train, val, test;  // XXH3-128 of size and pixels
  std::string Digest(const std::vector<std::string>& part, const ImageSet& set) const;
};
ImageHashes HashImages(const Split& split, int workers);

// Places in train (or val) and test of images that are pixel for pixel alike.
struct Duplicate {
  bool in_val = false;
  int64_t place = 0, test = 0;
};
std::vector<Duplicate> FindDuplicates(const ImageHashes& hashes);

}  // namespace eosin::eval
