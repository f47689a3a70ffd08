// SPDX-License-Identifier: Apache-2.0
#include "eval/encoder.h"

#include <fmt/format.h>
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

Encoder OpenEncoder(const fs::path& path, const std::string& name) {
  const fs::path file = WeightsFile(path);
  Encoder encoder;
  encoder.name = name.empty() ? NameOf(file) : name;
  encoder.source = file.string();
  std::map<std::string, std::string> metadata;
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
  if (const auto found = engine::NormalizationOf(metadata)) encoder.normalization = *found;
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
  return encoder;
}

std::string Fingerprint(const torch::nn::Module& net) { return engine::ToStateDict(net).Hash(); }

}  // namespace eosin::eval
