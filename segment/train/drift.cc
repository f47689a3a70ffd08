// SPDX-License-Identifier: Apache-2.0
#include "segment/train/drift.h"

#include "engine/weights/weights.h"
#include "eval/analysis/drift.h"

namespace eosin::segment {

std::vector<StageChange> BackboneDrift(const core::StateDict& before,
                                       const torch::nn::Module& backbone) {
  const core::StateDict now = engine::ToStateDict(backbone);
  // In the network's order: a checkpoint is sorted by name, and sums depend on their order.
  core::StateDict from;
  for (const core::TensorBlob& tensor : now.tensors) {
    if (const core::TensorBlob* found = before.Find(tensor.name)) from.tensors.push_back(*found);
  }
  std::vector<StageChange> changes;
  for (const eval::StageDrift& stage : eval::CompareWeights(from, now)) {
    changes.push_back({stage.stage, stage.relative});
  }
  return changes;
}

}  // namespace eosin::segment
