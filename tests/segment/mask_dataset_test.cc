// SPDX-License-Identifier: Apache-2.0
#include "segment/data/mask_dataset.h"

#include <set>

#include "tests/segment/made_data.h"

namespace eosin::segment {
namespace {

using core::ExitCode;
using testing::ExpectError;
using testing::MakeMaskData;
using testing::TempFolder;
using testing::WritePng;

class MaskDatasetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    MakeMaskData(temp_.path(), 2, 2, 24);
    options_.data = temp_.path().string();
  }
  // One mask with these values from its first pixel on.
  void PutValues(const std::string& name, const std::vector<uint8_t>& values) {
    core::Image mask(24, 24, 1, 0);
    std::copy(values.begin(), values.end(), mask.pixels.begin());
    WritePng(temp_ / ("masks/" + name + ".png"), mask);
  }
  std::vector<uint8_t> Classes(const std::string& name, size_t count) const {
    const MaskDataset data(options_);
    for (int64_t i = 0; i < data.size(); ++i) {
      if (data.item(i).name != name) continue;
      const auto pixels = data.Read(i)->mask.pixels;
      return {pixels.begin(), pixels.begin() + static_cast<std::ptrdiff_t>(count)};
    }
    return {};
  }
  TempFolder temp_;
  MaskDataOptions options_;
};

TEST_F(MaskDatasetTest, PairsImagesMasksAndPatients) {
  const MaskDataset data(options_);
  ASSERT_EQ(data.size(), 4);
  EXPECT_EQ(data.item(0).name, "p0_0");
  EXPECT_EQ(data.item(3).patient, "p1");
  const auto pair = data.Read(0);
  EXPECT_EQ(pair->image.width, 24);
  EXPECT_EQ(pair->mask.channels, 1);
  const auto& counts = data.ClassPixels(2);
  ASSERT_EQ(counts.size(), 4u);
  EXPECT_EQ(counts[0][0] + counts[0][1], 24 * 24);
  EXPECT_GT(counts[0][1], 0);
}

TEST_F(MaskDatasetTest, Rules) {
  PutValues("p0_0", {0, 1, 255});
  EXPECT_THAT(Classes("p0_0", 3), ::testing::ElementsAre(0, 1, 255));
  PutValues("p0_0", {0, 1, 7, 255});
  options_.rule = "instances";
  EXPECT_THAT(Classes("p0_0", 4), ::testing::ElementsAre(0, 1, 1, 1));
  options_.rule = "map";
  options_.map = {"0=background", "1-7=foreground", "255=ignore"};
  EXPECT_THAT(Classes("p0_0", 4), ::testing::ElementsAre(0, 1, 1, 255));
  options_.map = {"0-1=0", "7=1", "255=1"};
  EXPECT_THAT(Classes("p0_0", 4), ::testing::ElementsAre(0, 0, 1, 1));
  options_.rule = "classes";
  options_.ignore = 7;
  PutValues("p0_0", {0, 1, 7});
  EXPECT_THAT(Classes("p0_0", 3), ::testing::ElementsAre(0, 1, 255));
}

TEST_F(MaskDatasetTest, ScalesImageAndMask) {
  options_.scale = 0.5;
  const MaskDataset data(options_);
  const auto pair = data.Read(1);
  EXPECT_EQ(pair->image.width, 12);
  EXPECT_EQ(pair->mask.height, 12);
  std::set<uint8_t> values(pair->mask.pixels.begin(), pair->mask.pixels.end());
  EXPECT_THAT(values, ::testing::ElementsAre(0, 1));  // nearest: no values in between
}

TEST_F(MaskDatasetTest, KeepsInMemoryOnlyWhenAsked) {
  const MaskDataset on_demand(options_);
  EXPECT_NE(on_demand.Read(0), on_demand.Read(0));
  options_.in_memory = true;
  const MaskDataset kept(options_);
  EXPECT_EQ(kept.Read(0), kept.Read(0));
}

TEST_F(MaskDatasetTest, Errors) {
  auto open = [&] { MaskDataset data(options_); };
  auto read_all = [&] {
    const MaskDataset data(options_);
    data.ClassPixels(1);
  };
  {
    PutValues("p1_1", {0, 1, 3});
    ExpectError(read_all, ExitCode::kBadInput, "p1_1.png holds the value 3");
    PutValues("p1_1", {0, 1});
  }
  {  // 255 as foreground everywhere: every such pixel would be ignored in silence
    TempFolder other;
    MakeMaskData(other.path(), 2, 1, 24, 255);
    const std::string keep = options_.data;
    options_.data = other.path().string();
    ExpectError(read_all, ExitCode::kBadInput, "p0_0.png holds the value 255");
    options_.ignore = -1;
    ExpectError(read_all, ExitCode::kBadInput, "the value 255, which is no class");
    options_.ignore = 255;
    options_.data = keep;
  }
  {
    WritePng(temp_ / "masks/p1_1.png", core::Image(24, 20, 1, 1));
    ExpectError(open, ExitCode::kBadInput, "24 x 20");
    PutValues("p1_1", {0, 1});
  }
  {
    testing::fs::rename(temp_ / "masks/p1_1.png", temp_ / "masks/q.png");
    ExpectError(open, ExitCode::kBadInput, "q.png has no image");
    testing::fs::remove(temp_ / "masks/q.png");
    ExpectError(open, ExitCode::kBadInput, "p1_1.png has no mask");
    PutValues("p1_1", {0, 1});
  }
  {
    core::WriteFileAtomic(temp_ / "patients.csv", "name,patient_id\np0_0,a\np0_1,a\np1_0,b\n");
    ExpectError(open, ExitCode::kBadInput, "p1_1 has no patient");
    core::WriteFileAtomic(temp_ / "patients.csv", "image,patient\np0_0,a\n");
    ExpectError(open, ExitCode::kBadInput, "no column name");
    testing::fs::remove(temp_ / "patients.csv");
    ExpectError(open, ExitCode::kBadInput, "no table of patients");
  }
  {
    TempFolder empty;
    core::MakeFolder(empty / "images");
    core::MakeFolder(empty / "masks");
    options_.data = empty.path().string();
    ExpectError(open, ExitCode::kBadInput, "no images in");
    options_.data = (empty / "none").string();
    ExpectError(open, ExitCode::kBadInput, "none");
    options_.data = "";
    ExpectError(open, ExitCode::kUsage, "no data");
  }
}

TEST(MaskDataOptions, RefusesWrongTables) {
  auto check = [](auto change, const std::string& text) {
    MaskDataOptions options;
    change(options);
    ExpectError([&] { options.Check(); }, ExitCode::kUsage, text);
  };
  check([](auto& o) { o.classes = {"only"}; }, "1 names");
  check([](auto& o) { o.classes = {"a", "a"}; }, "twice");
  check([](auto& o) { o.rule = "map"; }, "mask.map is empty");
  check([](auto& o) { o.rule = "map", o.map = {"300=1"}; }, "300=1");
  check([](auto& o) { o.rule = "map", o.map = {"3"}; }, "no =");
  check([](auto& o) { o.rule = "map", o.map = {"3=gland"}; }, "names no class");
  check([](auto& o) { o.rule = "instances", o.classes = {"a", "b", "c"}; }, "two classes");
  check([](auto& o) { o.background = 2; }, "no class");
}

TEST(MaskDataset, Glas) {
  const auto folder = testing::DataFolder() / "glas";
  EOSIN_REQUIRE_DATA(folder);
  MaskDataOptions options;
  options.data = folder.string();
  options.rule = "instances";
  options.classes = {"background", "gland"};
  const MaskDataset data(options);
  EXPECT_EQ(data.size(), 165);
  std::set<std::string> patients;
  for (const MaskItem& item : data.items()) patients.insert(item.patient);
  EXPECT_GE(patients.size(), 15u);
  const auto pair = data.Read(0);
  EXPECT_EQ(pair->image.width, pair->mask.width);
}

}  // namespace
}  // namespace eosin::segment
