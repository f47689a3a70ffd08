// SPDX-License-Identifier: Apache-2.0
// Tile stores with labels as a source of masks.
#include <set>

#include "core/base/hash.h"
#include "core/store/tile_store.h"
#include "segment/data/mask_dataset.h"
#include "segment/data/split.h"
#include "tests/segment/made_data.h"

namespace eosin::segment {
namespace {

using core::ExitCode;
using testing::ExpectError;
using testing::TempFolder;

constexpr int kSide = 16;

struct StoreSpec {
  std::string patient = "anna";
  double mpp = 0.5;
  std::string classes = "stroma=2,tumor=1";
  std::string labels = "annotation";
  int tiles = 3;
};

// Tile k is grey 10 * k; its mask has k pixels of tumour and one of stroma. The last tile is bad.
void WriteStore(const fs::path& path, const StoreSpec& spec) {
  core::TileStoreInfo info;
  info.slide_name = path.stem().string() + ".svs";
  info.slide_hash = "abc";
  info.width = info.height = 1000;
  info.mpp_x = info.mpp_y = 0.25;
  info.bounds = {0, 0, 1000, 1000};
  info.tile_size = info.stride = kSide;
  info.tile_mpp = spec.mpp;
  info.encoding = "png";
  info.patch_size_level0 = 2 * kSide;
  info.downsample = 2;
  info.patient = spec.patient;
  core::TileStoreWriter writer(path, info);
  std::vector<core::Bytes> masks;
  for (int k = 0; k <= spec.tiles; ++k) {
    const bool bad = k == spec.tiles;
    const core::Bytes tile =
        core::EncodePng(core::Image(kSide, kSide, 3, static_cast<uint8_t>(10 * k)));
    writer.Append(k * 2 * kSide, 0, bad ? core::Bytes() : tile, 1,
                  bad ? core::TileStatus::kBad : core::TileStatus::kOk);
    core::Image mask(kSide, kSide, 1, 0);
    for (int i = 0; i < k; ++i) mask.pixels[static_cast<size_t>(i)] = 1;
    mask.pixels.back() = 2;
    masks.push_back(bad ? core::Bytes() : core::EncodePng(mask));
  }
  if (!spec.labels.empty()) writer.SetLabelMasks(spec.labels, masks, spec.classes);
  writer.Finish();
}

class MaskStoresTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteStore(temp_ / "a.h5", {});
    WriteStore(temp_ / "b.h5", {.patient = "anna"});
    WriteStore(temp_ / "c.h5", {.patient = "bert", .tiles = 2});
    options_.data = temp_.path().string();
    options_.classes = {"background", "tumor", "stroma"};
  }
  void Refused(ExitCode code, const std::string& text) {
    ExpectError([&] { MaskDataset data(options_); }, code, text);
  }
  TempFolder temp_;
  MaskDataOptions options_;
};

TEST_F(MaskStoresTest, TilesWithMasksSlidesAndPatients) {
  const MaskDataset data(options_);
  ASSERT_EQ(data.size(), 3 + 3 + 2);  // the bad tiles are left out
  EXPECT_EQ(data.item(4).name, "b#1");
  EXPECT_EQ(data.item(4).slide, "b");
  EXPECT_EQ(data.item(4).patient, "anna");
  EXPECT_EQ(data.item(7).patient, "bert");
  EXPECT_DOUBLE_EQ(data.ReadMpp(), 0.5);
  const auto pair = data.Read(4);
  EXPECT_EQ(pair->image.pixels[0], 10);
  EXPECT_EQ(pair->mask.pixels[0], 1);
  EXPECT_EQ(pair->mask.pixels[1], 0);
  EXPECT_EQ(pair->mask.pixels.back(), 2);
  const auto& pixels = data.ClassPixels(2);
  EXPECT_EQ(pixels[5][1], 2);
  EXPECT_EQ(pixels[5][2], 1);
}

TEST_F(MaskStoresTest, OneStore) {
  options_.data = (temp_ / "c.h5").string();
  EXPECT_EQ(MaskDataset(options_).size(), 2);
}

TEST_F(MaskStoresTest, HashesAreOfTheStoredBytes) {
  const MaskDataset data(options_);
  const auto& hashes = data.FileHashes(2);
  EXPECT_EQ(hashes[0].image, hashes[3].image);  // the same tile in two stores
  EXPECT_NE(hashes[0].image, hashes[1].image);
  const core::TileStoreReader store(temp_ / "a.h5");
  const core::Bytes mask = store.ReadLabelMaskBytes("annotation", 2);
  EXPECT_EQ(hashes[2].mask,
            core::Sha256Hex({reinterpret_cast<const char*>(mask.data()), mask.size()}));
}

TEST_F(MaskStoresTest, ScaleOfTheStores) {
  MaskDataOptions resolved = options_;
  ResolveScale(&resolved);
  EXPECT_DOUBLE_EQ(resolved.mpp, 0.5);
  resolved.scale = 0.5;
  EXPECT_DOUBLE_EQ(MaskDataset(resolved).ReadMpp(), 1.0);
  resolved.mpp = 0.25;
  ExpectError([&] { ResolveScale(&resolved); }, ExitCode::kBadInput, "0.25");
  WriteStore(temp_ / "d.h5", {.mpp = 1.0});
  Refused(ExitCode::kBadInput, "have 1 um/px");
}

TEST_F(MaskStoresTest, PatientsFromATableOrAStatement) {
  WriteStore(temp_ / "d.h5", {.patient = ""});
  Refused(ExitCode::kBadInput, "slide d has no patient");
  core::WriteFileAtomic(temp_ / "p.csv", "slide,patient_id\na.svs,1\nb,1\nc,2\nd,3\n");
  options_.groups = (temp_ / "p.csv").string();
  EXPECT_EQ(MaskDataset(options_).item(8).patient, "3");
  core::WriteFileAtomic(temp_ / "p.csv", "slide,patient_id\na,1\nb,1\nc,2\n");
  Refused(ExitCode::kBadInput, "slide d has no patient in");
  core::WriteFileAtomic(temp_ / "p.csv",
                        "slide,patient_id,split\na, 1,Train\nb,1 ,Train\nc,2,Test\nd,3,val\n");
  const MaskDataset with_parts(options_);
  EXPECT_EQ(with_parts.item(0).patient, with_parts.item(3).patient);
  EXPECT_EQ(with_parts.item(0).part, "train");
  EXPECT_EQ(with_parts.item(6).part, "test");
  EXPECT_EQ(with_parts.item(8).part, "val");
  options_.groups = "slide";
  EXPECT_EQ(MaskDataset(options_).item(8).patient, "d");
  options_.groups = "image";
  EXPECT_EQ(MaskDataset(options_).item(8).patient, "d#0");
}

TEST_F(MaskStoresTest, PatientsOfStoresAreOneWhateverTheBlanks) {
  WriteStore(temp_ / "d.h5", {.patient = " bert "});
  EXPECT_EQ(MaskDataset(options_).item(8).patient, "bert");
  fs::remove(temp_ / "d.h5");
  WriteStore(temp_ / "d.h5", {.patient = "Bert"});
  Refused(ExitCode::kBadInput, "Bert and bert");
}

TEST_F(MaskStoresTest, Refusals) {
  options_.classes = {"background", "foreground"};
  Refused(ExitCode::kBadInput, "was labelled with stroma=2,tumor=1");
  options_.classes = {"background", "stroma", "tumor"};  // swapped
  Refused(ExitCode::kBadInput, "was labelled with");
  options_.rule = "map";  // the user's own table: everything but tumour is background
  options_.classes = {"background", "cancer"};
  options_.map = {"0=background", "1=cancer", "2=background"};
  EXPECT_EQ(MaskDataset(options_).Read(1)->mask.pixels.back(), 0);
  options_.rule = "instances";
  Refused(ExitCode::kBadInput, "class ids");
  options_.rule = "map";
  options_.labels = "other";
  Refused(ExitCode::kBadInput, "labels/other");
  options_.labels = "annotation";
  WriteStore(temp_ / "d.h5", {.labels = ""});
  Refused(ExitCode::kBadInput, "d.h5 has no masks");
  core::WriteFileAtomic(temp_ / "d.h5", "junk");
  Refused(ExitCode::kBadInput, "d.h5");
  fs::remove(temp_ / "d.h5");
  core::MakeFolder(temp_ / "more");
  WriteStore(temp_ / "more/a.h5", {});
  Refused(ExitCode::kBadInput, "two stores have the same name");
}

// More stores than are kept open at once.
TEST(MaskStores, ManySlides) {
  TempFolder temp;
  for (int i = 0; i < 70; ++i) {
    WriteStore(temp / ("s" + std::to_string(i) + ".h5"),
               {.patient = std::to_string(i), .tiles = 1});
  }
  MaskDataOptions options;
  options.data = temp.path().string();
  options.classes = {"background", "tumor", "stroma"};
  const MaskDataset data(options, 0);
  ASSERT_EQ(data.size(), 70);
  for (int round = 0; round < 2; ++round) {
    for (int64_t i = 0; i < 70; ++i) EXPECT_EQ(data.Read(i)->mask.pixels.back(), 2);
  }
  const ImageSplit split = SplitByPatient(data.items(), {});
  EXPECT_EQ(split.train.size() + split.val.size() + split.test.size(), 70u);
}

}  // namespace
}  // namespace eosin::segment
