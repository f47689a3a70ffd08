// SPDX-License-Identifier: Apache-2.0
// Runs a benchmark: each cell is a run folder of `eosin pretrain` under OUT/runs, with its scores
// in score.json beside the encoder. Whatever is finished is kept: after any interruption or kill
// the same call goes on where it stood. OUT/results.csv, summary.md and report.html are written
// after every cell.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pretrain/bench/plan.h"
#include "pretrain/bench/score.h"

namespace eosin::pretrain {

struct BenchRow {
  BenchCell cell;
  std::optional<BenchScore> score;  // nothing yet, or failed
  std::string problem;              // why it failed
};

struct BenchBaseline {
  bool has_seeds = false;          // scores[i] is of seed options.first_seed + i
  std::string name;                // "raw pixels", "random resnet18"
  std::string protocol;            // of the scores
  std::vector<BenchScore> scores;  // one a seed; of pixels one
};

struct BenchResults {
  std::vector<BenchRow> rows;
  std::vector<BenchBaseline> baselines;
  struct Protocol {
    std::string name, learn, test;
  };
  std::vector<Protocol> protocols;
  int64_t trained = 0;  // cells that this call trained to the end
  int64_t resumed = 0;  // of them, those that an earlier call had begun
  int64_t finished() const;
  int64_t failed() const;
};

// Called before each cell that is not finished, with its name; true interrupts like SIGINT.
using CellHook = std::function<bool(const std::string& name)>;

// Throws ConfigError when a batch is larger than the data or OUT was made with another budget or
// precision; DataError on bad data, or when scores in OUT are of other data; InterruptedError. A
// cell whose loss is no number fails alone.
BenchResults RunBench(const BenchOptions& options, const std::filesystem::path& out,
                      const CellHook& hook = {});

}  // namespace eosin::pretrain
