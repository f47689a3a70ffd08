// SPDX-License-Identifier: Apache-2.0
// What one trained model came to: the sums behind every score of every test image, so that any
// pooling can be made again, and the course of training. result.json appears last: a run that has
// it is done. Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "eval/segmentation/image_scores.h"

namespace eosin::segment {

struct CurvePoint {
  int64_t step = 0;   // steps done
  double loss = 0.0;  // mean since the point before
  double lr = 0.0;
  double val_dice = 0.0, val_iou = 0.0;  // macro over patients, mean over foreground classes
};

// How far the weights of a stage moved from where they started: |w - w0| / |w0|.
struct StageChange {
  std::string stage;  // "stem", "layer1".."layer4"
  double relative = 0.0;
};

struct SegmentResult {
  std::string fingerprint;  // hash of all that determines the run
  std::vector<std::string> classes;
  int64_t background = 0;
  std::vector<std::string> train_images;
  std::string init;  // "random" or the weights file's name
  std::string freeze;
  int64_t frozen_parameters = 0, parameters = 0;  // those frozen throughout; all
  // Share of the parameters of what was to come from the file (model.init_part) that did, 0..1.
  double weights_matched = 0.0;
  int64_t steps = 0, best_step = 0;
  std::vector<CurvePoint> curve;
  double mpp = 0;  // um per pixel of the scored images; 0 = not known, distances are px
  eval::ScoreOptions score;
  std::vector<eval::ImageScores> test;       // of the best model by validation
  std::vector<eval::ImageScores> test_last;  // of the last
  std::vector<StageChange> drift;            // of the best model's backbone; empty: not measured
};

// Called after each training step with the number of steps done and the last known mean loss.
using StepHook = std::function<void(int64_t steps, double loss)>;

// False: every validation was n/a, and the best state is the last one.
bool ChosenByValidation(const SegmentResult& result);

void WriteResult(const std::filesystem::path& path, const SegmentResult& result);
// Throws DataError when the file is missing or is not a result. Version 1 had pixel counts alone:
// boundaries and objects are n/a then.
SegmentResult ReadResult(const std::filesystem::path& path);

}  // namespace eosin::segment
