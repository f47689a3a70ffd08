// SPDX-License-Identifier: Apache-2.0
// From results to what may be claimed. Scores are per patient (pixels of a patient's images
// pooled); intervals come from the crossed bootstrap over patients and seeds; the primary
// comparison is tested alone by an exact sign-flip over seeds, all others are exploratory and
// Holm-adjusted. Pure, torch-free.
#pragma once

#include <string>
#include <vector>

#include "core/stats/resample.h"
#include "segment/study/plan.h"
#include "segment/train/result.h"

namespace eosin::segment {

// One arm at one fraction.
struct Cell {
  std::string arm;
  double fraction = 1.0;
  std::vector<std::string> patients;          // columns of the tables
  std::vector<int64_t> seeds;                 // rows
  core::SeedPatientTable dice, iou;           // mean over foreground classes
  std::vector<double> class_dice, class_iou;  // macro over patients, mean over seeds; by class
  core::Interval dice_interval, iou_interval;
  double dice_sd = 0.0;                      // of the seeds' means
  double micro_dice = 0.0, micro_iou = 0.0;  // all pixels pooled, mean over seeds
  double last_dice = 0.0;                    // the last checkpoint instead of the best
};

// a - b at one fraction.
struct Comparison {
  std::string arm_a, arm_b;
  double fraction = 1.0;
  eval::Metric metric = eval::Metric::kDice;
  bool primary = false;
  core::Interval interval;
  std::vector<double> by_seed;  // differences of the seeds' means
  double p = 1.0, smallest_p = 1.0;
  double p_holm = 1.0;        // exploratory only
  double cliffs_delta = 0.0;  // of the seeds' means
};

enum class VerdictKind { kShown, kNotShown, kNoVerdict };

struct Analysis {
  std::vector<Cell> cells;
  std::vector<Comparison> comparisons;  // the primary first
  VerdictKind verdict = VerdictKind::kNoVerdict;
  std::string verdict_sentence;
  int64_t test_patients = 0, test_images = 0;
};

// results[i] belongs to plan.jobs[i].
Analysis Analyze(const StudyOptions& options, const StudyPlan& plan,
                 const std::vector<SegmentResult>& results);

// study.json, results.csv (one row an arm, fraction, seed, patient and class) and summary.md.
void WriteAnalysis(const StudyOptions& options, const StudyPlan& plan,
                   const std::vector<SegmentResult>& results, const Analysis& analysis,
                   const std::filesystem::path& folder);

}  // namespace eosin::segment
