// SPDX-License-Identifier: Apache-2.0
#include "eval/embedding_file.h"

#include <cmath>

#include "core/image/codec.h"
#include "tests/eval/analysis_fixture.h"

namespace eosin::eval {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

EmbeddingMaker Maker() {
  EmbeddingMaker maker{.encoder = "simclr", .fingerprint = "abc", .input_size = 96};
  maker.normalization.mean = {0.5f, 0.25f, 0.125f};
  maker.normalization.std = {1, 2, 4};
  return maker;
}

// Six tiles of 8 px; tile 2 is bad.
void WriteStore(const fs::path& path, const std::string& stem) {
  core::TileStoreInfo info;
  info.slide_name = stem + ".svs";
  info.width = 1000;
  info.height = 800;
  info.mpp_x = info.mpp_y = 0.25;
  info.tile_size = info.stride = 8;
  info.tile_mpp = 0.5;
  info.encoding = "raw";
  info.patch_size_level0 = 16;
  info.downsample = 2;
  core::TileStoreWriter writer(path, info);
  for (int i = 0; i < 6; ++i) {
    const bool bad = i == 2;
    const core::Bytes pixels(bad ? 0 : 8 * 8 * 3, static_cast<uint8_t>(i));
    writer.Append(16 * i, 32 * i, pixels, 1, bad ? core::TileStatus::kBad : core::TileStatus::kOk);
  }
  writer.Finish();
}

std::vector<int64_t> AllOf(const engine::ImageSource& source) {
  std::vector<int64_t> all(static_cast<size_t>(source.size()));
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
  return all;
}

at::Tensor Made(int64_t rows, int64_t width) {
  return torch::arange(rows * width, at::kFloat).view({rows, width}) / 7;
}

TEST(EmbeddingFileTest, OneFileASlideAsClamAndTridentReadThem) {
  testing::TempFolder temp;
  fs::create_directories(temp / "data");
  WriteStore(temp / "data/b.h5", "b");
  WriteStore(temp / "data/a.h5", "a");
  const auto source = engine::OpenImageSource(temp / "data");
  ASSERT_EQ(source->size(), 10);
  const at::Tensor features = Made(10, 5);
  const auto files =
      WriteEmbeddings(temp / "out", temp / "data", *source, AllOf(*source), features, Maker());
  EXPECT_THAT(files, ElementsAre(temp / "out/a.h5", temp / "out/b.h5"));
  const Embedding second = ReadEmbedding(files[1]);
  EXPECT_TRUE(at::equal(second.features, features.narrow(0, 5, 5)));
  EXPECT_TRUE(
      at::equal(second.coords,
                torch::tensor({0, 0, 16, 32, 48, 96, 64, 128, 80, 160}, at::kLong).view({5, 2})));
  EXPECT_FALSE(second.labels.defined());
  EXPECT_EQ(second.maker.encoder, "simclr");
  EXPECT_EQ(second.maker.fingerprint, "abc");
  EXPECT_EQ(second.maker.input_size, 96);
  EXPECT_EQ(second.maker.normalization, Maker().normalization);
  const auto file = core::hdf5::File::Open(files[0]);
  EXPECT_EQ(file.GetString("format"), "eosin-features");
  EXPECT_EQ(file.OpenDataset("features").type(), core::hdf5::Type::kFloat32);
  EXPECT_EQ(file.OpenDataset("features").GetString("name"), "a");
  EXPECT_EQ(file.OpenDataset("features").GetInt64("tiles_written"), 5);
  EXPECT_EQ(file.OpenDataset("features").GetInt64("tiles_in_store"), 5) << "without the bad one";
  const auto coords = file.OpenDataset("coords");
  EXPECT_EQ(coords.type(), core::hdf5::Type::kInt64);
  EXPECT_EQ(coords.GetInt64("patch_size"), 8);
  EXPECT_EQ(coords.GetInt64("patch_size_level0"), 16);
  EXPECT_EQ(coords.GetDouble("level0_magnification"), 40);
  EXPECT_EQ(coords.GetInt64s("level_dim"), (std::vector<int64_t>{1000, 800}));
  EXPECT_FALSE(coords.HasAttribute("xxh3")) << "the hash of other rows";
  // The order of the rows is the caller's; equal content gives equal bytes.
  const auto again =
      WriteEmbeddings(temp / "again", temp / "data", *source, AllOf(*source), features, Maker());
  EXPECT_EQ(core::ReadFile(again[0]), core::ReadFile(files[0]));
  int64_t incomplete = 7;
  WriteEmbeddings(temp / "some", temp / "data", *source, AllOf(*source), features, Maker(),
                  &incomplete);
  EXPECT_EQ(incomplete, 0);
  WriteEmbeddings(temp / "some", temp / "data", *source, {7, 1}, features.narrow(0, 0, 2), Maker(),
                  &incomplete);
  EXPECT_EQ(incomplete, 2);
  const auto part = core::hdf5::File::Open(temp / "some/a.h5");
  EXPECT_EQ(part.OpenDataset("features").GetInt64("tiles_written"), 1);
  EXPECT_EQ(part.OpenDataset("features").GetInt64("tiles_in_store"), 5);
  EXPECT_EQ(ReadEmbedding(temp / "some/a.h5").coords[0][0].item<int64_t>(), 16);
  EXPECT_TRUE(at::equal(ReadEmbedding(temp / "some/b.h5").features, features.narrow(0, 0, 1)));
}

TEST(EmbeddingFileTest, StoresOfOneNameKeepTheirFolders) {
  testing::TempFolder temp;
  for (const std::string folder : {"data/x", "data/y"}) {
    fs::create_directories(temp / folder);
    WriteStore(temp / (folder + "/a.h5"), "a");
  }
  const auto source = engine::OpenImageSource(temp / "data");
  const auto files =
      WriteEmbeddings(temp / "out", temp / "data", *source, AllOf(*source), Made(10, 3), Maker());
  EXPECT_THAT(files, ElementsAre(temp / "out/x/a.h5", temp / "out/y/a.h5"));
  EXPECT_EQ(ReadEmbedding(files[1]).features[0][0].item<float>(), 15.0f / 7);
}

TEST(EmbeddingFileTest, PicturesGoToOneFileWithTheirLabels) {
  testing::TempFolder temp;
  for (const std::string name : {"benign/1", "benign/2", "tumour/\xC3\xA4"}) {
    const fs::path path = temp / ("data/" + name + ".png");
    fs::create_directories(path.parent_path());
    const core::Bytes png = core::EncodePng(core::Image(8, 8, 3, 7));
    core::WriteFileAtomic(path, {reinterpret_cast<const char*>(png.data()), png.size()});
  }
  const auto source = engine::OpenImageSource(temp / "data");
  const auto files =
      WriteEmbeddings(temp / "out", temp / "data", *source, {2, 0}, Made(2, 4), Maker());
  EXPECT_THAT(files, ElementsAre(temp / "out/embedding.h5"));
  const Embedding read = ReadEmbedding(files[0]);
  EXPECT_TRUE(at::equal(read.features, Made(2, 4)));
  EXPECT_TRUE(at::equal(read.labels, torch::tensor({1, 0}, at::kLong)));
  EXPECT_THAT(read.classes, ElementsAre("benign", "tumour"));
  EXPECT_THAT(read.names, ElementsAre("tumour/\xC3\xA4.png", "benign/1.png"));
  EXPECT_EQ(read.groups.size(), 2u);
  EXPECT_FALSE(read.coords.defined());
  const auto again =
      WriteEmbeddings(temp / "again", temp / "data", *source, {2, 0}, Made(2, 4), Maker());
  EXPECT_EQ(core::ReadFile(again[0]), core::ReadFile(files[0]));
}

TEST(EmbeddingFileTest, RefusesWhatDoesNotFit) {
  testing::TempFolder temp;
  WriteStore(temp / "a.h5", "a");
  const core::TileStoreReader store(temp / "a.h5");
  testing::ExpectError(
      [&] { WriteSlideEmbedding(temp / "out.h5", store, {0, 1}, Made(3, 2), Maker()); },
      core::ExitCode::kBadInput, "3 rows of features for 2 images");
  testing::ExpectError(
      [&] { WriteSlideEmbedding(temp / "out.h5", store, {6}, Made(1, 2), Maker()); },
      core::ExitCode::kBadInput, "no tile 6");
  EXPECT_FALSE(fs::exists(temp / "out.h5"));
  testing::ExpectError([&] { ReadEmbedding(temp / "a.h5"); }, core::ExitCode::kBadInput,
                       "no dataset `features`");
  {
    auto file = core::hdf5::File::Create(temp / "odd.h5");
    file.CreateDataset<float>("features", {1, 2, 3, 4}, {2, 2});
    file.CreateDataset<int64_t>("coords", {1, 2}, {1, 2});
    file.Close();
  }
  testing::ExpectError([&] { ReadEmbedding(temp / "odd.h5"); }, core::ExitCode::kBadInput,
                       "`coords` is not (N, 2)");
  {
    auto file = core::hdf5::File::Create(temp / "numbers.h5");
    file.CreateDataset<float>("features", {1, 2, 3, 4}, {2, 2});
    file.CreateDataset<int64_t>("names", {1, 2}, {2});
    file.Close();
  }
  testing::ExpectError([&] { ReadEmbedding(temp / "numbers.h5"); }, core::ExitCode::kBadInput,
                       "strings");
  testing::ExpectError([&] { ReadEmbedding(temp / "none.h5"); }, core::ExitCode::kBadInput, "none");
}

}  // namespace
}  // namespace eosin::eval
