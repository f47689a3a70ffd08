// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/predict_slides.h"

#include <unistd.h>
#include <chrono>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/base/lock.h"
#include "core/formats/csv.h"
#include "core/image/codec.h"
#include "segment/predict/find_inputs.h"
#include "segment/predict/picture_slide.h"
#include "tests/segment/predict/traced_maps.h"
#include "tests/small_disk.h"
#include "tests/testing.h"
#include "tiling/annotations/annotation.h"
#include "tiling/slides/slide.h"
#include "tiling/synth/synth.h"

namespace eosin::testing {
namespace {

using namespace segment;

constexpr int kSide = 64;

// Class 1 where a pixel is darker than glass and stroma.
void Darkness(const uint8_t* images, int64_t count, uint16_t* out) {
  constexpr int64_t kPixels = int64_t{kSide} * kSide;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t p = 0; p < kPixels; ++p) {
      const bool dark = images[(i * kPixels + p) * 3] < 150;
      out[i * 2 * kPixels + p] = dark ? 0 : kOneProbability;
      out[(i * 2 + 1) * kPixels + p] = dark ? kOneProbability : 0;
    }
  }
}

ModelFacts Model() { return {{"background", "gland"}, 0, kSide, 1.0, "hash"}; }

PredictRun Quiet() {
  PredictRun run;
  run.quiet = true;
  run.threads = 2;
  return run;
}

void MakeSlides(const fs::path& folder, int64_t count) {
  tiling::SynthOptions options;
  options.slides = count;
  options.width = options.height = 1536;
  options.regions_per_slide = 1;
  options.region_size = 256;
  options.pen = false;
  tiling::MakeSlides(options, folder);
}

PredictResult Predict(const fs::path& slide, const fs::path& out, const PredictOptions& options,
                      const PredictRun& run = Quiet(), const Network& network = Darkness) {
  return PredictSlides(FindSlidesAndPictures({slide.string()}), Model(), network, options, out, run)
      .at(0);
}

fs::path OnlySlide(const fs::path& folder) {
  return core::ListFiles(folder / "slides", {".tif"}, false).at(0);
}

TEST(PredictSlides, WritesEverything) {
  const TempFolder folder;
  MakeSlides(folder / "made", 1);
  const fs::path slide = OnlySlide(folder / "made"), out = folder / "out";
  PredictOptions options;
  options.probabilities = true;
  const PredictResult result = Predict(slide, out, options);
  ASSERT_EQ(result.status, "done") << result.reason;
  EXPECT_EQ(result.width, 768);
  EXPECT_GT(result.tissue_mm2, 0);
  EXPECT_GT(result.class_mm2.at(1), 0);
  EXPECT_GT(result.features, 0);
  const std::string stem = slide.stem().string();
  for (const char* extension :
       {".labels.tif", ".probabilities.tif", ".geojson", ".overlay.png", ".json"}) {
    EXPECT_TRUE(fs::exists(out / (stem + extension))) << extension;
  }
  EXPECT_FALSE(fs::exists(out / (stem + ".part")));
  const core::CsvTable table = core::ReadCsv(out / "predictions.csv");
  ASSERT_EQ(table.rows.size(), 1U);
  EXPECT_EQ(table.rows[0][1], "done");
  const int column = table.Column("gland_mm2");
  ASSERT_GE(column, 0);
  EXPECT_NEAR(std::stod(table.rows[0][static_cast<size_t>(column)]), result.class_mm2[1],
              1e-4 * result.class_mm2[1]);
  // Our own reader of annotations takes the polygons; their area is the class's, nearly.
  const auto file = tiling::ReadAnnotations(out / (stem + ".geojson"));
  EXPECT_EQ(static_cast<int64_t>(file.annotations.size()), result.features);
  EXPECT_EQ(file.annotations.at(0).class_of, "gland");
}

TEST(PredictSlides, ExactOutlinesAreTheLabelMap) {
  const TempFolder folder;
  MakeSlides(folder / "made", 1);
  const fs::path slide = OnlySlide(folder / "made"), out = folder / "out";
  PredictOptions options;
  options.exact_outlines = true;
  const PredictResult result = Predict(slide, out, options);
  const auto json =
      nlohmann::json::parse(core::ReadFile(out / (slide.stem().string() + ".geojson")));
  double twice = 0;
  for (const auto& feature : json.at("features")) {
    for (const auto& ring : feature.at("geometry").at("coordinates")) {
      ASSERT_EQ(ring.front(), ring.back());
      VertexRing vertices;
      for (size_t i = 0; i + 1 < ring.size(); ++i) vertices.push_back({ring[i][0], ring[i][1]});
      twice += TwiceArea(vertices);
    }
  }
  // Level-0 pixels of 0.5 um.
  EXPECT_NEAR(twice / 2 * 0.25e-6, result.class_mm2.at(1), 1e-9);
}

// The raster's last pixels reach beyond the slide where its size is no multiple of theirs.
TEST(PredictSlides, OutlinesStayInsideTheSlide) {
  const TempFolder folder;
  MakeSlides(folder / "made", 1);
  const fs::path slide = OnlySlide(folder / "made"), out = folder / "out";
  PredictOptions options;
  options.tissue = "none";
  options.mpp = 1.13;
  const PredictResult facts = Predict(slide, out, options);
  const auto json =
      nlohmann::json::parse(core::ReadFile(out / (slide.stem().string() + ".geojson")));
  const auto opened = tiling::Slide::Open(slide);
  const auto width = static_cast<double>(opened->geometry().width);
  const auto height = static_cast<double>(opened->geometry().height);
  ASSERT_GT(std::max(static_cast<double>(facts.width) * 1.13 / 0.5 - width,
                     static_cast<double>(facts.height) * 1.13 / 0.5 - height),
            0.02);
  double right = 0, bottom = 0;
  for (const auto& feature : json.at("features")) {
    for (const auto& ring : feature.at("geometry").at("coordinates")) {
      for (const auto& point : ring) {
        right = std::max(right, point[0].get<double>());
        bottom = std::max(bottom, point[1].get<double>());
      }
    }
  }
  EXPECT_LE(right, width);
  EXPECT_LE(bottom, height);
}

TEST(PredictSlides, DoneIsSkippedAndOtherSettingsRefused) {
  const TempFolder folder;
  MakeSlides(folder / "made", 1);
  const fs::path slide = OnlySlide(folder / "made"), out = folder / "out";
  PredictOptions options;
  const PredictResult first = Predict(slide, out, options);
  const PredictResult again = Predict(slide, out, options);
  EXPECT_EQ(again.status, "skipped");
  EXPECT_EQ(again.class_mm2, first.class_mm2);
  options.overlap = 0.25;
  const PredictResult refused = Predict(slide, out, options);
  EXPECT_EQ(refused.status, "failed");
  EXPECT_THAT(refused.reason, ::testing::HasSubstr("other settings"));
  PredictRun run = Quiet();
  run.overwrite = true;
  EXPECT_EQ(Predict(slide, out, options, run).status, "done");
}

void Write(const fs::path& path, const std::string& text) {
  core::MakeFolder(path.parent_path());
  std::ofstream(path) << text;
}

fs::path WritePicture(const fs::path& path, int width, int height, uint8_t value = 60) {
  core::MakeFolder(path.parent_path());
  const core::Bytes png = core::EncodePng(core::Image(width, height, 3, value));
  core::WriteFileAtomic(path, {reinterpret_cast<const char*>(png.data()), png.size()});
  return path;
}

PredictOptions PictureOptions() {
  PredictOptions options;
  options.mpp_override = 1;
  return options;
}

PredictRun Overwriting() {
  PredictRun run = Quiet();
  run.overwrite = true;
  return run;
}

// Stops a prediction once a band of it is on disk.
void Stop(const fs::path& picture, const fs::path& out, const PredictOptions& options) {
  const fs::path band = out / (picture.stem().string() + ".part") / "band-000000";
  int calls = 0;
  const Network dying = [&](const uint8_t* images, int64_t count, uint16_t* probabilities) {
    Darkness(images, count, probabilities);
    if (++calls < 12) return;
    for (int wait = 0; wait < 10000 && !fs::exists(band); ++wait) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    throw core::InterruptedError("interrupted", "again");
  };
  EXPECT_THROW(Predict(picture, out, options, Quiet(), dying), core::InterruptedError);
  ASSERT_TRUE(fs::exists(band));
}

TEST(PredictSlides, FilesOfOthersAreNotReplaced) {
  const TempFolder folder;
  const fs::path picture = WritePicture(folder / "a.png", 150, 100), out = folder / "out";
  for (const char* extension : {".geojson", ".labels.tif", ".overlay.png"}) {
    const fs::path mine = out / (std::string("a") + extension);
    Write(mine, "drawn by hand");
    const PredictResult refused = Predict(picture, out, PictureOptions());
    EXPECT_EQ(refused.status, "failed");
    EXPECT_THAT(refused.reason, ::testing::HasSubstr(mine.string() + " is there"));
    EXPECT_EQ(core::ReadFile(mine), "drawn by hand");
    fs::remove(mine);
  }
  // What is not asked for is not touched.
  Write(out / "a.geojson", "drawn by hand");
  PredictOptions options = PictureOptions();
  options.geojson = false;
  EXPECT_EQ(Predict(picture, out, options).status, "done");
  EXPECT_EQ(core::ReadFile(out / "a.geojson"), "drawn by hand");
  // Nor is it when a stopped prediction goes on, now with it.
  fs::remove(out / "a.json");
  for (const char* made : {"a.labels.tif", "a.overlay.png"}) fs::remove(out / made);
  PredictOptions small = options;
  small.batch = 1;
  Stop(picture, out, small);
  small.geojson = true;
  EXPECT_EQ(Predict(picture, out, small).status, "failed");
  EXPECT_EQ(core::ReadFile(out / "a.geojson"), "drawn by hand");
  // A file or folder of other things in the place of the bands.
  fs::remove(out / "a.geojson");
  fs::remove_all(out / "a.part");
  Write(out / "a.part", "mine");
  EXPECT_THAT(Predict(picture, out, small).reason, ::testing::HasSubstr("is of no prediction"));
  fs::remove(out / "a.part");
  Write(out / "a.part" / "notes", "mine");
  EXPECT_THAT(Predict(picture, out, small).reason, ::testing::HasSubstr("is of no prediction"));
  EXPECT_EQ(core::ReadFile(out / "a.part" / "notes"), "mine");
  Write(out / "a.geojson", "drawn by hand");
  EXPECT_EQ(Predict(picture, out, small, Overwriting()).status, "done");
  EXPECT_NE(core::ReadFile(out / "a.geojson"), "drawn by hand");
}

// Killed between the first file's name and the last one's: those are ours.
TEST(PredictSlides, StoppedWhileFilesGetTheirNames) {
  const TempFolder folder;
  const fs::path picture = WritePicture(folder / "a.png", 150, 100), out = folder / "out";
  ASSERT_EQ(Predict(picture, folder / "whole", PictureOptions()).status, "done");
  PredictOptions options = PictureOptions();
  options.batch = 1;
  Stop(picture, out, options);
  Write(out / "a.part" / "outputs", ".labels.tif\n.geojson\n.overlay.png\n");
  Write(out / "a.labels.tif", "made by the run that was killed");
  ASSERT_EQ(Predict(picture, out, options).status, "done");
  EXPECT_EQ(core::ReadFile(out / "a.labels.tif"),
            core::ReadFile(folder.path() / "whole" / "a.labels.tif"));
}

TEST(PredictSlides, OverwriteLeavesNothingOfTheOldSettings) {
  const TempFolder folder;
  const fs::path picture = WritePicture(folder / "a.png", 150, 100), out = folder / "out";
  PredictOptions options = PictureOptions();
  options.probabilities = true;
  ASSERT_EQ(Predict(picture, out, options).status, "done");
  Write(out / "a.probabilities.tif.part", "half");
  options.probabilities = options.overlay = false;
  EXPECT_EQ(Predict(picture, out, options).status, "failed");
  EXPECT_TRUE(fs::exists(out / "a.probabilities.tif"));
  ASSERT_EQ(Predict(picture, out, options, Overwriting()).status, "done");
  std::vector<std::string> names;
  for (const auto& file : fs::directory_iterator(out)) names.push_back(file.path().filename());
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("a.json", "a.geojson", "a.labels.tif",
                                                     "predictions.csv"));
}

TEST(PredictSlides, WhatWasDeletedIsMadeAgain) {
  const TempFolder folder;
  const fs::path picture = WritePicture(folder / "a.png", 150, 100), out = folder / "out";
  ASSERT_EQ(Predict(picture, out, PictureOptions()).status, "done");
  const std::string labels = core::ReadFile(out / "a.labels.tif");
  fs::remove(out / "a.labels.tif");
  ASSERT_EQ(Predict(picture, out, PictureOptions()).status, "done");
  EXPECT_EQ(core::ReadFile(out / "a.labels.tif"), labels);
  EXPECT_EQ(Predict(picture, out, PictureOptions()).status, "skipped");
}

TEST(PredictSlides, BandsOfOtherSettingsAreNotThrownAway) {
  const TempFolder folder;
  const fs::path picture = WritePicture(folder / "a.png", 150, 200), out = folder / "out";
  PredictOptions options = PictureOptions();
  options.batch = 1;
  Stop(picture, out, options);
  PredictOptions other = options;
  other.overlap = 0.25;
  const PredictResult refused = Predict(picture, out, other);
  EXPECT_EQ(refused.status, "failed");
  EXPECT_THAT(refused.reason, ::testing::HasSubstr("other settings"));
  EXPECT_TRUE(fs::exists(out / "a.part" / "band-000000"));
  // Last digits depend on threads: within a slide they stay the same; done is done.
  const auto entries = FindSlidesAndPictures({picture.string()});
  ModelFacts threads = Model();
  threads.threads = 3;
  EXPECT_EQ(PredictSlides(entries, threads, Darkness, options, out, Quiet())[0].status, "failed");
  EXPECT_GT(Predict(picture, out, options).pipeline.bands_resumed, 0);
  EXPECT_EQ(PredictSlides(entries, threads, Darkness, options, out, Quiet())[0].status, "skipped");
  threads.precision = "bf16";
  EXPECT_EQ(PredictSlides(entries, threads, Darkness, options, out, Quiet())[0].status, "failed");
  EXPECT_EQ(Predict(picture, out, other, Overwriting()).status, "done");
}

TEST(PredictSlides, ResultsOfAnotherModelStopTheBatch) {
  const TempFolder folder;
  const auto entries = FindSlidesAndPictures({WritePicture(folder / "a.png", 80, 80).string()});
  const auto others = FindSlidesAndPictures({WritePicture(folder / "b.png", 80, 80).string()});
  const fs::path out = folder / "out";
  PredictSlides(entries, Model(), Darkness, PictureOptions(), out, Quiet());
  ModelFacts retrained = Model();
  retrained.hash = "retrained model";
  ExpectError([&] { PredictSlides(others, retrained, Darkness, PictureOptions(), out, Quiet()); },
              core::ExitCode::kBadInput, "another model (a.json: model hash, now retrained mo)");
  EXPECT_FALSE(fs::exists(out / "b.json"));
  PredictSlides(others, retrained, Darkness, PictureOptions(), out, Overwriting());
  const core::CsvTable table = core::ReadCsv(out / "predictions.csv");
  const auto column = static_cast<size_t>(table.Column("model"));
  ASSERT_EQ(table.rows.size(), 2U);
  EXPECT_EQ(table.rows[0].at(column), "hash");
  EXPECT_EQ(table.rows[1].at(column), "retrained mo");
}

// A class may be called tissue; a damaged result costs its row only.
TEST(PredictSlides, TheTableBearsWhatItFinds) {
  const TempFolder folder;
  const fs::path picture = WritePicture(folder / "a.png", 80, 80), out = folder / "out";
  Write(out / "b.json", R"({"format":"eosin-prediction"})");
  Write(out / "c.json", R"({"format":7})");
  Write(out / "d.json", R"({"format":"eosin-prediction","settings":3,"class_mm2":[1]})");
  ModelFacts model = Model();
  model.classes = {"background", "tissue"};
  const auto entries = FindSlidesAndPictures({picture.string()});
  ASSERT_EQ(PredictSlides(entries, model, Darkness, PictureOptions(), out, Quiet())[0].status,
            "done");
  const core::CsvTable table = core::ReadCsv(out / "predictions.csv");
  std::vector<std::string> header = table.header;
  std::sort(header.begin(), header.end());
  EXPECT_EQ(std::adjacent_find(header.begin(), header.end()), header.end());
  ASSERT_EQ(table.rows.size(), 1U);
  EXPECT_EQ(table.rows[0].at(static_cast<size_t>(table.Column("mm2_of_tissue"))), "");
  EXPECT_EQ(table.rows[0].at(static_cast<size_t>(table.Column("tissue_mm2"))), "0.0064");
}

// Cells reach beyond the tissue; areas do not.
TEST(PredictSlides, ClassesFillTheTissue) {
  const TempFolder folder;
  MakeSlides(folder / "made", 1);
  const PredictResult result = Predict(OnlySlide(folder / "made"), folder / "out", {});
  ASSERT_EQ(result.status, "done");
  const double sum = result.class_mm2.at(0) + result.class_mm2.at(1);
  EXPECT_NEAR(sum, result.tissue_mm2.value(), 0.01 * sum);
}

TEST(PredictSlides, OneMaskIsForOneSlide) {
  const TempFolder folder;
  WritePicture(folder / "in/a.png", 80, 80);
  WritePicture(folder / "in/b.png", 80, 80);
  PredictOptions options = PictureOptions();
  options.tissue = WritePicture(folder / "mask.png", 80, 80).string();
  const auto entries = FindSlidesAndPictures({(folder / "in").string()});
  ExpectError([&] { PredictSlides(entries, Model(), Darkness, options, folder / "out", Quiet()); },
              core::ExitCode::kUsage, "mask.png for 2 slides");
  EXPECT_FALSE(fs::exists(folder / "out"));
}

TEST(PredictSlides, StoppedAndGoneOnIsTheSame) {
  const TempFolder folder;
  MakeSlides(folder / "made", 1);
  const fs::path slide = OnlySlide(folder / "made");
  PredictOptions options;
  options.probabilities = true;
  Predict(slide, folder / "whole", options);
  int calls = 0;
  for (const int last : {4, 7, 9}) {
    calls = 0;
    const Network dying = [&](const uint8_t* images, int64_t count, uint16_t* out) {
      if (++calls > last) throw core::InterruptedError("interrupted", "again");
      Darkness(images, count, out);
    };
    EXPECT_THROW(Predict(slide, folder / "out", options, Quiet(), dying), core::InterruptedError);
    EXPECT_FALSE(fs::exists(folder / "out" / (slide.stem().string() + ".labels.tif")));
  }
  ASSERT_EQ(Predict(slide, folder / "out", options).status, "done");
  for (const char* extension : {".labels.tif", ".probabilities.tif", ".geojson", ".overlay.png"}) {
    const std::string name = slide.stem().string() + extension;
    EXPECT_EQ(core::ReadFile(folder / "out" / name), core::ReadFile(folder / "whole" / name))
        << extension;
  }
}

TEST(PredictSlides, AnotherProcessHasIt) {
  const TempFolder folder;
  MakeSlides(folder / "made", 1);
  const fs::path slide = OnlySlide(folder / "made"), out = folder / "out";
  core::MakeFolder(out);
  const auto lock = core::FileLock::Try(out / ("." + slide.stem().string() + ".predict.lock"));
  ASSERT_TRUE(lock);
  EXPECT_EQ(Predict(slide, out, {}).status, "locked");
  const core::CsvTable table = core::ReadCsv(out / "predictions.csv");
  ASSERT_EQ(table.rows.size(), 1U);
  EXPECT_EQ(table.rows[0][1], "locked");
}

TEST(PredictSlides, RowsOfSlidesThatFailedStayUntilTheyAreDone) {
  const TempFolder folder;
  const fs::path out = folder / "out", broken = folder / "broken.png";
  Write(broken, "no picture");
  EXPECT_EQ(Predict(broken, out, PictureOptions()).status, "failed");
  const auto rows = [&] { return core::ReadCsv(out / "predictions.csv").rows; };
  const std::string reason = rows().at(0).at(2);
  Predict(WritePicture(folder / "good.png", 80, 80), out, PictureOptions());
  ASSERT_EQ(rows().size(), 2U);
  EXPECT_EQ(rows()[0][0], "broken.png");
  EXPECT_EQ(rows()[0][1], "failed");
  EXPECT_EQ(rows()[0][2], reason);
  {
    const auto lock = core::FileLock::Try(out / ".broken.predict.lock");
    ASSERT_TRUE(lock);
    EXPECT_EQ(Predict(broken, out, PictureOptions()).status, "locked");
    EXPECT_EQ(rows()[0][1], "failed");
  }
  WritePicture(broken, 80, 80);
  Predict(broken, out, PictureOptions());
  ASSERT_EQ(rows().size(), 2U);
  EXPECT_EQ(rows()[0][1], "done");
}

TEST(PredictSlides, PicturesOfAnySize) {
  const TempFolder folder;
  core::Image picture(333, 150, 3, 240);
  for (int y = 40; y < 80; ++y) std::fill_n(picture.at(100, y), 3 * 60, uint8_t{60});
  const core::Bytes png = core::EncodePng(picture);
  core::WriteFileAtomic(folder / "region.png",
                        {reinterpret_cast<const char*>(png.data()), png.size()});
  PredictOptions options;
  EXPECT_EQ(Predict(folder / "region.png", folder / "none", options).status, "failed");
  options.mpp_override = 1;
  const PredictResult result = Predict(folder / "region.png", folder / "out", options);
  ASSERT_EQ(result.status, "done") << result.reason;
  EXPECT_NEAR(result.class_mm2.at(1), 60 * 40 * 1e-6, 1e-12);
  EXPECT_NEAR(result.class_mm2.at(0), (333 * 150 - 60 * 40) * 1e-6, 1e-12);
  EXPECT_EQ(result.features, 1);
}

TEST(PredictSlides, ScalesThatAreMissing) {
  const TempFolder folder;
  const core::Bytes png = core::EncodePng(core::Image(100, 100, 3, 200));
  core::WriteFileAtomic(folder / "a.png", {reinterpret_cast<const char*>(png.data()), png.size()});
  const PredictResult failed = Predict(folder / "a.png", folder / "out", {});
  EXPECT_THAT(failed.hint, ::testing::HasSubstr("--mpp-override"));
  ModelFacts model = Model();
  model.mpp = 0;
  const auto entries = FindSlidesAndPictures({(folder / "a.png").string()});
  ExpectError([&] { PredictSlides(entries, model, Darkness, {}, folder / "out", Quiet()); },
              core::ExitCode::kUsage, "at which scale");
}

TEST(PredictSlides, BadInputsCostThemselvesOnly) {
  const TempFolder folder;
  MakeSlides(folder / "made", 1);
  std::ofstream(folder / "broken.tif") << "no slide";
  const auto entries = FindSlidesAndPictures(
      {(folder / "broken.tif").string(), (folder.path() / "made" / "slides").string()});
  const auto results = PredictSlides(entries, Model(), Darkness, {}, folder / "out", Quiet());
  ASSERT_EQ(results.size(), 2U);
  int done = 0, failed = 0;
  for (const PredictResult& result : results) {
    done += result.status == "done";
    failed += result.status == "failed" && !result.hint.empty();
  }
  EXPECT_EQ(done, 1);
  EXPECT_EQ(failed, 1);
  EXPECT_EQ(core::ReadCsv(folder.path() / "out" / "predictions.csv").rows.size(), 2U);
}

TEST(FindSlidesAndPictures, SaysWhatIsMissing) {
  const TempFolder folder;
  core::MakeFolder(folder / "empty");
  ExpectError([&] { FindSlidesAndPictures({(folder / "empty").string()}); },
              core::ExitCode::kBadInput, "no slide and no picture");
  ExpectError([&] { FindSlidesAndPictures({(folder / "nowhere").string()}); },
              core::ExitCode::kBadInput, "no such slide");
  Write(folder / "list.csv", "slide,mpp\n");
  ExpectError([&] { FindSlidesAndPictures({(folder / "list.csv").string()}); },
              core::ExitCode::kBadInput, "names no slide");
  WritePicture(folder / "one/a.png", 20, 20);
  WritePicture(folder / "two/a.png", 20, 20);
  ExpectError(
      [&] { FindSlidesAndPictures({(folder / "one").string(), (folder / "two").string()}); },
      core::ExitCode::kBadInput, "would have the same output names");
}

// What was made is no input, wherever it lies.
TEST(FindSlidesAndPictures, LeavesOutWhatEosinMade) {
  const TempFolder folder;
  const fs::path in = folder / "in";
  WritePicture(in / "a.png", 80, 80);
  WritePicture(in / "sub/b.overlay.png", 80, 80);  // somebody's own name
  const std::vector<std::string> paths = {in.string()};
  PredictOptions options = PictureOptions();
  options.probabilities = true;
  for (const fs::path& out : {in, in / "out", folder / "elsewhere"}) {
    for (int time = 0; time < 2; ++time) {
      const auto entries = FindSlidesAndPictures(paths, out);
      ASSERT_EQ(entries.size(), 2U) << out << time;
      EXPECT_EQ(entries[1].slide.filename(), "b.overlay.png");
      PredictSlides(entries, Model(), Darkness, options, out, Quiet());
    }
  }
  WritePicture(in / "out/other.png", 80, 80);
  EXPECT_EQ(FindSlidesAndPictures(paths, in / "out").size(), 2U);
  EXPECT_EQ(FindSlidesAndPictures(paths, in / "out" / "..").size(), 3U);
  EXPECT_EQ(FindSlidesAndPictures({(in / "out").string()}, folder.path()).size(), 1U);
}

TEST(FindSlidesAndPictures, MasksAreNoPictures) {
  const TempFolder folder;
  WritePicture(folder / "set/images/a.png", 80, 80);
  WritePicture(folder / "set/masks/a.png", 80, 80);
  const auto entries = FindSlidesAndPictures({(folder / "set").string()});
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].slide, folder / "set/images/a.png");
}

TEST(PredictSlides, AFullDiskStopsWithAWord) {
  const TempFolder folder;
  MakeSlides(folder / "made", 1);
  const SmallDisk disk(folder / "small", "64k");
  EOSIN_REQUIRE_DISK(disk);
  PredictOptions options;
  options.probabilities = true;
  ExpectError([&] { Predict(OnlySlide(folder / "made"), folder / "small", options); },
              core::ExitCode::kMachine, "cannot write");
}

TEST(PredictSlides, ARealSlide) {
  const fs::path slide = DataFolder() / "slides" / "CMU-1-Small-Region.svs";
  EOSIN_REQUIRE_DATA(slide);
  const TempFolder folder;
  const PredictResult result = Predict(slide, folder / "out", {});
  ASSERT_EQ(result.status, "done") << result.reason;
  EXPECT_NEAR(static_cast<double>(result.width) * result.mpp, 2220 * 0.499, 2);
  EXPECT_GT(result.features, 10);
}

}  // namespace
}  // namespace eosin::testing
