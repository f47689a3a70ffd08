// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>
#include <atomic>
#include <csignal>
#include <fstream>
#include <functional>

#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/threads.h"
#include "core/store/store_check.h"
#include "core/store/tile_store.h"
#include "tests/testing.h"

// When a close fails on a full disk, HDF5 loses track of its own memory.
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5"; }

namespace eosin::core {
namespace {

using eosin::testing::ExpectError;
using eosin::testing::TempFolder;

Image Tile(int side, int seed) {
  Image image(side, side, 3);
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    image.pixels[i] = static_cast<uint8_t>((i * 7 + static_cast<size_t>(seed) * 31) & 255);
  }
  return image;
}

TileStoreInfo Info(const std::string& encoding, int64_t side) {
  TileStoreInfo info;
  info.slide_name = "case.1.svs";
  info.slide_hash = "abc";
  info.vendor = "aperio";
  info.width = 10000;
  info.height = 8000;
  info.mpp_x = info.mpp_y = 0.25;
  info.mpp_source = "openslide.mpp-x";
  info.objective_power = 40;
  info.bounds = {0, 0, 10000, 8000};
  info.tile_size = side;
  info.tile_mpp = 0.5;
  info.stride = side / 2;
  info.encoding = encoding;
  info.settings = R"({"mpp":0.5})";
  info.patch_size_level0 = 2 * side;
  info.patch_level = 1;
  info.downsample = 2;
  info.level_width = 5000;
  info.level_height = 4000;
  return info;
}

void WriteStore(const fs::path& path, const std::string& encoding, int side, int count) {
  TileStoreWriter writer(path, Info(encoding, side));
  for (int i = 0; i < count; ++i) {
    const Image tile = Tile(side, i);
    const Bytes bytes = encoding == "raw" ? tile.pixels : EncodePng(tile);
    if (i == 2) {
      writer.Append(i, 10 * i, {}, 0.25f, TileStatus::kBad);
    } else {
      writer.Append(i, 10 * i, bytes, 0.5f);
    }
  }
  writer.SetPreview("grid", EncodeJpeg(Tile(16, 0), 80));
  std::vector<int64_t> ids(static_cast<size_t>(count));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int64_t>(i % 3);
  writer.SetLabels("tissue_type", ids, "benign=0,tumour=1,stroma=2");
  writer.Finish();
}

TEST(TileStore, GivesBackWhatWasWritten) {
  TempFolder temp;
  for (const std::string encoding : {"raw", "png"}) {
    const fs::path path = temp / (encoding + ".h5");
    // 40 raw tiles of 128 px are 1.9 MB: they cross the 1 MiB chunks of tiles/bytes.
    WriteStore(path, encoding, 128, 40);
    const TileStoreReader store(path);
    ASSERT_EQ(store.size(), 40);
    EXPECT_EQ(store.coords(3).x, 3);
    EXPECT_EQ(store.coords(3).y, 30);
    EXPECT_FLOAT_EQ(store.tissue(2), 0.25f);
    EXPECT_EQ(store.status(2), TileStatus::kBad);
    EXPECT_EQ(store.status(3), TileStatus::kOk);
    for (int i = 0; i < 40; ++i) {
      if (i == 2) continue;
      EXPECT_EQ(store.Decode(i).pixels, Tile(128, i).pixels) << encoding << i;
    }
    EXPECT_TRUE(store.ReadBytes(2).empty());
    ExpectError([&] { store.Decode(2); }, ExitCode::kBadInput, "marked bad");
    EXPECT_THAT(store.label_names(), ::testing::ElementsAre("tissue_type"));
    EXPECT_EQ(store.ReadLabels("tissue_type")[4], 1);
    ExpectError([&] { store.ReadLabels("grade"); }, ExitCode::kBadInput, "grade");
    EXPECT_THAT(store.preview_names(), ::testing::ElementsAre("grid"));
    EXPECT_EQ(DecodeRgb(store.ReadPreview("grid"), "preview").width, 16);

    const TileStoreInfo& info = store.info();
    EXPECT_EQ(info.slide_name, "case.1.svs");
    EXPECT_EQ(info.SlideStem(), "case.1");
    EXPECT_EQ(info.width, 10000);
    EXPECT_EQ(info.bounds, (std::array<int64_t, 4>{0, 0, 10000, 8000}));
    EXPECT_DOUBLE_EQ(info.Mpp(), 0.25);
    EXPECT_EQ(info.settings, R"({"mpp":0.5})");
    EXPECT_EQ(info.encoding, encoding);
    EXPECT_EQ(info.stride, 64);
    EXPECT_EQ(info.patch_level, 1);
    EXPECT_EQ(info.level_height, 4000);
    EXPECT_THAT(info.software, ::testing::StartsWith("eosin "));
  }
}

// 20 tiles of 16 px (tile 3 bad) with everything a store can hold.
TileStoreInfo WriteFullStore(const fs::path& path) {
  TileStoreInfo info = Info("raw", 16);
  info.patient = "P-1";
  TileStoreWriter writer(path, info);
  std::vector<float> blur, stain;
  std::vector<Bytes> masks;
  for (int i = 0; i < 20; ++i) {
    const bool bad = i == 3;
    writer.Append(16 * i, 0, bad ? Bytes() : Tile(16, i).pixels, 1,
                  bad ? TileStatus::kBad : TileStatus::kOk);
    blur.push_back(static_cast<float>(i) / 32);
    stain.insert(stain.end(), {static_cast<float>(i), -1.5F});
    masks.push_back(bad ? Bytes() : EncodePng(Image(16, 16, 1, static_cast<uint8_t>(i))));
  }
  writer.SetQuality("blur", blur);
  writer.SetStain(stain, {"h_p99", "e_p99"});
  writer.SetLabelMasks("annotation", masks, "tumor=1,pen=exclude");
  writer.SetLabels("class", std::vector<int64_t>(20, 4), "malign=4");
  writer.Finish();
  return info;
}

TEST(TileStore, KeepsScoresStainMasksAndPatient) {
  TempFolder temp;
  WriteFullStore(temp / "a.h5");
  const TileStoreReader store(temp / "a.h5");
  EXPECT_EQ(store.info().patient, "P-1");
  EXPECT_THAT(store.quality_names(), ::testing::ElementsAre("blur"));
  EXPECT_EQ(store.ReadQuality("blur")[5], 5.0F / 32);
  EXPECT_THAT(store.stain_columns(), ::testing::ElementsAre("h_p99", "e_p99"));
  EXPECT_EQ(store.ReadStain().size(), 40U);
  EXPECT_EQ(store.ReadStain()[2 * 7], 7.0F);
  EXPECT_EQ(store.ReadStain()[2 * 7 + 1], -1.5F);
  EXPECT_THAT(store.mask_names(), ::testing::ElementsAre("annotation"));
  EXPECT_EQ(store.ReadLabelMask("annotation", 9).pixels, Bytes(256, 9));
  EXPECT_TRUE(store.ReadLabelMaskBytes("annotation", 3).empty());
  ExpectError([&] { store.ReadLabelMask("annotation", 3); }, ExitCode::kBadInput, "marked bad");
  EXPECT_EQ(store.LabelClasses("annotation"), "tumor=1,pen=exclude");
  EXPECT_EQ(store.LabelClasses("class"), "malign=4");
  EXPECT_THAT(store.label_names(), ::testing::ElementsAre("class"));  // masks are not class ids
  ExpectError([&] { store.ReadQuality("pen"); }, ExitCode::kBadInput, "pen");
  ExpectError([&] { store.ReadLabelMask("class", 0); }, ExitCode::kBadInput,
              "no masks named class");
  ExpectError([&] { store.LabelClasses("grade"); }, ExitCode::kBadInput, "grade");
}

TEST(TileStore, OpensWithoutWhatIsOptional) {
  TempFolder temp;
  {
    TileStoreWriter writer(temp / "a.h5", Info("raw", 8));
    writer.Append(0, 0, Tile(8, 0).pixels);
    writer.Finish();
  }
  const TileStoreReader store(temp / "a.h5");
  EXPECT_EQ(store.info().patient, "");
  EXPECT_FALSE(hdf5::File::Open(temp / "a.h5").HasAttribute("patient"));
  EXPECT_TRUE(store.quality_names().empty());
  EXPECT_TRUE(store.stain_columns().empty());
  EXPECT_TRUE(store.mask_names().empty());
  ExpectError([&] { store.ReadStain(); }, ExitCode::kBadInput, "no stain");
}

TEST(TileStore, RefusesColumnsOfAnotherLength) {
  TempFolder temp;
  const auto refused = [&](const std::function<void(TileStoreWriter&)>& set,
                           const std::string& says) {
    ExpectError(
        [&] {
          TileStoreWriter writer(temp / "a.h5", Info("raw", 8));
          writer.Append(0, 0, Tile(8, 0).pixels);
          writer.Append(8, 0, Tile(8, 1).pixels);
          set(writer);
          writer.Finish();
        },
        ExitCode::kBadInput, says);
    EXPECT_TRUE(fs::is_empty(temp.path()));
  };
  const Bytes mask = EncodePng(Image(8, 8, 1, 0));
  refused([](auto& w) { w.SetQuality("pen", {1}); }, "quality/pen has 1 values");
  refused([](auto& w) { w.SetStain({1, 2, 3}, {"a", "b"}); }, "stain has 3 values");
  refused([](auto& w) { w.SetLabels("class", {1, 2, 3}, ""); }, "labels/class has 3 values");
  refused([&](auto& w) { w.SetLabelMasks("m", {mask}, ""); }, "labels/m has 1 values");
  refused([&](auto& w) { w.SetLabelMasks("m", {mask, {}}, ""); }, "labels/m has no mask of tile 1");
}

// What is not pixels costs little, and the last chunk only what is in it.
TEST(TileStore, IsHardlyLargerThanItsTiles) {
  TempFolder temp;
  const int count = 5001;
  {
    TileStoreWriter writer(temp / "a.h5", Info("raw", 16));
    writer.Reserve(count);
    for (int i = 0; i < count; ++i) writer.Append(i, i, Tile(16, i).pixels);
    for (const char* name : {"blur", "pen", "white", "black", "fold"}) {
      writer.SetQuality(name, std::vector<float>(count));
    }
    writer.SetStain(std::vector<float>(14 * count), std::vector<std::string>(14, "column"));
    writer.Finish();
  }
  const auto size = static_cast<int64_t>(fs::file_size(temp / "a.h5"));
  EXPECT_LE(size - int64_t{count} * 768, 150 * count);
}

TEST(TileStore, LosesOneTileToAFlippedBit) {
  TempFolder temp;
  const fs::path path = temp / "a.h5";
  WriteStore(path, "raw", 128, 40);  // a full chunk and a packed one
  const std::string whole = ReadFile(path);
  for (const int damaged : {5, 30}) {
    const std::vector<uint8_t> pixels = Tile(128, damaged).pixels;
    std::string changed = whole;
    // Tiles repeat themselves every 256 bytes; 3000 of them are told apart by where they begin.
    const size_t tile_at = [&] {
      const TileStoreReader store(path);
      const Bytes before = store.ReadBytes(damaged - 1);
      std::string seam(before.end() - 100, before.end());
      seam.append(pixels.begin(), pixels.begin() + 100);
      return whole.find(seam) + 100;
    }();
    ASSERT_LT(tile_at, whole.size());
    changed[tile_at + 50] ^= 1;
    WriteFileAtomic(path, changed);
    const TileStoreReader store(path);
    for (int i = 0; i < 40; ++i) {
      if (i == 2) continue;
      EXPECT_EQ(store.ReadBytes(i) == Tile(128, i).pixels, i != damaged) << i;
    }
    EXPECT_THAT(
        CheckHashes(path).problems,
        ::testing::ElementsAre(::testing::HasSubstr("tiles/bytes is not what was written")));
    WriteFileAtomic(path, whole);
  }
}

// Reference values of xxhsum -H2.
TEST(Xxh3, AgreesWithXxhsum) {
  EXPECT_EQ(Xxh3Hex("", 0), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(Xxh3Hex("abc", 3), "06b05ab6733a618578af5f94892f3950");
  Xxh3 parts;
  parts.Update("a");
  parts.Update("bc");
  EXPECT_EQ(parts.Hex(), Xxh3Hex("abc", 3));
}

TEST(CheckHashes, CoversEveryDatasetAndAttribute) {
  TempFolder temp;
  const fs::path path = temp / "a.h5";
  WriteFullStore(path);
  const HashCheck good = CheckHashes(path);
  EXPECT_TRUE(good.problems.empty());
  EXPECT_EQ(good.datasets, 10);  // 5, blur, stain, class, 2 of masks
  {
    const hdf5::File file = hdf5::File::Open(path);
    const hdf5::Dataset status = file.OpenDataset("status");
    const auto values = status.Read<uint8_t>();
    EXPECT_EQ(status.GetString("xxh3"), Xxh3Hex(values.data(), values.size()));
  }
  // Change a byte anywhere: the check tells, or the reader refuses the file, or all that can be
  // read is as before (HDF5's own padding and free space). Left out: the global heap, where strings
  // are, whose damage HDF5 1.10 does not survive.
  const std::string whole = ReadFile(path);
  const size_t heap = whole.find("GCOL");
  ASSERT_NE(heap, std::string::npos);
  int told = 0;
  for (size_t at = 0; at < whole.size(); at += 349) {
    if (at >= heap && at < heap + 4096) continue;
    std::string changed = whole;
    changed[at] ^= 0x10;
    std::ofstream(path, std::ios::binary) << changed;
    try {
      if (CheckHashes(path).problems.empty()) {
        const TileStoreReader store(path);
        for (int i = 0; i < 20; ++i) {
          if (i == 3) continue;
          ASSERT_EQ(store.ReadBytes(i), Tile(16, i).pixels) << "byte " << at;
          ASSERT_EQ(store.coords(i).x, 16 * i) << "byte " << at;
          ASSERT_EQ(store.ReadLabelMask("annotation", i).pixels[0], i) << "byte " << at;
        }
        ASSERT_EQ(store.info().patient, "P-1") << "byte " << at;
        ASSERT_EQ(store.ReadStain()[14], 7.0F) << "byte " << at;
        continue;
      }
    } catch (const StoreError&) {
    }
    ++told;
  }
  EXPECT_GT(told, 30);
}

TEST(CheckHashes, TellsWhenThereAreNone) {
  TempFolder temp;
  hdf5::File file = hdf5::File::Create(temp / "old.h5");
  file.CreateDataset<int64_t>("coords", {1, 2}, {1, 2});
  file.Close();
  EXPECT_THAT(CheckHashes(temp / "old.h5").problems,
              ::testing::ElementsAre("coords has no hash", "the attributes have no hash"));
}

// The attributes that CLAM and TRIDENT read, by name, type and value.
TEST(TileStore, CarriesTheAttributesOfClamAndTrident) {
  TempFolder temp;
  const fs::path path = temp / "a.h5";
  WriteStore(path, "raw", 64, 4);
  const hdf5::File file = hdf5::File::Open(path);
  const hdf5::Dataset coords = file.OpenDataset("coords");
  EXPECT_EQ(coords.GetInt64("patch_size"), 64);
  EXPECT_EQ(coords.GetInt64("patch_level"), 1);
  EXPECT_EQ(coords.GetDoubles("downsample"), (std::vector<double>{2, 2}));
  EXPECT_EQ(coords.GetInt64s("downsampled_level_dim"), (std::vector<int64_t>{5000, 4000}));
  EXPECT_EQ(coords.GetInt64s("level_dim"), (std::vector<int64_t>{5000, 4000}));
  EXPECT_EQ(coords.GetString("name"), "case.1");
  EXPECT_EQ(coords.GetString("save_path"), ".");
  EXPECT_EQ(coords.GetInt64("patch_size_level0"), 128);
  EXPECT_DOUBLE_EQ(coords.GetDouble("level0_magnification"), 40);
  EXPECT_DOUBLE_EQ(coords.GetDouble("target_magnification"), 20);
  EXPECT_EQ(coords.GetInt64("overlap"), 32);
  EXPECT_EQ(coords.GetString("savetodir"), ".");
  EXPECT_EQ(coords.GetInt64("level0_width"), 10000);
  EXPECT_EQ(coords.GetInt64("level0_height"), 8000);
  EXPECT_EQ(coords.GetString("clam"), "ok");
}

TEST(TileStore, LeavesPatchLevelOutWhereNoLevelFits) {
  TempFolder temp;
  TileStoreInfo info = Info("raw", 8);
  info.patch_level = -1;
  info.tile_mpp = 0.7;
  {
    TileStoreWriter writer(temp / "a.h5", info);
    writer.Append(8, 16, Tile(8, 0).pixels);
    writer.Append(24, 16, {}, 1, TileStatus::kBad);
    writer.Finish();
  }
  const hdf5::Dataset coords = hdf5::File::Open(temp / "a.h5").OpenDataset("coords");
  EXPECT_FALSE(coords.HasAttribute("patch_level"));
  EXPECT_THAT(coords.GetString("clam"), ::testing::HasSubstr("--export clam"));

  WriteClamCoords(temp / "clam.h5", TileStoreReader(temp / "a.h5"));
  const hdf5::Dataset clam = hdf5::File::Open(temp / "clam.h5").OpenDataset("coords");
  EXPECT_EQ(clam.Read<int64_t>(), (std::vector<int64_t>{8, 16}));  // without the bad tile
  EXPECT_EQ(clam.GetInt64("patch_size"), 16);
  EXPECT_EQ(clam.GetInt64("patch_level"), 0);
  EXPECT_EQ(clam.GetInt64s("level_dim"), (std::vector<int64_t>{10000, 8000}));
}

TEST(TileStore, AppearsOnlyWhenFinished) {
  TempFolder temp;
  {
    TileStoreWriter writer(temp / "a.h5", Info("raw", 8));
    writer.Append(0, 0, Tile(8, 0).pixels);
    EXPECT_FALSE(fs::exists(temp / "a.h5"));
  }
  EXPECT_TRUE(fs::is_empty(temp.path()));
}

TEST(TileStore, HasTheSameBytesEveryTime) {
  TempFolder temp;
  WriteStore(temp / "a.h5", "png", 32, 20);
  WriteStore(temp / "b.h5", "png", 32, 20);
  EXPECT_EQ(ReadFile(temp / "a.h5"), ReadFile(temp / "b.h5"));
}

TEST(TileStore, IsReadByManyThreads) {
  TempFolder temp;
  WriteStore(temp / "a.h5", "png", 32, 60);
  const TileStoreReader store(temp / "a.h5");
  std::atomic<int> wrong{0};
  ParallelFor(600, 4, [&](int64_t k) {
    const int64_t i = k % 60;
    if (i != 2 && store.Decode(i).pixels != Tile(32, static_cast<int>(i)).pixels) ++wrong;
  });
  EXPECT_EQ(wrong, 0);
}

TEST(TileStore, RefusesFilesThatAreCutShort) {
  TempFolder temp;
  WriteStore(temp / "a.h5", "png", 32, 20);
  const std::string whole = ReadFile(temp / "a.h5");
  for (const double share : {0.0, 0.001, 0.1, 0.5, 0.9, 0.999}) {
    WriteFileAtomic(
        temp / "cut.h5",
        whole.substr(0, static_cast<size_t>(share * static_cast<double>(whole.size()))));
    ExpectError([&] { TileStoreReader reader(temp / "cut.h5"); }, ExitCode::kBadInput, "cut.h5");
  }
}

TEST(TileStore, TellsStoresFromOtherFiles) {
  TempFolder temp;
  WriteStore(temp / "a.h5", "png", 32, 4);
  EXPECT_TRUE(TileStoreReader::LooksLikeStore(temp / "a.h5"));
  EXPECT_FALSE(TileStoreReader::LooksLikeStore(temp / "none.h5"));
  WriteFileAtomic(temp / "text.h5", "not HDF5");
  EXPECT_FALSE(TileStoreReader::LooksLikeStore(temp / "text.h5"));
  ExpectError([&] { TileStoreReader reader(temp / "text.h5"); }, ExitCode::kBadInput,
              "not an HDF5");
  ExpectError([&] { TileStoreReader reader(temp / "none.h5"); }, ExitCode::kBadInput, "none.h5");
  hdf5::File other = hdf5::File::Create(temp / "other.h5");
  other.Close();
  EXPECT_FALSE(TileStoreReader::LooksLikeStore(temp / "other.h5"));
  ExpectError([&] { TileStoreReader reader(temp / "other.h5"); }, ExitCode::kBadInput,
              "not a tile store");
}

// A store by hand, right unless a test makes it wrong.
struct Parts {
  int64_t version = 1, complete = 1, tile_size = 8;
  std::string encoding = "raw";
  std::vector<int64_t> coords = {0, 0, 8, 0};
  std::vector<int64_t> coords_shape = {2, 2};
  std::vector<uint64_t> offsets = {0, 192, 384};
  std::vector<float> tissue = {1, 1};
  std::vector<uint8_t> status = {0, 0};
  int64_t bytes = 384;
  std::vector<float> blur = {0, 1};
  std::vector<int64_t> stain_shape = {2, 3};
  std::vector<int64_t> labels = {1, 2};
  std::vector<uint64_t> mask_offsets = {0, 10, 20};
};

void WriteParts(const fs::path& path, const Parts& parts) {
  hdf5::File file = hdf5::File::Create(path);
  {
    hdf5::Group tiles = file.CreateGroup("tiles");
    const auto length = [](const auto& values) { return static_cast<int64_t>(values.size()); };
    tiles.CreateDataset<uint8_t>("bytes", Bytes(static_cast<size_t>(parts.bytes)), {parts.bytes});
    tiles.CreateDataset<uint64_t>("offsets", parts.offsets, {length(parts.offsets)});
    file.CreateDataset<int64_t>("coords", parts.coords, parts.coords_shape);
    file.CreateDataset<float>("tissue", parts.tissue, {length(parts.tissue)});
    file.CreateDataset<uint8_t>("status", parts.status, {length(parts.status)});
    file.CreateGroup("quality").CreateDataset<float>("blur", parts.blur, {length(parts.blur)});
    const std::vector<float> stain(
        static_cast<size_t>(parts.stain_shape[0] * parts.stain_shape[1]));
    file.CreateDataset<float>("stain", stain, parts.stain_shape)
        .SetAttribute("columns", std::string("a,b,c"));
    hdf5::Group labels = file.CreateGroup("labels");
    labels.CreateDataset<int64_t>("class", parts.labels, {length(parts.labels)});
    hdf5::Group masks = labels.CreateGroup("drawn");
    masks.CreateDataset<uint8_t>("bytes", Bytes(20), {20});
    masks.CreateDataset<uint64_t>("offsets", parts.mask_offsets, {length(parts.mask_offsets)});
  }
  for (const char* name : {"slide", "slide_hash", "vendor", "mpp_source", "settings", "software"}) {
    file.SetAttribute(name, std::string("x"));
  }
  for (const char* name : {"width", "height", "stride", "patch_size_level0", "patch_level"}) {
    file.SetAttribute(name, int64_t{8});
  }
  for (const char* name : {"mpp_x", "mpp_y", "objective_power", "tile_mpp", "downsample"}) {
    file.SetAttribute(name, 1.0);
  }
  file.SetAttribute("bounds", std::vector<int64_t>{0, 0, 8, 8});
  file.SetAttribute("level_dim", std::vector<int64_t>{8, 8});
  file.SetAttribute("format", std::string("eosin-tiles"));
  file.SetAttribute("version", parts.version);
  file.SetAttribute("tile_size", parts.tile_size);
  file.SetAttribute("encoding", parts.encoding);
  if (parts.complete >= 0) file.SetAttribute("complete", parts.complete);
  file.Close();
}

TEST(TileStore, RefusesWhatContradictsItself) {
  TempFolder temp;
  const fs::path path = temp / "a.h5";
  WriteParts(path, {});
  EXPECT_EQ(TileStoreReader(path).size(), 2);
  EXPECT_EQ(TileStoreReader(path).ReadBytes(1), Bytes(192));  // contiguous tiles/bytes
  ExpectError([&] { TileStoreReader(path).ReadLabelMask("drawn", 0); }, ExitCode::kBadInput,
              "mask drawn of tile 0");

  const auto refused = [&](const std::function<void(Parts&)>& change, const std::string& says) {
    Parts parts;
    change(parts);
    WriteParts(path, parts);
    ExpectError([&] { TileStoreReader reader(path); }, ExitCode::kBadInput, says);
  };
  refused([](Parts& p) { p.version = 2; }, "schema version 2");
  refused([](Parts& p) { p.complete = -1; }, "never finished");
  refused([](Parts& p) { p.complete = 0; }, "never finished");
  refused([](Parts& p) { p.tile_size = 0; }, "tile_size is 0");
  refused([](Parts& p) { p.tile_size = 1 << 30; }, "tile_size");
  refused([](Parts& p) { p.encoding = "jxl"; }, "jxl");
  refused([](Parts& p) { p.offsets = {0, 200, 192}; }, "do not rise");
  refused([](Parts& p) { p.offsets = {1, 192, 384}; }, "do not rise");
  refused([](Parts& p) { p.offsets = {0, 192, 385}; }, "do not rise");
  refused([](Parts& p) { p.offsets = {0, 192}; }, "tiles/offsets");
  refused([](Parts& p) { p.offsets = {0, 100, 384}; }, "tile 0 has 100 bytes");
  refused([](Parts& p) { p.offsets = {0, 0, 192}; }, "tile 0 has 0 bytes");
  refused([](Parts& p) { p.status = {0, 3}; }, "tile 1 has 192 bytes");
  refused([](Parts& p) { p.status = {0, 7}; }, "status of tile 1");
  refused([](Parts& p) { p.status = {0}; }, "status");
  refused([](Parts& p) { p.tissue = {1, 1, 1}; }, "tissue");
  refused([](Parts& p) { p.coords_shape = {4, 1}; }, "N x 2");
  refused([](Parts& p) { p.blur = {1}; }, "quality/blur has not 2");
  refused([](Parts& p) { p.stain_shape = {2, 2}; }, "stain is not 2 x 3");
  refused([](Parts& p) { p.stain_shape = {3, 3}; }, "stain is not 2 x 3");
  refused([](Parts& p) { p.labels = {1, 2, 3}; }, "labels/class has not 2");
  refused([](Parts& p) { p.mask_offsets = {0, 10}; }, "labels/drawn/offsets has not 3");
  refused([](Parts& p) { p.mask_offsets = {0, 10, 21}; }, "labels/drawn/offsets do not rise");
  refused([](Parts& p) { p.mask_offsets = {0, 20, 20}; }, "labels/drawn has no mask of tile 1");
  refused(
      [](Parts& p) {
        p.encoding = "png";
        p.offsets = {0, 0, 384};
      },
      "tile 0 has 0 bytes");
}

// A file size limit stands in for a full disk: writes fail the same way, with another reason.
TEST(TileStore, SaysWhenTheDiskIsFullAndLeavesNothing) {
  TempFolder temp;
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  for (const rlim_t size : {rlim_t{100}, rlim_t{3000}, rlim_t{700000}, rlim_t{1500000}}) {
    const rlimit limit = {size, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    ExpectError([&] { WriteStore(temp / "a.h5", "raw", 128, 60); }, ExitCode::kMachine, "a.h5");
    setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_TRUE(fs::is_empty(temp.path())) << size;
  }
  WriteStore(temp / "a.h5", "raw", 128, 60);  // the library has survived
  EXPECT_EQ(TileStoreReader(temp / "a.h5").size(), 60);
}

TEST(TileStore, NamesTheFolderThatIsMissing) {
  TempFolder temp;
  ExpectError([&] { TileStoreWriter writer(temp / "no/a.h5", Info("raw", 8)); }, ExitCode::kMachine,
              "No such file");
}

}  // namespace
}  // namespace eosin::core
