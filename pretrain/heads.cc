// SPDX-License-Identifier: Apache-2.0
#include "pretrain/heads.h"

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include "core/base/error.h"
#include "engine/models/init.h"

namespace eosin::pretrain {
namespace {

void AddNorm(torch::nn::Sequential& head, HeadNorm norm, int64_t width) {
  if (norm == HeadNorm::kNone) return;
  torch::nn::BatchNorm1d layer(
      torch::nn::BatchNorm1dOptions(width).affine(norm != HeadNorm::kPlain));
  if (norm == HeadNorm::kScale) layer->bias.set_requires_grad(false);
  head->push_back(layer);
}

}  // namespace

HeadNorm ParseHeadNorm(const std::string& word) {
  if (word == "none") return HeadNorm::kNone;
  if (word == "affine") return HeadNorm::kAffine;
  if (word == "scale") return HeadNorm::kScale;
  if (word == "plain") return HeadNorm::kPlain;
  throw core::ConfigError("unknown BatchNorm of a head: " + word, "none, affine, scale or plain");
}

torch::nn::Sequential MakeHead(const HeadOptions& options, uint64_t seed, const std::string& name) {
  using torch::nn::Linear, torch::nn::LinearOptions;
  torch::nn::Sequential head;
  int64_t in = options.in;
  for (int64_t layer = 1; layer < options.layers; ++layer) {
    head->push_back(Linear(LinearOptions(in, options.hidden).bias(options.hidden_bias)));
    AddNorm(head, options.hidden_norm, options.hidden);
    head->push_back(torch::nn::ReLU(torch::nn::ReLUOptions(/*inplace=*/true)));
    in = options.hidden;
  }
  head->push_back(Linear(LinearOptions(in, options.out).bias(options.out_bias)));
  AddNorm(head, options.out_norm, options.out);
  engine::InitModule(*head, seed, engine::ConvInit::kDefault, name + ".");
  return head;
}

}  // namespace eosin::pretrain
