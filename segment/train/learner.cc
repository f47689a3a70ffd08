// SPDX-License-Identifier: Apache-2.0
#include "segment/train/learner.h"

#include <algorithm>
#include <set>
#include <string>

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>

#include "engine/models/init.h"
#include "segment/train/losses.h"

namespace eosin::segment {
namespace {

engine::LrSchedule MakeRate(const SegmentOptions& options) {
  engine::ScheduleOptions schedule;
  schedule.shape = options.schedule;
  schedule.power = options.poly_power;
  schedule.warmup_epochs = static_cast<double>(options.warmup);  // one step an "epoch"
  schedule.scale = "none";
  return {schedule, options.optimizer.lr, 1, options.steps};
}

// A pair of groups (with and without decay) a stage, then the head's. Stages that are frozen
// throughout are left out.
std::unique_ptr<engine::Optimizer> MakeOptimizer(const SegmentOptions& options,
                                                 SegmentationNet& net, int always_frozen) {
  const bool exclude = options.optimizer.exclude_bias_and_norm;
  std::vector<engine::ParamGroup> groups;
  auto add = [&](const engine::NamedParameters& parameters, double lr) {
    for (auto& group : engine::MakeParamGroups(parameters, exclude, lr)) groups.push_back(group);
  };
  // Names of the whole network, so that a checkpoint says what is what.
  std::set<const void*> in_stage;
  const auto& stages = engine::ResNetImpl::StageNames();
  for (size_t s = 0; s < stages.size(); ++s) {
    std::set<const void*> mine;
    for (const auto& module : net->backbone()->StageModules(stages[s])) {
      for (const at::Tensor& parameter : module->parameters()) {
        mine.insert(parameter.unsafeGetTensorImpl());
      }
    }
    in_stage.insert(mine.begin(), mine.end());
    if (static_cast<int>(s) < always_frozen) continue;
    engine::NamedParameters parameters;
    for (const auto& entry : net->named_parameters()) {
      if (mine.count(entry.value().unsafeGetTensorImpl()) != 0) {
        parameters.emplace_back(entry.key(), entry.value());
      }
    }
    add(parameters, options.BackboneLr() * options.stage_lr.at(s));
  }
  engine::NamedParameters head;
  for (const auto& entry : net->named_parameters()) {
    if (in_stage.count(entry.value().unsafeGetTensorImpl()) == 0) {
      head.emplace_back(entry.key(), entry.value());
    }
  }
  add(head, 1.0);
  return std::make_unique<engine::Optimizer>(options.optimizer, std::move(groups));
}

}  // namespace

Learner::Learner(const SegmentOptions& options, const engine::Compute& compute, SegmentationNet net,
                 const std::vector<double>& class_weights)
    : options_(options),
      compute_(compute),
      net_(std::move(net)),
      schedule_(options),
      rate_(MakeRate(options)) {
  net_->to(compute_.device);
  engine::ToChannelsLast(*net_);
  if (!class_weights.empty()) {
    const std::vector<float> weights(class_weights.begin(), class_weights.end());
    class_weights_ = at::from_blob(const_cast<float*>(weights.data()),
                                   {static_cast<int64_t>(weights.size())}, at::kFloat)
                         .clone()
                         .to(compute_.device);
  }
  frozen_ = std::make_unique<FrozenStages>(net_, schedule_.always());
  always_frozen_ = frozen_->parameters();
  optimizer_ = MakeOptimizer(options_, net_, schedule_.always());
  Prepare(0);
}

void Learner::Prepare(int64_t step) {
  const int depth = schedule_.DepthAt(step);
  if (depth != frozen_->depth()) {
    frozen_ = std::make_unique<FrozenStages>(net_, depth);
    optimizer_->ZeroGrad();  // what froze keeps no gradient that an update would use
  } else if (!net_->is_training()) {
    frozen_->TrainMode(net_);
  }
}

std::vector<at::Tensor> Learner::Features(const at::Tensor& input) {
  const int depth = frozen_->depth();
  if (depth == 0) return {input};
  const at::NoGradGuard no_grad;
  const engine::AutocastGuard autocast(compute_.device.type(), compute_.bf16);
  const std::vector<int> heads = net_->HeadStages();
  std::vector<at::Tensor> stages(static_cast<size_t>(depth));
  at::Tensor last = input;
  for (int stage = 0; stage < depth; ++stage) {
    last = net_->backbone()->forward_stage(stage, last);
    const bool read = std::find(heads.begin(), heads.end(), stage) != heads.end();
    if (read || stage + 1 == depth) stages[static_cast<size_t>(stage)] = last;
  }
  return stages;
}

at::Tensor Learner::Loss(const std::vector<at::Tensor>& features, const at::Tensor& target,
                         int64_t step) {
  at::manual_seed(static_cast<uint64_t>(options_.seed) * 1000003u + static_cast<uint64_t>(step));
  optimizer_->ZeroGrad();
  DeepLabOutput output;
  {
    const engine::AutocastGuard autocast(compute_.device.type(), compute_.bf16);
    output = net_->forward_from(frozen_->depth(), features, target.sizes().slice(1));
  }
  at::Tensor loss = SumOfLosses(options_.loss, output.out, target, class_weights_);
  if (output.aux.defined() && options_.aux_weight > 0) {
    loss =
        loss + options_.aux_weight * SumOfLosses(options_.loss, output.aux, target, class_weights_);
  }
  return loss;
}

void Learner::Update(const at::Tensor& loss, int64_t step) {
  loss.backward();
  if (options_.clip_grad > 0) optimizer_->ClipGrad(options_.clip_grad);
  optimizer_->Step(rate_.At(step));
}

}  // namespace eosin::segment
