// SPDX-License-Identifier: Apache-2.0
// How far training moved a backbone from where it started, by stage.
#pragma once

#include <vector>

#include "core/formats/state_dict.h"
#include "segment/train/result.h"

namespace torch::nn {
class Module;
}

namespace eosin::segment {

// From `before` (engine::ToStateDict of the same backbone, earlier) to what it is now, in the order
// of the stages; see eval::CompareWeights.
std::vector<StageChange> BackboneDrift(const core::StateDict& before,
                                       const torch::nn::Module& backbone);

}  // namespace eosin::segment
