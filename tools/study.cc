// SPDX-License-Identifier: Apache-2.0
// eosin study: joins pretraining and segmentation. The split comes first, so that pretraining never
// sees a validation or test patient; then encoder, stand-in, all models, analysis and report.
#include <fmt/format.h>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "core/base/progress.h"
#include "segment/study/run/run.h"
#include "segment/train/trainer.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/study/live_report.h"
#include "tools/study/prepare.h"
#include "tools/study/setup.h"
#include "tools/study/workers.h"

namespace eosin::tools {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char* kAbout =
    "Compares initialisations of a segmentation network, paired and with intervals: arms x label\n"
    "fractions x seeds on one split by patient, or on study.folds of them; one sentence at the end."
    "\n\n"
    "  eosin study --config configs/glas.toml --set data=DATA --set weights.imagenet=r50.pth --out "
    "RUN\n"
    "  eosin study --out RUN --resume            after an interruption\n\n"
    "Keys below [ssl] are those of eosin pretrain (eosin pretrain --help) and make the study "
    "pretrain\n"
    "on the tiles of all patients but its validation and test patients; ssl.data = FOLDER of tile\n"
    "stores or images, ssl.patients = CSV with slide (or name) and patient_id, ssl.others =\n"
    "WEIGHT:FOLDER more pictures of other patients. Instead, weights.ssl = FILE takes an encoder\n"
    "that is there already.\n\n"
    "RUN/report.html answers the question; study.json, results.csv and summary.md hold the same "
    "for\n"
    "programs; runs/*/result.json the pixel counts behind it all.";

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

segment::TrainFunction Trainer() {
  return
      [](const segment::SegmentOptions& options, const segment::MaskDataset& images,
         const segment::ImageSplit& parts, const fs::path& folder, const segment::StepHook& hook) {
        return segment::TrainSegmenter(options, images, parts, folder, {.hook = hook});
      };
}

// Everything that is no step of training and no scoring, in words.
void PrintOverhead(double all, double training, const std::vector<segment::JobTimes>& times,
                   double prepare, double reports) {
  double jobs = 0, starting = 0, bookkeeping = 0;
  for (const segment::JobTimes& job : times) {
    jobs += job.seconds;
    starting += job.before_first;
    bookkeeping += job.bookkeeping;
  }
  const double work = training + jobs - starting - bookkeeping;
  core::LogInfo(fmt::format(
      "{:.0f} s, of them {:.1f} % neither training nor scoring: preparing {:.1f} s, starting {} "
      "models {:.1f} s, bookkeeping {:.1f} s, reports {:.1f} s, the rest {:.1f} s",
      all, 100 * (all - work) / all, prepare, times.size(), starting, bookkeeping, reports,
      all - work - prepare - starting - bookkeeping - reports));
}

// Waits for the processes, which train; shows what they have done.
void FollowWorkers(StudyWorkers& workers, segment::JobBoard& board, LiveReport& report) {
  board.Refresh();
  core::Progress progress("study", static_cast<int64_t>(board.size()), "models",
                          static_cast<int64_t>(board.done_count()));
  size_t seen = board.done_count();
  while (!board.complete()) {
    core::ThrowIfInterrupted();
    board.Refresh();
    if (board.done_count() != seen) {
      progress.Advance(static_cast<int64_t>(board.done_count() - seen));
      seen = board.done_count();
      report.Update(board);
    }
    workers.Check();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

int Run(StudySetup& setup, const fs::path& run, bool resume) {
  const auto start = Clock::now();
  const PreparedStudy prepared = PrepareStudy(&setup, run, resume);
  const double preparing = Since(start) - prepared.training_seconds;
  setup.study.segment.compute.threads = ModelThreads(setup, run);
  segment::JobBoard board(setup.study, *prepared.data, prepared.plan, run);
  LiveReport report(setup.study, prepared, run);
  std::vector<segment::JobTimes> times;
  board.Refresh();
  const size_t left = board.size() - board.done_count();
  const int processes = static_cast<int>(std::min<int64_t>(setup.study.jobs, left));
  if (processes > 1) {
    const segment::SegmentOptions& recipe = setup.study.segment;
    StudyWorkers workers(run, processes, recipe.compute.device == "cpu",
                         static_cast<int>(recipe.compute.threads));
    FollowWorkers(workers, board, report);
  } else {
    times = segment::RunJobs(board, prepared.plan, *prepared.data, Trainer(),
                             {.on_change = [&](const auto& now) { report.Update(now); }});
  }
  const segment::Analysis analysis = report.WriteFinal(board);
  if (!times.empty()) {
    PrintOverhead(Since(start), prepared.training_seconds, times, preparing, report.seconds());
  }
  std::printf("%s\n%s\n", analysis.verdict_sentence.c_str(),
              fs::absolute(run / "report.html").lexically_normal().c_str());
  return 0;
}

int RunWorker(StudySetup& setup, const fs::path& run) {
  const auto start = Clock::now();
  const PreparedStudy prepared = OpenPreparedStudy(&setup, run);
  const double preparing = Since(start);
  segment::JobBoard board(setup.study, *prepared.data, prepared.plan, run);
  const auto times = segment::RunJobs(board, prepared.plan, *prepared.data, Trainer(),
                                      {.on_change = {}, .quiet = true});
  PrintOverhead(Since(start), 0, times, preparing, 0);
  return 0;
}

}  // namespace

int RunStudyCommand(int argc, char** argv) {
  StudySetup setup;
  CLI::App app(kAbout, "eosin study");
  std::string out, preset;
  std::vector<std::string> configs, assignments;
  bool resume = false;
  int worker = -1;
  app.add_option("--out", out, "folder of the study")->required();
  app.add_option("--config", configs, "TOML file with keys; repeatable, later ones win")
      ->take_all();
  app.add_option("--preset", preset,
                 fmt::format("{}: what the keys of the data start from",
                             fmt::join(segment::DataPresetNames(), " | ")));
  app.add_flag("--resume", resume,
               "continue the study in --out (also where there is none yet, and beside another "
               "process that runs it: they share the models)");
  app.add_option("--set", assignments, "key=value, repeatable; wins over all other ways")
      ->take_all();
  app.add_option("--worker", worker)->group("");  // started by study.jobs > 1
  app.footer(
      "\nKeys for --config (TOML) and --set, with their defaults (and ssl.* as in eosin pretrain "
      "--help). A study sets model.init, train.freeze, seed and train.patience itself and refuses "
      "them:\n" +
      setup.set.Help());
  if (const auto done = Parse(app, argc, argv)) return *done;
  const fs::path stored = fs::path(out) / "config.toml";
  if (configs.empty() && resume && fs::exists(stored)) configs.push_back(stored.string());
  if (configs.empty() && assignments.empty() && preset.empty()) {
    throw core::ConfigError("no settings given", "name a config with --config; see configs/");
  }
  if (!preset.empty()) setup.study.segment.data = segment::DataPreset(preset);
  for (const std::string& config : configs) setup.ReadToml(config);
  for (const std::string& assignment : assignments) setup.Assign(assignment);
  segment::ResolveScale(&setup.study.segment.data);
  if (worker >= 0) return RunWorker(setup, out);
  try {
    return Run(setup, out, resume);
  } catch (const core::InterruptedError&) {
    throw core::InterruptedError("interrupted; what is finished is kept",
                                 fmt::format("continue with: eosin study --out {} --resume", out));
  }
}

}  // namespace eosin::tools
