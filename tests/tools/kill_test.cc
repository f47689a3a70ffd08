// SPDX-License-Identifier: Apache-2.0
// A pretraining run that is killed twenty times ends bit for bit like one that is not.
#include <chrono>
#include <random>
#include <thread>

#include "core/base/files.h"
#include "core/formats/csv.h"
#include "core/image/codec.h"
#include "tests/tools/program.h"

namespace eosin {
namespace {

namespace fs = std::filesystem;
using testing::Outcome;
using testing::Program;

constexpr int kKills = 20;

// 24 pictures of two classes, each its own group.
void MakeData(const fs::path& folder) {
  std::mt19937 random(1);
  for (int i = 0; i < 24; ++i) {
    core::Image image(20, 20, 3);
    for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(random() % 200 + i % 2 * 50);
    const fs::path path =
        folder / (i % 2 ? "bright" : "dark") / ("tile" + std::to_string(i) + ".png");
    core::MakeFolder(path.parent_path());
    const std::vector<uint8_t> bytes = core::EncodePng(image);
    core::WriteFileAtomic(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
}

std::vector<std::string> Start(const fs::path& data, const fs::path& out,
                               const std::string& epochs = "8") {
  std::vector<std::string> words = {"pretrain",  "--data",  data.string(), "--out",    out.string(),
                                    "--method",  "byol",    "--arch",      "resnet18", "--size",
                                    "16",        "--batch", "4",           "--epochs", epochs,
                                    "--threads", "1",       "--workers",   "2",        "--device",
                                    "cpu",       "--set"};
  for (const char* key :
       {"model.width=8", "byol.hidden=32", "byol.out=16", "train.log_every=1",
        "train.checkpoint_every=1", "checkpoint.keep=2", "knn.k=5", "optimizer.lr=0.05"}) {
    words.push_back(key);
  }
  return words;
}

std::vector<std::string> Resume(const fs::path& run, int workers, const std::string& threads) {
  return {"pretrain",  "--resume", run.string(), "--workers", std::to_string(workers),
          "--threads", threads};
}

int64_t Rows(const fs::path& run) {
  std::ifstream in(run / "metrics.jsonl");
  int64_t rows = 0;
  for (std::string line; std::getline(in, line);) ++rows;
  return rows;
}

// metrics.csv without what depends on the clock.
std::vector<std::vector<std::string>> Metrics(const fs::path& run) {
  core::CsvTable table = core::ReadCsv(run / "metrics.csv");
  for (const char* column : {"images_per_second", "data_wait"}) {
    const int at = table.Column(column);
    for (auto& row : table.rows) row.at(static_cast<size_t>(at)).clear();
  }
  return table.rows;
}

std::map<std::string, std::string> Weights(const fs::path& run) {
  std::map<std::string, std::string> files;
  for (const char* folder : {"checkpoints/last", "checkpoints/best", "."}) {
    for (const fs::path& file : core::ListFiles(run / folder, {".safetensors", ".pth"}, false)) {
      files[fs::relative(file, run).string()] = core::ReadFile(file);
    }
  }
  return files;
}

TEST(KillTest, ARunKilledTwentyTimesEndsBitForBitLikeAWholeOne) {
  if (!fs::exists(Program("eosin-torch"))) GTEST_SKIP() << "needs eosin-torch";
  testing::TempFolder temp;
  MakeData(temp / "data");
  {
    testing::RunningEosin whole(Start(temp / "data", temp / "whole"), temp / "whole.log");
    const Outcome outcome = whole.Wait();
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  }
  const fs::path run = temp / "killed";
  std::mt19937 random(7);
  int kills = 0;
  std::string torn;  // what a kill left half done, for the record
  bool started = false;
  while (kills < kKills) {
    // Two or three steps further each time, then anywhere: within a step, a row, a checkpoint.
    const int64_t until = Rows(run) + 2 + static_cast<int64_t>(random() % 2);
    testing::RunningEosin child(
        started ? Resume(run, 1 + static_cast<int>(random() % 3), "1") : Start(temp / "data", run),
        temp / "killed.log");
    while (!child.Ended() && (!fs::exists(run / "checkpoints/last") || Rows(run) < until)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 40000));
    if (child.Ended()) {
      ASSERT_EQ(child.Wait().exit_code, 0);
      break;
    }
    child.Signal(SIGKILL);
    EXPECT_EQ(child.Wait().exit_code, 128 + SIGKILL);
    ++kills;
    started = true;
    if (fs::exists(run / "checkpoints/last.part")) torn += "p";
    if (fs::exists(run / "checkpoints/last.old")) torn += "o";
  }
  EXPECT_EQ(kills, kKills) << "the run ended before it was killed often enough: more steps needed";
  RecordProperty("torn_checkpoints", torn);
  {
    testing::RunningEosin last(Resume(run, 3, "1"), temp / "killed.log");
    const Outcome outcome = last.Wait();
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  }
  EXPECT_EQ(Metrics(run), Metrics(temp / "whole"));
  const auto killed = Weights(run), whole = Weights(temp / "whole");
  EXPECT_EQ(whole.size(), 9u) << "six parts in last, best, two forms of the encoder";
  ASSERT_EQ(killed.size(), whole.size());
  for (const auto& [name, bytes] : whole) {
    EXPECT_TRUE(killed.at(name) == bytes) << name << " differs";
  }
  for (const char* folder : {"step-000047", "step-000048"}) {
    EXPECT_TRUE(fs::exists(run / "checkpoints" / folder)) << folder;
  }
  int64_t folders = 0;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints")) {
    (void)entry;
    ++folders;
  }
  EXPECT_EQ(folders, 4) << "last, best and two numbered ones";
}

TEST(KillTest, ARestartAtOtherThreadsWorksAndSaysSo) {
  if (!fs::exists(Program("eosin-torch"))) GTEST_SKIP() << "needs eosin-torch";
  testing::TempFolder temp;
  MakeData(temp / "data");
  const fs::path run = temp / "run";
  {
    testing::RunningEosin child(Start(temp / "data", run, "1"), temp / "log");
    while (!child.Ended() && !fs::exists(run / "checkpoints/step-000002")) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    child.Signal(SIGINT);
    EXPECT_EQ(child.Wait().exit_code, 130);
  }
  testing::RunningEosin child(Resume(run, 1, "2"), temp / "log");
  const Outcome outcome = child.Wait();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, ::testing::HasSubstr("with 1 threads"));
  EXPECT_THAT(core::ReadFile(run / "log.txt"), ::testing::HasSubstr("the last bits"));
}

}  // namespace
}  // namespace eosin
