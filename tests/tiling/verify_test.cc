// SPDX-License-Identifier: Apache-2.0
// Stores that are what they say, and every kind of damage that must be told.
#include "tiling/batch/verify.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fstream>

#include "core/base/files.h"
#include "core/store/hdf5.h"
#include "core/store/tile_store.h"
#include "tests/tiling/made_slide.h"
#include "tiling/batch/batch.h"
#include "tiling/settings.h"

namespace eosin::tiling {
namespace {

using core::ExitCode;
using core::Image;
using eosin::testing::DiscPicture;
using eosin::testing::ExpectError;
using eosin::testing::TempFolder;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Text(const std::vector<std::string>& lines) {
  return fmt::format("{}", fmt::join(lines, "; "));
}

// A slide of 1024 px with tissue in the middle and the store of it.
class Verify : public ::testing::Test {
 protected:
  void SetUp() override {
    slide_ = folder_ / "a.svs";
    eosin::testing::WriteJpegSlide(slide_, {DiscPicture(1024, 1024, 470, 540, 400)}, 0.5);
    options_.mpp = 0.5;
    options_.size = 128;
    options_.tissue = "otsu";
  }
  fs::path Make(const std::string& annotation = "") {
    BatchOptions batch;
    batch.threads = 2;
    batch.quiet = true;
    SlideEntry entry;
    entry.slide = slide_;
    entry.patient = "P1";
    if (!annotation.empty()) {
      entry.annotation = folder_ / "a.geojson";
      core::WriteFileAtomic(entry.annotation, annotation);
    }
    fs::remove(folder_ / "out/a.h5");
    const auto results = TileSlides({entry}, options_, folder_ / "out", batch);
    EXPECT_EQ(results.at(0).status, "done") << results.at(0).reason;
    return folder_ / "out/a.h5";
  }
  VerifyReport Check(const fs::path& store, bool with_slide = true, int64_t tiles = 0) {
    VerifyOptions options;
    if (with_slide) options.slide = slide_;
    options.tiles = tiles;
    options.threads = 2;
    return VerifyStore(store, options);
  }

  TempFolder folder_;
  fs::path slide_;
  TileOptions options_;
};

void Flip(const fs::path& path, int64_t at, uint8_t mask = 1) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  const char byte = static_cast<char>(file.get() ^ mask);
  file.seekp(at);
  file.put(byte);
}

// Where the bytes are in the file.
int64_t Find(const fs::path& path, const std::string& bytes) {
  const size_t at = core::ReadFile(path).find(bytes);
  EXPECT_NE(at, std::string::npos);
  return static_cast<int64_t>(at);
}

TEST_F(Verify, FindsNothingWrongWithGoodStores) {
  const auto expect_good = [&](const char* what) {
    const VerifyReport report = Check(Make());
    EXPECT_THAT(report.problems, IsEmpty()) << what;
    EXPECT_THAT(report.skipped, IsEmpty()) << what;
    EXPECT_THAT(Text(report.checked), HasSubstr("tiles made anew from the slide are the same"));
  };
  expect_good("cropped");
  options_.mpp = 0.7;
  options_.stride = 100;
  expect_good("resampled, overlapping");
  options_ = {};
  options_.mpp = 0.5;
  options_.align = "tiles";
  options_.tissue = "none";
  expect_good("copied");
  options_.quality = options_.stain = "none";
  expect_good("copied without scores");
  options_.align = "none";
  options_.size = 64;
  options_.limits.white = 0.5;  // leaves tiles out
  options_.encoding = "png";
  options_.roi = {0, 0, 1024, 512};
  expect_good("with limits and a region");
}

TEST_F(Verify, SaysWhatItCannotCheck) {
  const VerifyReport report = Check(Make(), false);
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(Text(report.skipped), HasSubstr("slide was not given"));
}

TEST_F(Verify, FindsTheSlideInAFolder) {
  const fs::path store = Make();
  VerifyOptions options;
  options.slide = folder_.path();
  EXPECT_THAT(VerifyStore(store, options).problems, IsEmpty());
  core::MakeFolder(folder_ / "empty");
  options.slide = folder_ / "empty";
  EXPECT_THAT(Text(VerifyStore(store, options).problems), HasSubstr("there is no a.svs"));
}

TEST_F(Verify, ChecksAnnotationsAndMasks) {
  const std::string drawn = R"({"type": "FeatureCollection", "features": [{"type": "Feature",
      "geometry": {"type": "Polygon",
                   "coordinates": [[[300, 300], [700, 310], [690, 700], [300, 300]]]},
      "properties": {"classification": {"name": "tumor"}}}]})";
  const fs::path store = Make(drawn);
  EXPECT_THAT(Text(Check(store).skipped), HasSubstr("annotations were not given"));
  VerifyOptions options;
  options.slide = slide_;
  options.annotation = folder_ / "a.geojson";
  options.tiles = 0;
  const VerifyReport report = VerifyStore(store, options);
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(Text(report.checked), HasSubstr("masks annotation decode"));
  core::WriteFileAtomic(folder_ / "a.geojson", drawn + "\n");
  EXPECT_THAT(Text(VerifyStore(store, options).problems), HasSubstr("annotations are not those"));
}

TEST_F(Verify, ChecksTheMask) {
  core::MakeFolder(folder_ / "masks");
  const core::Bytes png = core::EncodePng(Image(64, 64, 1, 255));
  core::WriteFileAtomic(folder_ / "masks/a.png",
                        {reinterpret_cast<const char*>(png.data()), png.size()});
  options_.tissue = (folder_ / "masks").string();
  const fs::path store = Make();
  EXPECT_THAT(Text(Check(store).skipped), HasSubstr("mask was not given"));
  EXPECT_THAT(Text(Check(store).checked), HasSubstr("made anew from the slide are the same"));
  VerifyOptions options;
  options.slide = slide_;
  options.mask = folder_ / "masks";
  EXPECT_THAT(VerifyStore(store, options).problems, IsEmpty());
  const core::Bytes other = core::EncodePng(Image(64, 64, 1, 1));
  core::WriteFileAtomic(folder_ / "masks/a.png",
                        {reinterpret_cast<const char*>(other.data()), other.size()});
  EXPECT_THAT(Text(VerifyStore(store, options).problems), HasSubstr("mask is not the one"));
}

TEST_F(Verify, SeesAFlippedBitInATile) {
  const fs::path store = Make();
  const core::Bytes tile = core::TileStoreReader(store).ReadBytes(3);
  const int64_t at = Find(store, std::string(tile.begin(), tile.end()));
  Flip(store, at + static_cast<int64_t>(tile.size()) / 2);
  EXPECT_THAT(Text(Check(store, false).problems), HasSubstr("tiles/bytes"));
  EXPECT_THAT(Text(Check(store).problems), HasSubstr("made anew, has other bytes"));
  // A marker that is gone: the tile does not decode.
  Flip(store, at, 0x40);
  EXPECT_THAT(Text(Check(store, false).problems), HasSubstr("tile 3 of"));
}

TEST_F(Verify, SeesChangedCoordinates) {
  const fs::path store = Make();
  const auto [x, y] = core::TileStoreReader(store).coords(2);
  const auto [x3, y3] = core::TileStoreReader(store).coords(3);
  std::string rows(32, '\0');
  const int64_t values[] = {x, y, x3, y3};
  std::memcpy(rows.data(), values, 32);
  Flip(store, Find(store, rows), 4);
  const std::string problems = Text(Check(store, false).problems);
  EXPECT_THAT(problems, HasSubstr("coords is not what was written"));
  EXPECT_THAT(problems, HasSubstr("is not on the grid"));
  EXPECT_THAT(Text(Check(store).problems), HasSubstr("is no place of the grid"));
}

// Every byte of the file's attributes and scores is guarded: flip some and look.
TEST_F(Verify, SeesChangedAttributes) {
  const fs::path store = Make();
  const std::string whole = core::ReadFile(store);
  for (const std::string text : {"otsu", "aperio", "a.svs", "P1", "blur,", "lab_mean_l"}) {
    const size_t at = whole.find(text);
    if (at == std::string::npos) continue;
    core::WriteFileAtomic(store, whole);
    Flip(store, static_cast<int64_t>(at));
    EXPECT_THAT(Check(store, false).problems, ::testing::Not(IsEmpty())) << text;
  }
  // An attribute edited so that everything stays possible.
  core::WriteFileAtomic(store, whole);
  const int64_t at = Find(store, "\"min_tissue\":0.5");
  Flip(store, at + 15, '5' ^ '1');
  const std::string problems = Text(Check(store).problems);
  EXPECT_THAT(problems, HasSubstr("an attribute"));
  EXPECT_THAT(problems, HasSubstr("made anew"));  // more tiles have 0.1 tissue
}

// Damage of HDF5's own tables, which its library may not survive.
TEST_F(Verify, OutlivesBrokenTables) {
  const fs::path store = Make();
  const std::string whole = core::ReadFile(store);
  const size_t heap = whole.find("GCOL");
  ASSERT_NE(heap, std::string::npos);
  int told = 0;
  for (size_t at = heap; at < heap + 2048; at += 61) {
    std::string changed = whole;
    changed[at] ^= 0x10;
    std::ofstream(store, std::ios::binary) << changed;
    try {
      told += !Check(store, false).problems.empty();
    } catch (const core::StoreError&) {  // no tile store, by its `format`
      ++told;
    }
  }
  EXPECT_GT(told, 20);  // of 34; the others hit fill bytes
}

TEST_F(Verify, SeesFilesCutShort) {
  const fs::path store = Make();
  const std::string whole = core::ReadFile(store);
  for (const double share : {0.02, 0.3, 0.9, 0.9999}) {
    core::WriteFileAtomic(
        store, whole.substr(0, static_cast<size_t>(share * static_cast<double>(whole.size()))));
    EXPECT_THAT(Check(store, false).problems, ::testing::Not(IsEmpty())) << share;
  }
  core::WriteFileAtomic(store, "");
  ExpectError([&] { Check(store, false); }, ExitCode::kBadInput, "not an HDF5 file");
  ExpectError([&] { Check(folder_ / "no.h5", false); }, ExitCode::kBadInput, "no.h5");
}

TEST_F(Verify, SeesAnotherSlide) {
  const fs::path store = Make();
  eosin::testing::WriteJpegSlide(slide_, {DiscPicture(1024, 1024, 500, 512, 400)}, 0.5);
  EXPECT_THAT(Text(Check(store).problems), HasSubstr("not the slide that the store was made from"));
}

// The settings are the way to make the store again, so nothing of them may get lost.
TEST(Settings, ComeBackAsOptions) {
  TileOptions options;
  EXPECT_EQ(FromSettings(options.Settings("", "")).options.Settings("", ""),
            options.Settings("", ""));
  options.mpp = 0.7;
  options.size = 224;
  options.stride = 112;
  options.tissue = "clam-biopsy";
  options.tissue_settings.min_hole_um2 = 123.5;
  options.min_tissue = 0.25;
  options.roi = {0, 0, 512.5, 1024};
  options.classes = "tumor=1,pen=exclude";
  options.encoding = "png";
  options.quality = "none";
  options.limits.pen = 0.1;
  options.mpp_override = 0.25;
  options.allow_upsample = true;
  const std::string text = options.Settings("", "abc", {"malign", 3, "P 9"});
  const StoredSettings back = FromSettings(text);
  EXPECT_EQ(back.options.Settings("", back.annotation_hash, back.facts), text);
  EXPECT_EQ(back.options.Stride(), 112);
  EXPECT_EQ(back.options.limits.pen, 0.1);
  EXPECT_EQ(back.options.tissue_settings.min_hole_um2, 123.5);
  EXPECT_EQ(back.annotation_hash, "abc");
  EXPECT_EQ(back.facts.class_id, 3);
  EXPECT_EQ(back.facts.patient, "P 9");

  TileOptions masked;
  masked.align = "tiles";
  masked.tissue = "some/mask.png";
  const StoredSettings mask = FromSettings(masked.Settings("123", ""));
  EXPECT_TRUE(mask.options.AlignsToTiles());
  EXPECT_TRUE(mask.options.UsesMaskFile());
  EXPECT_EQ(mask.mask_hash, "123");
}

TEST(Settings, RefuseWhatEosinDoesNotWrite) {
  const std::string good = TileOptions().Settings("", "");
  for (const std::string& text : {std::string("no JSON"), std::string("[1]"), std::string("{}"),
                                  std::string("{\"mpp\":\"x\"}"),
                                  good.substr(0, good.size() - 1) + ",\"more\":1}", good + " "}) {
    ExpectError([&] { FromSettings(text); }, ExitCode::kBadInput, "settings");
  }
}

}  // namespace
}  // namespace eosin::tiling
