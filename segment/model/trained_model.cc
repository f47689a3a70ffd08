// SPDX-License-Identifier: Apache-2.0
#include "segment/model/trained_model.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/softmax.h>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sstream>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/formats/safetensors.h"
#include "engine/models/init.h"
#include "engine/weights/weights.h"
#include "segment/data/split.h"
#include "segment/model/build_model.h"

namespace eosin::segment {
namespace {

namespace fs = std::filesystem;

SegmentOptions ReadOptions(const fs::path& run) {
  if (!fs::is_directory(run)) {
    throw core::WeightsError("there is no run folder " + run.string(),
                             "--model takes the --out folder of eosin segment");
  }
  const fs::path config = run / "config.toml";
  if (!fs::exists(config)) {
    throw core::WeightsError(run.string() + " is no run of eosin segment: it has no config.toml",
                             "--model takes the --out folder of eosin segment");
  }
  SegmentOptions options;
  SplitOptions split;
  core::OptionSet set;
  options.Bind(set);
  split.Bind(set);
  split.BindOfficial(set);
  try {
    set.ReadToml(config);
    options.Check();
  } catch (const core::ConfigError& error) {
    throw core::WeightsError(
        fs::path(config).string() + " is no config of eosin segment: " + error.what(),
        "--model takes the --out folder of eosin segment (not of pretrain or study)");
  }
  if (!fs::exists(run / "model.safetensors")) {
    throw core::WeightsError("the run " + run.string() + " has no model.safetensors",
                             "let its training finish: eosin segment --resume " + run.string());
  }
  return options;
}

}  // namespace

TrainedModel::TrainedModel(const fs::path& run, const engine::Compute& compute)
    : compute_(compute), options_(ReadOptions(run)) {
  std::map<std::string, std::string> metadata;
  const core::StateDict state = core::ReadSafetensors(run / "model.safetensors", &metadata);
  const auto normalization = engine::NormalizationOf(metadata);
  if (!normalization) {
    throw core::WeightsError(
        (run / "model.safetensors").string() + " does not say how its input is normalised",
        "use the file that eosin segment wrote: another program dropped its metadata");
  }
  normalization_ = *normalization;
  if (const auto rates = metadata.find("eosin.rates"); rates != metadata.end()) {
    options_.rates.clear();  // in the config they may be left to the crop's size
    std::istringstream numbers(rates->second);
    for (std::string rate; std::getline(numbers, rate, ',');) {
      options_.rates.push_back(std::strtod(rate.c_str(), nullptr));
    }
  }
  net_ = SegmentationNet(NetOptions(options_));
  engine::LoadRules rules;
  rules.strict = true;
  rules.ignore_prefixes = {};
  try {
    engine::LoadStateDict(*net_, state, rules);
  } catch (const core::WeightsError& error) {
    throw core::WeightsError(
        (run / "model.safetensors").string() + " does not fit its config.toml: " + error.what(),
        "both files must be of the same run");
  }
  std::map<std::string, std::string> facts = NetMetadata(options_);
  engine::AddToMetadata(normalization_, &facts);
  std::string text = state.Hash();
  for (const auto& [key, value] : facts) text += "\n" + key + "=" + value;
  hash_ = core::Sha256Hex(text);
  net_->to(compute_.device);
  engine::ToChannelsLast(*net_);
  net_->eval();
}

void TrainedModel::Predict(const uint8_t* images, int64_t count, int64_t side, int one,
                           uint16_t* probabilities) {
  at::NoGradGuard no_grad;
  const at::Tensor input = engine::ToInput(images, count, side, compute_.device, normalization_);
  at::Tensor logits;
  {
    const engine::AutocastGuard autocast(compute_.device.type(), compute_.bf16);
    logits = net_->forward(input).out;
  }
  // At most 32767, so int16 carries it from the device.
  const at::Tensor units = at::softmax(logits.to(at::kFloat), 1)
                               .mul_(one)
                               .round_()
                               .to(at::kShort)
                               .to(at::kCPU)
                               .contiguous();
  std::memcpy(probabilities, units.data_ptr<int16_t>(),
              static_cast<size_t>(units.numel()) * sizeof(int16_t));
}

}  // namespace eosin::segment
