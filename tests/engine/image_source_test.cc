// SPDX-License-Identifier: Apache-2.0
#include "engine/data/image_source.h"

#include <set>
#include <string>

#include "core/base/files.h"
#include "core/base/threads.h"
#include "core/image/codec.h"
#include "core/store/tile_store.h"
#include "engine/data/mixed_source.h"
#include "tests/testing.h"

namespace eosin::engine {
namespace {

namespace fs = std::filesystem;
using core::Image;

void WritePicture(const fs::path& path, uint8_t value) {
  fs::create_directories(path.parent_path());
  const core::Bytes bytes = core::EncodePng(Image(16, 12, 3, value));
  core::WriteFileAtomic(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

// A store of flat tiles whose value is first + row; `status` a tile.
void WriteStore(const fs::path& path, uint8_t first, const std::vector<core::TileStatus>& status,
                const std::vector<int64_t>& labels = {}) {
  fs::create_directories(path.parent_path());
  core::TileStoreInfo info;
  info.slide_name = path.stem().string() + ".svs";
  info.width = info.height = 4096;
  info.mpp_x = info.mpp_y = 0.5;
  info.mpp_source = "test";
  info.bounds = {0, 0, 4096, 4096};
  info.tile_size = info.stride = info.patch_size_level0 = 16;
  info.tile_mpp = 0.5;
  info.encoding = "png";
  info.patch_level = 0;
  info.level_width = info.level_height = 4096;
  core::TileStoreWriter writer(path, info);
  for (size_t i = 0; i < status.size(); ++i) {
    core::Bytes bytes;
    if (status[i] != core::TileStatus::kBad) {
      bytes = core::EncodePng(Image(16, 16, 3, static_cast<uint8_t>(first + i)));
    }
    writer.Append(static_cast<int64_t>(16 * i), 0, bytes, 1, status[i]);
  }
  if (!labels.empty()) writer.SetLabels("class", labels, "");
  writer.Finish();
}

constexpr auto kOk = core::TileStatus::kOk;
constexpr auto kRepaired = core::TileStatus::kRepaired;
constexpr auto kBlank = core::TileStatus::kBlank;
constexpr auto kBad = core::TileStatus::kBad;

TEST(ImageSource, StoresSkipBlankAndBadTiles) {
  testing::TempFolder folder;
  WriteStore(folder / "b.h5", 100, {kOk, kBlank, kRepaired, kBad, kOk});
  WriteStore(folder / "a.h5", 10, {kOk, kOk});
  WriteStore(folder / "empty.h5", 0, {kBad});
  const auto source = OpenImageSource(folder.path());
  ASSERT_EQ(source->size(), 5);
  const int values[] = {10, 11, 100, 102, 104};
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(source->Read(i).pixels[0], values[i]);
    EXPECT_EQ(source->label(i), -1);
  }
  EXPECT_EQ(source->name(3), "b.h5#2");
  EXPECT_EQ(source->group(0), "a");
  EXPECT_EQ(source->group(4), "b");
}

TEST(ImageSource, StoresInClassFolders) {
  testing::TempFolder folder;
  WriteStore(folder / "tumour/x.h5", 1, {kOk, kOk});
  WriteStore(folder / "normal/y.h5", 5, {kOk});
  const auto source = OpenImageSource(folder.path());
  EXPECT_EQ(source->classes(), (std::vector<std::string>{"normal", "tumour"}));
  EXPECT_EQ(source->label(0), 0);
  EXPECT_EQ(source->label(1), 1);
  EXPECT_EQ(source->label(2), 1);
}

TEST(ImageSource, StoresWithLabelsATile) {
  testing::TempFolder folder;
  WriteStore(folder / "x.h5", 1, {kOk, kBad, kOk}, {2, 0, 1});
  WriteStore(folder / "y.h5", 9, {kOk}, {2});
  const auto source = OpenImageSource(folder.path());
  EXPECT_EQ(source->classes(), (std::vector<std::string>{"0", "1", "2"}));
  EXPECT_EQ(source->label(0), 2);
  EXPECT_EQ(source->label(1), 1);
  EXPECT_EQ(source->label(2), 2);
}

TEST(ImageSource, StoresTellStainPlaceSizeAndPatient) {
  testing::TempFolder folder;
  // Columns in another order, one more among them.
  std::vector<std::string> columns(core::kStainColumns.rbegin(), core::kStainColumns.rend());
  columns.insert(columns.begin() + 3, "other");
  for (const bool whole : {true, false}) {
    core::TileStoreInfo info;
    info.slide_name = "s.svs";
    info.width = info.height = 4096;
    info.mpp_x = info.mpp_y = 0.25;
    info.mpp_source = "test";
    info.bounds = {0, 0, 4096, 4096};
    info.tile_size = 16;
    info.stride = 8;  // tiles overlap by half
    info.patch_size_level0 = 32;
    info.downsample = 2;
    info.tile_mpp = 0.5;
    info.encoding = "png";
    if (whole) info.patient = "p7";
    core::TileStoreWriter writer(folder / (whole ? "a.h5" : "b.h5"), info);
    std::vector<float> rows;
    for (int i = 0; i < 3; ++i) {
      core::Bytes bytes;
      if (i != 1) bytes = core::EncodePng(Image(16, 16, 3, 9));
      writer.Append(16 * i, 48, bytes, 1, i == 1 ? kBad : kOk);
      for (size_t c = 0; c < columns.size(); ++c) rows.push_back(static_cast<float>(100 * i + c));
    }
    if (!whole) columns[0] = "unknown";  // then the row is not all there
    writer.SetStain(rows, columns);
    writer.Finish();
  }
  const auto source = OpenImageSource(folder.path());
  ASSERT_EQ(source->size(), 4);
  EXPECT_EQ(source->group(0), "p7");
  EXPECT_EQ(source->group(2), "b");
  EXPECT_EQ(source->uniform_size(), (std::pair<int, int>{16, 16}));
  const std::optional<core::StainRow> row = source->stain(1);  // row 2 of a.h5
  ASSERT_TRUE(row);
  EXPECT_EQ((*row)[13], 200);  // e_p99 stands first in the file
  EXPECT_EQ((*row)[11], 202);
  EXPECT_EQ((*row)[10], 204);  // behind "other"
  EXPECT_EQ((*row)[0], 214);
  EXPECT_FALSE(source->stain(2));
  EXPECT_EQ(source->place(1)->slide, 0);
  EXPECT_EQ(source->place(1)->x, 2);  // 32 level-0 pixels, 16 a stride
  EXPECT_EQ(source->place(1)->y, 3);
  EXPECT_EQ(source->place(3)->slide, 1);
  // A selection forwards.
  const auto some = SelectImages(OpenImageSource(folder.path()), {3, 1});
  EXPECT_EQ(some->place(1)->x, 2);
  EXPECT_EQ((*some->stain(1))[13], 200);
  EXPECT_EQ(some->uniform_size(), (std::pair<int, int>{16, 16}));
  WriteStore(folder / "c.h5", 1, {kBad});  // nothing of it is read
  EXPECT_EQ(OpenImageSource(folder.path())->uniform_size(), (std::pair<int, int>{16, 16}));
}

TEST(ImageSource, StoresOfTwoTileSizesHaveNone) {
  testing::TempFolder folder;
  WriteStore(folder / "a.h5", 1, {kOk});
  core::TileStoreInfo info = core::TileStoreReader(folder / "a.h5").info();
  info.tile_size = info.stride = info.patch_size_level0 = 20;
  core::TileStoreWriter writer(folder / "b.h5", info);
  writer.Append(0, 0, core::EncodePng(Image(20, 20, 3, 1)));
  writer.Finish();
  EXPECT_EQ(OpenImageSource(folder.path())->uniform_size(), (std::pair<int, int>{0, 0}));
}

TEST(ImageSource, CommonSizeOfPicturesFromTheirHeaders) {
  testing::TempFolder folder;
  WritePicture(folder / "1.png", 1);
  // A JPEG whose size stands behind 120 kB of comments.
  core::Bytes jpeg = core::EncodeJpeg(Image(16, 12, 3, 80), 90);
  core::Bytes comment(65537, 'x');
  comment[0] = 0xFF, comment[1] = 0xFE, comment[2] = comment[3] = 0xFF;
  for (int i = 0; i < 2; ++i) jpeg.insert(jpeg.begin() + 2, comment.begin(), comment.end());
  core::WriteFileAtomic(folder / "2.jpg",
                        {reinterpret_cast<const char*>(jpeg.data()), jpeg.size()});
  core::WriteFileAtomic(folder / "3.png", "damaged: replaced by the loader, not asked");
  EXPECT_EQ(OpenImageSource(folder.path())->uniform_size(), (std::pair<int, int>{16, 12}));
  const core::Bytes other = core::EncodePng(Image(12, 16, 3));
  core::WriteFileAtomic(folder / "4.png",
                        {reinterpret_cast<const char*>(other.data()), other.size()});
  EXPECT_EQ(OpenImageSource(folder.path())->uniform_size(), (std::pair<int, int>{0, 0}));
}

TEST(ImageSource, MoreStoresThanStayOpenFromManyThreads) {
  testing::TempFolder folder;
  for (int i = 0; i < 150; ++i) {
    WriteStore(folder / ("s" + std::to_string(1000 + i) + ".h5"), static_cast<uint8_t>(i), {kOk});
  }
  const auto source = OpenImageSource(folder.path());
  ASSERT_EQ(source->size(), 150);
  core::ParallelFor(600, 4, [&](int64_t i) {
    const int64_t index = i * 37 % 150;
    if (source->Read(index).pixels[0] != index) throw std::runtime_error("wrong tile");
  });
}

TEST(ImageSource, PicturesAreLabelledBySubfolder) {
  testing::TempFolder folder;
  WritePicture(folder / "b/2.png", 2);
  WritePicture(folder / "a/deep/1.png", 1);
  WritePicture(folder / "a/.hidden.png", 9);
  const auto source = OpenImageSource(folder.path().string() + "/");
  ASSERT_EQ(source->size(), 2);
  EXPECT_EQ(source->classes(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(source->name(0), "a/deep/1.png");
  EXPECT_EQ(source->group(1), "2");
  EXPECT_EQ(source->label(1), 1);
  EXPECT_EQ(source->Read(1).pixels[0], 2);
}

TEST(ImageSource, FlatAndMixedFoldersHaveNoLabels) {
  testing::TempFolder folder;
  WritePicture(folder / "a/1.png", 1);
  WritePicture(folder / "b/2.png", 2);
  WritePicture(folder / "3.png", 3);
  const auto source = OpenImageSource(folder.path());
  EXPECT_EQ(source->size(), 3);
  EXPECT_TRUE(source->classes().empty());
  EXPECT_EQ(source->label(0), -1);
}

TEST(ImageSource, SegmentationSetGivesItsImagesOnly) {
  testing::TempFolder folder;
  WritePicture(folder / "images/1.png", 1);
  WritePicture(folder / "masks/1.png", 200);
  const auto source = OpenImageSource(folder.path());
  EXPECT_EQ(source->size(), 1);
  EXPECT_EQ(source->Read(0).pixels[0], 1);
  EXPECT_TRUE(source->classes().empty());
}

TEST(ImageSource, IndexNamesClassesAndGroups) {
  testing::TempFolder folder;
  WritePicture(folder / "lung/1.png", 1);
  WritePicture(folder / "colon/2.png", 2);
  core::WriteFileAtomic(folder / "index.csv", "class,file,group\nlung,1.png,p7\ncolon,2.png,p8\n");
  const auto source = OpenImageSource(folder.path());
  EXPECT_EQ(source->classes(), (std::vector<std::string>{"colon", "lung"}));
  EXPECT_EQ(source->label(0), 1);
  EXPECT_EQ(source->group(0), "p7");
  core::WriteFileAtomic(folder / "index.csv", "class,file\nlung,gone.png\n");
  testing::ExpectError([&] { OpenImageSource(folder.path()); }, core::ExitCode::kBadInput,
                       "gone.png");
}

TEST(ImageSource, SaysWhetherItsGroupsAreKnown) {
  testing::TempFolder folder;
  WriteStore(folder / "stores/a.h5", 1, {kOk, kOk});
  for (const std::string set : {"plain", "indexed"}) {
    WritePicture(folder / (set + "/1.png"), 1);
    WritePicture(folder / (set + "/2.png"), 2);
  }
  core::WriteFileAtomic(folder / "indexed/index.csv", "file,group\n1.png,1\n2.png,2\n");
  const auto known = [&](const std::string& set) {
    return OpenImageSource(folder / set)->has_groups();
  };
  EXPECT_TRUE(known("stores"));
  EXPECT_TRUE(known("indexed"));
  EXPECT_FALSE(known("plain"));
  EXPECT_TRUE(SelectImages(OpenImageSource(folder / "stores"), {1})->has_groups());
  const auto mixed = [&](const std::string& a, const std::string& b) {
    return OpenMix({"1:" + (folder / a).string(), "1:" + (folder / b).string()})->has_groups();
  };
  EXPECT_TRUE(mixed("stores", "indexed"));
  EXPECT_FALSE(mixed("stores", "plain"));
  core::WriteFileAtomic(folder / "indexed/index.csv", "file,split\n1.png,train\n2.png,test\n");
  EXPECT_FALSE(known("indexed"));
}

// A working folder of its own until the end of the test.
class WorkingFolder {
 public:
  explicit WorkingFolder(const fs::path& folder) : before_(fs::current_path()) {
    fs::current_path(folder);
  }
  ~WorkingFolder() { fs::current_path(before_); }

 private:
  fs::path before_;
};

TEST(ImageSource, AbsoluteAndRelativePathsMix) {
  testing::TempFolder folder;
  WritePicture(folder / "set/a/1.png", 1);
  WritePicture(folder / "set/b/2.png", 2);
  WriteStore(folder / "tiles/x/s.h5", 3, {kOk});
  WriteStore(folder / "tiles/y/t.h5", 4, {kOk});
  const std::string top = folder.path().string();
  core::WriteFileAtomic(
      folder / "set/index.csv",
      "file,class,split\n" + top + "/set/a/1.png,k,train\n" + top + "/set/b/2.png,k,test\n");
  core::WriteFileAtomic(folder / "set/list.txt", top + "/set/a/1.png\n" + top + "/set/b/2.png\n");
  core::WriteFileAtomic(folder / "tiles/list.txt",
                        top + "/tiles/x/s.h5\n" + top + "/tiles/y/t.h5\n");
  const WorkingFolder inside(folder.path());
  for (const fs::path& root : {fs::path(), folder.path()}) {  // relative, and absolute
    const auto indexed = OpenImageSource(root / "set");
    EXPECT_EQ(indexed->name(1), "b/2.png") << root;
    EXPECT_EQ(indexed->split(0), "train");
    EXPECT_EQ(indexed->split(1), "test");
    const auto listed = OpenImageSource(root / "set/list.txt");
    EXPECT_EQ(listed->name(0), "a/1.png") << root;
    EXPECT_EQ(listed->classes(), (std::vector<std::string>{"a", "b"}));
    const auto stores = OpenImageSource(root / "tiles/list.txt");
    EXPECT_EQ(stores->name(1), "y/t.h5#0") << root;
    EXPECT_EQ(stores->classes(), (std::vector<std::string>{"x", "y"}));
    EXPECT_EQ(OpenImageSource(root / "tiles/x/s.h5")->name(0), "s.h5#0");
  }
  fs::current_path(folder / "set/a");
  const auto up = OpenImageSource("../list.txt");
  EXPECT_EQ(up->name(0), "a/1.png");
  EXPECT_EQ(up->classes().size(), 2u);
}

TEST(ImageSource, ASplitBesideTileStoresIsRefused) {
  testing::TempFolder folder;
  WriteStore(folder / "a.h5", 1, {kOk});
  core::WriteFileAtomic(folder / "index.csv", "file,slide\na.h5,a\n");
  EXPECT_EQ(OpenImageSource(folder.path())->size(), 1);
  core::WriteFileAtomic(folder / "index.csv", "file,split\na.h5,test\n");
  testing::ExpectError([&] { OpenImageSource(folder.path()); }, core::ExitCode::kBadInput,
                       "column `split`");
}

TEST(ImageSource, OnlyOneSplitOfAnIndex) {
  testing::TempFolder folder;
  for (int i = 1; i <= 3; ++i) WritePicture(folder / "set" / (std::to_string(i) + ".png"), i);
  core::WriteFileAtomic(folder / "set/index.csv",
                        "file,split\n1.png,train\n2.png,test\n3.png,train\n");
  const std::string path = folder / "set";
  const auto train = FilterSplit(OpenImageSource(path), "train", path);
  ASSERT_EQ(train->size(), 2);
  EXPECT_EQ(train->name(1), "3.png");
  EXPECT_EQ(train->split(1), "train");
  testing::ExpectError([&] { FilterSplit(OpenImageSource(path), "val", path); },
                       core::ExitCode::kBadInput, "val");
  // A set of a mix that would have none is refused too: its weight could not be kept.
  WritePicture(folder / "other/4.png", 4);
  const std::vector<std::string> mix = {"1:" + path, "1:" + (folder / "other").string()};
  testing::ExpectError([&] { FilterSplit(OpenMix(mix), "train", "a set"); },
                       core::ExitCode::kBadInput, "train");
}

TEST(ImageSource, ListsAndSingleFiles) {
  testing::TempFolder folder;
  WritePicture(folder / "p/1.png", 1);
  WritePicture(folder / "p/2.png", 2);
  WriteStore(folder / "s.h5", 7, {kOk});
  core::WriteFileAtomic(folder / "list.txt", "# two\n p/2.png \r\n\np/1.png\n");
  const auto source = OpenImageSource(folder / "list.txt");
  ASSERT_EQ(source->size(), 2);
  EXPECT_EQ(source->Read(0).pixels[0], 2);
  EXPECT_EQ(OpenImageSource(folder / "s.h5")->Read(0).pixels[0], 7);
  core::WriteFileAtomic(folder / "list.txt", "s.h5\np/1.png\n");
  testing::ExpectError([&] { OpenImageSource(folder / "list.txt"); }, core::ExitCode::kBadInput,
                       "not a tile store");
  core::WriteFileAtomic(folder / "list.txt", "p/3.png\n");
  testing::ExpectError([&] { OpenImageSource(folder / "list.txt"); }, core::ExitCode::kBadInput,
                       "does not exist");
}

TEST(ImageSource, NothingThereIsSaidSo) {
  testing::TempFolder folder;
  testing::ExpectError([&] { OpenImageSource(folder.path()); }, core::ExitCode::kBadInput,
                       "no tiles or images in");
  testing::ExpectError([&] { OpenImageSource(folder / "gone"); }, core::ExitCode::kBadInput,
                       "no such file or folder");
  core::WriteFileAtomic(folder / "bad.h5", "not HDF5");
  EXPECT_THROW(OpenImageSource(folder.path()), core::StoreError);
}

TEST(ImageSource, FiltersByGroup) {
  testing::TempFolder folder;
  for (int i = 0; i < 6; ++i) {
    WritePicture(folder / (std::to_string(i) + ".png"), static_cast<uint8_t>(i));
  }
  const std::set<std::string> drop = {"1", "4"};
  const auto source = FilterGroups(OpenImageSource(folder.path()),
                                   [&](const std::string& group) { return !drop.count(group); });
  ASSERT_EQ(source->size(), 4);
  EXPECT_EQ(source->Read(1).pixels[0], 2);
  EXPECT_EQ(source->name(3), "5.png");
}

TEST(ImageSource, RealLungTiles) {
  const fs::path folder = testing::DataFolder() / "lc25000_lung";
  EOSIN_REQUIRE_DATA(folder);
  const auto source = OpenImageSource(folder);
  EXPECT_EQ(source->size(), 4437);
  EXPECT_EQ(source->classes(), (std::vector<std::string>{"lung_aca", "lung_n", "lung_scc"}));
  std::set<std::string> groups;
  for (int64_t i = 0; i < source->size(); ++i) groups.insert(source->group(i));
  EXPECT_LT(groups.size(), 1000u);  // each photograph was augmented about 20 times
  const Image tile = source->Read(4000);
  EXPECT_EQ(tile.width, 224);
  EXPECT_EQ(tile.height, 224);
}

}  // namespace
}  // namespace eosin::engine
