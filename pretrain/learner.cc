// SPDX-License-Identifier: Apache-2.0
#include "pretrain/learner.h"

#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include "core/base/log.h"
#include "core/formats/pth.h"
#include "engine/weights/weights.h"

namespace eosin::pretrain {

Learner MakeLearner(const PretrainOptions& options, const engine::Compute& compute, InitFile init) {
  engine::ResNetOptions net;
  net.arch = options.arch;
  net.stem = options.stem;
  net.width = static_cast<int>(options.width);
  net.zero_init_residual = options.zero_init_residual;
  engine::ResNet encoder(net);
  engine::InitResNet(encoder, options.seed());
  Learner learner;
  if (!options.init.empty() && init == InitFile::kRead) {
    const engine::LoadReport report = engine::LoadEncoder(*encoder, options.init);
    core::LogInfo(fmt::format("encoder from {}\n{}", options.init, report.Table()));
    std::map<std::string, std::string> metadata;
    core::ReadWeights(options.init, &metadata);
    if (const auto own = engine::NormalizationOf(metadata)) learner.normalization = *own;
  }
  learner.method = MakeMethod(options, encoder);
  learner.method->To(compute.device);
  learner.method->SetTraining(true);
  learner.optimizer = std::make_unique<engine::Optimizer>(
      options.optimizer, learner.method->ParamGroups(options.optimizer));
  return learner;
}

StepOutput AddGradient(Method& method, const std::vector<at::Tensor>& groups,
                       const engine::Compute& compute, double share) {
  StepOutput output;
  {
    const engine::AutocastGuard autocast(compute.device.type(), compute.bf16);
    output = method.Forward(groups);
  }
  (share == 1.0 ? output.loss : output.loss * share).backward();
  output.loss = output.loss.detach();
  return output;
}

std::map<std::string, std::string> WeightsMetadata(const PretrainOptions& options,
                                                   const engine::Normalization& normalization) {
  std::map<std::string, std::string> metadata = {{"format", "pt"},
                                                 {"eosin.arch", options.arch},
                                                 {"eosin.stem", options.stem},
                                                 {"eosin.method", options.method}};
  engine::AddToMetadata(normalization, &metadata);
  return metadata;
}

}  // namespace eosin::pretrain
