// SPDX-License-Identifier: Apache-2.0
// The jobs of a study: arms x label levels x seeds x folds, fully crossed and paired, with what
// stands before (tuning) and beside them (control, repeats). Pure, torch-free.
#pragma once

#include <string>
#include <vector>

#include "segment/data/split.h"
#include "segment/study/plan/arms.h"
#include "segment/study/plan/options.h"

namespace eosin::segment {

enum class JobRole {
  kMain,
  kTune,   // one learning rate of the grid; the test images are not looked at
  kRepeat  // a main job once more, with the same seed
};

struct Job {
  JobRole role = JobRole::kMain;
  Arm arm;
  LabelLevel level;
  int64_t fold = 0;
  int64_t seed = 0;
  double lr = 0;  // kTune: the rate that is tried; 0: the chosen one, or optimizer.lr
  int64_t steps = 0;
  std::string name;            // folder under runs/: "ssl_partial-0.1-s0", "f2-ssl-n10-s3"
  std::vector<int64_t> train;  // the label subset, dataset indices in the order drawn
};

struct StudyPlan {
  std::vector<ImageSplit> splits;  // one a fold
  std::vector<Arm> arms;           // of fold 0; skipped ones too
  std::vector<LabelLevel> levels;  // by rising number of images
  std::vector<Job> jobs;  // tuning, then by seed, level, fold and arm: partial studies stay paired
};

// Labelled images of the first fold at this level, as its jobs have them: more than the level says
// where so many are needed to show every class; the mean over seeds, which may need unequal
// numbers.
int64_t LabelledImages(const StudyPlan& plan, const LabelLevel& level);

// Throws DataError when a level gives no images, more than there are, or the same as another level
// (also where only enlarging it to show every class makes it so), or when a class is missing.
StudyPlan PlanStudy(const StudyOptions& options,
                    const std::vector<std::vector<int64_t>>& class_pixels,
                    const std::vector<ImageSplit>& splits);

}  // namespace eosin::segment
