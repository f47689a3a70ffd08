// SPDX-License-Identifier: Apache-2.0
#include "pretrain/signals.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sub.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/nan_to_num.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <limits>
#include <numeric>

#include "core/base/philox.h"
#include "engine/training/device.h"
#include "eval/analysis/spread.h"
#include "pretrain/losses.h"

namespace eosin::pretrain {
namespace {

at::Tensor Length(const std::vector<at::Tensor>& tensors) {
  if (tensors.empty()) return at::zeros({});
  return at::linalg_vector_norm(at::stack(at::_foreach_norm(tensors)));
}

at::Tensor Distance(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return Length(at::_foreach_sub(a, b));
}

at::Tensor Unit(const at::Tensor& rows) {
  const at::Tensor z = rows.to(at::kFloat);
  return z / z.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
}

// Perplexity of a row's softmax over its negatives.
at::Tensor NegativesUsed(const at::Tensor& embedding, double temperature) {
  const int64_t rows = embedding.size(0), n = rows / 2;
  const at::Tensor unit = Unit(embedding);
  at::Tensor logits = at::matmul(unit / temperature, unit.t());
  const at::Tensor index =
      at::arange(rows, at::TensorOptions().dtype(at::kLong).device(unit.device()));
  const at::Tensor other = (index + n).remainder(rows);
  const at::Tensor mask = index.unsqueeze(1).eq(index).logical_or_(other.unsqueeze(1).eq(index));
  logits.masked_fill_(mask, -1e30);
  const at::Tensor log_p = at::log_softmax(logits, 1);
  const at::Tensor entropy = -(log_p.exp() * log_p).masked_fill(mask, 0.0).sum(1).mean();
  return entropy.exp();
}

// Mean over pixels of |a - b| over mean of |a - mean of a|.
at::Tensor ViewDistance(const at::Tensor& views) {
  const int64_t n = views.size(0) / 2;
  const at::Tensor a = views.narrow(0, 0, n), b = views.narrow(0, n, n);
  return (a - b).abs().mean() / (a - a.mean()).abs().mean().clamp_min(1e-6);
}

}  // namespace

std::string StageOf(const std::string& name) {
  const size_t dot = name.find('.');
  const std::string part = name.substr(0, dot);
  if (part != "encoder") return part;
  const std::string child = name.substr(dot + 1, name.find('.', dot + 1) - dot - 1);
  return part + "." + (child.rfind("layer", 0) == 0 || child == "fc" ? child : "stem");
}

StepSignals::StepSignals(Method& method) : method_(method), trained_(method.Trainable()) {
  for (const auto& [name, parameter] : trained_) stages_[StageOf(name)].push_back(parameter);
  const auto& parts = method.parts();
  for (const auto& [part, module] : parts) {
    const auto target = parts.find("target_" + part);
    if (target == parts.end()) continue;
    const auto to = target->second->parameters(), from = module->parameters();
    if (to.size() != from.size()) continue;
    target_.insert(target_.end(), to.begin(), to.end());
    online_.insert(online_.end(), from.begin(), from.end());
  }
}

std::vector<std::string> StepSignals::names() const {
  std::vector<std::string> names = {"loss",           "grad_norm",      "update_share",
                                    "feature_spread", "embedding_rank", "pair_top1",
                                    "alignment",      "uniformity",     "view_distance"};
  if (!target_.empty()) names.push_back("target_momentum");
  if (method_.contrast().temperature > 0) {
    names.push_back("loss_ratio");
    names.push_back("negatives_used");
  }
  for (const auto& [stage, parameters] : stages_) names.push_back("grad_" + stage);
  return names;
}

void StepSignals::AfterBackward(const StepOutput& output, const std::vector<at::Tensor>& groups) {
  const at::NoGradGuard no_grad;
  signals_.clear();
  signals_.emplace_back("loss", output.loss);
  std::vector<at::Tensor> norms;
  for (const auto& [stage, parameters] : stages_) {
    std::vector<at::Tensor> grads;
    for (const at::Tensor& parameter : parameters) {
      if (parameter.grad().defined()) grads.push_back(parameter.grad());
    }
    norms.push_back(grads.empty() ? at::zeros_like(output.loss) : Length(grads));
    signals_.emplace_back("grad_" + stage, norms.back());
  }
  signals_.emplace_back("grad_norm", at::linalg_vector_norm(at::stack(norms)));

  const at::Tensor& z = output.embedding;
  const int64_t n = z.size(0) / 2;
  signals_.emplace_back("feature_spread", eval::StdRatio(z));
  signals_.emplace_back("embedding_rank", eval::RankMe(at::nan_to_num(z)));
  signals_.emplace_back("pair_top1", PairTop1(z));
  signals_.emplace_back("alignment", eval::Alignment(z.narrow(0, 0, n), z.narrow(0, n, n)));
  signals_.emplace_back("uniformity", eval::Uniformity(z));
  signals_.emplace_back("view_distance", ViewDistance(groups.at(0)));
  const Method::Contrast contrast = method_.contrast();
  if (contrast.temperature > 0) {
    // Local crops add terms of their own.
    if (groups.size() == 1) {
      signals_.emplace_back("loss_ratio",
                            output.loss / (contrast.scale * NtXent(z, contrast.temperature)));
    }
    signals_.emplace_back("negatives_used", NegativesUsed(z, contrast.temperature));
  }
  before_.clear();
  for (const auto& [name, parameter] : trained_) before_.push_back(parameter.detach().clone());
}

void StepSignals::AfterUpdate() {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> now;
  for (const auto& [name, parameter] : trained_) now.push_back(parameter.detach());
  signals_.emplace_back("update_share", Distance(now, before_) / Length(before_).clamp_min(1e-12));
  before_.clear();
  if (!target_.empty()) gap_ = Distance(online_, target_);
}

void StepSignals::AfterStep() {
  const at::NoGradGuard no_grad;
  if (target_.empty()) return;
  // Without a gap there is nothing to keep: NaN, not measured.
  signals_.emplace_back("target_momentum", Distance(online_, target_) / gap_);
}

std::map<std::string, double> StepSignals::Read() {
  std::vector<at::Tensor> values;
  for (const auto& [name, value] : signals_) values.push_back(value.to(at::kDouble).reshape({}));
  const at::Tensor all = at::stack(values).to(at::kCPU);
  std::map<std::string, double> read;
  for (size_t i = 0; i < signals_.size(); ++i) {
    read[signals_[i].first] = all.data_ptr<double>()[i];
  }
  signals_.clear();
  return read;
}

double BatchLeak(Method& method, const std::vector<at::Tensor>& groups,
                 const engine::Compute& compute, uint64_t seed, int64_t step) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> buffers, kept;
  for (const auto& [part, module] : method.parts()) {
    for (const at::Tensor& buffer : module->buffers()) {
      buffers.push_back(buffer);
      kept.push_back(buffer.clone());
    }
  }
  const int64_t n = groups.at(0).size(0) / 2;
  std::vector<int64_t> order(static_cast<size_t>(n)), back(order.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  core::Shuffle(
      order, core::PhiloxStream(seed, core::DrawPurpose::kDropout, static_cast<uint32_t>(step), 0));
  for (size_t i = 0; i < order.size(); ++i) back[static_cast<size_t>(order[i])] = i;
  const auto device = groups[0].device();
  auto second = [&](const at::Tensor& rows, const std::vector<int64_t>& by) {
    return at::cat({rows.narrow(0, 0, n),
                    rows.narrow(0, n, n).index_select(0, at::tensor(by, at::kLong).to(device))});
  };
  std::vector<at::Tensor> mixed = groups;
  mixed[0] = second(groups[0], order).contiguous(at::MemoryFormat::ChannelsLast);
  auto embed = [&](const std::vector<at::Tensor>& views) {
    const engine::AutocastGuard autocast(compute.device.type(), compute.bf16);
    return method.Forward(views).embedding;
  };
  const at::Tensor together = Unit(embed(groups)), apart = Unit(second(embed(mixed), back));
  for (size_t i = 0; i < buffers.size(); ++i) buffers[i].copy_(kept[i]);
  const at::Tensor spread = (together - together.mean(0, true)).norm().clamp_min(1e-12);
  return ((apart - together).norm() / spread).item<double>();
}

}  // namespace eosin::pretrain
