// SPDX-License-Identifier: Apache-2.0
// How a frozen encoder scores: weighted kNN (Wu et al. 2018: k = 200, T = 0.1) and a linear probe
// solved to convergence, both on features of centre views in fp32, at the end of the training
// (never the best of several looks at the test images).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "eval/encoder.h"
#include "pretrain/bench/plan.h"

namespace eosin::pretrain {

struct BenchScore {
  double knn = 0;                          // share of the test images that is right
  std::optional<double> linear;            // with folds: mean over them
  std::vector<double> folds;               // of the probe, one a fold
  bool converged = true;                   // the probe's solver, every time
  int64_t learnt = 0, bank = 0, test = 0;  // images
  std::string fingerprint;  // SHA-256 of the encoder, equal before and after; empty for pixels
  std::string test_name;
  // Of the pretraining, when it was made in one go: mean loss of its last epoch, time.
  std::optional<double> loss, seconds;

  // JSON beside a cell. Read gives nothing when there is no such file; DataError when damaged.
  void Write(const std::filesystem::path& path) const;
  static std::optional<BenchScore> Read(const std::filesystem::path& path);
};

// What is learnt from and asked about, without scores.
BenchScore CountImages(const BenchData& data);

// The encoder's weights are fingerprinted before and after; a change is a DataError. Throws
// InterruptedError on SIGINT.
BenchScore ScoreEncoder(const eval::Encoder& encoder, const BenchData& data,
                        const BenchOptions& options);

// kNN of raw pixels (32 px, the bank's mean taken off): what no encoder at all gives.
BenchScore ScorePixels(const BenchData& data, const BenchOptions& options);

// The cell's network as it was initialised from the seed: what no training gives.
eval::Encoder RandomEncoder(const PretrainOptions& cell);

}  // namespace eosin::pretrain
