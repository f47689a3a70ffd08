// SPDX-License-Identifier: Apache-2.0
// A prediction that is killed again and again ends byte for byte like one that is not; and what
// `eosin predict` says of folders that take no file.
#include <algorithm>
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
using testing::Program;
using testing::RunEosin;

class PredictProgram : public ::testing::Test {
 protected:
  // A model that knows nothing and a slide; both once for all tests.
  static void SetUpTestSuite() {
    if (!fs::exists(Program("eosin-torch"))) return;
    temp_ = new testing::TempFolder;
    testing::MakeMaskData(Path("data"), 4, 2, 48);
    Expect(0, RunEosin({"segment",
                        "--data",
                        Path("data"),
                        "--out",
                        Path("run"),
                        "--arch",
                        "resnet18",
                        "--crop",
                        "32",
                        "--batch",
                        "2",
                        "--steps",
                        "4",
                        "--device",
                        "cpu",
                        "--threads",
                        "1",
                        "--set",
                        "model.width=8",
                        "model.head_channels=16",
                        "model.rates=1,2,3",
                        "input.mpp=1"}));
    Expect(0, RunEosin({"synth", "--out", Path("made"), "--slides", "1", "--width", "1280",
                        "--height", "1280", "--regions", "1"}));
  }
  static void TearDownTestSuite() { delete temp_; }
  void SetUp() override {
    if (!temp_) GTEST_SKIP() << "needs eosin-torch";
  }

  static std::string Path(const std::string& name) { return (*temp_ / name).string(); }
  static std::vector<std::string> Predict(const std::string& out) {
    return {"predict",   "--model", Path("run"), "--out", Path(out),         "--no-tissue",
            "--device",  "cpu",     "--threads", "1",     "--batch",         "1",
            "--overlap", "0.5",     "--set",     "mpp=1", "--probabilities", Path("made/slides")};
  }
  static void Expect(int code, const Outcome& outcome) {
    ASSERT_EQ(outcome.exit_code, code) << outcome.output;
  }
  // Bytes by name, without clocks.
  static std::map<std::string, std::string> Files(const std::string& out) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(Path(out))) {
      const std::string name = entry.path().filename().string();
      if (name == "predictions.csv") continue;
      files[name] = entry.is_directory() ? "a folder" : core::ReadFile(entry.path());
      if (entry.path().extension() != ".json") continue;
      auto json = nlohmann::json::parse(files[name]);
      for (const char* key : {"seconds", "windows_run", "bands_resumed"}) json.erase(key);
      files[name] = json.dump();
    }
    return files;
  }
  static int64_t Bands(const std::string& out) {
    int64_t bands = 0;
    std::error_code error;
    for (const auto& entry : fs::recursive_directory_iterator(Path(out), error)) {
      const std::string name = entry.path().filename().string();
      bands += name.starts_with("band-") && !name.ends_with(".part");
    }
    return bands;
  }

  static testing::TempFolder* temp_;
};

testing::TempFolder* PredictProgram::temp_ = nullptr;

TEST_F(PredictProgram, KilledAgainAndAgainItEndsByteForByteLikeAWholeOne) {
  Expect(0, RunEosin(Predict("whole")));
  const auto whole = Files("whole");
  ASSERT_EQ(whole.size(), 5U);
  const std::string json = std::find_if(whole.begin(), whole.end(), [](const auto& file) {
                             return file.first.ends_with(".json");
                           })->first;
  std::mt19937 random(3);
  int kills = 0, stops = 0, ends = 0;
  for (int round = 0; round < 12 && ends == 0; ++round) {
    const int64_t before = fs::exists(Path("killed")) ? Bands("killed") : 0;
    testing::RunningEosin child(Predict("killed"), Path("killed.log"));
    // The first within its start, the others somewhere in the next bands.
    while (round > 0 && !child.Ended() && Bands("killed") <= before) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 30000));
    const bool gentle = round % 3 == 2;
    child.Signal(gentle ? SIGINT : SIGKILL);
    const int code = child.Wait().exit_code;
    ends += code == 0;
    kills += code == 128 + SIGKILL;
    stops += code == 130;
    EXPECT_TRUE(code == 0 || code == (gentle ? 130 : 128 + SIGKILL)) << code;
    if (code != 0) {
      EXPECT_FALSE(fs::exists(Path("killed/" + json)));  // written last
    }
  }
  EXPECT_GE(kills, 3) << "the slide was done before it was killed often enough";
  EXPECT_GE(stops, 1);
  Expect(0, RunEosin(Predict("killed")));
  const auto killed = Files("killed");
  ASSERT_EQ(killed.size(), whole.size());
  for (const auto& [name, bytes] : whole) {
    ASSERT_TRUE(killed.contains(name)) << name;
    EXPECT_TRUE(killed.at(name) == bytes) << name << " differs";
  }
}

// Exit code 3 and a sentence, nothing lost.
TEST_F(PredictProgram, AFileInThePlaceOfTheFolder) {
  std::ofstream(Path("file")) << "mine";
  const Outcome outcome = RunEosin(Predict("file"));
  EXPECT_EQ(outcome.exit_code, 3) << outcome.output;
  EXPECT_THAT(outcome.output, ::testing::HasSubstr(Path("file")));
  EXPECT_THAT(outcome.output, ::testing::HasSubstr("hint: "));
  EXPECT_EQ(core::ReadFile(Path("file")), "mine");
}

TEST_F(PredictProgram, AFolderThatTakesNoFile) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  fs::create_directory(Path("locked"));
  fs::permissions(Path("locked"), fs::perms::owner_read | fs::perms::owner_exec);
  const Outcome outcome = RunEosin(Predict("locked"));
  EXPECT_EQ(outcome.exit_code, 3) << outcome.output;
  EXPECT_THAT(outcome.output, ::testing::HasSubstr(Path("locked")));
  EXPECT_THAT(outcome.output, ::testing::HasSubstr("hint: "));
}

}  // namespace
}  // namespace eosin
