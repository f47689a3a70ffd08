// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/pipeline.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <stop_token>
#include <utility>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/progress.h"
#include "core/base/threads.h"
#include "segment/predict/raster_reader.h"
#include "tiling/extract/team.h"

namespace eosin::segment {
namespace {

using Clock = std::chrono::steady_clock;

class Stopwatch {
 public:
  explicit Stopwatch(double* total) : total_(total), start_(Clock::now()) {}
  ~Stopwatch() { *total_ += std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  double* total_;
  Clock::time_point start_;
};

struct Windows {
  int64_t row = 0;
  bool last = false;  // of its row
  std::vector<int64_t> columns;
  std::vector<uint8_t> pixels;
  std::vector<uint16_t> probabilities;
  std::vector<BadBlock> bad;  // with the last
};

class Pipeline {
 public:
  Pipeline(const tiling::Slide& slide, const PredictPlan& plan, const Network& network,
           const PipelineOptions& options, BandStore* store, const std::vector<BandSink*>& sinks)
      : plan_(plan),
        network_(network),
        options_(options),
        store_(store),
        sinks_(sinks),
        first_band_(Replay()),
        // Rows of windows that also reach below the bands known.
        first_row_(first_band_ >= plan.y.count ? plan.y.count
                                               : plan.y.FirstReaching(plan.y.Done(first_band_))),
        reader_(slide, plan, first_row_, options.threads),
        blender_(plan, options.classes, options.blend, options.probabilities) {}

  PipelineResult Run() {
    result_.windows = plan_.CountWindows();
    int64_t already = 0;
    for (int64_t row = 0; row < first_row_; ++row) {
      already += static_cast<int64_t>(plan_.Columns(row).size());
    }
    if (!options_.label.empty()) {
      progress_.emplace(options_.label, result_.windows, "windows", already);
    }
    {
      const Stopwatch watch(&result_.seconds.wall);
      tiling::RunTeam(4, [this](int stage, std::stop_source& stop) {
        const std::stop_callback close(stop.get_token(), [this] { Close(); });
        if (stage == 0) Infer();
        if (stage == 1) Feed();
        if (stage == 2) Blend();
        if (stage == 3) Write();
      });
    }
    reader_.Stop();
    result_.bad_blocks = static_cast<int64_t>(bad_.size());
    if (!bad_.empty()) result_.first_error = bad_.begin()->second;
    result_.seconds.decode = reader_.seconds();
    result_.bands_resumed = first_band_;
    return result_;
  }

 private:
  int64_t Replay() {
    int64_t next = 0;
    for (; next < std::min(store_->count(), plan_.y.count); ++next) {
      core::ThrowIfInterrupted();
      const std::optional<Band> band = store_->Read(next);
      if (!band) break;
      for (const BadBlock& bad : band->bad) bad_.try_emplace({bad.row, bad.column}, bad.error);
      for (BandSink* sink : sinks_) sink->Take(*band);
    }
    return next;
  }

  void Feed() {
    const size_t bytes =
        size_t{3} * static_cast<size_t>(plan_.x.window) * static_cast<size_t>(plan_.x.window);
    for (int64_t row = first_row_; row < plan_.y.count; ++row) {
      const std::vector<int64_t> columns = plan_.Columns(row);
      if (!columns.empty() && !reader_.BeginRow(row)) return;
      size_t done = 0;
      do {
        Windows windows;
        {
          const Stopwatch watch(&result_.seconds.feed);
          const size_t count = std::min(columns.size() - done, static_cast<size_t>(options_.batch));
          windows.row = row;
          windows.columns.assign(columns.begin() + static_cast<ptrdiff_t>(done),
                                 columns.begin() + static_cast<ptrdiff_t>(done + count));
          windows.pixels.resize(count * bytes);
          for (size_t i = 0; i < count; ++i) {
            reader_.CopyWindow(row, windows.columns[i], windows.pixels.data() + i * bytes);
          }
          done += count;
          windows.last = done == columns.size();
          if (windows.last) windows.bad = reader_.TakeBad();
        }
        if (!to_network_.Push(std::move(windows))) return;
      } while (done < columns.size());
    }
    to_network_.Close();
  }

  void Infer() {
    const size_t values = static_cast<size_t>(options_.classes) *
                          static_cast<size_t>(plan_.x.window) * static_cast<size_t>(plan_.x.window);
    while (std::optional<Windows> windows = to_network_.Pop()) {
      core::ThrowIfInterrupted();
      const size_t count = windows->columns.size();
      if (count > 0) {
        const Stopwatch watch(&result_.seconds.network);
        windows->probabilities.resize(count * values);
        network_(windows->pixels.data(), static_cast<int64_t>(count),
                 windows->probabilities.data());
        result_.windows_run += static_cast<int64_t>(count);
      }
      if (progress_) progress_->Advance(static_cast<int64_t>(count));
      windows->pixels = {};
      if (!to_blend_.Push(std::move(*windows))) return;
    }
    to_blend_.Close();
  }

  void Blend() {
    CellMap skip(plan_.width, plan_.height);
    for (const auto& [place, error] : bad_) Skip(place.second, place.first, &skip);
    std::vector<BadBlock> fresh;  // in no band yet
    const size_t values = static_cast<size_t>(options_.classes) *
                          static_cast<size_t>(plan_.x.window) * static_cast<size_t>(plan_.x.window);
    while (const std::optional<Windows> windows = to_blend_.Pop()) {
      Band band;
      const bool emit = windows->last && windows->row >= first_band_;
      {
        const Stopwatch watch(&result_.seconds.blend);
        for (size_t i = 0; i < windows->columns.size(); ++i) {
          blender_.Add(windows->row, windows->columns[i],
                       windows->probabilities.data() + i * values);
        }
        for (const BadBlock& bad : windows->bad) {
          if (!bad_.try_emplace({bad.row, bad.column}, bad.error).second) continue;
          Skip(bad.column, bad.row, &skip);
          fresh.push_back(bad);
        }
        if (windows->last) blender_.EndRow(windows->row, skip, emit, &band);
        if (emit) {
          band.bad = std::exchange(fresh, {});
          if (options_.gate) options_.gate->Apply(&band);
        }
      }
      if (emit && !to_write_.Push(std::move(band))) return;
    }
    to_write_.Close();
  }

  void Skip(int64_t block_column, int64_t block_row, CellMap* skip) const {
    constexpr int64_t kCells = kBlock / kCell;
    for (int64_t row = block_row * kCells; row < (block_row + 1) * kCells; ++row) {
      for (int64_t column = block_column * kCells; column < (block_column + 1) * kCells; ++column) {
        if (row < skip->rows() && column < skip->columns()) skip->Set(column, row, true);
      }
    }
  }

  void Write() {
    while (const std::optional<Band> band = to_write_.Pop()) {
      const Stopwatch watch(&result_.seconds.write);
      store_->Write(*band);
      for (BandSink* sink : sinks_) sink->Take(*band);
    }
  }

  void Close() {
    to_network_.Close();
    to_blend_.Close();
    to_write_.Close();
    reader_.Stop();
  }

  const PredictPlan& plan_;
  const Network& network_;
  const PipelineOptions& options_;
  BandStore* store_;
  const std::vector<BandSink*>& sinks_;
  std::map<std::pair<int64_t, int64_t>, std::string> bad_;  // errors by (row, column) of the block
  const int64_t first_band_, first_row_;
  RasterReader reader_;
  Blender blender_;
  core::BoundedQueue<Windows> to_network_{2}, to_blend_{2};
  core::BoundedQueue<Band> to_write_{2};
  std::optional<core::Progress> progress_;
  PipelineResult result_;
};

}  // namespace

PipelineResult RunPipeline(const tiling::Slide& slide, const PredictPlan& plan,
                           const Network& network, const PipelineOptions& options, BandStore* store,
                           const std::vector<BandSink*>& sinks) {
  return Pipeline(slide, plan, network, options, store, sinks).Run();
}

}  // namespace eosin::segment
