// SPDX-License-Identifier: Apache-2.0
// The network side of a run, as training, replay and memory trials need it: method, optimiser, and
// one micro-batch forward and backward.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/training/device.h"
#include "engine/training/input.h"
#include "engine/training/optimizer.h"
#include "pretrain/method.h"
#include "pretrain/options.h"

namespace eosin::pretrain {

// kIgnore: the weights come from a checkpoint next, so that the file may be gone by now.
enum class InitFile : uint8_t { kRead, kIgnore };

struct Learner {
  std::unique_ptr<Method> method;
  std::unique_ptr<engine::Optimizer> optimizer;
  engine::Normalization normalization;  // what the weights of model.init are used to
};

// The method of the options around a fresh encoder (model.init loaded unless told otherwise), on
// the device, in training mode.
Learner MakeLearner(const PretrainOptions& options, const engine::Compute& compute,
                    InitFile init = InitFile::kRead);

// Forward under the run's precision, backward of loss * share: gradients add up over the
// micro-batches of a step. The loss given back is detached.
StepOutput AddGradient(Method& method, const std::vector<at::Tensor>& groups,
                       const engine::Compute& compute, double share);

// What every weights file of a run says of itself.
std::map<std::string, std::string> WeightsMetadata(const PretrainOptions& options,
                                                   const engine::Normalization& normalization);

}  // namespace eosin::pretrain
