// SPDX-License-Identifier: Apache-2.0
#include "pretrain/bench/score.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>
#include <torch/nn/module.h>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/base/threads.h"
#include "core/image/resample.h"
#include "core/stats/summary.h"
#include "eval/embed.h"
#include "eval/knn.h"
#include "eval/probe/linear_probe.h"

namespace eosin::pretrain {
namespace {

using Json = nlohmann::ordered_json;

std::vector<int64_t> AllOf(const engine::ImageSource& source) {
  std::vector<int64_t> indices(static_cast<size_t>(source.size()));
  std::iota(indices.begin(), indices.end(), int64_t{0});
  return indices;
}

at::Tensor Labels(const engine::ImageSource& source) {
  at::Tensor labels = at::empty({source.size()}, at::kLong);
  auto* to = labels.data_ptr<int64_t>();
  for (int64_t i = 0; i < source.size(); ++i) {
    to[i] = source.label(i);
    if (to[i] < 0) {
      throw core::DataError(source.name(i) + " has no label", "scores need labelled images");
    }
  }
  return labels;
}

int Workers(const BenchOptions& options) {
  return options.workers > 0 ? static_cast<int>(options.workers)
                             : std::max(1, core::AvailableCores() - 1);
}

double Knn(const at::Tensor& bank, const at::Tensor& bank_labels, const at::Tensor& test,
           const at::Tensor& test_labels, int64_t classes, const BenchOptions& options,
           c10::Device device) {
  return eval::KnnAccuracy(bank.to(device), bank_labels.to(device), test.to(device),
                           test_labels.to(device), classes,
                           {.k = options.knn_k, .temperature = options.knn_temperature});
}

// (n, 3072) on 0..1.
at::Tensor Pixels(const engine::ImageSource& source) {
  constexpr int kSide = 32;
  at::Tensor pixels = at::empty({source.size(), 3 * kSide * kSide}, at::kFloat);
  auto* to = pixels.data_ptr<float>();
  for (int64_t i = 0; i < source.size(); ++i) {
    core::ThrowIfInterrupted();
    core::Image image = source.Read(i);
    if (image.width != kSide || image.height != kSide) image = core::Resize(image, kSide, kSide);
    for (const uint8_t level : image.pixels) *to++ = static_cast<float>(level) / 255.0f;
  }
  return pixels;
}

}  // namespace

BenchScore CountImages(const BenchData& data) {
  BenchScore score;
  score.learnt = data.learn->size();
  score.bank = data.bank->size();
  score.test = data.test->size();
  score.test_name = data.test_name;
  return score;
}

void BenchScore::Write(const std::filesystem::path& path) const {
  Json json = {{"knn_top1", knn}};
  if (linear) json["linear_top1"] = *linear;
  if (!folds.empty()) json["folds"] = folds;
  json["probe_converged"] = converged;
  json["images_learnt_from"] = learnt;
  json["bank_images"] = bank;
  json["test_images"] = test;
  json["test"] = test_name;
  if (!fingerprint.empty()) json["encoder_sha256_before_and_after"] = fingerprint;
  if (loss) json["loss"] = *loss;
  if (seconds) json["pretraining_seconds"] = *seconds;
  core::WriteFileAtomic(path, json.dump(1) + "\n");
}

std::optional<BenchScore> BenchScore::Read(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  try {
    const Json json = Json::parse(core::ReadFile(path));
    BenchScore score;
    score.knn = json.at("knn_top1");
    if (json.contains("linear_top1")) score.linear = json.at("linear_top1").get<double>();
    if (json.contains("folds")) score.folds = json.at("folds").get<std::vector<double>>();
    score.converged = json.at("probe_converged");
    score.learnt = json.at("images_learnt_from");
    score.bank = json.at("bank_images");
    score.test = json.at("test_images");
    score.test_name = json.at("test");
    score.fingerprint = json.value("encoder_sha256_before_and_after", "");
    if (json.contains("loss")) score.loss = json.at("loss").get<double>();
    if (json.contains("pretraining_seconds")) {
      score.seconds = json.at("pretraining_seconds").get<double>();
    }
    return score;
  } catch (const Json::exception&) {
    throw core::DataError(path.string() + " is damaged",
                          "remove it: the score is then made again from the encoder");
  }
}

BenchScore ScoreEncoder(const eval::Encoder& encoder, const BenchData& data,
                        const BenchOptions& options) {
  engine::Compute compute = engine::ResolveCompute(options.compute);
  compute.bf16 = false;
  BenchScore score = CountImages(data);
  score.fingerprint = eval::Fingerprint(*encoder.net);
  engine::ResNet net = encoder.net;
  net->to(compute.device);
  const eval::EmbedOptions embedding = {.size = options.size(),
                                        .batch = 256,
                                        .workers = Workers(options),
                                        .normalization = encoder.normalization};
  const at::Tensor bank = eval::Embed(net, *data.bank, AllOf(*data.bank), embedding, compute);
  const at::Tensor test = eval::Embed(net, *data.test, AllOf(*data.test), embedding, compute);
  const at::Tensor bank_labels = Labels(*data.bank), test_labels = Labels(*data.test);
  const auto classes = static_cast<int64_t>(data.bank->classes().size());
  score.knn = Knn(bank, bank_labels, test, test_labels, classes, options, compute.device);

  eval::LinearProbeOptions probe;
  probe.l2 = options.probe_l2;
  const auto fit = [&](const at::Tensor& features, const at::Tensor& labels) {
    core::ThrowIfInterrupted();
    const eval::LinearModel model = eval::FitLinear(features, labels, classes, probe);
    score.converged = score.converged && model.converged;
    return eval::Score(model.Predict(test), test_labels, classes).top1;
  };
  if (data.folds.empty()) {
    score.linear = fit(bank, bank_labels);
  } else {
    for (const std::vector<int64_t>& fold : data.folds) {
      const at::Tensor rows = at::tensor(fold, at::kLong);
      score.folds.push_back(fit(bank.index_select(0, rows), bank_labels.index_select(0, rows)));
    }
    score.linear = core::Mean(score.folds);
  }
  if (eval::Fingerprint(*encoder.net) != score.fingerprint) {
    throw core::DataError("the encoder " + encoder.name + " changed while it was scored",
                          "its scores are void: please report this with the command line");
  }
  return score;
}

BenchScore ScorePixels(const BenchData& data, const BenchOptions& options) {
  const engine::Compute compute = engine::ResolveCompute(options.compute);
  BenchScore score = CountImages(data);
  at::Tensor bank = Pixels(*data.bank), test = Pixels(*data.test);
  const at::Tensor mean = bank.mean(0, true);
  bank.sub_(mean);
  test.sub_(mean);
  score.knn = Knn(bank, Labels(*data.bank), test, Labels(*data.test),
                  static_cast<int64_t>(data.bank->classes().size()), options, compute.device);
  return score;
}

eval::Encoder RandomEncoder(const PretrainOptions& cell) {
  engine::ResNetOptions options;
  options.arch = cell.arch;
  options.stem = cell.stem;
  options.width = static_cast<int>(cell.width);
  options.zero_init_residual = cell.zero_init_residual;
  eval::Encoder encoder;
  encoder.name = fmt::format("random-{}-s{}", cell.arch, cell.seed_value);
  encoder.source = fmt::format("random, seed {}", cell.seed_value);
  encoder.net = engine::ResNet(options);
  engine::InitResNet(encoder.net, cell.seed());
  return encoder;
}

}  // namespace eosin::pretrain
