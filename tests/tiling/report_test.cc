// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/report.h"

#include "core/base/files.h"
#include "core/store/tile_store.h"
#include "tests/testing.h"
#include "tiling/batch/preview.h"

namespace eosin::tiling {
namespace {

using core::Image;
using ::testing::HasSubstr;
using ::testing::Not;

size_t Count(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t i = text.find(what); i != std::string::npos; i = text.find(what, i + 1)) ++count;
  return count;
}

SlideResult Done(const std::string& stem) {
  SlideResult result;
  result.slide = "/data/" + stem + ".svs";
  result.stem = stem;
  result.status = "done";
  result.tiles = 1234;
  result.bad = 2;
  result.rejected[static_cast<size_t>(Rejection::kTissue)] = 4000;
  result.rejected[static_cast<size_t>(Rejection::kPen)] = 7;
  result.tissue_share = 0.237;
  result.bytes = 12'345'678;
  result.seconds = 2.5;
  result.mpp = 0.2514;
  result.mpp_source = "openslide.mpp-x";
  result.reader = "tiff";
  result.mode = "copy";
  result.plan = "1,234 tiles of 256 px at 0.5 um/px from level 0";
  return result;
}

SlideResult Failed(const std::string& stem, const std::string& reason) {
  SlideResult result;
  result.slide = "/data/" + stem + ".svs";
  result.stem = stem;
  result.status = "failed";
  result.reason = reason;
  result.hint = "give it with --mpp-override";
  return result;
}

// A store of `tiles` tiles with pictures and scores, the last tile bad.
void MakeStore(const std::filesystem::path& path, int tiles) {
  core::TileStoreInfo info;
  info.slide_name = path.stem().string() + ".svs";
  info.width = info.height = 4096;
  info.bounds = {0, 0, 4096, 4096};
  info.mpp_x = info.mpp_y = 0.5;
  info.tile_size = info.stride = info.patch_size_level0 = 16;
  info.tile_mpp = 0.5;
  info.patch_level = 0;
  info.level_width = info.level_height = 4096;
  info.settings = R"({"quality_marker": 17})";
  core::TileStoreWriter writer(path, info);
  const core::Bytes jpeg = core::EncodeJpeg(Image(16, 16, 3, 200), 80);
  std::vector<float> scores;
  for (int i = 0; i < tiles; ++i) {
    const bool bad = i + 1 == tiles;
    writer.Append(16 * i, 0, bad ? std::span<const uint8_t>() : std::span<const uint8_t>(jpeg),
                  0.8f, bad ? core::TileStatus::kBad : core::TileStatus::kOk);
    scores.push_back(bad ? 0.95f : 0.35f);
  }
  writer.SetQuality("blur", scores);
  writer.SetPreview("thumbnail", core::EncodeJpeg(Image(800, 600, 3, 220), 80));
  writer.SetPreview("grid", core::EncodeJpeg(Image(800, 620, 3, 210), 80));
  writer.Finish();
}

std::string Report(const std::vector<SlideResult>& results, const testing::TempFolder& folder) {
  WriteTilingReport(results, folder.path());
  return core::ReadFile(folder / "report.html");
}

TEST(TilingReport, FailuresComeFirstWithReasonAndHint) {
  const testing::TempFolder folder;
  const std::string html =
      Report({Done("good"), Failed("worse", "the scale of <worse> is not known")}, folder);
  const size_t failed = html.find("the scale of &lt;worse&gt; is not known");
  ASSERT_NE(failed, std::string::npos);
  EXPECT_LT(failed, html.find("Summary</h2>"));
  EXPECT_THAT(html, HasSubstr("give it with --mpp-override"));
  EXPECT_THAT(html, HasSubstr("1 of 2 slides failed"));
}

TEST(TilingReport, SummaryAddsUp) {
  const testing::TempFolder folder;
  const std::string html = Report({Done("a"), Done("b"), Failed("c", "broken")}, folder);
  EXPECT_THAT(html, HasSubstr("2 done, 1 failed"));
  EXPECT_THAT(html, HasSubstr("2,468"));
  EXPECT_THAT(html, HasSubstr("8,000 little tissue, 14 pen"));
  EXPECT_THAT(html, HasSubstr("24.7 MB"));
  EXPECT_THAT(html, HasSubstr("2 openslide.mpp-x"));
  EXPECT_THAT(html, HasSubstr("0.2514 um/px (openslide.mpp-x)"));
  EXPECT_THAT(html, HasSubstr("23.7 %"));
}

TEST(TilingReport, SectionOfAStore) {
  const testing::TempFolder folder;
  MakeStore(folder / "slide.h5", 5);
  SlideResult result = Done("slide");
  result.warnings = {"the file says 0.25 and 2.5 um/px"};
  const std::string html = Report({result}, folder);
  EXPECT_EQ(Count(html, "src=\"data:image/jpeg;base64,"), 2u);
  EXPECT_THAT(html, HasSubstr("the file says 0.25 and 2.5 um/px"));
  EXPECT_THAT(html, HasSubstr("quality_marker"));
  EXPECT_THAT(html, HasSubstr("Tissue share of the tiles."));
  EXPECT_THAT(html, HasSubstr("Quality scores of the tiles."));
  EXPECT_THAT(html, HasSubstr("0.3-0.4"));
  EXPECT_THAT(html, Not(HasSubstr(">nan<")));
  EXPECT_THAT(html, Not(HasSubstr("missing")));
}

TEST(TilingReport, MissingAndBrokenStoresAreNamed) {
  const testing::TempFolder folder;
  core::WriteFileAtomic(folder / "torn.h5", "not a store");
  const std::string html = Report({Done("gone"), Done("torn")}, folder);
  EXPECT_THAT(html, HasSubstr("The store is missing"));
  EXPECT_THAT(html, HasSubstr("<code>gone.h5</code>"));
  EXPECT_THAT(html, HasSubstr("The store cannot be read"));
}

TEST(TilingReport, AtMostSoManySections) {
  const testing::TempFolder folder;
  std::vector<SlideResult> results;
  for (int i = 0; i < kReportPictures + 30; ++i) results.push_back(Done("s" + std::to_string(i)));
  const std::string html = Report(results, folder);
  EXPECT_EQ(Count(html, "The store is missing"), static_cast<size_t>(kReportPictures));
  EXPECT_THAT(html, HasSubstr("30 further slides"));
  EXPECT_THAT(html, HasSubstr(">s229<"));  // in the table
}

TEST(TilingReport, PlannedAndEmptyBatches) {
  const testing::TempFolder folder;
  SlideResult planned = Done("p");
  planned.status = "planned";
  planned.tissue_share = -1;
  EXPECT_THAT(Report({planned}, folder), Not(HasSubstr("The store is missing")));
  EXPECT_THAT(Report({}, folder), HasSubstr("none"));
}

}  // namespace
}  // namespace eosin::tiling
