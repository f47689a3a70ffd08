// SPDX-License-Identifier: Apache-2.0
// The whole evaluation: what `eosin eval` does. Reads the data and splits it by group, embeds with
// every encoder and with random initialisations of the same architectures, measures, and writes
// into options.out:
//   config.toml, log.txt, provenance.json
//   split.csv            image, class, group, part
//   embeddings/<encoder>/  features of the images of the split, as CLAM and TRIDENT users read them
//                        (embedding_file.h). Images without a label, dropped duplicates and those
//                        beyond eval.train_images or eval.test_images are not among them: a slide's
//                        file then has tiles_written < tiles_in_store
//   cache/               features of each set, views and shifts (study/features.h): a rerun reuses
//                        those that still fit; may be deleted
//   finetune/*.json      finished fine-tunes, reused by a rerun
//   results.csv          encoder, measure, value, low, high, n, ...: one row each
//   report.html
// A run that was stopped goes on with the same command. config.toml is written once the split and
// the encoders are accepted, and results of another config.toml are removed then: until state.json
// says finished, the results are not all of them.
#pragma once

#include <string>
#include <vector>

#include "eval/probe/finetune.h"
#include "eval/study/geometry.h"
#include "eval/study/options.h"
#include "eval/study/scores.h"

namespace eosin::eval {

struct Comparison {
  std::string a, b, measure;
  core::Interval difference;  // a - b, points, over the same groups
  bool better() const { return difference.low > 0; }
  bool worse() const { return difference.high < 0; }
};

struct TransferCurve {
  std::string encoder;
  FinetuneResult result;
  int64_t epochs_to_reach = 0;  // 0 = never
  double area = 0;
};

struct EncoderFacts {
  std::string name, source, architecture, fingerprint;
  std::string normalization;  // mean and deviation, and where they come from
  double l2 = 0;              // of the linear probe
};

struct EvalResult {
  std::vector<std::string> classes;
  std::string split;  // as it was printed
  int64_t train = 0, val = 0, test = 0, test_groups = 0, size = 0;
  bool grouped = false;
  int64_t reused = 0;                  // embeddings taken from an earlier run
  std::vector<EncoderFacts> encoders;  // one a member
  std::vector<std::string> subjects;   // rows of the table, in order
  std::vector<Measure> measures;
  std::vector<Comparison> comparisons;
  std::vector<DriftRow> drift;
  std::vector<Picture> pictures;
  std::vector<ShiftResult> shifts;
  std::vector<TransferCurve> transfer;
  std::vector<std::pair<std::string, std::vector<double>>> confusion;  // encoder, C x C counts
  std::vector<std::string> verdict;   // plain sentences, the first ones what matters
  std::vector<std::string> warnings;  // duplicates, groups of one image, no convergence

  // Enough groups that an interval may show a difference (kGroupsToShow).
  bool can_show() const { return test_groups >= kGroupsToShow; }
  const Measure* Find(const std::string& encoder, const std::string& measure) const;
};

// Throws ConfigError, DataError, WeightsError, MachineError, InterruptedError.
EvalResult RunEval(const EvalOptions& options);

// The sentences at the top, from comparisons of the linear probe and of kNN. None says that a
// difference is shown on fewer than kGroupsToShow groups.
std::vector<std::string> MakeVerdict(const EvalResult& result);

}  // namespace eosin::eval
