// SPDX-License-Identifier: Apache-2.0
#include "segment/train/drift.h"

#include "engine/weights/weights.h"
#include "eval/analysis/drift.h"

namespace eosin::segment {

std::vector<StageChange> BackboneDrift(const core::StateDict& before,
                                       const torch::nn::Module& backbone) {
  std::vector<StageChange> changes;
  for (const eval::StageDrift& stage :
       eval::CompareWeights(before, engine::ToStateDict(backbone))) {
    changes.push_back({stage.stage, stage.relative});
  }
  return changes;
}

}  // namespace eosin::segment
