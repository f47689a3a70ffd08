// SPDX-License-Identifier: Apache-2.0
// From results to what may be claimed. Scores are per patient (pixels of a patient's images
// pooled); with folds each patient is scored by the models of the fold that tests it. Intervals
// come from the crossed bootstrap over patients and seeds, widened to Student's width
// (core/stats/crossed.h); the primary comparison is tested alone by an exact sign-flip over seeds,
// all others are exploratory and Holm-adjusted; the control is neither. Pure, torch-free.
//
// A study that is not complete is analysed too, from the seeds that all arms of a level have
// finished; it gets no verdict.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/stats/resample.h"
#include "core/stats/variance.h"
#include "core/stats/verdict.h"
#include "segment/study/analysis/label_saving.h"
#include "segment/study/analysis/transfer.h"
#include "segment/study/plan/plan.h"
#include "segment/study/run/job_board.h"
#include "segment/train/result.h"

namespace eosin::segment {

using Results = std::vector<std::optional<SegmentResult>>;

// One arm at one level.
struct Cell {
  std::string arm;
  LabelLevel level;
  int64_t labels = 0;                         // labelled images (of the first fold)
  std::vector<std::string> patients;          // columns of the tables
  std::vector<int64_t> folds;                 // which tests each patient
  std::vector<int64_t> seeds;                 // rows
  core::SeedPatientTable dice, iou;           // mean over foreground classes
  std::vector<double> class_dice, class_iou;  // macro over patients, mean over seeds; by class
  core::Interval dice_interval, iou_interval;
  double dice_sd = 0.0;                      // of the seeds' means
  double micro_dice = 0.0, micro_iou = 0.0;  // all pixels pooled, mean over seeds
  double last_dice = 0.0;                    // the last checkpoint instead of the best

  const core::Interval& interval(eval::Metric metric) const {
    return metric == eval::Metric::kIou ? iou_interval : dice_interval;
  }
  const core::SeedPatientTable& table(eval::Metric metric) const {
    return metric == eval::Metric::kIou ? iou : dice;
  }
};

// a - b at one level.
struct Comparison {
  std::string arm_a, arm_b;
  LabelLevel level;
  eval::Metric metric = eval::Metric::kDice;
  bool primary = false, control = false;
  core::Interval interval;
  core::CrossedVariance variance;  // of the paired differences
  std::vector<double> by_seed;     // differences of the seeds' means
  std::vector<double> by_fold;     // of the folds' means; empty without folds
  // Over training sets and encoders too: Student's over the folds' differences.
  core::Interval fold_interval;
  double p = 1.0, smallest_p = 1.0;
  double p_holm = 1.0;        // exploratory only
  double cliffs_delta = 0.0;  // of the seeds' means
};

// The same job with the same seed: what chance in the machine alone makes of a score.
struct NoiseFloor {
  int64_t repeats = 0;     // 0: not measured
  bool identical = false;  // all counts of all test images
  double difference = 0;   // largest |difference| of the mean score
  std::string run;         // which was repeated
};

// What calling every test pixel one class scores: the best such class, by the primary metric.
struct ConstantScore {
  int64_t label = -1;  // -1: not known yet
  double score = 0;    // macro over patients, as arms are scored
};

// How far an arm's backbone moved, mean over seeds and folds of one level.
struct ArmDrift {
  std::string arm;
  LabelLevel level;
  std::vector<StageChange> stages;
};

enum class VerdictKind { kShown, kNotShown, kNoVerdict };

struct Analysis {
  size_t jobs = 0, jobs_done = 0;
  std::vector<Cell> cells;
  std::vector<Comparison> comparisons;  // the primary first; without the control
  std::optional<Comparison> control;    // random_again - random
  NoiseFloor floor;
  ConstantScore constant;
  std::vector<LabelSaving> savings;
  std::vector<TransferRow> transfer;
  std::vector<ArmDrift> drift;
  std::vector<TunedRate> tuned;
  VerdictKind verdict = VerdictKind::kNoVerdict;
  std::string verdict_sentence;
  core::NeededSize needed;  // of "not shown"
  int64_t test_patients = 0, test_images = 0;

  bool complete() const { return jobs_done == jobs; }
};

// results[i] belongs to plan.jobs[i].
Analysis Analyze(const StudyOptions& options, const StudyPlan& plan, const Results& results,
                 const std::vector<TunedRate>& tuned = {});

// The parts of it.
std::vector<Cell> MakeCells(const StudyOptions& options, const StudyPlan& plan,
                            const Results& results);
NoiseFloor MeasureFloor(const StudyOptions& options, const StudyPlan& plan, const Results& results,
                        eval::Metric metric);
ConstantScore ScoreConstant(const StudyOptions& options, const StudyPlan& plan,
                            const Results& results, eval::Metric metric);
std::vector<ArmDrift> CollectDrift(const StudyPlan& plan, const Results& results);
void JudgeStudy(const StudyOptions& options, const StudyPlan& plan,
                const PrimaryComparison& primary, Analysis* analysis);
// In one sentence: "ssl against random: no difference, ...".
std::string ControlSentence(const Comparison& control);
// Which training sets and encoders the intervals speak of; what the folds differ by.
std::string ScopeSentence(const StudyPlan& plan, const Analysis& analysis);
std::string FloorSentence(const NoiseFloor& floor, eval::Metric metric);

// The constant's score and the arms that stay below it; empty where it is not known yet.
std::string ConstantSentence(const StudyOptions& options, const StudyPlan& plan,
                             const Analysis& analysis);

// How tables call an arm.
std::string ArmLabel(const StudyPlan& plan, const std::string& name);

// study.json, results.csv (one row an arm, level, seed, patient and class), curves.csv and
// summary.md.
void WriteAnalysis(const StudyOptions& options, const StudyPlan& plan, const Results& results,
                   const Analysis& analysis, const std::filesystem::path& folder);

}  // namespace eosin::segment
