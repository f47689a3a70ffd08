// SPDX-License-Identifier: Apache-2.0
// Windows, starting weights, whole small runs (resumed, stopped early, gone wrong), and a small
// study with real training.
#include "segment/train/trainer.h"

#include <torch/types.h>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "core/base/log.h"
#include "core/formats/pth.h"
#include "core/formats/safetensors.h"
#include "engine/weights/weights.h"
#include "segment/data/crops.h"
#include "segment/model/build_model.h"
#include "segment/predict/predict_image.h"
#include "segment/study/report/report.h"
#include "segment/study/run/run.h"
#include "tests/segment/tiny_run.h"

namespace eosin::segment {
namespace {

using testing::ExpectError;
using testing::TempFolder;
using testing::TinyOptions;

TEST(Windows, CoverWithOverlapAndEndFlush) {
  EXPECT_EQ(WindowStarts(100, 128, 0.25), (std::vector<int64_t>{0}));
  EXPECT_EQ(WindowStarts(128, 128, 0.25), (std::vector<int64_t>{0}));
  EXPECT_EQ(WindowStarts(256, 128, 0), (std::vector<int64_t>{0, 128}));
  EXPECT_EQ(WindowStarts(200, 128, 0.25), (std::vector<int64_t>{0, 72}));
  for (const int64_t length : {129, 333, 775, 1024}) {
    const auto starts = WindowStarts(length, 128, 0.25);
    EXPECT_EQ(starts.front(), 0);
    EXPECT_EQ(starts.back(), length - 128);
    for (size_t i = 1; i < starts.size(); ++i) EXPECT_LE(starts[i] - starts[i - 1], 96);
  }
}

TEST(BuildModel, HeadIsTheSameInEveryArm) {
  TempFolder temp;
  SegmentOptions random = TinyOptions();
  random.seed = 3;
  SegmentOptions other = random;
  other.seed = 4;
  const BuiltModel donor = BuildModel(other);
  SegmentOptions loaded = random;
  loaded.init = (temp / "weights.safetensors").string();
  core::WriteSafetensors(loaded.init, engine::ToStateDict(*donor.net));
  const BuiltModel a = BuildModel(random), b = BuildModel(loaded);
  EXPECT_DOUBLE_EQ(b.matched, 1.0);
  EXPECT_DOUBLE_EQ(a.matched, 0.0);
  int heads = 0, backbones = 0;
  const auto of_a = a.net->named_parameters(), of_b = b.net->named_parameters(),
             of_donor = donor.net->named_parameters();
  for (const auto& entry : of_a) {
    const at::Tensor& x = entry.value();
    const at::Tensor& y = of_b[entry.key()];
    if (entry.key().rfind("backbone.", 0) != 0) {
      EXPECT_TRUE(torch::equal(x, y)) << entry.key();
      ++heads;
    } else {
      EXPECT_TRUE(torch::equal(y, of_donor[entry.key()])) << entry.key();
      ++backbones;
    }
  }
  EXPECT_GT(heads, 5);
  EXPECT_GT(backbones, 30);
  loaded.arch = "resnet34";
  EXPECT_THROW(BuildModel(loaded), core::WeightsError);
}

// A run on twelve made images that can be killed after a step.
class TinyRun : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::MakeMaskData(temp_ / "data", 6, 2, 48);
    options_ = TinyOptions();
    options_.data.data = (temp_ / "data").string();
    options_.steps = 9;
    options_.val_every = 3;
    options_.optimizer.name = "adamw";
    options_.optimizer.lr = 0.003;
    options_.schedule = "cosine";
    options_.warmup = 1;
  }
  // kill_at > 0: ends like a kill after that many steps of this process's counting.
  SegmentResult Run(const SegmentOptions& options, const std::string& name, int64_t kill_at = 0) {
    const MaskDataset data(options.data);
    core::MakeFolder(temp_ / name);
    TrainExtras extras{.save_model = true};
    extras.hook = [&](int64_t step, double) {
      if (step == kill_at) throw std::runtime_error("killed");
    };
    return TrainSegmenter(options, data, SplitByPatient(data.items(), {}), temp_ / name, extras);
  }
  void ExpectSame(const std::string& a, const std::string& b) {
    for (const char* name : {"model.safetensors", "model.pth", "last.safetensors", "metrics.csv"}) {
      EXPECT_TRUE(core::ReadFile(temp_ / a / name) == core::ReadFile(temp_ / b / name)) << name;
    }
  }
  std::string ResultOf(const SegmentResult& result) {
    WriteResult(temp_ / "result.json", result);
    return core::ReadFile(temp_ / "result.json");
  }
  TempFolder temp_;
  SegmentOptions options_;
};

TEST_F(TinyRun, KilledAnywhereItEndsBitForBitTheSame) {
  struct Case {
    const char* freeze;
    double unfreeze_at;
    bool cache;
    const char* head;
  };
  int number = 0;
  for (const Case& one :
       {Case{"none", 0, false, "deeplabv3"}, Case{"all", 0.5, false, "deeplabv3plus"},
        Case{"layer2", 0.6, true, "deeplabv3"}}) {
    SegmentOptions options = options_;
    options.head = one.head;
    options.freeze = one.freeze;
    options.unfreeze_at = one.unfreeze_at;
    options.cache_features = one.cache;
    options.views = one.cache ? 2 : 0;
    options.checkpoint_every = 2;
    options.aux = options.head == "deeplabv3";
    const std::string whole = fmt::format("whole{}", number), part = fmt::format("part{}", number);
    ++number;
    const std::string wanted = ResultOf(Run(options, whole));
    for (const int64_t at : {1, 3, 4, 8, 9}) {  // before any checkpoint, after one, in between
      EXPECT_THROW(Run(options, part, at), std::runtime_error);
    }
    EXPECT_EQ(ResultOf(Run(options, part)), wanted);
    ExpectSame(whole, part);
  }
}

TEST_F(TinyRun, ACheckpointOfOtherSettingsIsRefused) {
  options_.checkpoint_every = 1;
  EXPECT_THROW(Run(options_, "run", 4), std::runtime_error);
  SegmentOptions other = options_;
  other.optimizer.lr = 0.1;
  ExpectError([&] { Run(other, "run"); }, core::ExitCode::kUsage, "other settings");
  other = options_;
  other.workers = 1;  // changes nothing
  EXPECT_NO_THROW(Run(other, "run"));
}

TEST_F(TinyRun, GoesOnWithoutTheFileItStartedFrom) {
  SegmentOptions donor = options_;
  donor.seed = 99;
  options_.init = (temp_ / "start.safetensors").string();
  std::map<std::string, std::string> metadata;
  engine::AddToMetadata({{0.5f, 0.5f, 0.5f}, {0.2f, 0.2f, 0.2f}}, &metadata);
  core::WriteSafetensors(options_.init, engine::ToStateDict(*BuildModel(donor).net->backbone()),
                         metadata);
  options_.checkpoint_every = 1;
  const std::string wanted = ResultOf(Run(options_, "whole"));
  EXPECT_THROW(Run(options_, "part", 4), std::runtime_error);
  fs::remove(options_.init);
  EXPECT_EQ(ResultOf(Run(options_, "part")), wanted);
  ExpectSame("whole", "part");
  core::ReadSafetensors(temp_ / "part/model.safetensors", &metadata);
  EXPECT_EQ(engine::NormalizationOf(metadata)->mean[0], 0.5f);
}

TEST_F(TinyRun, EndsEarlyWithoutABetterValidation) {
  options_.steps = 30;
  options_.val_every = 2;
  options_.patience = 3;
  options_.optimizer.lr = 0;  // nothing but running statistics changes
  const SegmentResult result = Run(options_, "run");
  EXPECT_LT(result.steps, 30);
  EXPECT_EQ(result.steps, result.best_step + 3 * 2);
  EXPECT_EQ(result.curve.back().step, result.steps);
  EXPECT_EQ(result.test.size(), result.test_last.size());
  // A kill after the end of training scores again and trains no step more.
  EXPECT_EQ(Run(options_, "run").steps, result.steps);
}

TEST_F(TinyRun, ALossThatIsNoNumberKeepsItsBatch) {
  options_.optimizer.name = "sgd";
  options_.optimizer.lr = 1e30;
  options_.warmup = 0;
  options_.checkpoint_every = 1;
  ExpectError([&] { Run(options_, "run"); }, core::ExitCode::kBadInput, "the loss became");
  const fs::path nan = temp_ / "run/nan";
  EXPECT_TRUE(fs::exists(nan / "batch.json"));
  EXPECT_TRUE(fs::exists(nan / "weights.safetensors"));
  EXPECT_EQ(core::ListFiles(nan, {".png"}, false).size(), 4u);  // two crops, two masks
  EXPECT_THAT(core::ReadFile(nan / "batch.json"), ::testing::HasSubstr("\"images\""));
  // What is saved is from before: every weight is a number.
  const auto saved = core::ReadSafetensors(CheckpointFolder(temp_ / "run") / "model.safetensors");
  for (const core::TensorBlob& blob : saved.tensors) {
    if (!core::IsFloating(blob.dtype)) continue;
    for (const float value : core::ToFloats(blob)) ASSERT_FALSE(std::isnan(value)) << blob.name;
  }
}

TEST_F(TinyRun, WeightsThatAreNoNumbersAreNeverSaved) {
  // The first update overflows every weight while its loss is a number.
  options_.optimizer.name = "sgd";
  options_.optimizer.lr = std::numeric_limits<double>::max();
  options_.warmup = 0;
  options_.checkpoint_every = 1;
  ExpectError([&] { Run(options_, "run"); }, core::ExitCode::kBadInput,
              "weights became no numbers");
  EXPECT_FALSE(HasTrainState(temp_ / "run"));
  EXPECT_TRUE(fs::exists(temp_ / "run/nan/batch.json"));
}

TEST(TrainState, KeepsTheFirstOfTheHighestScore) {
  TrainState state;
  const auto judge = [&](int64_t step, double score) {
    state.step = step;
    const bool kept = state.Judge(score);
    EXPECT_EQ(kept, state.best_step == step);
    return state.best_step;
  };
  const double na = std::nan("");
  EXPECT_EQ(judge(1, na), 1);  // nothing but n/a: the last one
  EXPECT_EQ(judge(2, na), 2);
  EXPECT_EQ(state.worse, 2);
  EXPECT_EQ(judge(3, 0.0), 3);  // any score is better
  EXPECT_EQ(state.worse, 0);
  EXPECT_EQ(judge(4, na), 3);
  EXPECT_EQ(judge(5, 0.4), 5);
  EXPECT_EQ(judge(6, 0.4), 5);
  EXPECT_EQ(judge(7, 0.3), 5);
  EXPECT_EQ(judge(8, na), 5);
  EXPECT_EQ(state.worse, 3);
  EXPECT_EQ(state.best, 0.4);
}

TEST_F(TinyRun, ValidationWithoutForegroundIsRefusedBeforeTraining) {
  const MaskDataset data(options_.data);
  const ImageSplit split = SplitByPatient(data.items(), {});
  for (const int64_t i : split.val) {
    testing::WritePng(data.item(i).mask, core::Image(48, 48, 1, 0));
  }
  ExpectError([&] { Run(options_, "run"); }, core::ExitCode::kBadInput,
              "no validation image shows foreground (2 images)");
  EXPECT_TRUE(core::ListFiles(temp_ / "run", {}, true).empty());
  // Without a background it is one class of two that is missing.
  options_.data.background = -1;
  core::LogFile log(temp_ / "log.txt");
  EXPECT_NO_THROW(Run(options_, "run"));
  EXPECT_THAT(core::ReadFile(temp_ / "log.txt"),
              ::testing::HasSubstr("warning: no validation image shows foreground (2 images)"));
}

TEST_F(TinyRun, ExportsSayWhatNetTheyAre) {
  options_.head = "deeplabv3plus";
  options_.rates.clear();
  Run(options_, "run");
  std::map<std::string, std::string> metadata;
  const auto state = core::ReadSafetensors(temp_ / "run/model.safetensors", &metadata);
  EXPECT_EQ(metadata["eosin.head"], "deeplabv3plus");
  EXPECT_EQ(metadata["eosin.arch"], "resnet18");
  EXPECT_EQ(metadata["eosin.rates"], "1,2,3");  // the 2 x 2 map of 32 px at stride 16
  EXPECT_EQ(metadata["eosin.classes"], "background,foreground");
  EXPECT_TRUE(engine::NormalizationOf(metadata));
  EXPECT_EQ(core::ReadPth(temp_ / "run/model.pth").Hash(), state.Hash());
}

class TinyStudy : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::MakeMaskData(temp_ / "data", 6, 2, 48);
    options_.segment = TinyOptions();
    options_.segment.data.data = (temp_ / "data").string();
    SegmentOptions donor = options_.segment;
    donor.seed = 99;
    core::WriteSafetensors(temp_ / "mine.safetensors",
                           engine::ToStateDict(*BuildModel(donor).net->backbone()));
    options_.arms = {"random", "imagenet", "mine=" + (temp_ / "mine.safetensors").string()};
    options_.fractions = {0.5};
    options_.seeds = 2;
    options_.primary = "mine-random@0.5:dice";
    options_.bootstrap_draws = 500;
    options_.Check();
  }
  Results Run(const fs::path& folder, StudyPlan* plan) {
    const MaskDataset data(options_.segment.data);
    *plan =
        PlanStudy(options_, data.ClassPixels(2), {SplitByPatient(data.items(), options_.split)});
    JobBoard board(options_, data, *plan, folder);
    RunJobs(board, *plan, data,
            [](const SegmentOptions& options, const MaskDataset& images, const ImageSplit& parts,
               const fs::path& job, const StepHook& hook) {
              return TrainSegmenter(options, images, parts, job, {.hook = hook});
            });
    const Analysis analysis = Analyze(options_, *plan, board.results());
    WriteAnalysis(options_, *plan, board.results(), analysis, folder);
    WriteStudyReport(options_, data, *plan, board.results(), analysis, {}, folder);
    return board.results();
  }
  TempFolder temp_;
  StudyOptions options_;
};

TEST_F(TinyStudy, RunsAndResumesToTheSameBytes) {
  StudyPlan plan;
  const fs::path folder = temp_ / "run";
  const auto results = Run(folder, &plan);
  ASSERT_EQ(results.size(), 5u);  // 2 arms x 2 seeds and a repeat; imagenet has no file
  std::map<std::string, std::string> first;
  for (const Job& job : plan.jobs) {
    first[job.name] = core::ReadFile(folder / "runs" / job.name / "result.json");
  }
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i]->curve.size(), 2u);
    EXPECT_EQ(results[i]->curve.back().step, 4);
    EXPECT_EQ(results[i]->test.size(), plan.splits[0].test.size());
    ASSERT_EQ(results[i]->drift.size(), 5u);  // stem and four stages
    EXPECT_GT(results[i]->drift[4].relative, 0);
    for (const auto& image : results[i]->test) EXPECT_EQ(image.counts.total(), 48 * 48);
    EXPECT_EQ(results[i]->weights_matched, plan.jobs[i].arm.name == "mine" ? 1.0 : 0.0);
    EXPECT_TRUE(fs::exists(folder / "runs" / plan.jobs[i].name / "metrics.csv"));
  }
  EXPECT_NE(first["random-0.5-s0"], first["random-0.5-s1"]);
  const std::string html = core::ReadFile(folder / "report.html");
  for (const char* text :
       {"No verdict", "weights.imagenet", "Paired differences", "Examples", "Who was tested"}) {
    EXPECT_THAT(html, ::testing::HasSubstr(text));
  }
  // A kill that cost one result: that job alone is made again, to the same bytes.
  const std::string lost = plan.jobs[2].name;
  fs::remove(folder / "runs" / lost / "result.json");
  std::map<std::string, fs::file_time_type> times;
  for (const Job& job : plan.jobs) {
    if (job.name != lost) {
      times[job.name] = fs::last_write_time(folder / "runs" / job.name / "result.json");
    }
  }
  Run(folder, &plan);
  for (const Job& job : plan.jobs) {
    const fs::path path = folder / "runs" / job.name / "result.json";
    EXPECT_EQ(core::ReadFile(path), first[job.name]) << job.name;
    if (job.name == lost) continue;
    EXPECT_EQ(fs::last_write_time(path), times[job.name]);
  }
}

TEST_F(TinyStudy, TrainingLearnsTheDisc) {
  SegmentOptions options = options_.segment;
  options.steps = 150;
  options.batch = 4;
  options.val_every = 50;
  options.optimizer.name = "adamw";
  options.optimizer.lr = 0.01;
  const MaskDataset data(options.data);
  core::MakeFolder(temp_ / "one");
  const SegmentResult result = TrainSegmenter(options, data, SplitByPatient(data.items(), {}),
                                              temp_ / "one", {.save_model = true});
  EXPECT_LT(result.curve.back().loss, result.curve.front().loss);
  EXPECT_GT(eval::MacroScore(eval::PoolByPatient(result.test), eval::Metric::kDice, 1), 0.6);
  EXPECT_TRUE(fs::exists(temp_ / "one/model.pth"));
  EXPECT_TRUE(fs::exists(temp_ / "one/last.safetensors"));
  EXPECT_GT(core::ListFiles(temp_ / "one/predictions", {".png"}, false).size(), 0u);
}

TEST_F(TinyStudy, FrozenBackboneComesOutAsItWentIn) {
  SegmentOptions options = options_.segment;
  options.init = (temp_ / "mine.safetensors").string();
  options.freeze = "layer2";
  options.backbone_lr = 1;
  const MaskDataset data(options.data);
  core::MakeFolder(temp_ / "one");
  const SegmentResult result = TrainSegmenter(options, data, SplitByPatient(data.items(), {}),
                                              temp_ / "one", {.save_model = true});
  EXPECT_GT(result.frozen_parameters, 0);
  EXPECT_LT(result.frozen_parameters, result.parameters);
  const auto before = core::ReadSafetensors(options.init);
  const auto after = core::ReadSafetensors(temp_ / "one/last.safetensors");
  int same = 0, changed = 0;
  for (const core::TensorBlob& tensor : before.tensors) {
    const core::TensorBlob* now = after.Find("backbone." + tensor.name);
    ASSERT_NE(now, nullptr) << tensor.name;
    const bool frozen = tensor.name.rfind("layer3", 0) != 0 && tensor.name.rfind("layer4", 0) != 0;
    if (frozen) {
      EXPECT_EQ(now->data, tensor.data) << tensor.name;  // running statistics too
      ++same;
    } else {
      changed += now->data != tensor.data;
    }
  }
  EXPECT_GT(same, 30);
  EXPECT_GT(changed, 30);
}

}  // namespace
}  // namespace eosin::segment
