// SPDX-License-Identifier: Apache-2.0
// A segmentation run that is killed again and again ends bit for bit like one that is not: weights,
// curve, scores and predictions.
#include <chrono>
#include <map>
#include <random>
#include <thread>

#include "core/base/files.h"
#include "tests/segment/made_data.h"
#include "tests/tools/program.h"

namespace eosin {
namespace {

namespace fs = std::filesystem;
using testing::Outcome;
using testing::Program;

constexpr int kKills = 12;

std::vector<std::string> Start(const fs::path& data, const fs::path& out) {
  std::vector<std::string> words = {"segment",  "--data",   data.string(), "--out",    out.string(),
                                    "--arch",   "resnet18", "--crop",      "32",       "--batch",
                                    "2",        "--steps",  "36",          "--freeze", "layer1",
                                    "--device", "cpu",      "--threads",   "1",        "--workers",
                                    "2",        "--set"};
  // Adam's counters, stages that thaw half way, a validation that does not fall on a checkpoint.
  for (const char* key :
       {"model.width=8", "model.head_channels=16", "model.rates=1,2,3", "optimizer.name=adamw",
        "optimizer.lr=0.003", "train.unfreeze_at=0.5", "train.val_every=7", "train.clip_grad=1",
        "train.checkpoint_every=1", "train.schedule=one-cycle", "compute.precision=fp32"}) {
    words.push_back(key);
  }
  return words;
}

std::vector<std::string> Resume(const fs::path& run, int workers) {
  return {"segment", "--resume", run.string(), "--workers", std::to_string(workers)};
}

// What a run leaves: result, curve, weights, predictions, by name.
std::map<std::string, std::string> Files(const fs::path& run) {
  std::map<std::string, std::string> files;
  for (const char* name : {"result.json", "metrics.csv", "scores.csv", "model.safetensors",
                           "model.pth", "last.safetensors"}) {
    files[name] = core::ReadFile(run / name);
  }
  for (const fs::path& file : core::ListFiles(run / "predictions", {".png"}, false)) {
    files["predictions/" + file.filename().string()] = core::ReadFile(file);
  }
  return files;
}

std::string Step(const fs::path& run) {
  std::ifstream in(run / "checkpoints/last/state.json");
  for (std::string line; std::getline(in, line);) {
    if (line.find("\"step\"") != std::string::npos) return line;
  }
  return "";
}

TEST(SegmentKillTest, ARunKilledAgainAndAgainEndsBitForBitLikeAWholeOne) {
  if (!fs::exists(Program("eosin-torch"))) GTEST_SKIP() << "needs eosin-torch";
  testing::TempFolder temp;
  testing::MakeMaskData(temp / "data", 6, 2, 48);
  {
    testing::RunningEosin whole(Start(temp / "data", temp / "whole"), temp / "whole.log");
    const Outcome outcome = whole.Wait();
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  }
  EXPECT_FALSE(fs::exists(temp / "whole/checkpoints"));
  const fs::path run = temp / "killed";
  std::mt19937 random(5);
  int kills = 0;
  bool started = false, ended = false;
  while (kills < kKills && !ended) {
    const std::string before = Step(run);
    testing::RunningEosin child(
        started ? Resume(run, 1 + static_cast<int>(random() % 3)) : Start(temp / "data", run),
        temp / "killed.log");
    while (!child.Ended() && (Step(run).empty() || Step(run) == before)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 60000));
    if (child.Ended()) {
      const Outcome outcome = child.Wait();
      ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
      ended = true;
      break;
    }
    // The last one with Ctrl-C: it saves and says 130.
    const bool gentle = kills + 1 == kKills;
    child.Signal(gentle ? SIGINT : SIGKILL);
    const Outcome killed = child.Wait();
    const int code = killed.exit_code;
    if (code == 130) {
      EXPECT_THAT(killed.output, ::testing::HasSubstr("eosin segment --resume " + run.string()));
    }
    if (code != 0) {
      EXPECT_EQ(code, gentle ? 130 : 128 + SIGKILL);
    }
    ended = code == 0;
    ++kills;
    started = true;
  }
  EXPECT_GE(kills, 6) << "the run ended before it was killed often enough: more steps needed";
  if (!ended) {
    testing::RunningEosin last(Resume(run, 3), temp / "killed.log");
    const Outcome outcome = last.Wait();
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  }
  const auto killed = Files(run), whole = Files(temp / "whole");
  ASSERT_EQ(killed.size(), whole.size());
  for (const auto& [name, bytes] : whole) {
    ASSERT_TRUE(killed.count(name)) << name;
    EXPECT_TRUE(killed.at(name) == bytes) << name << " differs";
  }
  // Of a finished run there is nothing to do, but for what a kill at its very end left.
  core::MakeFolder(run / "checkpoints/last");
  testing::RunningEosin again(Resume(run, 1), temp / "killed.log");
  const Outcome outcome = again.Wait();
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, ::testing::HasSubstr("is finished"));
  EXPECT_FALSE(fs::exists(run / "checkpoints"));
  EXPECT_FALSE(fs::exists(run / "checkpoints.old"));
  EXPECT_FALSE(fs::exists(run / "run.lock"));
}

TEST(SegmentKillTest, ASecondProcessAndChangedDataLeaveARunAlone) {
  if (!fs::exists(Program("eosin-torch"))) GTEST_SKIP() << "needs eosin-torch";
  testing::TempFolder temp;
  const fs::path run = temp / "run", image = temp / "data/images/p1_0.png";
  testing::MakeMaskData(temp / "data", 6, 2, 48);
  std::vector<std::string> start = Start(temp / "data", run);
  start.push_back("train.steps=20000");
  testing::RunningEosin first(start, temp / "first.log");
  while (Step(run).empty() && !first.Ended()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  for (int i = 0; i < 3; ++i) {
    testing::RunningEosin second(Resume(run, 1), temp / "second.log");
    const Outcome outcome = second.Wait();
    EXPECT_EQ(outcome.exit_code, 3) << outcome.output;
    EXPECT_THAT(outcome.output, ::testing::HasSubstr("is being worked on by another process"));
  }
  EXPECT_FALSE(first.Ended());
  first.Signal(SIGKILL);
  EXPECT_EQ(first.Wait().exit_code, 128 + SIGKILL);
  const std::string step = Step(run), split = core::ReadFile(run / "split.json"),
                    kept = core::ReadFile(image);
  // An image that is no longer the same: refused, and what the run says of its data stays.
  core::Image other = core::ReadRgb(image);
  other.at(0, 0)[0] ^= 1;
  testing::WritePng(image, other);
  const auto refused = [&](const std::string& words) {
    testing::RunningEosin again(Resume(run, 1), temp / "again.log");
    const Outcome outcome = again.Wait();
    EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
    EXPECT_THAT(outcome.output, ::testing::HasSubstr(words));
    EXPECT_EQ(core::ReadFile(run / "split.json"), split);
    EXPECT_EQ(Step(run), step);
  };
  refused("has changed since");
  core::WriteFileAtomic(image, kept);
  // One more patient: other parts.
  testing::MakeMaskData(temp / "data", 7, 2, 48);
  refused("the images or their patients are no longer those of");
}

}  // namespace
}  // namespace eosin
