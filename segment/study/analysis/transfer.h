// SPDX-License-Identifier: Apache-2.0
// Transfer speed: how soon an arm is good, from the validation curves. Pure, torch-free.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/stats/resample.h"
#include "segment/study/plan/plan.h"
#include "segment/train/result.h"

namespace eosin::segment {

inline constexpr double kReach = 0.9;  // of the reference arm's best

struct TransferRow {
  std::string arm, reference;
  LabelLevel level;
  int seeds = 0;
  int reached = 0;    // seeds in which the target was reached in every fold
  double steps = 0;   // median over seeds to reach it; infinity where half of them never did
  double epochs = 0;  // the same in crops an image of the level (LabelledImages)
  // Steps of this arm over steps of the reference: geometric mean over the seeds where both reached
  // it, with Student's interval of its logarithm. All NaN with fewer than two such seeds.
  core::Interval ratio;
  double area = 0;  // mean validation Dice over the logarithm of steps, mean over seeds
  core::Interval area_difference;  // to the reference, paired by seed; Student's interval
};

// Steps at which a validation curve first reaches the target, straight lines between validations;
// the first validation where it is there already; infinity where it never is.
double StepsToReach(const std::vector<CurvePoint>& curve, double target);

// Mean of the curve over the logarithm of steps, from the first to the last validation
// (trapezoids). NaN with fewer than two points; n/a counts as 0: nothing was found yet.
double AreaOverLogSteps(const std::vector<CurvePoint>& curve);

// The reference is options.reference, else imagenet where it runs, else random, else the first arm.
// Seed by seed and fold by fold the target is kReach of the reference's best validation Dice with
// the same labels. By level and arm; only seeds that the arm and the reference have finished.
std::vector<TransferRow> MeasureTransfer(const StudyOptions& options, const StudyPlan& plan,
                                         const std::vector<std::optional<SegmentResult>>& results);

}  // namespace eosin::segment
