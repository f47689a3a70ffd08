// SPDX-License-Identifier: Apache-2.0
// How well objects were found, by four published definitions. Torch-free.
//
// GlaS challenge (Sirinukunwattana et al., "Gland segmentation in colon histology images: the GlaS
// challenge contest", Medical Image Analysis 35, 2017). The partner of an object is the one of the
// other side that overlaps it most (of equal ones the lowest number).
//   object F1   a predicted object is right when it covers more than half of its partner; a true
//               object is found by a right one, of which it can have no more than one. That is the
//               challenge's program, by which its figures and later ones were made; its text asks
//               for at least half.
//   object Dice and object Hausdorff: Dice (0 without partner) and Hausdorff distance of each
//   object
//               and its partner, weighted by area, over the predicted and over the true objects,
//               the mean of both. Without partner the Hausdorff distance is that to the nearest
//               object of the other side. Weights span all objects that are pooled.
// AJI (Kumar et al., "A dataset and a technique for generalized nuclear segmentation", IEEE TMI 36,
//   2017): each true object is joined to the predicted one of the best Jaccard index (one may serve
//   several); intersections over unions, the areas of predicted objects that served none added
//   below.
// PQ = SQ x RQ (Kirillov et al., "Panoptic segmentation", CVPR 2019): pairs of IoU > 0.5.
//
// With objects on one side only F1, Dice, AJI, PQ and RQ are 0 (SQ and the Hausdorff distance n/a,
// the image counted as missed or spurious); with none on either side all are n/a (NaN).
#pragma once

#include <cstdint>

#include "eval/segmentation/objects.h"

namespace eosin::eval {

// Sums of one class over one or more images; pooled by adding. Distances in um (px without scale).
struct ObjectScores {
  int64_t truth = 0, predicted = 0;  // objects
  int64_t truth_area = 0, predicted_area = 0;
  int64_t right = 0, found = 0;                         // GlaS F1: predicted, true objects; equal
  double truth_dice = 0, predicted_dice = 0;            // sums of area x Dice
  double truth_hausdorff = 0, predicted_hausdorff = 0;  // sums of area x distance
  int64_t truth_hausdorff_area = 0, predicted_hausdorff_area = 0;  // areas with a distance
  int64_t aji_intersection = 0, aji_union = 0;
  int64_t matched = 0;               // PQ
  double matched_iou = 0;            // sum
  int64_t missed = 0, spurious = 0;  // images with true, with predicted objects only

  void Merge(const ObjectScores& other);
  double F1() const;
  double Dice() const;
  double Hausdorff() const;
  double Aji() const;
  double Pq() const;
  double Sq() const;
  double Rq() const;
};

// One class of one image; both of one size. mpp = unit of one pixel's side.
ObjectScores CompareObjects(const Objects& truth, const Objects& predicted, double mpp);

}  // namespace eosin::eval
