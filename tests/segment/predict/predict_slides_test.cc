// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/predict_slides.h"

#include <unistd.h>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/base/lock.h"
#include "core/formats/csv.h"
#include "core/image/codec.h"
#include "segment/predict/picture_slide.h"
#include "tests/segment/predict/traced_maps.h"
#include "tests/small_disk.h"
#include "tests/testing.h"
#include "tiling/annotations/annotation.h"
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
