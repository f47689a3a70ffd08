// SPDX-License-Identifier: Apache-2.0
#include "pretrain/nan_capture.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/isfinite.h>
#include <fmt/format.h>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/formats/safetensors.h"
#include "engine/training/checkpoint.h"
#include "pretrain/learner.h"
#include "pretrain/run_state.h"
#include "pretrain/signals.h"

namespace eosin::pretrain {
namespace {

using Json = nlohmann::json;

core::TensorBlob IntBlob(const std::string& name, const std::vector<int64_t>& values) {
  core::TensorBlob blob{name, core::DType::kI64, {static_cast<int64_t>(values.size())}, {}};
  blob.data.resize(values.size() * sizeof(int64_t));
  std::memcpy(blob.data.data(), values.data(), blob.data.size());
  return blob;
}

// Collects lines; remembers the first thing that was not finite.
class Search {
 public:
  void Look(const std::string& what, const std::vector<at::Tensor>& tensors) {
    int64_t all = 0, bad = 0;
    double most = 0;
    for (const at::Tensor& tensor : tensors) {
      if (!tensor.defined() || tensor.numel() == 0) continue;
      const at::Tensor values = tensor.detach().to(at::kDouble);
      const at::Tensor finite = at::isfinite(values);
      all += values.numel();
      bad += values.numel() - finite.sum().item<int64_t>();
      most =
          std::max(most, values.masked_fill(finite.logical_not(), 0.0).abs().max().item<double>());
    }
    if (all == 0) return;
    report_.lines.push_back(
        bad == 0 ? fmt::format("{}: all {} values finite, largest {:.4g}", what, all, most)
                 : fmt::format("{}: {} of {} values are no numbers", what, bad, all));
    if (bad > 0 && report_.first.empty()) report_.first = what;
  }
  NanReport Take() { return std::move(report_); }

 private:
  NanReport report_;
};

std::map<std::string, std::vector<at::Tensor>> ByStage(const Method& method, bool gradients) {
  std::map<std::string, std::vector<at::Tensor>> stages;
  for (const auto& [name, parameter] : method.Trainable()) {
    stages[StageOf(name)].push_back(gradients ? parameter.grad() : parameter);
  }
  return stages;
}

}  // namespace

NanCapture::NanCapture(Method* method) : method_(method) {
  if (method_ == nullptr) return;
  for (const auto& [part, module] : method_->parts()) {
    for (const at::Tensor& buffer : module->buffers()) buffers_.push_back(buffer.clone());
  }
}

void NanCapture::Restore() const {
  const at::NoGradGuard no_grad;
  size_t i = 0;
  for (const auto& [part, module] : method_->parts()) {
    for (at::Tensor& buffer : module->buffers()) buffer.copy_(buffers_.at(i++));
  }
}

void NanCapture::Write(const std::filesystem::path& folder, const engine::ViewBatch& batch,
                       const std::vector<engine::ViewParams>& records,
                       const engine::Optimizer& optimizer,
                       const std::map<std::string, std::string>& metadata,
                       const NanPlace& place) const {
  Restore();
  engine::Checkpoint checkpoint = Pack(*method_, optimizer, metadata);
  core::StateDict& inputs = checkpoint.tensors["batch"];
  for (size_t g = 0; g < batch.groups.size(); ++g) {
    inputs.Add(engine::FloatBlob(fmt::format("group{}", g), batch.groups[g]));
  }
  inputs.Add(IntBlob("indices", batch.indices));
  inputs.Add(IntBlob("labels", batch.labels));
  if (!records.empty()) {
    core::TensorBlob blob{"records",
                          core::DType::kU8,
                          {static_cast<int64_t>(records.size()), sizeof(engine::ViewParams)},
                          {}};
    blob.data.resize(records.size() * sizeof(engine::ViewParams));
    std::memcpy(blob.data.data(), records.data(), blob.data.size());
    inputs.Add(std::move(blob));
  }
  checkpoint.state = Json{
      {"step", place.step},
      {"epoch", place.epoch},
      {"step_of_epoch", batch.step},
      {"micro_batch", place.micro_batch},
      {"seed",
       place.seed}}.dump(2);
  engine::SaveCheckpoint(folder, checkpoint);
}

NanReport ReplayNan(const PretrainOptions& options, const std::filesystem::path& folder) {
  const engine::Compute compute = engine::ResolveCompute(options.compute);
  const engine::Checkpoint checkpoint = engine::LoadCheckpoint(folder);
  Learner learner = MakeLearner(options, compute, InitFile::kIgnore);
  Unpack(checkpoint, folder.string(), *learner.method, *learner.optimizer);
  const auto batch = checkpoint.tensors.find("batch");
  std::vector<at::Tensor> groups;
  while (batch != checkpoint.tensors.end()) {
    const core::TensorBlob* blob = batch->second.Find(fmt::format("group{}", groups.size()));
    if (blob == nullptr || blob->dtype != core::DType::kF32 || blob->shape.size() != 4) break;
    groups.push_back(at::from_blob(const_cast<uint8_t*>(blob->data.data()), blob->shape, at::kFloat)
                         .clone()
                         .to(compute.device)
                         .contiguous(at::MemoryFormat::ChannelsLast));
  }
  if (groups.empty()) {
    throw core::WeightsError(folder.string() + " holds no batch", "give the folder RUN/nan");
  }

  Search search;
  for (size_t g = 0; g < groups.size(); ++g) search.Look(fmt::format("inputs {}", g), {groups[g]});
  for (const auto& [stage, tensors] : ByStage(*learner.method, false)) {
    search.Look("weights of " + stage + " before the step", tensors);
  }
  {
    // The encoder stage by stage, its running statistics put back.
    const at::NoGradGuard no_grad;
    const NanCapture before(learner.method.get());
    const engine::AutocastGuard autocast(compute.device.type(), compute.bf16);
    engine::ResNet encoder = learner.method->encoder();
    const char* const names[] = {"stem", "layer1", "layer2", "layer3", "layer4"};
    const std::vector<at::Tensor> stages = encoder->forward_stages(groups[0]);
    for (size_t s = 0; s < stages.size() && s < 5; ++s) {
      search.Look(fmt::format("output of encoder.{}", names[s]), {stages[s]});
    }
    before.Restore();
  }
  learner.optimizer->ZeroGrad();
  const StepOutput output = AddGradient(*learner.method, groups, compute, 1.0);
  search.Look("embedding", {output.embedding});
  search.Look("loss", {output.loss});
  // Backward runs from the heads to the stem.
  const auto gradients = ByStage(*learner.method, true);
  for (auto it = gradients.rbegin(); it != gradients.rend(); ++it) {
    search.Look("gradient of " + it->first, it->second);
  }
  return search.Take();
}

}  // namespace eosin::pretrain
