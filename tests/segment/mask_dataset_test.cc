// SPDX-License-Identifier: Apache-2.0
#include "segment/data/mask_dataset.h"

#include <algorithm>
#include <map>
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

TEST_F(MaskDatasetTest, KeepsDecodedImagesAsFarAsMemoryGoes) {
  const MaskDataset on_demand(options_, 0);
  EXPECT_NE(on_demand.Read(0), on_demand.Read(0));
  EXPECT_EQ(on_demand.decoded_again(), 1);
  EXPECT_EQ(on_demand.kept_bytes(), 0);
  const MaskDataset kept(options_);
  EXPECT_EQ(kept.Read(0), kept.Read(0));
  EXPECT_EQ(kept.kept_bytes(), 24 * 24 * 4);
  EXPECT_EQ(kept.decoded_again(), 0);
  kept.ClassPixels(1);
  EXPECT_EQ(kept.MemoryWarning(), "");
}

// Three images of 600 x 600 x 4 bytes under a budget of 2 MiB: the first stays, whatever comes.
TEST(MaskDataset, FirstComeStays) {
  TempFolder temp;
  MakeMaskData(temp.path(), 3, 1, 600);
  MaskDataOptions options;
  options.data = temp.path().string();
  const MaskDataset data(options, 2 << 20);
  for (int epoch = 0; epoch < 3; ++epoch) {
    for (int64_t i = 0; i < 3; ++i) data.Read(i);
  }
  EXPECT_EQ(data.kept_bytes(), 600 * 600 * 4);
  EXPECT_EQ(data.decoded_again(), 2 * 2);  // two images in each of two later epochs
  EXPECT_THAT(data.MemoryWarning(), ::testing::HasSubstr("1 of 3 decoded images fit into 2 MiB"));
  options.in_memory = true;
  const MaskDataset all(options, 0);
  all.ClassPixels(1);
  EXPECT_EQ(all.kept_bytes(), 3 * 600 * 600 * 4);
}

TEST_F(MaskDatasetTest, KeepsInstanceNumbersOfSixteenBits) {
  core::Mask16 wide{24, 24, std::vector<uint16_t>(24 * 24, 0)};
  for (const size_t at : {0, 1, 24, 25}) wide.pixels[at] = 300;  // 2 x 2 px
  wide.pixels[1] = 65535;
  const core::Bytes png = core::EncodePng16(wide);
  core::WriteFileAtomic(temp_ / "masks/p0_0.png",
                        {reinterpret_cast<const char*>(png.data()), png.size()});
  ExpectError([&] { MaskDataset(options_).Read(0); }, ExitCode::kBadInput, "the value 300");
  options_.rule = "map";
  options_.map = {"0=0", "300=1", "65535=ignore"};
  EXPECT_THAT(Classes("p0_0", 3), ::testing::ElementsAre(1, 255, 0));
  options_.rule = "instances";
  const auto pair = MaskDataset(options_).Read(0);
  EXPECT_EQ(pair->mask.pixels[1], 1);
  EXPECT_EQ(pair->instances[0], 300);
  EXPECT_EQ(pair->instances[1], 65535);
  options_.scale = 0.5;  // numbers follow the mask's geometry
  const auto half = MaskDataset(options_).Read(0);
  EXPECT_EQ(half->instances.size(), 12u * 12);
  EXPECT_EQ(half->instances[0], 300);
  for (size_t i = 0; i < half->instances.size(); ++i) {
    EXPECT_EQ(half->instances[i] > 0, half->mask.pixels[i] == 1);
  }
  options_.rule = "classes";
  EXPECT_TRUE(MaskDataset(options_).Read(1)->instances.empty());
}

TEST_F(MaskDatasetTest, MasksBesideTheImages) {
  for (const auto& path : core::ListFiles(temp_ / "masks", {".png"}, false)) {
    testing::fs::rename(path, temp_ / ("images/" + path.stem().string() + "_anno.png"));
  }
  testing::fs::remove(temp_ / "masks");
  options_.images = options_.masks = (temp_ / "images").string();
  ExpectError([&] { MaskDataset data(options_); }, ExitCode::kUsage, "images and masks are both");
  options_.suffix = "_anno";
  const MaskDataset data(options_);
  ASSERT_EQ(data.size(), 4);
  EXPECT_EQ(data.item(0).name, "p0_0");
  EXPECT_EQ(data.item(0).mask.filename(), "p0_0_anno.png");
}

TEST_F(MaskDatasetTest, TablesOfPatients) {
  // GlaS' own table: other case, blanks around headers, names with extensions.
  testing::fs::remove(temp_ / "patients.csv");
  core::WriteFileAtomic(temp_ / "Grade.csv",
                        "name, patient ID, grade (GlaS),split\np0_0.png,1,x,train\np0_1,1,x,"
                        "train\np1_0,2,y,testA\np1_1,2,y,testB\n");
  const MaskDataset data(options_);
  EXPECT_EQ(data.item(0).patient, "1");
  EXPECT_EQ(data.item(3).patient, "2");
  EXPECT_EQ(data.item(0).part, "train");
  EXPECT_EQ(data.item(3).part, "test");
  core::WriteFileAtomic(temp_ / "Grade.csv", "name,patient_id\np0_0,1\np0_0,2\n");
  ExpectError([&] { MaskDataset again(options_); }, ExitCode::kBadInput, "patients 1 and 2");
  options_.groups = "image";  // a statement of the user's
  EXPECT_EQ(MaskDataset(options_).item(3).patient, "p1_1");
  options_.groups = "slide";
  ExpectError([&] { MaskDataset again(options_); }, ExitCode::kUsage, "no slide");
}

TEST_F(MaskDatasetTest, IdsOfPatientsAreReadWithoutBlanks) {
  core::WriteFileAtomic(temp_ / "patients.csv",
                        "name,patient_id,split\np0_0 ,P1, Train\n p0_1.png, P1 ,TRAIN \n"
                        "p1_0,P2,Test\np1_1,\tP2,test\n");
  const MaskDataset data(options_);
  EXPECT_EQ(data.item(0).patient, "P1");
  EXPECT_EQ(data.item(1).patient, "P1");
  EXPECT_EQ(data.item(3).patient, "P2");
  EXPECT_EQ(data.item(1).part, "train");
  EXPECT_EQ(data.item(2).part, "test");
  core::WriteFileAtomic(temp_ / "patients.csv",
                        "name,patient_id\np0_0,P1\np0_1,p1\np1_0,P2\np1_1,P2\n");
  ExpectError([&] { MaskDataset again(options_); }, ExitCode::kBadInput, "P1 and p1");
}

TEST_F(MaskDatasetTest, OtherPicturesAreNotLeftOut) {
  auto open = [&] { MaskDataset data(options_); };
  core::WriteFileAtomic(temp_ / "images/p9.TIF", "x");
  ExpectError(open, ExitCode::kBadInput, "p9.TIF is neither");
  testing::fs::remove(temp_ / "images/p9.TIF");
  core::WriteFileAtomic(temp_ / "masks/p9.bmp", "x");
  ExpectError(open, ExitCode::kBadInput, "p9.bmp is neither");
  testing::fs::remove(temp_ / "masks/p9.bmp");
  core::WriteFileAtomic(temp_ / "masks/p0_0.bmp", "x");  // the original of a converted one
  EXPECT_NO_THROW(open());
}

// Foreground saved as 255 in some masks only.
TEST_F(MaskDatasetTest, MixedForegroundValues) {
  auto read_all = [&] {
    const MaskDataset data(options_);
    data.ClassPixels(1);
  };
  PutValues("p0_1", {0, 255, 255});
  ExpectError(read_all, ExitCode::kBadInput, "p0_1.png");
  options_.rule = "map";
  options_.map = {"0=background", "1=foreground"};  // 255 is ignored by default all the same
  ExpectError(read_all, ExitCode::kBadInput, "p0_1.png");
  options_.map.push_back("255=ignore");  // the user's word
  EXPECT_NO_THROW(read_all());
  options_.rule = "classes";
  PutValues("p1_0", {0, 1, 255});  // 255 beside foreground: a warning
  EXPECT_NO_THROW(read_all());
}

TEST_F(MaskDatasetTest, InstancesMustBeNumbered) {
  options_.rule = "instances";
  auto read_all = [&] {
    const MaskDataset data(options_);
    data.ClassPixels(1);
  };
  EXPECT_NO_THROW(read_all());  // one disc an image
  PutValues("p0_1", {255, 0, 255});
  ExpectError(read_all, ExitCode::kBadInput, "the 2 areas of");
  PutValues("p1_0", {1, 2});  // objects are numbered somewhere: areas may be one object
  EXPECT_NO_THROW(read_all());
}

TEST_F(MaskDatasetTest, HintsNameTheUsersOwnTable) {
  PutValues("p0_0", {0, 1, 9});
  options_.rule = "map";
  options_.map = {"0=background", "1=foreground"};
  try {
    MaskDataset(options_).Read(0);
    FAIL();
  } catch (const core::Error& error) {
    EXPECT_THAT(error.hint(),
                ::testing::HasSubstr("[\"0=background\", \"1=foreground\", \"9=CLASS\"]"));
  }
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
    options_.background = -1;  // class 0 alone is no foreground
    ExpectError(read_all, ExitCode::kBadInput, "p0_0.png holds the value 255");
    options_.background = 0;
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
    core::WriteFileAtomic(temp_ / "patients.csv", "picture,patient\np0_0,a\n");
    ExpectError(open, ExitCode::kBadInput, "no column name");
    testing::fs::remove(temp_ / "patients.csv");
    ExpectError(open, ExitCode::kBadInput, "no table of patients");
    options_.groups = "image";
  }
  {
    WritePng(temp_ / "masks/p1_1.png", core::Image(24, 24, 3, 7));
    ExpectError(read_all, ExitCode::kBadInput, "colour picture of 1 colour,");
    PutValues("p1_1", {0, 1});
    core::WriteFileAtomic(temp_ / "masks/p1_1.png", "not a picture");
    ExpectError(open, ExitCode::kBadInput, "p1_1.png");
    testing::fs::remove(temp_ / "masks/p1_1.png");
    const core::Bytes jpeg = core::EncodeJpeg(core::Image(24, 24, 1, 1), 90);
    core::WriteFileAtomic(temp_ / "masks/p1_1.jpg",
                          {reinterpret_cast<const char*>(jpeg.data()), jpeg.size()});
    ExpectError(open, ExitCode::kBadInput, "p1_1.jpg is a JPEG");
    testing::fs::remove(temp_ / "masks/p1_1.jpg");
    PutValues("p1_1", {0, 1});
    core::WriteFileAtomic(temp_ / "images/p1_1.jpg",
                          {reinterpret_cast<const char*>(jpeg.data()), jpeg.size()});
    ExpectError(open, ExitCode::kBadInput, "two images have the same name");
    testing::fs::remove(temp_ / "images/p1_1.jpg");
  }
  {
    TempFolder other;
    MakeMaskData(other.path(), 2, 1, 24, 0);
    const std::string keep = options_.data;
    options_.data = other.path().string();
    ExpectError(read_all, ExitCode::kBadInput, "nothing but background");
    options_.data = keep;
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
  check([](auto& o) { o.rule = "map", o.map = {"70000=1"}; }, "70000=1");
  check([](auto& o) { o.rule = "map", o.map = {"3"}; }, "no =");
  check([](auto& o) { o.rule = "map", o.map = {"3=gland"}; }, "names no class");
  check([](auto& o) { o.rule = "map", o.map = {"0=0", "255-1=1"}; }, "ends before it begins");
  check([](auto& o) { o.rule = "map", o.map = {"0-9=0", "5=1"}; },
        "\"0-9=0\" and \"5=1\" both say what 5 is");
  check([](auto& o) { o.rule = "instances", o.classes = {"a", "b", "c"}; }, "two classes");
  check([](auto& o) { o.background = 2; }, "no class");
  check([](auto& o) { o.crop_foreground = 0.3, o.crop_balance = "equal"; }, "crop.balance");
  check([](auto& o) { o.crop_foreground = 0.3, o.background = -1; }, "crop.foreground");
}

TEST(DataPreset, Names) {
  for (const std::string& name : DataPresetNames()) EXPECT_NO_THROW(DataPreset(name).Check());
  ExpectError([] { DataPreset("glass"); }, ExitCode::kUsage, "glass");
}

TEST(MaskDataset, Glas) {
  const auto folder = testing::DataFolder() / "glas";
  EOSIN_REQUIRE_DATA(folder);
  MaskDataOptions options = DataPreset("glas");
  options.data = folder.string();
  const MaskDataset data(options);
  EXPECT_EQ(data.size(), 165);
  EXPECT_DOUBLE_EQ(data.ReadMpp(), 0.62005);
  std::set<std::string> patients;
  std::map<std::string, int> parts;
  for (const MaskItem& item : data.items()) {
    patients.insert(item.patient);
    ++parts[item.part];
  }
  EXPECT_GE(patients.size(), 15u);
  EXPECT_EQ(parts["train"], 85);
  EXPECT_EQ(parts["test"], 80);
  const auto pair = data.Read(0);
  EXPECT_EQ(pair->image.width, pair->mask.width);
  EXPECT_GT(*std::max_element(pair->instances.begin(), pair->instances.end()), 1);
}

TEST(MaskDataset, Dsb) {
  const auto folder = testing::DataFolder() / "dsb2018_he";
  EOSIN_REQUIRE_DATA(folder);
  MaskDataOptions options = DataPreset("dsb");
  options.data = folder.string();
  const MaskDataset data(options);
  EXPECT_EQ(data.size(), 107);
  EXPECT_EQ(data.ReadMpp(), 0);
  int64_t nuclei = 0;
  for (const auto& image : data.ClassPixels(2)) nuclei += image[1];
  EXPECT_GT(nuclei, 100000);
}

}  // namespace
}  // namespace eosin::segment
