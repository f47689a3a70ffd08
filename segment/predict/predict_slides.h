// SPDX-License-Identifier: Apache-2.0
// Slides to label maps: what `eosin predict` does. Below `out`, for every slide
//   <stem>.labels.tif         label map (label_tiff.h)
//   <stem>.probabilities.tif  when asked
//   <stem>.geojson            regions (geojson_sink.h)
//   <stem>.overlay.png        the slide, tinted
//   <stem>.json               settings, areas, seconds of each stage; written last: it is done
//   <stem>.part/              bands of a prediction that was stopped
// and predictions.csv, a row a slide, made from all <stem>.json.
//
// A slide that is done with the same settings, all its files there, is skipped; with others
// refused. So are files under these names that are not ours (predicted_files.h). One process at a
// time works on a slide; one that another process has is left to it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "segment/predict/network.h"
#include "segment/predict/pipeline.h"
#include "segment/predict/predict_options.h"
#include "tiling/batch/slide_list.h"

namespace eosin::segment {

// What is to be known of a model beside its network.
struct ModelFacts {
  std::vector<std::string> classes;
  int64_t background = 0;  // class without polygons and tint; -1 none
  int window = 256;        // pixels: the side of a window
  double mpp = 0;          // um per pixel it was trained at; 0 not known
  std::string hash;        // of its weights and of all else that its numbers come from
  // Where its numbers are computed, which decides their last digits.
  std::string device = "cpu", precision = "fp32";  // cpu | cuda; fp32 | bf16
  bool tf32 = false;
  int threads = 0;  // of the CPU; 0 where they decide nothing
};

struct PredictResult {
  std::filesystem::path slide;
  std::string stem;
  std::string status;  // "done", "skipped", "failed", "locked" (another process has it)
  std::string reason, hint;
  std::vector<std::string> warnings;
  double mpp = 0;  // um per label-map pixel
  int64_t width = 0, height = 0;
  std::optional<double>
      tissue_mm2;                 // inside the scanned bounds; none where no tissue is looked for
  std::vector<double> class_mm2;  // ClassCounts
  int64_t features = 0;           // of the GeoJSON
  PipelineResult pipeline;
};

struct PredictRun {
  int threads = 1;         // that decode
  bool overwrite = false;  // replace what was made with other settings, and files of others
  bool quiet = false;
  std::function<void(const PredictResult&)> on_slide;
};

// network: of options.batch windows at most, without test-time augmentation. Throws MachineError
// and InterruptedError; ConfigError and DataError for what concerns all slides: one mask for many,
// results of another model in `out`. A bad slide is a result with status "failed".
std::vector<PredictResult> PredictSlides(const std::vector<tiling::SlideEntry>& slides,
                                         const ModelFacts& model, const Network& network,
                                         const PredictOptions& options,
                                         const std::filesystem::path& out, const PredictRun& run);

}  // namespace eosin::segment
