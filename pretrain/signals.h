// SPDX-License-Identifier: Apache-2.0
// Signs of health of one training step, measured on the device and read with one transfer. What
// they mean for the run is for the monitor (monitor.h) to say. Only measured at steps that write a
// row of metrics: a copy of the trained weights is held for the length of such a step.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "pretrain/method.h"

namespace eosin::pretrain {

// Names and 0-d tensors, all on one device.
using Signals = std::vector<std::pair<std::string, at::Tensor>>;

// "encoder.layer2.0.conv1.weight" -> "encoder.layer2", "encoder.bn1.bias" -> "encoder.stem",
// "projector.0.weight" -> "projector".
std::string StageOf(const std::string& name);

class StepSignals {
 public:
  explicit StepSignals(Method& method);

  // What Read gives. Always:
  //   loss             as the method reports it
  //   grad_norm        of all gradients; grad_<part>[.<stage>] of its parts
  //   update_share     length of the step over the length of the weights
  //   feature_spread   std of the embedding's channels against 1/sqrt(d): 1 spread, 0 collapsed
  //   embedding_rank   effective rank (RankMe) of the batch's embedding
  //   pair_top1        share of views whose nearest other view is of the same image
  //   alignment        mean squared distance of the two views' embeddings, 0..4
  //   uniformity       0 one point, about -4 spread over the sphere
  //   view_distance    mean distance of the two views' pixels over the pixels' own spread
  // With a momentum target (parts "x" and "target_x"):
  //   target_momentum  share of the gap between them that the target keeps in this step
  // With a contrastive loss:
  //   loss_ratio       loss over the same loss recomputed from the whole batch
  //   negatives_used   exp(entropy of a row's softmax over its negatives): as if so many
  std::vector<std::string> names() const;

  // In this order around one step: inputs and loss after backward; then the optimiser's step; then
  // Method::AfterStep.
  void AfterBackward(const StepOutput& output, const std::vector<at::Tensor>& groups);
  void AfterUpdate();
  void AfterStep();
  std::map<std::string, double> Read();

 private:
  Method& method_;
  engine::NamedParameters trained_;
  std::map<std::string, std::vector<at::Tensor>> stages_;  // trained, by part and stage
  std::vector<at::Tensor> target_, online_;                // of the momentum average
  std::vector<at::Tensor> before_;                         // trained, before the update
  at::Tensor gap_;
  Signals signals_;
};

// Does a view's embedding depend on who stands beside it? The same batch twice in training mode: as
// it is, and with the second views in another order (undone in the embedding). BatchNorm over whole
// views cannot tell. Statistics over parts of a batch that hold both views of an image give away
// who belongs to whom (He et al., MoCo, arXiv 1911.05722, section 3.3). Nothing of the method
// changes. Returns how far the L2-normalised embedding moves over its own spread: rounding when
// healthy, about 1 with statistics over a few images.
double BatchLeak(Method& method, const std::vector<at::Tensor>& groups,
                 const engine::Compute& compute, uint64_t seed, int64_t step);

}  // namespace eosin::pretrain
