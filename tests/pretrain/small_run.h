// SPDX-License-Identifier: Apache-2.0
// What tests of whole runs share: a set of 20 made textures, options to match, what a run left.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/formats/csv.h"
#include "engine/training/checkpoint.h"
#include "pretrain/standin.h"
#include "pretrain/trainer.h"

namespace eosin::pretrain {

namespace fs = std::filesystem;

// 20 textures of two classes on 5 "slides".
class Textures : public engine::ImageSource {
 public:
  int64_t size() const override { return 20; }
  core::Image Read(int64_t i) const override {
    return MakeTexture(1, static_cast<int>(label(i)) * 4, i, 24);
  }
  std::string name(int64_t i) const override { return "tile" + std::to_string(i); }
  std::string group(int64_t i) const override { return "slide" + std::to_string(i % 5); }
  int64_t label(int64_t i) const override { return i % 2; }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::pair<int, int> uniform_size() const override { return {24, 24}; }

 private:
  std::vector<std::string> classes_ = {"stripes", "noise"};
};

inline PretrainOptions Options(const std::string& method) {
  return ReadOptions("", "",
                     {{"data.path", "made"},
                      {"method", method},
                      {"data.size", "16"},
                      {"model.arch", "resnet18"},
                      {"model.width", "8"},
                      {"train.batch", "4"},
                      {"train.epochs", "2"},
                      {"train.log_every", "2"},
                      {"compute.device", "cpu"},
                      {"compute.threads", "1"},
                      {"byol.hidden", "64"},
                      {"byol.out", "32"},
                      {"knn.every", "1"},
                      {"seed", "11"}});
}

inline engine::RunFolder MakeRun(const fs::path& path, const PretrainOptions& options) {
  return engine::RunFolder::Create(path, "pretrain", options.ToToml());
}

// Hashes of every part of the last checkpoint: networks, target, optimiser.
inline std::map<std::string, std::string> Hashes(const fs::path& run) {
  std::map<std::string, std::string> hashes;
  for (const auto& [part, dict] : engine::LoadCheckpoint(run / "checkpoints/last").tensors) {
    hashes[part] = dict.Hash();
  }
  return hashes;
}

// metrics.csv without what depends on the clock.
inline std::vector<std::vector<std::string>> Metrics(const fs::path& run) {
  core::CsvTable table = core::ReadCsv(run / "metrics.csv");
  for (const char* column : {"images_per_second", "data_wait"}) {
    for (auto& row : table.rows) row[static_cast<size_t>(table.Column(column))].clear();
  }
  return table.rows;
}

}  // namespace eosin::pretrain
