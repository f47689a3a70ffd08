// SPDX-License-Identifier: Apache-2.0
// Losses, freezing, windows, and a whole small study with real training.
#include "segment/train/trainer.h"

#include <torch/nn/modules/batchnorm.h>
#include <torch/types.h>
#include <cmath>
#include <cstring>

#include "core/formats/safetensors.h"
#include "engine/weights/weights.h"
#include "segment/data/crops.h"
#include "segment/model/build_model.h"
#include "segment/model/freeze.h"
#include "segment/predict/predict_image.h"
#include "segment/study/report/report.h"
#include "segment/study/run/run.h"
#include "segment/train/losses.h"
#include "tests/segment/made_data.h"

namespace eosin::segment {
namespace {

using testing::TempFolder;

TEST(Losses, HandComputed) {
  // Two pixels, equal logits: p = .5. CE = ln 2. Dice of either class: 2 * .5 / (1 + 1) = .5.
  const auto logits = torch::zeros({1, 2, 1, 2});
  const auto target = torch::tensor({0, 1}, torch::kLong).view({1, 1, 2});
  EXPECT_NEAR(CrossEntropy(logits, target).item<float>(), std::log(2.0), 1e-6);
  EXPECT_NEAR(DiceLoss(logits, target).item<float>(), 0.5, 1e-6);
  // p of class 1 = .8, .4; truth 0, 1. Class 1: 2 * .4 / (1.2 + 1); class 0: 2 * .2 / (.8 + 1).
  const auto uneven = torch::tensor({0.2f, 0.6f, 0.8f, 0.4f}).log().view({1, 2, 1, 2});
  EXPECT_NEAR(DiceLoss(uneven, target).item<float>(), 1 - (0.8 / 2.2 + 0.4 / 1.8) / 2, 1e-6);
  EXPECT_NEAR(CrossEntropy(uneven, target).item<float>(), -(std::log(0.2) + std::log(0.4)) / 2,
              1e-6);
}

TEST(Losses, IgnoredAndAbsent) {
  const auto logits = torch::tensor({0.2f, 0.6f, 0.8f, 0.4f}).log().view({1, 2, 1, 2});
  const auto half = torch::tensor({255, 1}, torch::kLong).view({1, 1, 2});
  // The ignored pixel counts nowhere; class 0 is absent from the truth and left out of the mean.
  EXPECT_NEAR(CrossEntropy(logits, half).item<float>(), -std::log(0.4), 1e-6);
  EXPECT_NEAR(DiceLoss(logits, half).item<float>(), 1 - 2 * 0.4 / (0.4 + 1), 1e-6);
  const auto none = torch::full({1, 1, 2}, 255, torch::kLong);
  auto with_grad = logits.clone().requires_grad_();
  const auto loss = CrossEntropy(with_grad, none) + DiceLoss(with_grad, none);
  loss.backward();
  EXPECT_EQ(loss.item<float>(), 0);
  EXPECT_EQ(with_grad.grad().abs().sum().item<float>(), 0);
}

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

SegmentOptions TinyOptions() {
  SegmentOptions options;
  options.arch = "resnet18";
  options.width = 8;
  options.head_channels = 16;
  options.rates = {1, 2, 3};
  options.crop = 32;
  options.batch = 2;
  options.steps = 4;
  options.val_every = 2;
  options.eval_batch = 4;
  options.workers = 2;
  options.compute.threads = 1;  // tiny operations: a second thread only waits
  options.compute.device = "cpu";
  options.compute.precision = "fp32";
  return options;
}

std::vector<char> BatchNormBytes(const torch::nn::Module& module) {
  std::vector<char> bytes;
  for (const auto& buffer : module.buffers()) {
    const auto flat = buffer.contiguous().view(-1).to(torch::kDouble);
    const char* begin = reinterpret_cast<const char*>(flat.data_ptr<double>());
    bytes.insert(bytes.end(), begin, begin + flat.numel() * 8);
  }
  return bytes;
}

TEST(Freeze, StatisticsAndWeightsOfFrozenStagesStay) {
  for (const std::string stage : {"none", "stem", "layer2", "all"}) {
    SegmentOptions options = TinyOptions();
    DeepLabV3 net = BuildModel(options).net;
    const FrozenStages frozen(net, stage);
    std::vector<std::vector<char>> before;
    for (const std::string& name : engine::ResNetImpl::StageNames()) {
      std::vector<char> bytes;
      for (const auto& module : net->backbone()->StageModules(name)) {
        const auto more = BatchNormBytes(*module);
        bytes.insert(bytes.end(), more.begin(), more.end());
      }
      before.push_back(std::move(bytes));
    }
    for (int step = 0; step < 2; ++step) {
      net->eval();  // what validation does between steps
      frozen.TrainMode(net);
      net->forward(torch::rand({2, 3, 32, 32})).out.sum().backward();
    }
    const size_t count = frozen.stages().size();
    EXPECT_EQ(count, stage == "none" ? 0u : stage == "stem" ? 1u : stage == "layer2" ? 3u : 5u);
    for (size_t s = 0; s < before.size(); ++s) {
      const std::string& name = engine::ResNetImpl::StageNames()[s];
      std::vector<char> after;
      for (const auto& module : net->backbone()->StageModules(name)) {
        const auto more = BatchNormBytes(*module);
        after.insert(after.end(), more.begin(), more.end());
        for (const auto& parameter : module->parameters()) {
          EXPECT_EQ(parameter.grad().defined(), s >= count) << stage << " " << name;
        }
      }
      EXPECT_EQ(after == before[s], s < count) << stage << " " << name;
    }
  }
  DeepLabV3 net = BuildModel(TinyOptions()).net;
  testing::ExpectError([&] { FrozenStages(net, "layer9"); }, core::ExitCode::kUsage, "layer9");
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
