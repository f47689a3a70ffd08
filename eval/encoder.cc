// SPDX-License-Identifier: Apache-2.0
#include "eval/encoder.h"

#include <fmt/format.h>
#include <array>
#include <charconv>
#include <cmath>
#include <map>

#include "core/base/error.h"
#include "core/formats/pth.h"
#include "engine/models/init.h"
#include "engine/weights/weights.h"

namespace eosin::eval {
namespace {

namespace fs = std::filesystem;

// The weights file that a path means.
fs::path WeightsFile(const fs::path& path) {
  if (!fs::exists(path)) {
    throw core::WeightsError("no such weights file or run folder: " + path.string(),
                             "give a .safetensors or .pth file, or a folder of eosin pretrain");
  }
  if (!fs::is_directory(path)) return path;
  for (const char* name : {"encoder.safetensors", "encoder.pth"}) {
    if (fs::is_regular_file(path / name)) return path / name;
  }
  const bool run = fs::exists(path / "config.toml");
  throw core::WeightsError(
      "there is no encoder in " + path.string(),
      run ? "the run is not finished: eosin pretrain --resume " + path.string()
          : "give the folder that eosin pretrain --out named, or a weights file");
}

// "runs/ssl/encoder.safetensors" and "runs/ssl" are called ssl, other files by their stem.
std::string NameOf(const fs::path& file) {
  const std::string stem = file.stem().string();
  const std::string folder = fs::absolute(file).lexically_normal().parent_path().filename();
  return stem == "encoder" && !folder.empty() ? folder : stem;
}

}  // namespace

engine::Normalization ParseNormalization(const std::string& text, const std::string& key) {
  if (text == "auto" || text == "imagenet") return {};
  if (text == "none") return {.mean = {0, 0, 0}, .std = {1, 1, 1}};
  std::array<float, 6> values{};
  const char *at = text.data(), *end = at + text.size();
  bool good = true;
  for (size_t i = 0; good && i < values.size(); ++i) {
    if (i > 0) good = at != end && *at++ == ',';
    while (at != end && *at == ' ') ++at;
    const auto [stop, error] = std::from_chars(at, end, values[i]);
    good = good && error == std::errc() && std::isfinite(values[i]) && (i < 3 || values[i] > 0);
    at = stop;
  }
  if (!good || at != end) {
    throw core::ConfigError(fmt::format("{} = \"{}\" is no normalisation", key, text),
                            "use auto, imagenet, none, or three means and three deviations above 0 "
                            "in 0..1, such as 0.5,0.5,0.5,0.25,0.25,0.25");
  }
  return {.mean = {values[0], values[1], values[2]}, .std = {values[3], values[4], values[5]}};
}

Encoder OpenEncoder(const fs::path& path, const std::string& name,
                    const std::string& normalization) {
  const fs::path file = WeightsFile(path);
  Encoder encoder;
  encoder.name = name.empty() ? NameOf(file) : name;
  encoder.source = file.string();
  std::map<std::string, std::string> metadata;
  engine::CheckHashInName(file);
  core::StateDict dict = core::ReadWeights(file, &metadata);
  try {
    dict = engine::MapDialect(std::move(dict));
    const engine::TrunkInfo info = engine::DescribeTrunk(dict);
    if (info.arch.empty()) {
      throw core::WeightsError("the weights are no ResNet-18, 34 or 50",
                               "these are the architectures that eosin evaluates");
    }
    engine::ResNetOptions options;
    options.arch = info.arch;
    options.stem = info.stem;
    options.width = info.width;
    encoder.net = engine::ResNet(options);
    // A part left at its random start would be judged as if it had been learnt.
    engine::LoadRules rules;
    rules.min_share = 1.0;
    engine::LoadStateDict(*encoder.net, dict, rules);
  } catch (const core::WeightsError& error) {
    throw core::WeightsError(fmt::format("{}: {}", file.string(), error.what()), error.hint());
  }
  if (const auto found = engine::NormalizationOf(metadata)) {
    encoder.normalization = *found;
    encoder.normalization_from = "file";
  } else {
    encoder.normalization = ParseNormalization(normalization);
    if (normalization != "auto") encoder.normalization_from = "eval.normalization";
  }
  encoder.net->eval();
  return encoder;
}

Encoder RandomEncoderLike(const Encoder& other, uint64_t seed) {
  Encoder encoder;
  encoder.name = fmt::format("random {}", seed);
  encoder.source = fmt::format("random, seed {}", seed);
  encoder.net = engine::ResNet(other.net->options());
  engine::InitResNet(encoder.net, seed);
  encoder.net->eval();
  encoder.normalization = other.normalization;
  encoder.normalization_from = other.normalization_from;
  return encoder;
}

std::string Fingerprint(const torch::nn::Module& net) { return engine::ToStateDict(net).Hash(); }

}  // namespace eosin::eval
