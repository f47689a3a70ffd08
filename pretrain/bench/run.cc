// SPDX-License-Identifier: Apache-2.0
#include "pretrain/bench/run.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <map>
#include <sstream>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "engine/training/run_folder.h"
#include "pretrain/bench/report.h"
#include "pretrain/trainer.h"

namespace eosin::pretrain {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

std::string ToToml(const PretrainOptions& options) { return options.ToToml(); }
std::string ToToml(BenchOptions options) {
  core::OptionSet set;
  options.Bind(set);
  return set.ToToml();
}

// The first line in which two texts differ, of the second one.
std::string FirstDifference(const std::string& a, const std::string& b) {
  std::istringstream in_a(a), in_b(b);
  std::string line_a, line_b;
  while (std::getline(in_b, line_b)) {
    if (!std::getline(in_a, line_a) || line_a != line_b) return line_b;
  }
  return "";
}

// Device and threads may change from call to call; the precision is part of what is computed.
void ForgetMachine(engine::ComputeOptions* compute) {
  const engine::ComputeOptions old = *compute;
  *compute = {};
  compute->precision = old.precision;
  compute->tf32 = old.tf32;
}

// What says which cells there are, and where they are computed: may change from call to call.
void ForgetChoice(BenchOptions* o) {
  const BenchOptions none;
  o->data.clear();
  o->methods = o->augment = o->archs = o->protocols = {};
  o->batches = {};
  o->study_augment.clear();
  o->study_batch = none.study_batch;
  o->full_cross = false;
  o->seeds = none.seeds;
  o->first_seed = 0;
  o->workers = 0;
  ForgetMachine(&o->compute);
}
void ForgetMachine(PretrainOptions* o) {
  o->data.clear();
  o->workers = 0;
  ForgetMachine(&o->compute);
  o->placement = PretrainOptions().placement;
  o->resident_share = PretrainOptions().resident_share;
}

// OUT/bench.toml: written at first; later calls must have the same budget.
void CheckFolder(const BenchOptions& options, const fs::path& out) {
  core::MakeFolder(out);
  const fs::path file = out / "bench.toml";
  if (fs::exists(file)) {
    BenchOptions old;
    core::OptionSet set;
    old.Bind(set);
    set.ReadToml(file);
    BenchOptions now = options;
    ForgetChoice(&old);
    ForgetChoice(&now);
    const std::string line = FirstDifference(ToToml(old), ToToml(now));
    if (!line.empty()) {
      throw core::ConfigError(
          fmt::format("{} was made with another budget than {}", out.string(), line),
          "give the options it was made with (bench.toml there), or another --out");
    }
  } else if (!fs::is_empty(out)) {
    throw core::DataError(fmt::format("the folder {} is not empty", out.string()),
                          "choose another --out, or empty it first");
  }
  core::WriteFileAtomic(file, ToToml(options));
}

class Bench {
 public:
  Bench(const BenchOptions& options, const fs::path& out, const CellHook& hook)
      : options_(options), out_(out), hook_(hook) {}

  BenchResults Run() {
    for (BenchCell& cell : PlanCells(options_)) results_.rows.push_back({std::move(cell), {}, ""});
    for (const std::string& protocol : options_.protocols) {
      const BenchData& data = data_[protocol] = OpenBenchData(options_, protocol);
      results_.protocols.push_back({protocol, data.learn_name, data.test_name});
    }
    for (const BenchRow& row : results_.rows) {
      const int64_t images = data_.at(row.cell.protocol).learn->size();
      const int64_t step = row.cell.batch * row.cell.pretrain.accumulate;
      if (step > images) {
        throw core::ConfigError(
            fmt::format("a batch of {} is larger than the {} images to learn from", step, images),
            "give smaller --batches or more --images");
      }
    }
    CheckFolder(options_, out_);
    for (BenchRow& row : results_.rows) {
      row.score = ReadScore(out_ / "runs" / row.cell.name / "score.json", row.cell.protocol);
    }
    core::LogInfo(fmt::format("{} cells, {} of them finished: {}", results_.rows.size(),
                              results_.finished(), out_.string()));
    Baselines();
    const Clock::time_point start = Clock::now();
    int64_t index = 0, done = 0;
    for (BenchRow& row : results_.rows) {
      ++index;
      if (row.score) {
        CheckConfig(row.cell);
        continue;
      }
      core::ThrowIfInterrupted();
      if (hook_ && hook_(row.cell.name)) {
        throw core::InterruptedError("interrupted before " + row.cell.name,
                                     "run the same command again to go on");
      }
      core::LogInfo(fmt::format("cell {} of {}: {}", index, results_.rows.size(), row.cell.name));
      Cell(&row);
      ++done;
      WriteBenchReport(options_, results_, out_);
      const auto left = static_cast<double>(
          std::count_if(results_.rows.begin(), results_.rows.end(),
                        [](const BenchRow& r) { return !r.score && r.problem.empty(); }));
      if (row.score) {
        core::LogInfo(fmt::format("  kNN {:.1f} %, linear {:.1f} %; about {:.1f} min left",
                                  100 * row.score->knn, 100 * row.score->linear.value_or(0),
                                  Seconds(start) / static_cast<double>(done) * left / 60));
      }
    }
    WriteBenchReport(options_, results_, out_);
    return std::move(results_);
  }

 private:
  // Nothing when there is none. A score of other data must not stand beside new ones.
  std::optional<BenchScore> ReadScore(const fs::path& file, const std::string& protocol) const {
    std::optional<BenchScore> score = BenchScore::Read(file);
    if (!score) return score;
    const BenchScore now = CountImages(data_.at(protocol));
    if (score->learnt == now.learnt && score->bank == now.bank && score->test == now.test &&
        score->test_name == now.test_name) {
      return score;
    }
    const auto text = [](const BenchScore& s) {
      return fmt::format("{} images learnt from, {} labelled, asked about {}", s.learnt, s.bank,
                         s.test_name);
    };
    throw core::DataError(fmt::format("{} is a score of other data: {}; now {}", file.string(),
                                      text(*score), text(now)),
                          "give the --data and --test it was made with, or another --out");
  }

  BenchScore Cached(const std::string& name, const std::string& protocol,
                    const std::function<BenchScore()>& make) {
    const fs::path file = out_ / "baselines" / (name + ".json");
    if (const std::optional<BenchScore> found = ReadScore(file, protocol)) return *found;
    const BenchScore score = make();
    core::MakeFolder(file.parent_path());
    score.Write(file);
    return score;
  }

  void Baselines() {
    for (const std::string& protocol : options_.protocols) {
      const BenchData& data = data_.at(protocol);
      results_.baselines.push_back(
          {false, "raw pixels", protocol, {Cached("pixels-" + protocol, protocol, [&] {
             return ScorePixels(data, options_);
           })}});
      for (const std::string& arch : options_.archs) {
        BenchBaseline random{true, "random " + arch, protocol, {}};
        for (int64_t s = 0; s < options_.seeds; ++s) {
          const int64_t seed = options_.first_seed + s;
          const auto row = std::find_if(
              results_.rows.begin(), results_.rows.end(),
              [&](const BenchRow& r) { return r.cell.arch == arch && r.cell.seed == seed; });
          random.scores.push_back(Cached(
              fmt::format("random-{}-{}-s{}", arch, protocol, seed), protocol,
              [&] { return ScoreEncoder(RandomEncoder(row->cell.pretrain), data, options_); }));
        }
        results_.baselines.push_back(std::move(random));
      }
    }
  }

  // A run that is there must have the cell's settings, but for the machine's.
  void CheckConfig(const BenchCell& cell) const {
    const fs::path folder = out_ / "runs" / cell.name;
    PretrainOptions old = ReadOptions("", (folder / "config.toml").string(), {}),
                    now = cell.pretrain;
    ForgetMachine(&old);
    ForgetMachine(&now);
    const std::string line = FirstDifference(ToToml(old), ToToml(now));
    if (line.empty()) return;
    throw core::ConfigError(
        fmt::format("{} was made with other settings than {}", folder.string(), line),
        "choose another --out, or remove that folder");
  }

  void Cell(BenchRow* row) {
    const BenchCell& cell = row->cell;
    const BenchData& data = data_.at(cell.protocol);
    const fs::path folder = out_ / "runs" / cell.name;
    BenchScore trained;
    {
      bool begun = fs::exists(folder / "state.json");
      if (begun) CheckConfig(cell);
      // One that stopped before its first checkpoint starts over.
      const bool resumes = begun && fs::exists(folder / "checkpoints");
      engine::RunFolder run =
          begun ? engine::RunFolder::Open(folder, "pretrain")
                : engine::RunFolder::Create(folder, "pretrain", ToToml(cell.pretrain));
      if (!run.finished()) {
        const Clock::time_point start = Clock::now();
        try {
          trained.loss = RunPretrain(cell.pretrain, *data.learn, run, begun).loss;
        } catch (const core::DataError& error) {  // its loss is no number, or images are damaged
          row->problem = error.what();
          core::LogWarning(fmt::format("{}: {}", cell.name, error.what()));
          return;
        }
        if (!resumes) trained.seconds = Seconds(start);
        ++results_.trained;
        results_.resumed += resumes;
      }
    }
    BenchScore score = ScoreEncoder(eval::OpenEncoder(folder, cell.name), data, options_);
    score.loss = trained.loss;
    score.seconds = trained.seconds;
    score.Write(folder / "score.json");
    row->score = std::move(score);
  }

  const BenchOptions options_;
  const fs::path out_;
  const CellHook& hook_;
  std::map<std::string, BenchData> data_;
  BenchResults results_;
};

}  // namespace

int64_t BenchResults::finished() const {
  return std::count_if(rows.begin(), rows.end(),
                       [](const BenchRow& row) { return row.score.has_value(); });
}
int64_t BenchResults::failed() const {
  return std::count_if(rows.begin(), rows.end(),
                       [](const BenchRow& row) { return !row.problem.empty(); });
}

BenchResults RunBench(const BenchOptions& options, const std::filesystem::path& out,
                      const CellHook& hook) {
  return Bench(options, out, hook).Run();
}

}  // namespace eosin::pretrain
