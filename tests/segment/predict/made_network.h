// SPDX-License-Identifier: Apache-2.0
// Networks made of a formula, and a slide whose pixels tell where they are.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "core/base/files.h"
#include "segment/predict/pipeline.h"
#include "tests/testing.h"
#include "tests/tiling/fake_slide.h"

namespace eosin::testing {

using segment::kOneProbability;
using segment::Network;

// The class of a pixel by its place, and the pixel that says so: red = class * 50.
using TruthOf = std::function<int(int64_t x, int64_t y)>;

inline std::unique_ptr<FakeSlide> SlideOf(int64_t width, int64_t height, const TruthOf& truth,
                                          int tile = 128, double mpp = 1) {
  tiling::SlideLevel level;
  level.width = width;
  level.height = height;
  level.tile_width = level.tile_height = tile;
  return std::make_unique<FakeSlide>(
      std::vector<tiling::SlideLevel>{level}, mpp, [truth](int, int64_t x, int64_t y, int c) {
        return c == 0 ? static_cast<uint8_t>(50 * truth(x, y)) : FakeSlide::Hash(0, x, y, c);
      });
}

// Certain of the class that the red value names.
inline Network ReadingNetwork(int side, int classes) {
  return [side, classes](const uint8_t* images, int64_t count, uint16_t* out) {
    const int64_t pixels = int64_t{side} * side;
    for (int64_t i = 0; i < count; ++i) {
      for (int c = 0; c < classes; ++c) {
        for (int64_t p = 0; p < pixels; ++p) {
          const bool it = images[(i * pixels + p) * 3] == 50 * c;
          out[(i * classes + c) * pixels + p] = it ? kOneProbability : 0;
        }
      }
    }
  };
}

// Keeps all bands; may fail at one.
class KeepingSink : public segment::BandSink {
 public:
  explicit KeepingSink(int64_t fail_at = -1) : fail_at_(fail_at) {}
  void Take(const segment::Band& band) override {
    if (band.index == fail_at_) throw core::MachineError("killed", "by the test");
    EXPECT_EQ(band.y, rows_);
    rows_ += band.rows;
    labels.insert(labels.end(), band.labels.begin(), band.labels.end());
    probabilities.insert(probabilities.end(), band.probabilities.begin(), band.probabilities.end());
  }
  std::vector<uint8_t> labels, probabilities;

 private:
  int64_t fail_at_, rows_ = 0;
};

struct MapOptions {
  int window = 64, stride = 32, classes = 3, threads = 1;
  int64_t batch = 4, shift = 0;
  double mpp = 1;
  std::string blend = "gaussian";
  bool probabilities = false;
  const tiling::TissueMask* tissue = nullptr;
};

inline segment::PredictPlan PlanOf(const tiling::Slide& slide, const MapOptions& options) {
  segment::PlanOptions plan;
  plan.mpp = options.mpp;
  plan.window = options.window;
  plan.stride = options.stride;
  plan.offset_x = plan.offset_y = options.shift;
  return segment::MakePredictPlan(slide.geometry(), options.tissue, plan);
}

// One run into `sink`; bands in `folder`.
inline segment::PipelineResult RunMap(const tiling::Slide& slide, const Network& network,
                                      const MapOptions& options, const fs::path& folder,
                                      KeepingSink* sink) {
  const segment::PredictPlan plan = PlanOf(slide, options);
  segment::BandStore store(folder, "settings", false);
  segment::PipelineOptions pipeline;
  pipeline.classes = options.classes;
  pipeline.blend = options.blend;
  pipeline.probabilities = options.probabilities;
  pipeline.batch = options.batch;
  pipeline.threads = options.threads;
  return segment::RunPipeline(slide, plan, network, pipeline, &store, {sink});
}

inline std::vector<uint8_t> LabelsOf(const tiling::Slide& slide, const Network& network,
                                     const MapOptions& options) {
  const TempFolder folder;
  KeepingSink sink;
  RunMap(slide, network, options, folder / "bands", &sink);
  return sink.labels;
}

}  // namespace eosin::testing
