// SPDX-License-Identifier: Apache-2.0
// A slide's prediction as stages that run side by side, joined by queues of two items:
//
//   decode threads -> RasterReader -> feeder -> Network (the caller's thread) -> Blender -> sinks
//
// Batches never reach over a row of windows, so that a run that goes on from a band makes the same
// batches, and a network the same numbers, as one that was never stopped.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "segment/predict/band_store.h"
#include "segment/predict/network.h"
#include "segment/predict/predict_plan.h"
#include "segment/predict/tissue_gate.h"
#include "tiling/slides/slide.h"

namespace eosin::segment {

// Takes all bands of a slide from the top.
class BandSink {
 public:
  virtual ~BandSink() = default;
  virtual void Take(const Band& band) = 0;  // one thread at a time
};

struct PipelineOptions {
  int classes = 2;
  std::string blend = "gaussian";
  bool probabilities = false;
  int64_t batch = 8;           // windows a call of the network
  int threads = 1;             // that decode
  std::string label;           // of the progress line; empty: none
  TissueGate* gate = nullptr;  // what of the cells is kept; null: all
};

// Seconds that each stage worked, without waiting for the others.
struct StageSeconds {
  double decode = 0;   // CPU time of all decoding threads
  double feed = 0;     // windows cut out of blocks
  double network = 0;  // wall time
  double blend = 0;
  double write = 0;  // bands and sinks
  double wall = 0;
};

struct PipelineResult {
  int64_t windows = 0;        // of the slide
  int64_t windows_run = 0;    // by this process
  int64_t bands_resumed = 0;  // known from an earlier run
  int64_t bad_blocks = 0;     // left out: their tiles cannot be read; also those of earlier runs
  std::string first_error;    // of the uppermost, leftmost of them
  StageSeconds seconds;       // of this process
};

// Bands that `store` has are replayed; the others are made, stored and given to the sinks. Throws
// what the network, the sinks and the slide throw; InterruptedError, after which the finished bands
// are there.
PipelineResult RunPipeline(const tiling::Slide& slide, const PredictPlan& plan,
                           const Network& network, const PipelineOptions& options, BandStore* store,
                           const std::vector<BandSink*>& sinks);

}  // namespace eosin::segment
