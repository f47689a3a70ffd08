// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/export.h"

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/formats/csv.h"
#include "core/store/tile_store.h"
#include "tests/testing.h"
#include "tiling/batch/tar_writer.h"

namespace eosin::tiling {
namespace {

namespace fs = std::filesystem;
using core::Bytes;
using core::ExitCode;
using core::Image;
using eosin::testing::ExpectError;
using eosin::testing::TempFolder;
using ::testing::ElementsAre;

Bytes FileBytes(const fs::path& path) {
  const std::string text = core::ReadFile(path);
  return {text.begin(), text.end()};
}

std::vector<std::string> Files(const fs::path& folder) {
  std::vector<std::string> names;
  for (const fs::path& file : core::ListFiles(folder, {}, true)) {
    names.push_back(fs::relative(file, folder).string());
  }
  return names;
}

// Three tiles of 16 px, the second bad; class 1 everywhere; a mask of class i.
fs::path WriteStore(const fs::path& path, const std::string& encoding) {
  core::TileStoreInfo info;
  info.slide_name = path.stem().string() + ".svs";
  info.patient = "P7";
  info.width = info.height = 256;
  info.mpp_x = info.mpp_y = info.tile_mpp = 0.5;
  info.tile_size = info.stride = info.patch_size_level0 = 16;
  info.encoding = encoding;
  core::TileStoreWriter writer(path, info);
  std::vector<Bytes> masks;
  for (int i = 0; i < 3; ++i) {
    const Image tile(16, 16, 3, static_cast<uint8_t>(50 * i));
    const Bytes bytes = encoding == "raw"   ? tile.pixels
                        : encoding == "png" ? core::EncodePng(tile)
                                            : core::EncodeJpeg(tile, 90);
    const bool bad = i == 1;
    writer.Append(16 * i, 32, bad ? Bytes() : bytes, 0.25F,
                  bad ? core::TileStatus::kBad : core::TileStatus::kOk);
    masks.push_back(core::EncodePng(Image(16, 16, 1, static_cast<uint8_t>(i))));
  }
  writer.SetLabelMasks("gland area", masks, "gland=1,tumor=2");
  writer.SetLabels("class", {1, 1, 1}, "benign=0,malign=1");
  writer.Finish();
  return path;
}

// Names and contents, by our own reading of the format.
std::vector<std::pair<std::string, std::string>> ReadTar(const fs::path& path) {
  const std::string tar = core::ReadFile(path);
  std::vector<std::pair<std::string, std::string>> files;
  std::string long_name;
  for (size_t at = 0; at + 512 <= tar.size() && tar[at] != 0;) {
    const std::string name = std::string(tar.c_str() + at, strnlen(tar.c_str() + at, 100));
    const size_t size = std::stoul(tar.substr(at + 124, 11), nullptr, 8);
    EXPECT_EQ(tar.substr(at + 257, 5), "ustar");
    EXPECT_EQ(tar.substr(at + 136, 11), "00000000000");  // no time
    unsigned sum = 0;
    for (size_t k = 0; k < 512; ++k) {
      sum += k >= 148 && k < 156 ? ' ' : static_cast<unsigned char>(tar[at + k]);
    }
    EXPECT_EQ(std::stoul(tar.substr(at + 148, 6), nullptr, 8), sum);
    const std::string content = tar.substr(at + 512, size);
    if (tar[at + 156] == 'x') {
      const size_t equals = content.find('=');
      EXPECT_EQ(std::stoul(content), content.size());
      long_name = content.substr(equals + 1, content.size() - equals - 2);
    } else {
      files.emplace_back(long_name.empty() ? name : long_name, content);
      long_name.clear();
    }
    at += 512 + (size + 511) / 512 * 512;
  }
  EXPECT_EQ(tar.size() % 10240, 0U);
  EXPECT_EQ(tar.substr(tar.size() - 1024), std::string(1024, '\0'));
  return files;
}

TEST(Export, CopiesJpegTilesUnchanged) {
  TempFolder temp;
  const core::TileStoreReader store(WriteStore(temp / "a.h5", "jpeg"));
  ExportStore(temp / "a.h5", temp.path(), "jpeg");
  EXPECT_THAT(Files(temp / "jpeg"), ElementsAre("a/a_x0_y32.jpg", "a/a_x0_y32_gland_area.png",
                                                "a/a_x32_y32.jpg", "a/a_x32_y32_gland_area.png"));
  EXPECT_EQ(FileBytes(temp / "jpeg/a/a_x32_y32.jpg"), store.ReadBytes(2));
  const Image mask = core::ReadMask(temp / "jpeg/a/a_x32_y32_gland_area.png");
  EXPECT_EQ(mask.pixels, Bytes(256, 2));
  // The same tiles as PNG have the JPEG's pixels.
  ExportStore(temp / "a.h5", temp.path(), "png");
  EXPECT_EQ(core::ReadRgb(temp / "png/a/a_x32_y32.png").pixels, store.Decode(2).pixels);
}

TEST(Export, ReplacesAnOlderExportAsAWhole) {
  TempFolder temp;
  for (const std::string encoding : {"png", "raw"}) {
    const core::TileStoreReader store(WriteStore(temp / "a.h5", encoding));
    core::MakeFolder(temp / "png/a");
    core::MakeFolder(temp / "png/a.part");  // of a killed run
    core::WriteFileAtomic(temp / "png/a/stale.png", "old");
    core::WriteFileAtomic(temp / "png/a.part/half.png", "half");
    ExportStore(temp / "a.h5", temp.path(), "png");
    EXPECT_EQ(Files(temp / "png").size(), 4U);
    EXPECT_EQ(core::ReadRgb(temp / "png/a/a_x32_y32.png").pixels, store.Decode(2).pixels);
    EXPECT_FALSE(fs::exists(temp / "png/a.part"));
    EXPECT_FALSE(fs::exists(temp / "png/a.old"));
  }
}

TEST(Export, WritesWebDatasets) {
  TempFolder temp;
  WriteStore(temp / "case.1.h5", "jpeg");
  const core::TileStoreReader store(temp / "case.1.h5");
  ExportStore(temp / "case.1.h5", temp.path(), "webdataset");
  const auto files = ReadTar(temp / "webdataset/case.1.tar");
  std::vector<std::string> names;
  for (const auto& file : files) names.push_back(file.first);
  // A sample's key ends at the first dot, so the stem's becomes an underscore.
  EXPECT_THAT(names, ElementsAre("case_1_x0_y32.jpg", "case_1_x0_y32.json",
                                 "case_1_x0_y32.gland_area.png", "case_1_x32_y32.jpg",
                                 "case_1_x32_y32.json", "case_1_x32_y32.gland_area.png"));
  const Bytes bytes = store.ReadBytes(2);
  EXPECT_EQ(files[3].second, std::string(bytes.begin(), bytes.end()));
  const auto json = nlohmann::json::parse(files[4].second);
  EXPECT_EQ(json, nlohmann::json::parse(R"({"slide": "case.1.svs", "patient": "P7", "x": 32,
      "y": 32, "mpp": 0.5, "size_level0": 16, "tissue": 0.25, "class": 1,
      "class_name": "malign"})"));

  const std::string first = core::ReadFile(temp / "webdataset/case.1.tar");
  ExportStore(temp / "case.1.h5", temp.path(), "webdataset");
  EXPECT_EQ(core::ReadFile(temp / "webdataset/case.1.tar"), first);
  EXPECT_EQ(Files(temp / "webdataset").size(), 1U);
}

TEST(Export, WritesClamsCoordinates) {
  TempFolder temp;
  WriteStore(temp / "a.h5", "png");
  ExportStore(temp / "a.h5", temp.path(), "clam");
  const auto coords = core::hdf5::File::Open(temp / "clam/a.h5").OpenDataset("coords");
  EXPECT_EQ(coords.Read<int64_t>(), (std::vector<int64_t>{0, 32, 32, 32}));
}

TEST(Export, RefusesUnknownFormats) {
  ExpectError([] { ExportStore("a.h5", ".", "tfrecord"); }, ExitCode::kUsage, "tfrecord");
}

TEST(TarWriter, TakesNamesOfAnyLength) {
  TempFolder temp;
  std::vector<std::pair<std::string, std::string>> files;
  for (const size_t length : {1, 99, 100, 101, 985, 988, 989, 990, 2000}) {
    files.emplace_back(std::string(length, 'n'), std::string(length % 512, 'c'));
  }
  files.emplace_back("sample.png", std::string(1024, 'd'));
  TarWriter tar(temp / "a.tar");
  for (const auto& [name, text] : files) tar.Add(name, text);
  EXPECT_FALSE(fs::exists(temp / "a.tar"));
  tar.Finish();
  EXPECT_EQ(ReadTar(temp / "a.tar"), files);
}

TEST(TarWriter, LeavesNothingUnfinished) {
  TempFolder temp;
  {
    TarWriter(temp / "a.tar").Add("a", "text");
  }
  EXPECT_TRUE(fs::is_empty(temp.path()));
  ExpectError([&] { TarWriter tar(temp / "none/a.tar"); }, ExitCode::kMachine, "a.tar.part");
}

TEST(ProcessList, SpeaksClamsWords) {
  const std::string text = ProcessListCsv(
      {{"a.svs", "done"}, {"b, c.svs", "skipped"}, {"d.svs", "failed"}, {"e.svs", "planned"}});
  EXPECT_EQ(text,
            "slide_id,process,status\n"
            "a.svs,0,processed\n"
            "\"b, c.svs\",0,already_exist\n"
            "d.svs,1,failed_seg\n"
            "e.svs,1,planned\n");
}

}  // namespace
}  // namespace eosin::tiling
