// SPDX-License-Identifier: Apache-2.0
// The whole `eosin study` at a tiny size: killed at any moment, shared between processes, ended by
// SIGINT, and leaks refused; each ends with the same results as a study that nothing happened to.
#include <fmt/format.h>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "core/base/files.h"
#include "tests/segment/made_data.h"
#include "tests/tools/program.h"

namespace eosin {
namespace {

namespace fs = std::filesystem;
using testing::Outcome;
using testing::RunEosin;
using testing::RunningEosin;

class StudyTest : public ::testing::Test {
 protected:
  // Discs with specks of their own: plain discs are too much alike for the search for copies.
  void SetUp() override {
    testing::MakeMaskData(temp_ / "data", 6, 2, 48);
    uint32_t number = 0;
    for (const fs::path& path : core::ListFiles(temp_ / "data" / "images", {".png"}, false)) {
      core::Image image = core::ReadRgb(path);
      core::PhiloxStream stream(5, core::DrawPurpose::kTest, number++, 0);
      for (int speck = 0; speck < 14; ++speck) {
        const int x0 = static_cast<int>(stream.Below(43)), y0 = static_cast<int>(stream.Below(43));
        for (int y = y0; y < y0 + 5; ++y) {
          std::fill_n(image.at(x0, y), 15, static_cast<uint8_t>(40));
        }
      }
      testing::WritePng(path, image);
    }
  }

  std::vector<std::string> Start(const std::string& out, std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"study", "--out", (temp_ / out).string(), "--resume",
                                      "--set"};
    const std::string data = (temp_ / "data").string();
    for (const std::string& key : {"data=" + data,
                                   std::string("study.arms=random,ssl,random_again"),
                                   std::string("study.fractions=0.5,1"),
                                   std::string("study.seeds=2"),
                                   std::string("study.primary=ssl-random@0.5:dice"),
                                   std::string("study.tune=1e-3,1e-2"),
                                   std::string("study.bootstrap_draws=200"),
                                   std::string("model.arch=resnet18"),
                                   std::string("model.width=8"),
                                   std::string("model.head_channels=8"),
                                   std::string("model.rates=1,1,1"),
                                   std::string("train.crop=48"),
                                   std::string("train.batch=2"),
                                   std::string("train.steps=4"),
                                   std::string("train.val_every=2"),
                                   std::string("workers=1"),
                                   std::string("compute.threads=1"),
                                   std::string("compute.device=cpu"),
                                   "ssl.data=" + data + "/images",
                                   "ssl.patients=" + data + "/patients.csv",
                                   std::string("ssl.method=simclr"),
                                   std::string("ssl.data.size=32"),
                                   std::string("ssl.train.epochs=1"),
                                   std::string("ssl.train.batch=4"),
                                   std::string("ssl.model.stem=imagenet")}) {
      words.push_back(key);
    }
    for (const std::string& key : more) words.push_back(key);
    return words;
  }
  // Everything that a study found, without times and paths.
  std::map<std::string, std::string> Results(const std::string& out) {
    std::map<std::string, std::string> results;
    for (const auto& entry : fs::directory_iterator(temp_ / out / "runs")) {
      results[entry.path().filename()] = core::ReadFile(entry.path() / "result.json");
    }
    results["results.csv"] = core::ReadFile(temp_ / out / "results.csv");
    return results;
  }
  testing::TempFolder temp_;
};

TEST_F(StudyTest, KilledAtAnyMomentAndSharedItEndsTheSame) {
  const Outcome whole = RunEosin(Start("whole"));
  ASSERT_EQ(whole.exit_code, 0) << whole.output;
  EXPECT_THAT(whole.output, ::testing::HasSubstr("neither training nor scoring"));
  const auto expected = Results("whole");
  // 2 arms x 2 rates; 2 arms x 2 levels x 2 seeds, the control at one level; one repeat; the table.
  EXPECT_EQ(expected.size(), 4u + 8 + 2 + 1 + 1);
  const auto json = nlohmann::json::parse(core::ReadFile(temp_ / "whole" / "study.json"));
  EXPECT_TRUE(json.at("complete"));
  EXPECT_TRUE(json.at("noise_floor").at("identical"));  // one thread of a CPU
  EXPECT_EQ(json.at("tuning").size(), 2u);

  std::mt19937 random(3);
  for (int kill = 0; kill < 8; ++kill) {
    RunningEosin running(Start("killed"), temp_ / "killed.log");
    std::this_thread::sleep_for(std::chrono::milliseconds(200 + random() % 1500));
    running.Signal(SIGKILL);
    running.Wait();
  }
  const Outcome resumed = RunEosin(Start("killed"));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.output;
  EXPECT_EQ(Results("killed"), expected);

  RunningEosin first(Start("shared"), temp_ / "first.log");
  RunningEosin second(Start("shared", {"study.jobs=2"}), temp_ / "second.log");
  const Outcome one = first.Wait(), two = second.Wait();
  EXPECT_EQ(one.exit_code, 0) << one.output;
  EXPECT_EQ(two.exit_code, 0) << two.output;
  EXPECT_EQ(Results("shared"), expected);
}

TEST_F(StudyTest, InterruptEndsTheProcessesToo) {
  RunningEosin running(Start("stop", {"study.jobs=2", "train.steps=4000"}), temp_ / "stop.log");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
  while (!fs::exists(temp_ / "stop" / "logs" / "worker-1.log") && !running.Ended() &&
         std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  std::this_thread::sleep_for(std::chrono::seconds(1));
  running.Signal(SIGINT);
  const Outcome outcome = running.Wait();
  EXPECT_EQ(outcome.exit_code, 130) << outcome.output;
  EXPECT_THAT(outcome.output, ::testing::HasSubstr("--resume"));
  // No process of this folder is left.
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::ifstream in(entry.path() / "cmdline");
    const std::string words{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(words.find((temp_ / "stop").string()), std::string::npos) << entry.path();
  }
}

TEST_F(StudyTest, LeaksEndTheStudyBeforeAnythingIsTrained) {
  // An image of another patient turned by a quarter: somewhere in another part.
  const core::Image image = core::ReadRgb(temp_ / "data" / "images" / "p0_0.png");
  core::Image turned(image.height, image.width, 3);
  for (int y = 0; y < turned.height; ++y) {
    for (int x = 0; x < turned.width; ++x) std::copy_n(image.at(y, x), 3, turned.at(x, y));
  }
  for (int p = 1; p < 6; ++p) {
    testing::WritePng(temp_ / "data" / "images" / fmt::format("p{}_0.png", p), turned);
  }
  const Outcome outcome = RunEosin(Start("leak"));
  EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
  EXPECT_THAT(outcome.output, ::testing::HasSubstr("hint: remove one"));
  EXPECT_FALSE(fs::exists(temp_ / "leak" / "runs"));
}

// Ways in which a test patient's tiles could slip into pretraining.
TEST_F(StudyTest, TilesOfHeldOutPatientsAreNeverPretrainedOn) {
  auto refused = [&](const std::string& out, std::vector<std::string> more,
                     const std::string& words) {
    const Outcome outcome = RunEosin(Start(out, std::move(more)));
    EXPECT_NE(outcome.exit_code, 0) << out;
    EXPECT_THAT(outcome.output, ::testing::HasSubstr(words)) << out;
    EXPECT_FALSE(fs::exists(temp_ / out / "ssl")) << out;
  };
  const std::string data = (temp_ / "data").string();
  refused("others", {"ssl.others=1:" + data + "/images"}, "is for other patients, but the study");
  const std::string table = core::ReadFile(temp_ / "data" / "patients.csv");
  core::WriteFileAtomic(temp_ / "two.csv", table + "p1_0,p2\n");
  refused("two", {"ssl.patients=" + (temp_ / "two.csv").string()}, "and to patient");
  // Pictures of equal names in the folders of six patients.
  std::string by_path = "name,patient_id\n";
  for (int p = 0; p < 6; ++p) {
    for (int k = 0; k < 2; ++k) {
      const std::string name = fmt::format("p{}/t{}.png", p, k);
      core::MakeFolder((temp_ / "tiles" / name).parent_path());
      fs::copy_file(temp_ / "data" / "images" / fmt::format("p{}_{}.png", p, k),
                    temp_ / "tiles" / name);
      by_path += fmt::format("{},p{}\n", name, p);
    }
  }
  core::WriteFileAtomic(temp_ / "path.csv", by_path);
  core::WriteFileAtomic(temp_ / "stem.csv", "name,patient_id\na/t0.png,p0\nb/t0.png,p1\n");
  const std::string tiles = "ssl.data=" + (temp_ / "tiles").string();
  refused("stem", {tiles, "ssl.patients=" + (temp_ / "stem.csv").string()},
          "may be of the patients");
  // Dots are part of names: the row S1 is not the slide S1.2, which is a test patient's or not
  // known.
  core::MakeFolder(temp_ / "dotted" / "x");
  for (const char* name : {"S1", "S1.2"}) {
    fs::copy_file(temp_ / "data" / "images" / "p0_0.png",
                  temp_ / "dotted" / "x" / (std::string(name) + ".png"));
  }
  core::WriteFileAtomic(temp_ / "dots.csv", "slide,patient_id\nS1.svs,p0\n");
  refused(
      "dots",
      {"ssl.data=" + (temp_ / "dotted").string(), "ssl.patients=" + (temp_ / "dots.csv").string()},
      "S1.2.png) has no patient");
  core::WriteFileAtomic(temp_ / "dots2.csv", table + "S1.2,p4\n");
  refused("dots2",
          {"ssl.others=1:" + (temp_ / "dotted").string(),
           "ssl.patients=" + (temp_ / "dots2.csv").string()},
          "the study knows x/S1.2.png");
  const Outcome outcome =
      RunEosin(Start("path", {tiles, "ssl.patients=" + (temp_ / "path.csv").string(),
                              "study.seeds=1", "study.fractions=0.5", "study.tune="}));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  // Two tiles of each patient who trains, none of the others.
  const auto split = nlohmann::json::parse(core::ReadFile(temp_ / "path" / "split.json"));
  const size_t train = split.at("train").at("patients").size();
  EXPECT_THAT(outcome.output,
              ::testing::HasSubstr(fmt::format("pretraining on {} tiles of {} slides; "
                                               "{} slides",
                                               2 * train, 2 * train, 12 - 2 * train)));
  // That encoder serves another study of this split. One of all tiles does not, and of one that
  // lies alone nobody knows.
  const std::vector<std::string> given = {"ssl.data=", "ssl.patients=", "study.seeds=1",
                                          "study.fractions=0.5", "study.tune="};
  const auto with = [&](const fs::path& encoder) {
    std::vector<std::string> words = given;
    words.push_back("weights.ssl=" + encoder.string());
    return words;
  };
  const fs::path encoder = temp_ / "path" / "ssl" / "encoder.safetensors";
  const Outcome again = RunEosin(Start("again", with(encoder)));
  EXPECT_EQ(again.exit_code, 0) << again.output;
  EXPECT_THAT(again.output, ::testing::Not(::testing::HasSubstr("is not known here")));
  core::MakeFolder(temp_ / "all");
  fs::copy_file(encoder, temp_ / "all" / "encoder.safetensors");
  const Outcome alone = RunEosin(Start("alone", with(temp_ / "all" / "encoder.safetensors")));
  EXPECT_EQ(alone.exit_code, 0) << alone.output;
  EXPECT_THAT(alone.output, ::testing::HasSubstr("is not known here"));
  // Nor of one whose pictures are not all there any more, in any arm.
  core::MakeFolder(temp_ / "gone");
  fs::copy_file(encoder, temp_ / "gone" / "encoder.safetensors");
  fs::copy_file(encoder.parent_path() / "config.toml", temp_ / "gone" / "config.toml");
  core::WriteFileAtomic(temp_ / "gone" / "images.txt",
                        core::ReadFile(encoder.parent_path() / "images.txt") + "p9/gone.png\n");
  std::vector<std::string> words = given;
  words.push_back("study.arms=random,mine=" + (temp_ / "gone" / "encoder.safetensors").string());
  words.push_back("study.primary=mine-random@0.5:dice");
  const Outcome gone = RunEosin(Start("gone-run", words));
  EXPECT_EQ(gone.exit_code, 0) << gone.output;
  EXPECT_THAT(
      gone.output,
      ::testing::HasSubstr(fmt::format(
          "is not known here (of the {} pictures in its images.txt only {} are still there)",
          2 * train + 1, 2 * train)));
  fs::copy_file(encoder.parent_path() / "config.toml", temp_ / "all" / "config.toml");
  refused("all-tiles", with(temp_ / "all" / "encoder.safetensors"), "hint:");
}

TEST_F(StudyTest, SettingsThatStudiesDecideThemselvesAreRefused) {
  for (const char* key : {"train.freeze=layer2", "seed=7"}) {
    const Outcome outcome = RunEosin(Start("own", {key}));
    EXPECT_EQ(outcome.exit_code, 2) << key;
    EXPECT_THAT(outcome.output, ::testing::HasSubstr("a study sets")) << key;
  }
  const Outcome one = RunEosin(Start("one", {"study.folds=2", "weights.ssl=encoder.pth"}));
  EXPECT_EQ(one.exit_code, 2);
  EXPECT_THAT(one.output, ::testing::HasSubstr("is one encoder for 2 folds"));
  const Outcome skipped = RunEosin(
      Start("no", {"study.arms=random,imagenet", "study.primary=imagenet-random@0.5:dice"}));
  EXPECT_EQ(skipped.exit_code, 2);
  EXPECT_THAT(skipped.output, ::testing::HasSubstr("needs the arm imagenet"));
}

}  // namespace
}  // namespace eosin
