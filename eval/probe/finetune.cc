// SPDX-License-Identifier: Apache-2.0
#include "eval/probe/finetune.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/progress.h"
#include "engine/data/view_loader.h"
#include "engine/models/init.h"
#include "engine/training/optimizer.h"
#include "engine/weights/weights.h"
#include "eval/embed.h"
#include "eval/encoder.h"
#include "eval/study/split.h"

namespace eosin::eval {
namespace {

// A set as a source of its own, with the split's labels.
class SetSource : public engine::ImageSource {
 public:
  explicit SetSource(const ImageSet& set) : set_(set) {}
  int64_t size() const override { return set_.size(); }
  core::Image Read(int64_t i) const override { return set_.source->Read(At(i)); }
  std::string name(int64_t i) const override { return set_.source->name(At(i)); }
  std::string group(int64_t i) const override { return set_.source->group(At(i)); }
  bool has_groups() const override { return set_.source->has_groups(); }
  int64_t label(int64_t i) const override { return set_.labels.at(static_cast<size_t>(i)); }
  const std::vector<std::string>& classes() const override { return set_.source->classes(); }
  std::pair<int, int> uniform_size() const override { return set_.source->uniform_size(); }

 private:
  int64_t At(int64_t i) const { return set_.indices.at(static_cast<size_t>(i)); }
  const ImageSet& set_;
};

engine::ViewRecipe LightRecipe(int64_t size, const FinetuneOptions& options) {
  engine::ViewRecipe recipe = engine::ViewRecipe::Preset("none");
  recipe.size = size;
  recipe.crop_scale_min = options.crop_min;
  recipe.crop_scale_max = 1;
  recipe.crop_ratio_min = 3.0 / 4;
  recipe.crop_ratio_max = 4.0 / 3;
  recipe.hflip_probability = 0.5;
  if (options.any_turn) recipe.vflip_probability = recipe.rot90_probability = 0.5;
  return recipe;
}

// The encoder's weights under a classifier's names, with a fresh head.
engine::ResNet MakeClassifier(const Encoder& encoder, int64_t classes, uint64_t seed,
                              const engine::Compute& compute) {
  engine::ResNetOptions options = encoder.net->options();
  options.num_classes = static_cast<int>(classes);
  engine::ResNet net(options);
  engine::InitResNet(net, seed);
  engine::LoadRules rules;  // leaves fc alone
  rules.min_share = 1.0;
  engine::LoadStateDict(*net, engine::ToStateDict(*encoder.net), rules);
  net->to(compute.device);
  engine::ToChannelsLast(*net);
  return net;
}

}  // namespace

void FinetuneOptions::Bind(core::OptionSet& set, const std::string& prefix) {
  set.Add(prefix + ".epochs", &epochs, {.doc = "passes over the labelled images", .min = 1});
  set.Add(prefix + ".batch", &batch, {.doc = "images a step", .min = 2});
  set.Add(prefix + ".lr", &lr, {.doc = "SGD's learning rate, times batch / 256", .min = 0});
  set.Add(prefix + ".weight_decay", &weight_decay, {.doc = "of weights, not of biases", .min = 0});
  set.Add(prefix + ".crop_min", &crop_min,
          {.doc = "random resized crop: smallest share of the area", .min = 0.01, .max = 1});
  set.Add(prefix + ".any_turn", &any_turn,
          {.doc = "quarter turns and vertical mirrors too, for tissue"});
}

FinetuneResult Finetune(const Encoder& encoder, const ImageSet& train, const ImageSet& test,
                        int64_t classes, int64_t size, int workers, uint64_t seed,
                        const FinetuneOptions& options, const engine::Compute& compute) {
  const SetSource source(train);
  engine::ResNet net = MakeClassifier(encoder, classes, seed, compute);
  engine::NamedParameters parameters;
  for (const auto& item : net->named_parameters())
    parameters.emplace_back(item.key(), item.value());
  engine::OptimizerOptions sgd;
  sgd.name = "sgd";
  sgd.lr = options.lr;
  sgd.momentum = 0.9;
  sgd.weight_decay = options.weight_decay;
  engine::Optimizer optimizer(sgd, engine::MakeParamGroups(parameters, true));

  engine::LoaderOptions loading;
  loading.batch = std::min(options.batch, train.size());
  loading.workers = workers;
  loading.seed = seed;
  engine::ViewLoader loader(source, {LightRecipe(size, options)}, loading);
  const int64_t steps = loader.steps_per_epoch();
  const double peak = options.lr * static_cast<double>(loading.batch) / 256;
  const auto total = static_cast<double>(steps * options.epochs);
  const EmbedOptions embedding{.size = size,
                               .batch = std::max<int64_t>(options.batch, 64),
                               .workers = workers,
                               .normalization = encoder.normalization};
  const at::Tensor truth = test.Labels();
  core::Progress progress("fine-tune " + encoder.name, steps * options.epochs, "steps");
  FinetuneResult result;
  for (int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    net->train();
    loader.StartEpoch(epoch);
    at::Tensor loss_sum = at::zeros({}, at::TensorOptions().device(compute.device));
    while (const engine::Batch* batch = loader.Next()) {
      core::ThrowIfInterrupted();
      const double done = static_cast<double>(epoch * steps + batch->step) / total;
      const at::Tensor input =
          engine::ToInput(batch->views, batch->size(), size, compute.device, encoder.normalization);
      const at::Tensor target = at::tensor(batch->labels, at::kLong).to(compute.device);
      optimizer.ZeroGrad();
      at::Tensor logits;
      {
        const engine::AutocastGuard autocast(compute.device.type(), compute.bf16);
        logits = net->forward(input);
      }
      const at::Tensor loss = at::cross_entropy_loss(logits.to(at::kFloat), target);
      loss.backward();
      optimizer.Step(0.5 * peak * (1 + std::cos(std::numbers::pi * done)));
      loss_sum += loss.detach();
      progress.Advance();
    }
    const double loss = loss_sum.item<double>() / static_cast<double>(steps);
    if (!std::isfinite(loss)) {
      throw core::DataError(
          fmt::format("the fine-tune of {} diverged in epoch {}", encoder.name, epoch + 1),
          "lower finetune.lr");
    }
    result.train_loss.push_back(loss);
    const at::Tensor predicted =
        Embed(net, *test.source, test.indices, embedding, compute).argmax(1);
    result.test_accuracy.push_back(predicted.eq(truth).to(at::kDouble).mean().item<double>());
    progress.SetNote(
        fmt::format("loss {:.3f}, test {:.1f} %", loss, 100 * result.test_accuracy.back()));
    const auto* data = predicted.const_data_ptr<int64_t>();
    result.predicted.assign(data, data + predicted.numel());
  }
  return result;
}

int64_t EpochsToReach(const std::vector<double>& accuracy, double level) {
  for (size_t e = 0; e < accuracy.size(); ++e) {
    if (accuracy[e] >= level) return static_cast<int64_t>(e) + 1;
  }
  return 0;
}

double CurveArea(const std::vector<double>& accuracy) {
  double sum = 0;
  for (const double value : accuracy) sum += value;
  return accuracy.empty() ? 0 : sum / static_cast<double>(accuracy.size());
}

}  // namespace eosin::eval
