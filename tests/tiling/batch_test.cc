// SPDX-License-Identifier: Apache-2.0
// Slides to stores, end to end: pixels, sameness, resuming, damage, and the result table.
#include "tiling/batch/batch.h"

#include <sys/resource.h>
#include <csignal>
#include <fstream>

#include "core/base/files.h"
#include "core/formats/csv.h"
#include "core/image/resample.h"
#include "core/store/tile_store.h"
#include "tests/tiling/made_slide.h"
#include "tiling/extract/extract.h"
#include "tiling/slides/slide.h"

// When a close fails on a full disk, HDF5 loses track of its own memory.
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5"; }

namespace eosin::tiling {
namespace {

using core::ExitCode;
using core::Image;
using core::TileStoreReader;
using eosin::testing::DataFolder;
using eosin::testing::DiscPicture;
using eosin::testing::ExpectError;
using eosin::testing::TempFolder;
using eosin::testing::WriteSlide;

TileOptions Options(double mpp, int64_t size, const std::string& encoding = "png") {
  TileOptions options;
  options.mpp = mpp;
  options.size = size;
  options.encoding = encoding;
  return options;
}

BatchOptions Quiet(int threads = 2) {
  BatchOptions batch;
  batch.threads = threads;
  batch.quiet = true;
  return batch;
}

Image Crop(const Image& image, int64_t x, int64_t y, int size) {
  Image out(size, size, 3);
  for (int r = 0; r < size; ++r) {
    std::copy_n(image.at(static_cast<int>(x), static_cast<int>(y) + r), out.stride(), out.row(r));
  }
  return out;
}

std::string Cell(const core::CsvTable& table, const std::string& stem, const std::string& column) {
  for (const auto& row : table.rows) {
    if (fs::path(row[0]).stem() == stem) return row[static_cast<size_t>(table.Column(column))];
  }
  return "no row";
}

class TileSlidesTest : public ::testing::Test {
 protected:
  fs::path Slide(const std::string& name, double mpp = 0.5) {
    const fs::path path = temp_ / (name + ".tif");
    WriteSlide(path, {picture_}, mpp);
    return path;
  }
  SlideResult One(const fs::path& slide, const TileOptions& options, const BatchOptions& batch) {
    return TileSlides({{slide}}, options, out_, batch).at(0);
  }

  TempFolder temp_;
  fs::path out_ = temp_ / "out";
  Image picture_ = DiscPicture(1500, 1200, 700, 600, 450);
};

TEST_F(TileSlidesTest, StoresThePixelsOfTheSlide) {
  for (const std::string encoding : {"png", "raw"}) {
    out_ = temp_ / encoding;
    const SlideResult result = One(Slide("a"), Options(0.5, 128, encoding), Quiet());
    EXPECT_EQ(result.status, "done");
    const TileStoreReader store(out_ / "a.h5");
    ASSERT_EQ(store.size(), result.tiles);
    ASSERT_GT(store.size(), 20);
    for (int64_t i = 0; i < store.size(); ++i) {
      const auto [x, y] = store.coords(i);
      EXPECT_EQ(store.Decode(i).pixels, Crop(picture_, x, y, 128).pixels) << x << "," << y;
      EXPECT_GE(store.tissue(i), 0.5f);
    }
    const core::TileStoreInfo& info = store.info();
    EXPECT_EQ(info.slide_name, "a.tif");
    EXPECT_EQ(info.vendor, "aperio");
    EXPECT_EQ(info.patch_level, 0);
    EXPECT_EQ(info.level_width, 1500);
    EXPECT_THAT(store.preview_names(), ::testing::ElementsAre("grid", "thumbnail", "tissue"));
    EXPECT_TRUE(fs::exists(out_ / "a.preview.jpg"));
  }
}

TEST_F(TileSlidesTest, ResamplesInMicrons) {
  One(Slide("a"), Options(1, 128), Quiet());
  const TileStoreReader store(out_ / "a.h5");
  EXPECT_EQ(store.info().patch_level, -1);
  EXPECT_EQ(store.info().patch_size_level0, 256);
  ASSERT_GT(store.size(), 0);
  const Image half = core::Resize(picture_, 750, 600);  // the slide at 1 um/px as a whole
  for (int64_t i = 0; i < store.size(); ++i) {
    const auto [x, y] = store.coords(i);
    const Image expected = Crop(half, x / 2, y / 2, 128);
    const Image tile = store.Decode(i);
    for (size_t k = 0; k < tile.pixels.size(); ++k) {
      ASSERT_NEAR(tile.pixels[k], expected.pixels[k], 1);  // halves round either way
    }
  }
}

TEST_F(TileSlidesTest, GivesTheSameBytesAtAnyThreadAndJobCount) {
  const std::vector<SlideEntry> slides = {{Slide("a")}, {Slide("b")}, {Slide("c")}};
  for (const std::string encoding : {"jpeg", "png"}) {
    std::vector<std::string> first;
    for (const auto& [threads, jobs] : {std::pair(1, 1), {3, 1}, {2, 2}, {8, 3}}) {
      out_ = temp_ / (encoding + std::to_string(threads) + "-" + std::to_string(jobs));
      BatchOptions batch = Quiet(threads);
      batch.jobs = jobs;
      const auto results = TileSlides(slides, Options(0.7, 64, encoding), out_, batch);
      std::vector<std::string> bytes;
      for (size_t i = 0; i < slides.size(); ++i) {
        EXPECT_EQ(results[i].slide, slides[i].slide);  // in the list's order
        bytes.push_back(core::ReadFile(out_ / (results[i].stem + ".h5")));
      }
      if (first.empty()) first = bytes;
      EXPECT_TRUE(first == bytes) << encoding << " " << threads << " " << jobs;
    }
  }
}

TEST_F(TileSlidesTest, SkipsWhatIsDoneAndChecksItsSettings) {
  const fs::path slide = Slide("a");
  EXPECT_EQ(One(slide, Options(0.5, 128), Quiet()).status, "done");
  const std::string before = core::ReadFile(out_ / "a.h5");
  const auto time = fs::last_write_time(out_ / "a.h5");
  const std::string tissue = Cell(core::ReadCsv(out_ / "tiles.csv"), "a", "tissue");
  fs::remove(out_ / "a.preview.jpg");
  EXPECT_EQ(One(slide, Options(0.5, 128), Quiet()).status, "skipped");
  EXPECT_TRUE(fs::exists(out_ / "a.preview.jpg"));
  EXPECT_EQ(fs::last_write_time(out_ / "a.h5"), time);
  EXPECT_EQ(Cell(core::ReadCsv(out_ / "tiles.csv"), "a", "status"), "skipped");
  EXPECT_EQ(Cell(core::ReadCsv(out_ / "tiles.csv"), "a", "tissue"), tissue);

  SlideResult other = One(slide, Options(0.5, 64), Quiet());
  EXPECT_EQ(other.status, "failed");
  EXPECT_THAT(other.reason, ::testing::HasSubstr("other settings"));
  EXPECT_THAT(other.hint, ::testing::HasSubstr("--overwrite"));
  EXPECT_TRUE(core::ReadFile(out_ / "a.h5") == before);

  // The same name, other pixels.
  picture_.pixels[0] ^= 1;
  Slide("a");
  other = One(slide, Options(0.5, 128), Quiet());
  EXPECT_THAT(other.reason, ::testing::HasSubstr("another slide"));

  BatchOptions overwrite = Quiet();
  overwrite.overwrite = true;
  EXPECT_EQ(One(slide, Options(0.5, 64), overwrite).status, "done");
  EXPECT_EQ(TileStoreReader(out_ / "a.h5").info().tile_size, 64);
  // What is right already is not made again: an interrupted run goes on where it was.
  EXPECT_EQ(One(slide, Options(0.5, 64), overwrite).status, "skipped");
  std::string damaged = core::ReadFile(out_ / "a.h5");
  damaged[damaged.size() / 2] ^= 1;
  core::WriteFileAtomic(out_ / "a.h5", damaged);
  EXPECT_EQ(One(slide, Options(0.5, 64), overwrite).status, "done");

  core::WriteFileAtomic(out_ / "a.h5", "junk");
  other = One(slide, Options(0.5, 64), Quiet());
  EXPECT_THAT(other.reason, ::testing::HasSubstr("cannot be used"));
}

TEST_F(TileSlidesTest, OneBadSlideDoesNotStopTheOthers) {
  Slide("a");
  Slide("c", 0);
  Slide("d");
  std::ofstream(temp_ / "b.svs") << "no slide";
  const auto slides = FindSlides({temp_.path()});
  ASSERT_EQ(slides.size(), 4u);
  std::vector<std::string> seen;
  BatchOptions batch = Quiet();
  batch.jobs = 1;
  batch.on_slide = [&](const SlideResult& result) { seen.push_back(result.status); };
  const auto results = TileSlides(slides, Options(0.5, 128), out_, batch);
  EXPECT_THAT(seen, ::testing::ElementsAre("done", "failed", "failed", "done"));
  EXPECT_THAT(results[2].hint, ::testing::HasSubstr("--mpp-override"));
  const core::CsvTable table = core::ReadCsv(out_ / "tiles.csv");
  EXPECT_EQ(table.rows.size(), 4u);
  EXPECT_EQ(Cell(table, "a", "patches"), std::to_string(results[0].tiles));
  EXPECT_THAT(Cell(table, "b", "reason"), ::testing::HasSubstr("b.svs"));
  EXPECT_THAT(Cell(table, "c", "reason"), ::testing::HasSubstr("no mpp"));
  EXPECT_FALSE(fs::exists(out_ / "b.h5"));
  EXPECT_FALSE(fs::exists(out_ / "c.h5"));

  // Another run on one of them keeps the other rows.
  TileOptions with_scale = Options(0.5, 128);
  with_scale.mpp_override = 0.5;
  One(temp_ / "c.tif", with_scale, Quiet());
  const core::CsvTable later = core::ReadCsv(out_ / "tiles.csv");
  EXPECT_EQ(later.rows.size(), 4u);
  EXPECT_EQ(Cell(later, "c", "status"), "done");
  EXPECT_EQ(Cell(later, "c", "mpp_source"), "override");
  EXPECT_EQ(Cell(later, "d", "status"), "done");
}

TEST_F(TileSlidesTest, OneBadTileCostsTheTilesThatTouchIt) {
  const fs::path slide = Slide("a");
  TileOptions options = Options(0.5, 128);
  options.tissue = "none";
  options.stride = 100;
  out_ = temp_ / "whole";
  One(slide, options, Quiet());
  eosin::testing::DamageTile(slide, 8);  // 6 tiles a row: x 512..767, y 256..511
  out_ = temp_ / "damaged";
  const SlideResult result = One(slide, options, Quiet());
  EXPECT_EQ(result.status, "done");
  const TileStoreReader whole(temp_ / "whole/a.h5"), damaged(out_ / "a.h5");
  ASSERT_EQ(whole.size(), damaged.size());
  int64_t bad = 0;
  for (int64_t i = 0; i < whole.size(); ++i) {
    const auto [x, y] = whole.coords(i);
    const bool touches = x + 128 > 512 && x < 768 && y + 128 > 256 && y < 512;
    EXPECT_EQ(damaged.status(i) == core::TileStatus::kBad, touches) << x << "," << y;
    bad += touches;
    EXPECT_EQ(damaged.ReadBytes(i) == whole.ReadBytes(i), !touches);
  }
  EXPECT_EQ(result.bad, bad);
  EXPECT_GT(bad, 0);
  EXPECT_THAT(result.reason, ::testing::HasSubstr("marked bad"));
}

// Pixels that cannot be read are unknown to the tissue mask, neither tissue nor glass.
TEST_F(TileSlidesTest, ABadTileInsideTissueIsTissue) {
  const fs::path slide = Slide("a");
  TileOptions options = Options(0.5, 128);
  options.tissue = "otsu";
  out_ = temp_ / "whole";
  const SlideResult whole = One(slide, options, Quiet());
  eosin::testing::DamageTile(slide, 14);  // 6 tiles a row: x 512..767, y 512..767, within the disc
  out_ = temp_ / "damaged";
  const SlideResult damaged = One(slide, options, Quiet());
  EXPECT_EQ(damaged.tiles, whole.tiles);
  EXPECT_EQ(damaged.bad, 4);
  EXPECT_THAT(damaged.warnings, ::testing::Contains(::testing::HasSubstr("1 stored tile")));
}

TEST_F(TileSlidesTest, DryRunWritesNothing) {
  BatchOptions batch = Quiet();
  batch.dry_run = true;
  const SlideResult result = One(Slide("a"), Options(0.5, 128), batch);
  EXPECT_EQ(result.status, "planned");
  EXPECT_GT(result.tiles, 20);
  EXPECT_THAT(result.plan, ::testing::HasSubstr("128 px at 0.5 um/px from level 0"));
  EXPECT_FALSE(fs::exists(out_));
  EXPECT_EQ(result.tiles, One(Slide("a"), Options(0.5, 128), Quiet()).tiles);
}

TEST_F(TileSlidesTest, SaysWhyThereAreNoTiles) {
  picture_ = Image(1500, 1200, 3, 243);
  EXPECT_THAT(One(Slide("glass"), Options(0.5, 128), Quiet()).reason,
              ::testing::HasSubstr("no tissue found"));
  picture_ = DiscPicture(1500, 1200, 700, 600, 120);
  EXPECT_THAT(One(Slide("small"), Options(0.5, 512), Quiet()).reason,
              ::testing::HasSubstr("fills 0.5 of a tile"));
  EXPECT_THAT(One(Slide("a"), Options(0.5, 2048), Quiet()).reason,
              ::testing::HasSubstr("smaller than one tile"));
  TileOptions options = Options(0.5, 256);
  options.roi = {10, 10, 256, 256};
  EXPECT_THAT(One(Slide("a"), options, Quiet()).reason, ::testing::HasSubstr("region of interest"));
  EXPECT_THAT(One(Slide("a"), Options(0.1, 128), Quiet()).reason, ::testing::HasSubstr("finer"));
}

TEST_F(TileSlidesTest, TakesMasksOfTheUser) {
  const fs::path slide = Slide("a");
  core::MakeFolder(temp_ / "masks");
  Image mask(150, 120, 1);
  for (int y = 0; y < 40; ++y) std::fill_n(mask.row(y), 40, uint8_t{1});
  const core::Bytes png = core::EncodePng(mask);
  core::WriteFileAtomic(temp_ / "masks/a.png",
                        {reinterpret_cast<const char*>(png.data()), png.size()});
  TileOptions options = Options(0.5, 100);
  options.tissue = (temp_ / "masks").string();
  EXPECT_EQ(One(slide, options, Quiet()).tiles, 16);
  options.tissue = (temp_ / "masks/a.png").string();
  EXPECT_EQ(One(slide, options, Quiet()).status, "skipped");  // the same mask, the same store
  ExpectError([&] { TileSlides({{slide}, {Slide("b")}}, options, out_, Quiet()); },
              ExitCode::kUsage, "one mask");
  options.tissue = "ostu";
  ExpectError([&] { TileSlides({{slide}}, options, out_, Quiet()); }, ExitCode::kUsage, "ostu");
}

TEST_F(TileSlidesTest, StopsWhenTheDiskIsFull) {
  const fs::path slide = Slide("a");
  core::MakeFolder(out_);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit limit = {200000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &limit);
  ExpectError([&] { One(slide, Options(0.5, 128, "raw"), Quiet()); }, ExitCode::kMachine, "a.h5");
  setrlimit(RLIMIT_FSIZE, &before);
  const core::CsvTable table = core::ReadCsv(out_ / "tiles.csv");
  EXPECT_EQ(Cell(table, "a", "status"), "failed");
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(out_)) left.push_back(entry.path().filename());
  EXPECT_THAT(left, ::testing::UnorderedElementsAre("tiles.csv", "failed.csv"));
}

TEST_F(TileSlidesTest, WritesCoordinatesForClam) {
  BatchOptions batch = Quiet();
  batch.exports = {"clam"};
  const SlideResult result = One(Slide("a"), Options(0.8, 100), batch);
  const core::hdf5::Dataset coords =
      core::hdf5::File::Open(out_ / "clam/a.h5").OpenDataset("coords");
  EXPECT_EQ(coords.shape(), (std::vector<int64_t>{result.tiles, 2}));
  EXPECT_EQ(coords.GetInt64("patch_size"), 160);
}

TEST_F(TileSlidesTest, FindsSlidesAndRefusesCollisions) {
  core::MakeFolder(temp_ / "x/deep");
  core::MakeFolder(temp_ / "empty");
  const fs::path a = Slide("x/deep/a"), b = Slide("x/b");
  const auto found = FindSlides({temp_ / "x", a});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].slide, b);
  EXPECT_EQ(found[1].slide, a);
  ExpectError([&] { FindSlides({temp_ / "empty"}); }, ExitCode::kBadInput, "no slide");
  ExpectError([&] { FindSlides({temp_ / "none"}); }, ExitCode::kBadInput, "none");
  const fs::path twin = Slide("x/a");
  ExpectError([&] { FindSlides({temp_ / "x"}); }, ExitCode::kBadInput, "a.h5");
}

TEST(RealSlides, TileAtTwoScales) {
  const fs::path path = DataFolder() / "slides" / "CMU-1-Small-Region.svs";
  EOSIN_REQUIRE_DATA(path);
  TempFolder temp;
  for (const double mpp : {0.5, 1.0}) {
    const TileOptions options = Options(mpp, 256);
    const fs::path out = temp / std::to_string(mpp);
    const SlideResult result = TileSlides({{path}}, options, out, Quiet()).at(0);
    ASSERT_EQ(result.status, "done") << result.reason;
    // Between a third and a half of this slide is tissue, by how much of its faint rim counts.
    EXPECT_GT(result.tissue_share, 0.3);
    EXPECT_LT(result.tissue_share, 0.5);
    const auto slide = Slide::Open(path);
    const TileStoreReader store(out / "CMU-1-Small-Region.h5");
    ASSERT_GT(store.size(), 4);
    EXPECT_EQ(store.info().patch_size_level0, mpp == 0.5 ? 256 : 513);
    EXPECT_DOUBLE_EQ(store.info().tile_mpp, mpp == 0.5 ? 0.499 : 1.0);
    for (int64_t i = 0; i < store.size(); ++i) {
      const auto [x, y] = store.coords(i);
      if (mpp == 0.5) {
        EXPECT_EQ(store.Decode(i).pixels, slide->ReadRegion(0, x, y, 256, 256).pixels);
      } else {
        // The mean colour of a tile is that of its field of view.
        const Image tile = store.Decode(i), region = slide->ReadRegion(0, x, y, 513, 513);
        double a = 0, b = 0;
        for (const uint8_t v : tile.pixels) a += v;
        for (const uint8_t v : region.pixels) b += v;
        EXPECT_NEAR(a / static_cast<double>(tile.pixels.size()),
                    b / static_cast<double>(region.pixels.size()), 0.1);
      }
    }
  }
}

TEST(RealSlides, HardFolderGivesARowEach) {
  const fs::path folder = DataFolder() / "slides" / "hard";
  EOSIN_REQUIRE_DATA(folder);
  TempFolder temp;
  const auto results =
      TileSlides(FindSlides({folder}), Options(1, 64, "jpeg"), temp / "out", Quiet());
  ASSERT_EQ(results.size(), 7u);
  for (const SlideResult& result : results) {
    EXPECT_EQ(result.status, "failed") << result.stem;
    EXPECT_FALSE(result.hint.empty());
    if (result.stem.find("_pyr") != std::string::npos) {
      EXPECT_THAT(result.hint, ::testing::HasSubstr("--mpp-override"));
    }
  }
  TileOptions options = Options(8, 32, "jpeg");
  options.mpp_override = 8;  // about their true scale
  int done = 0;
  for (const SlideResult& result :
       TileSlides(FindSlides({folder}), options, temp / "out", Quiet())) {
    const bool broken = result.stem == "broken" || result.stem == "unreadable";
    EXPECT_FALSE(broken && result.status != "failed") << result.stem;
    done += result.status == "done";
  }
  EXPECT_GE(done, 4);
}

// An overview of a slide with one small biopsy: taken at its true scale, about 8 um/px.
TEST(RealSlides, FindsASmallBiopsy) {
  const fs::path path = DataFolder() / "slides" / "hard" / "kidney-48-5_pyr.tif";
  EOSIN_REQUIRE_DATA(path);
  TempFolder temp;
  TileOptions options = Options(8, 32);
  options.mpp_override = 8;
  const SlideResult result = TileSlides({{path}}, options, temp / "out", Quiet()).at(0);
  ASSERT_EQ(result.status, "done") << result.reason;
  const TileStoreReader store(temp / "out/kidney-48-5_pyr.h5");
  EXPECT_GE(store.size(), 3);
  for (int64_t i = 0; i < store.size(); ++i) {  // it lies at 280-400, 500-570
    EXPECT_NEAR(static_cast<double>(store.coords(i).x), 340, 64);
    EXPECT_NEAR(static_cast<double>(store.coords(i).y), 530, 64);
  }
}

TEST(RealSlides, TcgaWantsAnOverride) {
  const fs::path path = DataFolder() / "slides" / "TCGA-CR-7395-01A-01-TS1.svs";
  EOSIN_REQUIRE_DATA(path);
  TempFolder temp;
  TileOptions options = Options(1, 256, "jpeg");
  SlideResult result = TileSlides({{path}}, options, temp / "out", Quiet()).at(0);
  EXPECT_EQ(result.status, "failed");
  EXPECT_THAT(result.reason, ::testing::HasSubstr("no mpp"));
  EXPECT_THAT(result.hint, ::testing::HasSubstr("--mpp-override 0.25"));
  options.mpp_override = 0.5;
  result = TileSlides({{path}}, options, temp / "out", Quiet()).at(0);
  EXPECT_EQ(result.status, "done") << result.reason;
  EXPECT_EQ(result.mode, "crop");
  EXPECT_EQ(result.level, 1);
}

}  // namespace
}  // namespace eosin::tiling
