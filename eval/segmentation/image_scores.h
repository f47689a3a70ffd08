// SPDX-License-Identifier: Apache-2.0
// All that is known of one predicted image, in sums that can be pooled: pixel counts, boundaries,
// objects. The unit of analysis is the patient: images of a patient are pooled, then patients are
// averaged (macro); micro pools everything. Torch-free.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/config/option_set.h"
#include "eval/segmentation/confusion.h"
#include "eval/segmentation/object_scores.h"
#include "eval/segmentation/surface.h"

namespace eosin::eval {

struct ScoreOptions {
  double tolerance = 2.0;  // um (px where no scale is known): boundaries this near count as found
  double min_area = 0.0;   // um^2 (px): smaller predicted objects are not counted as objects

  void Bind(core::OptionSet& set, const std::string& prefix);
};

// One class of ImageScores.
struct ClassDetail {
  SurfaceScores surface;
  ObjectScores objects;
};

// Of one image, or pooled: name = the patient's or slide's then.
struct ImageScores {
  std::string name;
  std::string patient;
  ConfusionMatrix counts;
  std::string slide;                // empty = the image belongs to no slide
  std::vector<ClassDetail> detail;  // one a class; empty = only pixels were counted

  // Throws DataError for other classes. Detail stays only if both have it.
  void Merge(const ImageScores& other);
};

// What is compared: row-major (height, width).
struct MaskPair {
  int width = 0, height = 0;
  std::span<const uint8_t> truth;       // classes, and `ignore`
  std::span<const uint8_t> prediction;  // classes
  // Numbers of the true objects of class 1, 0 = none; empty: true objects are connected areas, as
  // predicted ones always are.
  std::span<const uint16_t> instances;
  int classes = 2;
  int background = 0;  // has neither boundary nor objects of its own; -1 = none
  int ignore = 255;
  double mpp = 0;  // um; 0 = not known, distances are px then
};

// Pixel counts alone; enough to choose a model by.
ConfusionMatrix CountPixels(const MaskPair& masks);
// counts and detail of one image. Throws DataError where sizes differ or a value is no class.
ImageScores ScoreMasks(const MaskPair& masks, const ScoreOptions& options);

// Patient and slide: two patients may each have a slide "1". An image without slide is a slide of
// its own, under its own name.
using SlideKey = std::pair<std::string, std::string>;
SlideKey SlideOf(const ImageScores& image);

// Pooled by patient or by SlideOf, sorted by id.
std::vector<ImageScores> PoolByPatient(const std::vector<ImageScores>& images);
std::vector<ImageScores> PoolBySlide(const std::vector<ImageScores>& images);
// Everything in one.
ImageScores PoolScores(const std::vector<ImageScores>& images, int classes);
ConfusionMatrix PoolAll(const std::vector<ImageScores>& images, int classes);

// Mean over patients of class c's score (c >= 0) or of the mean score over classes (c = -1).
double MacroScore(const std::vector<ImageScores>& patients, Metric metric, int c, int skip = -1);

}  // namespace eosin::eval
