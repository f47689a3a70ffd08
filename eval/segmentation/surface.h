// SPDX-License-Identifier: Apache-2.0
// Boundaries of a class in truth and prediction, and how far they lie apart. Torch-free.
//
// Boundary: the pixels of the class with a neighbour above, below, left or right that is of another
// class, or with an edge on the image's rim. That is MedPy's surface (mask minus its erosion by the
// 4-neighbourhood) and MATLAB's bwperim. Pixels that the truth ignores make no boundary and have
// none: a class that touches nothing else has no boundary that can be seen.
//
// Boundary F1 (Csurka et al., "What is a good evaluation measure for semantic segmentation?", BMVC
// 2013; MATLAB's bfscore): precision = share of the predicted boundary within the tolerance of the
// true one, recall = share of the true one within the tolerance of the predicted one, F1 their
// harmonic mean. 0 where one alone has a boundary, n/a where neither has.
//
// Distances are those of MedPy: each boundary pixel to the nearest pixel of the other boundary.
// Hausdorff-95 = 95th percentile of both directions' distances together (numpy's interpolation) of
// one image, then mean over images; average symmetric surface distance (ASSD) = mean of the two
// directions' means, of all boundary pixels pooled. Where one or both have no boundary there is no
// distance: n/a.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eval/segmentation/distance_map.h"

namespace eosin::eval {

// Sums of one class over one or more images; distances in um (px where no scale is known).
struct SurfaceScores {
  int64_t truth = 0, predicted = 0;              // boundary pixels
  int64_t truth_found = 0, predicted_right = 0;  // of these, within the tolerance of the other
  int64_t measured = 0;                          // images with a boundary in both
  int64_t truth_measured = 0, predicted_measured = 0;  // boundary pixels of these images
  double truth_distance = 0, predicted_distance = 0;   // sums over these pixels
  double hd95 = 0;                                     // sum over these images
  // Images with pixels of the class in the truth, the prediction only.
  int64_t missed = 0, spurious = 0;

  void Merge(const SurfaceScores& other);
  double BoundaryPrecision() const;
  double BoundaryRecall() const;
  double BoundaryF1() const;
  double Hausdorff95() const;
  double MeanDistance() const;  // ASSD
};

// Boundary pixels of each class, row by row. classes: (height, width), `ignore` = no class.
std::vector<std::vector<Pixel>> Boundaries(std::span<const uint8_t> classes, int width, int height,
                                           int count, int ignore);

// One class of one image. tolerance in the unit of mpp (um); mpp = unit of one pixel's side. Leaves
// missed and spurious 0: they are of pixels, not of boundaries.
SurfaceScores CompareBoundaries(std::span<const Pixel> truth, std::span<const Pixel> predicted,
                                int width, int height, double mpp, double tolerance);

}  // namespace eosin::eval
