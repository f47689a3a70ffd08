// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/overview.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/threads.h"

namespace eosin::tiling {
namespace {

// Sums over the pixels of a level that fall into one pixel of the overview. Integers: the result
// does not depend on the order in which threads add to it.
struct Cell {
  uint64_t sum[3] = {0, 0, 0};
  uint64_t count = 0;
};

// One thread's decoder and room.
struct Worker {
  std::unique_ptr<TileDecoder> decoder;
  std::vector<uint8_t> rgb;
  std::vector<Cell> cells;
};

class OverviewReader {
 public:
  OverviewReader(const Slide& slide, int level_index, int64_t block, int threads)
      : slide_(slide),
        level_(slide.level(level_index)),
        level_index_(level_index),
        block_(block),
        threads_(threads),
        columns_((level_.width + block - 1) / block),
        whole_cells_(level_.tile_width % block == 0 && level_.tile_height % block == 0) {
    // Scaled DCT gives the means of 2, 4 or 8 pixels at a fraction of the price; means of decoded
    // pixels would only round twice.
    if (slide.StoresJpeg(level_index)) {
      for (const int s : {2, 4, 8}) {
        if (block % s == 0 && level_.tile_width % s == 0 && level_.tile_height % s == 0)
          shrink_ = s;
      }
    }
  }

  Overview Read() {
    Overview overview;
    overview.scale = level_.downsample * static_cast<double>(block_);
    const auto height = static_cast<int>((level_.height + block_ - 1) / block_);
    overview.image = core::Image(static_cast<int>(columns_), height, 3, 255);
    const int64_t band = std::max<int64_t>(1, 16 * threads_ / level_.columns());  // rows of tiles
    overview_ = &overview;
    for (int64_t row = 0; row < level_.rows(); row += band) {
      core::ThrowIfInterrupted();
      const int64_t end = std::min(row + band, level_.rows());
      if (whole_cells_) {
        ReadTiles(row, end);
      } else {
        ReadBand(row, end);
      }
    }
    overview.bad_tiles = bad_tiles_;
    if (bad_tiles_ == level_.tile_count()) {
      throw core::SlideError(
          fmt::format("no part of {} can be read ({})", slide_.path().string(), error_),
          "the file is damaged; fetch it again");
    }
    return overview;
  }

 private:
  void ReadTiles(int64_t row_begin, int64_t row_end) {
    const int64_t first = row_begin * level_.columns();
    core::ParallelFor((row_end - row_begin) * level_.columns(), threads_,
                      [&](int64_t i) { ReadTile(first + i); });
  }

  void ReadBand(int64_t row_begin, int64_t row_end) {
    const int64_t y_end = std::min(row_end * level_.tile_height, level_.height);
    band_first_ = row_begin * level_.tile_height / block_;
    const int64_t last = (y_end - 1) / block_;
    // A row of cells that the band before had begun stays in front.
    band_.resize(static_cast<size_t>((last - band_first_ + 1) * columns_));
    ReadTiles(row_begin, row_end);
    for (int64_t y = band_first_; y <= last; ++y) {
      const Cell* cells = &band_[static_cast<size_t>((y - band_first_) * columns_)];
      if ((y + 1) * block_ > y_end && y_end < level_.height) {
        std::vector<Cell>(cells, cells + columns_).swap(band_);
        return;
      }
      PutRow(cells, y);
    }
    band_.clear();
  }

  void ReadTile(int64_t index) {
    const int64_t x = index % level_.columns() * level_.tile_width;
    const int64_t y = index / level_.columns() * level_.tile_height;
    const int64_t width = std::min<int64_t>(level_.tile_width, level_.width - x);
    const int64_t height = std::min<int64_t>(level_.tile_height, level_.height - y);
    // What a tile stores beyond the level's edge must not be averaged in.
    const int shrink = width % shrink_ == 0 && height % shrink_ == 0 ? shrink_ : 1;
    Worker worker = TakeWorker();
    const int64_t pitch = 3 * static_cast<int64_t>(level_.tile_width / shrink);
    worker.rgb.resize(static_cast<size_t>(pitch * (level_.tile_height / shrink)));
    std::string error;
    if (worker.decoder->Decode(level_index_, index, shrink, worker.rgb.data(), pitch, &error)) {
      const int64_t cells_x = x / block_, cells_y = y / block_;
      const int64_t across = (x + width - 1) / block_ - cells_x + 1;
      const int64_t down = (y + height - 1) / block_ - cells_y + 1;
      if (whole_cells_) {
        PutTile(worker.rgb, pitch, cells_x, cells_y, width / shrink, height / shrink,
                block_ / shrink);
        return ReturnWorker(std::move(worker));
      }
      worker.cells.assign(static_cast<size_t>(across * down), Cell{});
      const int64_t block = block_ / shrink;
      for (int64_t r = 0; r < height / shrink; ++r) {
        SumRow(&worker.rgb[static_cast<size_t>(r * pitch)], x / shrink - cells_x * block,
               width / shrink, block,
               &worker.cells[static_cast<size_t>(((y / shrink + r) / block - cells_y) * across)]);
      }
      Add(worker.cells, cells_x, cells_y, across, down, static_cast<uint64_t>(shrink) * shrink);
    } else {
      std::lock_guard lock(mutex_);
      ++bad_tiles_;
      if (error_tile_ < 0 || index < error_tile_) {
        error_tile_ = index;
        error_ = error;
      }
      if (whole_cells_) {
        for (int64_t r = y / block_; r <= (y + height - 1) / block_; ++r) {
          for (int64_t c = x / block_; c <= (x + width - 1) / block_; ++c) MarkUnknown(c, r);
        }
      }
    }
    ReturnWorker(std::move(worker));
  }

  // A tile whose pixels fall into whole cells, each the mean of side x side pixels.
  void PutTile(const std::vector<uint8_t>& rgb, int64_t pitch, int64_t cells_x, int64_t cells_y,
               int64_t width, int64_t height, int64_t side) {
    for (int64_t y = 0; y < height; y += side) {
      uint8_t* out =
          overview_->image.at(static_cast<int>(cells_x), static_cast<int>(cells_y + y / side));
      const uint8_t* row = &rgb[static_cast<size_t>(y * pitch)];
      if (side == 1) {
        std::copy_n(row, 3 * width, out);
        continue;
      }
      const int64_t tall = std::min(side, height - y);
      for (int64_t x = 0; x < width; x += side, out += 3) {
        const int64_t wide = std::min(side, width - x);
        uint64_t sum[3] = {0, 0, 0};
        for (int64_t r = 0; r < tall; ++r) {
          const uint8_t* p = row + r * pitch + 3 * x;
          for (int64_t c = 0; c < wide; ++c, p += 3) {
            for (int k = 0; k < 3; ++k) sum[k] += p[k];
          }
        }
        const auto count = static_cast<uint64_t>(wide * tall);
        for (int k = 0; k < 3; ++k) out[k] = static_cast<uint8_t>((sum[k] + count / 2) / count);
      }
    }
  }

  void MarkUnknown(int64_t column, int64_t row) {
    core::Image& unknown = overview_->unknown;
    if (unknown.empty()) {
      unknown = core::Image(overview_->image.width, overview_->image.height, 1);
    }
    *unknown.at(static_cast<int>(column), static_cast<int>(row)) = 255;
  }

  // One row of pixels, the first of them `offset` pixels into the first cell.
  static void SumRow(const uint8_t* p, int64_t offset, int64_t width, int64_t block, Cell* cell) {
    for (int64_t x = 0; x < width; ++cell) {
      const int64_t end = std::min(width, (offset + x) / block * block + block - offset);
      uint32_t sum[3] = {0, 0, 0};
      for (int64_t i = x; i < end; ++i, p += 3) {
        sum[0] += p[0];
        sum[1] += p[1];
        sum[2] += p[2];
      }
      for (int k = 0; k < 3; ++k) cell->sum[k] += sum[k];
      cell->count += static_cast<uint64_t>(end - x);
      x = end;
    }
  }

  void Add(const std::vector<Cell>& cells, int64_t x, int64_t y, int64_t across, int64_t down,
           uint64_t weight) {
    std::lock_guard lock(mutex_);
    for (int64_t r = 0; r < down; ++r) {
      Cell* to = &band_[static_cast<size_t>((y + r - band_first_) * columns_ + x)];
      const Cell* from = &cells[static_cast<size_t>(r * across)];
      for (int64_t c = 0; c < across; ++c) {
        for (int k = 0; k < 3; ++k) to[c].sum[k] += from[c].sum[k] * weight;
        to[c].count += from[c].count * weight;
      }
    }
  }

  void PutRow(const Cell* cells, int64_t y) {
    const int64_t tall = std::min((y + 1) * block_, level_.height) - y * block_;
    uint8_t* out = overview_->image.row(static_cast<int>(y));
    for (int64_t c = 0; c < columns_; ++c, out += 3) {
      const int64_t wide = std::min((c + 1) * block_, level_.width) - c * block_;
      const uint64_t count = cells[c].count;
      if (2 * count >= static_cast<uint64_t>(wide * tall)) {
        for (int k = 0; k < 3; ++k) {
          out[k] = static_cast<uint8_t>((cells[c].sum[k] + count / 2) / count);
        }
        continue;
      }
      MarkUnknown(c, y);
    }
  }

  Worker TakeWorker() {
    {
      std::lock_guard lock(mutex_);
      if (!workers_.empty()) {
        Worker worker = std::move(workers_.back());
        workers_.pop_back();
        return worker;
      }
    }
    return {slide_.NewDecoder(), {}, {}};
  }

  void ReturnWorker(Worker worker) {
    std::lock_guard lock(mutex_);
    workers_.push_back(std::move(worker));
  }

  const Slide& slide_;
  const SlideLevel& level_;
  const int level_index_;
  const int64_t block_;
  const int threads_;
  const int64_t columns_;   // of the overview
  const bool whole_cells_;  // no cell of the overview lies on two tiles: no sums are kept
  int shrink_ = 1;
  Overview* overview_ = nullptr;  // being read

  std::mutex mutex_;
  std::vector<Worker> workers_;  // idle ones
  std::vector<Cell> band_;       // from row band_first_ of the overview on
  int64_t band_first_ = 0;
  int64_t bad_tiles_ = 0;
  int64_t error_tile_ = -1;
  std::string error_;
};

}  // namespace

core::Image ShrinkByMean(const core::Image& image, int block) {
  core::Image out((image.width + block - 1) / block, (image.height + block - 1) / block, 3);
  for (int r = 0; r < out.height; ++r) {
    const int y0 = r * block, y1 = std::min(y0 + block, image.height);
    for (int c = 0; c < out.width; ++c) {
      const int x0 = c * block, x1 = std::min(x0 + block, image.width);
      uint64_t sum[3] = {0, 0, 0};
      for (int y = y0; y < y1; ++y) {
        const uint8_t* p = image.at(x0, y);
        for (int x = x0; x < x1; ++x, p += 3) {
          sum[0] += p[0];
          sum[1] += p[1];
          sum[2] += p[2];
        }
      }
      const uint64_t count = static_cast<uint64_t>(y1 - y0) * static_cast<uint64_t>(x1 - x0);
      for (int k = 0; k < 3; ++k) {
        out.at(c, r)[k] = static_cast<uint8_t>((sum[k] + count / 2) / count);
      }
    }
  }
  return out;
}

Overview ReadOverview(const Slide& slide, double mpp, int threads, int max_side) {
  const double mpp0 = slide.RequireMpp().mean();
  int level = 0;
  for (int i = 0; i < static_cast<int>(slide.levels().size()); ++i) {
    const double downsample = slide.level(i).downsample;
    if (mpp0 * downsample <= 1.01 * mpp && downsample > slide.level(level).downsample) level = i;
  }
  const SlideLevel& source = slide.level(level);
  const int64_t longest = std::max(source.width, source.height);
  int64_t block = std::max<int64_t>(1, std::llround(mpp / (mpp0 * source.downsample) - 0.49));
  block = std::max(block, (longest + max_side - 1) / max_side);
  return OverviewReader(slide, level, block, std::max(1, threads)).Read();
}

}  // namespace eosin::tiling
