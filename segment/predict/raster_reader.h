// SPDX-License-Identifier: Apache-2.0
// The raster of a slide as a stream: threads decode stored tiles and make blocks ahead of who asks
// for windows, and blocks that no later window needs are given back. Memory: the blocks of one row
// of windows and one row of blocks ahead.
//
// A block whose stored tiles cannot be read is white, and TakeBad names it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "segment/predict/blender.h"
#include "segment/predict/predict_plan.h"
#include "tiling/slides/slide.h"

namespace eosin::segment {

class RasterReader {
 public:
  // first_row: of windows; blocks above it are not made. threads >= 1 decode in the background.
  RasterReader(const tiling::Slide& slide, const PredictPlan& plan, int64_t first_row, int threads);
  ~RasterReader();
  RasterReader(const RasterReader&) = delete;
  RasterReader& operator=(const RasterReader&) = delete;

  // Waits for the blocks of a row of windows and frees what lies above. Rows ascend. False when
  // stopped. Rethrows what stopped the decoding.
  bool BeginRow(int64_t row);
  // The window of the row begun, RGB, mirrored beyond the slide's edges.
  void CopyWindow(int64_t row, int64_t column, uint8_t* rgb) const;
  void Stop();

  // Blocks of the rows up to here that could not be read; each is told once.
  std::vector<BadBlock> TakeBad();
  double seconds() const;  // of all threads, decoding and resampling

 private:
  struct BlockRow {
    std::vector<std::unique_ptr<uint8_t[]>> blocks;  // by column; null where none is planned
    int64_t missing = 0;
  };
  void Decode(int threads);
  void Deliver(int64_t index, const core::Image* tile, const std::string& error);
  const uint8_t* RowOf(const std::vector<std::unique_ptr<uint8_t[]>>& blocks, int64_t column,
                       int64_t y) const;

  const tiling::Slide& slide_;
  const PredictPlan& plan_;
  tiling::Plan blocks_;                              // from the first row needed on
  std::vector<std::pair<int64_t, int64_t>> places_;  // column, row of each block
  std::map<int64_t, int64_t> planned_;               // blocks of each row
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int64_t, BlockRow> rows_;
  std::vector<std::unique_ptr<uint8_t[]>> spare_;
  std::vector<BadBlock> bad_;
  int64_t limit_ = -1;  // rows of blocks that may be made
  bool stopped_ = false, ended_ = false;
  std::exception_ptr failure_;
  double seconds_ = 0;
  std::jthread decoder_;  // last: it uses all of the above
};

}  // namespace eosin::segment
