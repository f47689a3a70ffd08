// SPDX-License-Identifier: Apache-2.0
// Weighted sums of the windows' probabilities over the rows in flight, and the rows that are done:
// labels and, where asked, probabilities. Sums are whole numbers (network.h, blend_weights.h), so
// they do not depend on the order windows come in. Memory: tiles of kBlock pixels where windows
// have been, until all their rows are done.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "segment/predict/blend_weights.h"
#include "segment/predict/network.h"
#include "segment/predict/predict_plan.h"

namespace eosin::segment {

// A block of the raster (predict_plan.h) whose stored tiles cannot be read.
struct BadBlock {
  int64_t column = 0, row = 0;
  std::string error;
  bool operator==(const BadBlock&) const = default;
};

// Rows of the raster that are done: those between two rows of windows.
struct Band {
  int64_t index = 0;  // row of windows
  int64_t y = 0;      // first row of the raster
  int64_t rows = 0, width = 0;
  std::vector<uint8_t> labels;         // rows x width; kNotPredicted outside the cells
  std::vector<uint8_t> probabilities;  // classes x rows x width, 255 = 1; empty when not asked
  std::vector<BadBlock> bad;           // found since the band before, here or further down
};

class Blender {
 public:
  // Borrows `plan`.
  Blender(const PredictPlan& plan, int classes, const std::string& blend, bool probabilities);

  // probabilities: (classes, window, window) of the window at (column, row).
  void Add(int64_t row, int64_t column, const uint16_t* probabilities);
  // After all windows of a row: the rows that no later window reaches. Rows must ascend by one
  // from the first; `emit` false forgets them (they are known from an earlier run).
  // skip: cells that are not predicted after all.
  void EndRow(int64_t row, const CellMap& skip, bool emit, Band* band);

 private:
  struct Key {
    int64_t row, column;
    auto operator<=>(const Key&) const = default;
  };
  std::unique_ptr<uint32_t[]> NewTile();

  const PredictPlan& plan_;
  const int classes_;
  const bool probabilities_;
  BlendWeights across_, down_;
  std::map<Key, std::unique_ptr<uint32_t[]>> tiles_;  // (classes, kBlock, kBlock) sums
  std::vector<std::unique_ptr<uint32_t[]>> spare_;
};

}  // namespace eosin::segment
