// SPDX-License-Identifier: Apache-2.0
// What an output folder is to many runs and processes: tables, locks, shards, class ids, retries,
// predictions and memory.
#include <atomic>
#include <fstream>
#include <thread>

#include "core/base/files.h"
#include "core/base/lock.h"
#include "core/formats/csv.h"
#include "core/store/tile_store.h"
#include "tests/tiling/made_slide.h"
#include "tiling/batch/batch.h"
#include "tiling/batch/labels.h"
#include "tiling/batch/result_table.h"

namespace eosin::tiling {
namespace {

namespace fs = std::filesystem;
using core::ExitCode;
using core::Image;
using core::TileStoreReader;
using eosin::testing::DataFolder;
using eosin::testing::DiscPicture;
using eosin::testing::ExpectError;
using eosin::testing::TempFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TileOptions Options(int64_t size = 128) {
  TileOptions options;
  options.mpp = 0.5;
  options.size = size;
  options.encoding = "png";
  options.tissue = "none";
  return options;
}

BatchOptions Quiet() {
  BatchOptions batch;
  batch.threads = 2;
  batch.quiet = true;
  return batch;
}

std::string Square(const std::string& of, int x, int y, int side) {
  const int r = x + side, b = y + side;
  char text[512];
  std::snprintf(text, sizeof text,
                R"({"type":"Feature","properties":{"classification":{"name":"%s"}},"geometry":)"
                R"({"type":"Polygon","coordinates":[[[%d,%d],[%d,%d],[%d,%d],[%d,%d],[%d,%d]]]}})",
                of.c_str(), x, y, r, y, r, b, x, b, x, y);
  return text;
}

class BatchFolder : public ::testing::Test {
 protected:
  SlideEntry Slide(const std::string& name, double mpp = 0.5) {
    const fs::path path = temp_ / (name + ".tif");
    eosin::testing::WriteSlide(path, {picture_}, mpp);
    return {path};
  }
  fs::path Regions(const std::string& name, const std::vector<std::string>& squares) {
    const fs::path path = temp_ / name;
    std::ofstream out(path);
    out << R"({"type":"FeatureCollection","features":[)";
    for (size_t i = 0; i < squares.size(); ++i) out << (i ? "," : "") << squares[i];
    out << "]}";
    return path;
  }
  std::vector<std::string> Statuses() {
    std::vector<std::string> statuses;
    for (const SlideResult& result : ReadResults(out_ / "tiles.csv")) {
      statuses.push_back(result.stem + " " + result.status);
    }
    return statuses;
  }

  TempFolder temp_;
  fs::path out_ = temp_ / "out";
  Image picture_ = DiscPicture(512, 512, 256, 256, 200);
};

TEST(ResultTable, ReadsWhatItWrites) {
  TempFolder temp;
  SlideResult result;
  result.slide = "/slides/a, \"b\".svs";
  result.stem = "a, \"b\"";
  result.status = "done";
  result.reason = "2 of 9 tiles, bad";
  result.hint = "look";
  result.warnings = {"one", "two, three"};
  result.tiles = 9;
  result.bad = 2;
  result.rejected = {1, 2, 3, 4, 5, 6, 7};
  result.tissue_share = 0.25;
  result.bytes = int64_t{5} << 40;
  result.seconds = 1.5;
  result.mpp = 0.2517;
  result.mpp_source = "openslide.mpp-x";
  result.tile_mpp = 0.5;
  result.tile_size = 256;
  result.level = 1;
  result.mode = "resample";
  result.reader = "tiff";
  SlideResult failed;
  failed.slide = "/slides/c.svs";
  failed.stem = "c";
  failed.status = "failed";
  core::WriteFileAtomic(temp / "tiles.csv", ResultsCsv({result, failed}));
  const auto read = ReadResults(temp / "tiles.csv");
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(ResultsCsv(read), ResultsCsv({result, failed}));
  EXPECT_EQ(read[0].stem, result.stem);
  EXPECT_EQ(read[0].warnings, result.warnings);
  EXPECT_EQ(read[0].rejected, result.rejected);
  EXPECT_EQ(read[0].bytes, result.bytes);
  EXPECT_EQ(read[1].tissue_share, -1);
  core::WriteFileAtomic(temp / "tiles.csv", "slide,status\na.svs,done\n");
  ExpectError([&] { ReadResults(temp / "tiles.csv"); }, ExitCode::kBadInput, "result table");
}

TEST_F(BatchFolder, GoesOnWithOthersWhileASlideIsLocked) {
  const std::vector<SlideEntry> slides = {Slide("a"), Slide("b")};
  core::MakeFolder(out_);
  std::optional<core::FileLock> other = core::FileLock::Try(out_ / ".a.h5.lock");
  ASSERT_TRUE(other);
  std::vector<SlideResult> results;
  std::jthread batch([&] { results = TileSlides(slides, Options(), out_, Quiet()); });
  while (!fs::exists(out_ / "b.h5")) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_FALSE(fs::exists(out_ / "a.h5"));
  other.reset();  // without having made it
  batch.join();
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0].status, "done");
  EXPECT_EQ(results[1].status, "done");
  EXPECT_TRUE(fs::exists(out_ / "a.h5"));
}

TEST_F(BatchFolder, SharesOneFolderBetweenShards) {
  std::vector<SlideEntry> slides;
  for (const char* name : {"a", "b", "c", "d", "e"}) slides.push_back(Slide(name));
  std::ofstream(slides[3].slide) << "no slide";
  std::atomic<size_t> rows{0};
  {
    std::vector<std::jthread> processes;
    for (int i = 1; i <= 3; ++i) {
      processes.emplace_back([&, i] {
        BatchOptions batch = Quiet();
        batch.shard = i;
        batch.shards = 3;
        rows += TileSlides(slides, Options(), out_, batch).size();
      });
    }
  }
  EXPECT_EQ(rows, 5u);
  EXPECT_THAT(Statuses(), ElementsAre("a done", "b done", "c done", "d failed", "e done"));
  const core::CsvTable list = core::ReadCsv(out_ / "process_list_autogen.csv");
  EXPECT_EQ(list.rows.size(), 5u);
  for (const auto& entry : fs::directory_iterator(out_)) {
    EXPECT_NE(entry.path().extension(), ".part") << entry.path();
    EXPECT_NE(entry.path().extension(), ".lock") << entry.path();
  }
}

TEST_F(BatchFolder, FailedSlidesAreAListToTryAgain) {
  SlideEntry b = Slide("b", 0);  // no scale
  b.patient = "p2";
  b.class_name = "tumor";
  SlideEntry a = Slide("a");
  a.class_name = "normal";
  TileSlides({a, b}, Options(), out_, Quiet());
  EXPECT_THAT(Statuses(), ElementsAre("a done", "b failed"));
  std::vector<SlideEntry> again = ReadSlideList(out_ / "failed.csv", {});
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].slide.filename(), "b.tif");
  EXPECT_EQ(again[0].patient, "p2");
  EXPECT_EQ(again[0].class_name, "tumor");
  again[0].mpp = 0.5;
  const auto results = TileSlides(again, Options(), out_, Quiet());
  EXPECT_EQ(results.at(0).status, "done");
  EXPECT_THAT(Statuses(), ElementsAre("a done", "b done"));
  EXPECT_FALSE(fs::exists(out_ / "failed.csv"));
  const TileStoreReader store(out_ / "b.h5");
  EXPECT_EQ(store.info().patient, "p2");
  EXPECT_EQ(store.info().mpp_source, "override");
  // The id that the whole batch gave it, though the retry knew one class only.
  EXPECT_THAT(store.ReadLabels("class"), ::testing::Each(1));
  EXPECT_EQ(store.LabelClasses("class"), "tumor=1");
  EXPECT_THAT(TileStoreReader(out_ / "a.h5").ReadLabels("class"), ::testing::Each(0));
  // A scale in the list is the same as --mpp-override.
  TileOptions options = Options();
  options.mpp_override = 0.5;
  again[0].mpp = 0;
  EXPECT_EQ(TileSlides(again, options, out_, Quiet()).at(0).status, "skipped");
  again[0].patient = "p3";  // the store says another
  EXPECT_THAT(TileSlides(again, options, out_, Quiet()).at(0).reason, HasSubstr("other settings"));
}

TEST_F(BatchFolder, DrawsAnnotationsAsMasks) {
  SlideEntry a = Slide("a"), b = Slide("b");
  a.annotation = Regions("a.geojson", {Square("tumor", 64, 0, 128), Square("stroma", 256, 0, 512)});
  b.annotation = Regions("b.geojson", {Square("zebra", 0, 0, 512)});
  TileSlides({a, b}, Options(), out_, Quiet());
  const TileStoreReader store(out_ / "a.h5");
  EXPECT_EQ(store.LabelClasses("annotation"), "stroma=1,tumor=2");
  for (int64_t i = 0; i < store.size(); ++i) {
    const auto [x, y] = store.coords(i);
    const Image mask = store.ReadLabelMask("annotation", i);
    for (int r = 0; r < 128; ++r) {
      for (int c = 0; c < 128; ++c) {
        const int64_t px = x + c, py = y + r;
        const int expected = px >= 256 ? 1 : px >= 64 && px < 192 && py < 128 ? 2 : 0;
        ASSERT_EQ(*mask.at(c, r), expected) << px << "," << py;
      }
    }
  }
  EXPECT_EQ(TileStoreReader(out_ / "b.h5").LabelClasses("annotation"), "zebra=3");

  // A slide with a new class gets the next id; stores that are there stay valid.
  const std::string before = core::ReadFile(out_ / "a.h5");
  SlideEntry c = Slide("c");
  c.annotation = Regions("c.geojson", {Square("adipose", 0, 0, 300)});
  SlideEntry unnamed = c;  // a region without a class is one too
  unnamed.annotation = Regions("u.geojson", {Square("", 0, 0, 300)});
  EXPECT_NE(TileSlides({unnamed}, Options(), temp_ / "unnamed", Quiet())[0].status, "failed");
  EXPECT_EQ(TileStoreReader(temp_ / "unnamed" / "c.h5").LabelClasses("annotation"),
            "unclassified=1");
  const auto results = TileSlides({a, b, c}, Options(), out_, Quiet());
  EXPECT_EQ(results[0].status, "skipped") << results[0].reason;
  EXPECT_EQ(results[1].status, "skipped") << results[1].reason;
  EXPECT_EQ(TileStoreReader(out_ / "c.h5").LabelClasses("annotation"), "adipose=4");
  EXPECT_TRUE(core::ReadFile(out_ / "a.h5") == before);

  // Another drawing, another store.
  Regions("a.geojson", {Square("tumor", 64, 0, 130)});
  EXPECT_THAT(TileSlides({a}, Options(), out_, Quiet())[0].reason, HasSubstr("other settings"));
  std::ofstream(temp_ / "a.geojson") << "{\"type\":";
  const SlideResult broken = TileSlides({a}, Options(), temp_ / "new", Quiet())[0];
  EXPECT_EQ(broken.status, "failed");
  EXPECT_THAT(broken.reason, HasSubstr("a.geojson"));
}

TEST_F(BatchFolder, LeavesOutExcludedPlaces) {
  SlideEntry a = Slide("a");
  a.annotation = Regions("a.geojson", {Square("pen", 10, 10, 20), Square("roi", 0, 0, 400)});
  TileOptions options = Options();
  options.classes = "pen=exclude,roi=include";
  const SlideResult result = TileSlides({a}, options, out_, Quiet())[0];
  EXPECT_EQ(result.tiles, 8);  // 3 x 3 tiles fit into roi, one of them touches pen
  EXPECT_EQ(result.rejected[static_cast<size_t>(Rejection::kExcluded)], 8);
  const TileStoreReader store(out_ / "a.h5");
  EXPECT_THAT(store.mask_names(), ElementsAre());  // no class has an id
  options.classes = "pen=exclude";
  EXPECT_THAT(TileSlides({a}, options, temp_ / "o2", Quiet())[0].reason, HasSubstr("roi"));
  options.classes = "pen=nothing";
  ExpectError([&] { TileSlides({a}, options, temp_ / "o3", Quiet()); }, ExitCode::kUsage,
              "nothing");
}

TEST_F(BatchFolder, AnnotationsAreFoundByName) {
  std::vector<SlideEntry> slides = {Slide("a"), Slide("b"), Slide("c")};
  core::MakeFolder(temp_ / "drawn");
  for (const char* name : {"a.xml", "a.geojson", "b.json"}) std::ofstream(temp_ / "drawn" / name);
  EXPECT_EQ(AttachAnnotations(temp_ / "drawn", &slides), 1);
  EXPECT_EQ(slides[0].annotation.filename(), "a.geojson");
  EXPECT_EQ(slides[1].annotation.filename(), "b.json");
  EXPECT_TRUE(slides[2].annotation.empty());
  ExpectError([&] { AttachAnnotations(temp_ / "drawn/a.xml", &slides); }, ExitCode::kUsage, "3");
  ExpectError([&] { AttachAnnotations(temp_ / "none", &slides); }, ExitCode::kBadInput, "none");
  std::vector<SlideEntry> one = {Slide("z")};
  ExpectError([&] { AttachAnnotations(temp_ / "drawn", &one); }, ExitCode::kBadInput, "drawn");
}

TEST_F(BatchFolder, ExportsBesideTheStores) {
  BatchOptions batch = Quiet();
  batch.exports = {"png", "webdataset"};
  const SlideEntry a = Slide("a");
  TileSlides({a}, Options(), out_, batch);
  EXPECT_EQ(core::ListFiles(out_ / "png/a", {".png"}, false).size(), 16u);
  const auto time = fs::last_write_time(out_ / "webdataset/a.tar");
  fs::remove_all(out_ / "png");
  TileSlides({a}, Options(), out_, batch);  // what is missing is made, what is there is kept
  EXPECT_EQ(core::ListFiles(out_ / "png/a", {".png"}, false).size(), 16u);
  EXPECT_EQ(fs::last_write_time(out_ / "webdataset/a.tar"), time);
  batch.exports = {"zip"};
  ExpectError([&] { TileSlides({a}, Options(), out_, batch); }, ExitCode::kUsage, "zip");
}

TEST_F(BatchFolder, SaysWhenQualityLeavesNothing) {
  TileOptions options = Options();
  options.limits.white = 0;
  picture_ = Image(512, 512, 3, 243);
  const SlideResult result = TileSlides({Slide("a")}, options, out_, Quiet())[0];
  EXPECT_EQ(result.status, "failed");
  EXPECT_THAT(result.reason, HasSubstr("quality limit"));
  EXPECT_FALSE(fs::exists(out_ / "a.h5"));
}

TEST_F(BatchFolder, OneSlideMayAlwaysRun) {
  picture_ = DiscPicture(2048, 2048, 1000, 1000, 900);
  const SlideEntry a = Slide("a");
  BatchOptions batch = Quiet();
  batch.memory = 1;  // less than any slide needs: one may always run
  batch.jobs = 2;
  const auto results = TileSlides({a, Slide("b")}, Options(), out_, batch);
  EXPECT_EQ(results[0].status, "done");
  EXPECT_EQ(results[1].status, "done");
}

struct PredictCase {
  const char* name;
  void (*set)(TileOptions&);
};

class DryRun : public ::testing::TestWithParam<PredictCase> {};

// Tiles exactly, bytes within 10 %, pictures and masks included.
TEST_P(DryRun, PredictsTilesAndBytes) {
  TempFolder temp;
  std::vector<SlideEntry> slides;
  const Image picture = DiscPicture(3000, 2400, 1400, 1200, 1000);
  eosin::testing::WriteJpegSlide(temp / "made.svs", {picture}, 0.5);
  slides.push_back({temp / "made.svs"});
  std::ofstream(temp / "made.geojson")
      << R"({"type":"FeatureCollection","features":[)" << Square("tumor", 500, 500, 777) << "]}";
  slides[0].annotation = temp / "made.geojson";
  const fs::path real = DataFolder() / "slides/CMU-1-Small-Region.svs";
  if (fs::exists(real)) slides.push_back({real});
  TileOptions options;
  options.mpp = 0.5;
  GetParam().set(options);
  BatchOptions batch = Quiet();
  batch.dry_run = true;
  const auto planned = TileSlides(slides, options, temp / "out", batch);
  EXPECT_FALSE(fs::exists(temp / "out"));
  const auto done = TileSlides(slides, options, temp / "out", Quiet());
  for (size_t i = 0; i < slides.size(); ++i) {
    ASSERT_EQ(planned[i].status, "planned") << planned[i].reason;
    ASSERT_EQ(done[i].status, "done") << done[i].reason;
    EXPECT_EQ(planned[i].tiles, done[i].tiles);
    const double ratio = static_cast<double>(planned[i].bytes) / static_cast<double>(done[i].bytes);
    EXPECT_NEAR(ratio, 1, 0.1) << done[i].stem;
    EXPECT_GT(planned[i].seconds, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Options, DryRun,
    ::testing::Values(PredictCase{"Aligned", [](TileOptions& o) { o.align = "tiles"; }},
                      PredictCase{"Crop", [](TileOptions& o) { o.size = 224; }},
                      PredictCase{"HalfScale", [](TileOptions& o) { o.mpp = 1, o.size = 128; }},
                      PredictCase{"Overlap", [](TileOptions& o) { o.size = 128, o.stride = 64; }},
                      PredictCase{"Lossless",
                                  [](TileOptions& o) { o.size = 128, o.encoding = "png"; }}),
    [](const auto& info) { return info.param.name; });

int64_t ResidentBytes() {
  std::ifstream in("/proc/self/statm");
  int64_t total = 0, resident = 0;
  in >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// 1,000 slides in one process: what is kept of a slide is a row.
TEST_F(BatchFolder, MemoryIsFlatOverAThousandSlides) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer keeps freed memory";
#endif
  picture_ = DiscPicture(256, 256, 128, 128, 100);
  const SlideEntry original = Slide("original");
  std::vector<SlideEntry> slides;
  for (int i = 0; i < 1000; ++i) {
    slides.push_back({temp_ / ("s" + std::to_string(i) + ".tif")});
    fs::create_symlink(original.slide, slides.back().slide);
  }
  int done = 0;
  int64_t early = 0;
  BatchOptions batch = Quiet();
  batch.on_slide = [&](const SlideResult& result) {
    EXPECT_EQ(result.status, "done") << result.reason;
    fs::remove(out_ / (result.stem + ".h5"));
    if (++done == 300) early = ResidentBytes();
  };
  TileSlides(slides, Options(64), out_, batch);
  EXPECT_EQ(done, 1000);
  const int64_t growth = ResidentBytes() - early;
  RecordProperty("growth_bytes", std::to_string(growth));
  EXPECT_LT(growth, 4 << 20);
}

}  // namespace
}  // namespace eosin::tiling
