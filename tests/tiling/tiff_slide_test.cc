// SPDX-License-Identifier: Apache-2.0
// The TIFF reader against OpenSlide, libtiff and itself.
#include "tiling/slides/tiff_slide.h"

#include <turbojpeg.h>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>

#include "core/base/files.h"
#include "tests/tiling/made_slide.h"
#include "tests/tiling/tissue_picture.h"

namespace eosin::tiling {
namespace {

using core::Bytes;
using core::ExitCode;
using core::Image;
using eosin::testing::DataFolder;
using eosin::testing::ExpectError;
using eosin::testing::MadeTiff;
using eosin::testing::TempFolder;
using eosin::testing::TissuePicture;
using eosin::testing::WriteTiff;
using ::testing::HasSubstr;

Image DecodeTile(const Slide& slide, int level, int64_t index, int shrink = 1) {
  const SlideLevel& l = slide.level(level);
  Image tile(l.tile_width / shrink, l.tile_height / shrink, 3);
  std::string error;
  EXPECT_TRUE(slide.NewDecoder()->Decode(level, index, shrink, tile.pixels.data(),
                                         static_cast<ptrdiff_t>(tile.stride()), &error))
      << error;
  return tile;
}

// Every pixel at level 0 and where the downsample is a whole number; levels, scale and properties.
void ExpectOpenSlidesWord(const fs::path& path) {
  SCOPED_TRACE(path.string());
  const auto ours = Slide::Open(path, SlideReader::kTiff);
  const auto theirs = Slide::Open(path, SlideReader::kOpenSlide);
  EXPECT_EQ(ours->reader(), "tiff");
  EXPECT_EQ(ours->vendor(), theirs->vendor());
  EXPECT_EQ(ours->mpp().x, theirs->mpp().x);
  EXPECT_EQ(ours->mpp().y, theirs->mpp().y);
  EXPECT_EQ(ours->objective_power(), theirs->objective_power());
  EXPECT_EQ(ours->geometry().bounds, theirs->geometry().bounds);
  EXPECT_EQ(ours->associated_names(), theirs->associated_names());
  for (const auto& [name, value] : theirs->properties()) {
    // The hash reads the whole file; the sizes are OpenSlide 4's; so is its mpp of generic TIFF.
    if (name == "openslide.quickhash-1" || name.rfind("openslide.associated.", 0) == 0 ||
        (name.rfind("openslide.mpp-", 0) == 0 && ours->vendor() == "generic-tiff") ||
        name == "openslide.icc-size") {
      continue;
    }
    const auto found = ours->properties().find(name);
    ASSERT_NE(found, ours->properties().end()) << name;
    EXPECT_EQ(found->second, value) << name;
  }
  ASSERT_GE(ours->levels().size(), theirs->levels().size());
  for (size_t i = 0; i < theirs->levels().size(); ++i) {
    const SlideLevel& level = ours->levels()[i];
    EXPECT_EQ(level.width, theirs->levels()[i].width);
    EXPECT_EQ(level.height, theirs->levels()[i].height);
    EXPECT_DOUBLE_EQ(level.downsample, theirs->levels()[i].downsample);
    if (level.downsample != std::floor(level.downsample)) continue;
    const auto read = [&](const Slide& slide) {
      return slide.ReadRegion(static_cast<int>(i), 0, 0, static_cast<int>(level.width),
                              static_cast<int>(level.height));
    };
    EXPECT_TRUE(read(*ours).pixels == read(*theirs).pixels) << "level " << i;
  }
}

// What is copied decodes to what is decoded.
void ExpectCopiesAreTheTiles(const Slide& slide) {
  const auto decoder = slide.NewDecoder();
  for (int i = 0; i < static_cast<int>(slide.levels().size()); ++i) {
    ASSERT_TRUE(slide.StoresJpeg(i));
    const SlideLevel& level = slide.level(i);
    for (int64_t tile = 0; tile < level.tile_count(); ++tile) {
      Bytes jpeg;
      std::string error;
      ASSERT_TRUE(slide.AppendJpeg(i, tile, &jpeg, &error)) << error;
      const Image copied = core::DecodeRgb(jpeg, "tile");
      EXPECT_EQ(copied.width, level.tile_width);
      Image decoded(level.tile_width, level.tile_height, 3);
      ASSERT_TRUE(decoder->Decode(i, tile, 1, decoded.pixels.data(),
                                  static_cast<ptrdiff_t>(decoded.stride()), &error));
      EXPECT_TRUE(copied.pixels == decoded.pixels) << "tile " << tile << " of level " << i;
    }
  }
}

TEST(TiffSlide, EqualsOpenSlideOnRealSlides) {
  const fs::path folder = DataFolder() / "slides";
  EOSIN_REQUIRE_DATA(folder);
  ExpectOpenSlidesWord(folder / "CMU-1-Small-Region.svs");
  int count = 0;
  for (const auto& path : core::ListFiles(folder / "hard", {".tif"}, false)) {
    ExpectOpenSlidesWord(path);
    ExpectCopiesAreTheTiles(*Slide::Open(path));
    ++count;
  }
  EXPECT_EQ(count, 5);
}

TEST(TiffSlide, CopiesARealSlidesTilesWithinTheBudget) {
  const fs::path path = DataFolder() / "slides" / "CMU-1-Small-Region.svs";
  EOSIN_REQUIRE_DATA(path);
  const auto slide = Slide::Open(path);
  EXPECT_EQ(slide->level(0).tile_width, 240);
  EXPECT_EQ(slide->level(0).tile_count(), 10 * 13);
  ExpectCopiesAreTheTiles(*slide);
  size_t tables = 0;
  for (int64_t tile = 0; tile < slide->level(0).tile_count(); ++tile) {
    Bytes jpeg;
    ASSERT_TRUE(slide->AppendJpeg(0, tile, &jpeg, nullptr));
    const int64_t added = static_cast<int64_t>(jpeg.size()) - slide->StoredBytes(0, tile);
    if (tile == 0) tables = static_cast<size_t>(added) - 16;  // APP14: the tiles are RGB
    EXPECT_LE(added, static_cast<int64_t>(tables + 16));
  }
  EXPECT_LT(tables, 600u);
  EXPECT_EQ(slide->ReadAssociated("thumbnail").width, 574);
  EXPECT_EQ(slide->ReadAssociated("label").width, 387);
  ExpectError([&] { slide->ReadAssociated("barcode"); }, ExitCode::kBadInput, "barcode");
}

TEST(TiffSlide, LeavesJpeg2000ToOpenSlide) {
  const fs::path path = DataFolder() / "slides" / "TCGA-CR-7395-01A-01-TS1.svs";
  EOSIN_REQUIRE_DATA(path);
  const auto slide = Slide::Open(path);
  EXPECT_THAT(slide->reader(), HasSubstr("openslide"));
  EXPECT_FALSE(slide->StoresJpeg(0));
  Bytes none;
  std::string error;
  EXPECT_FALSE(slide->AppendJpeg(0, 0, &none, &error));
  EXPECT_THAT(error, HasSubstr("does not store JPEG"));
  ExpectError([&] { Slide::Open(path, SlideReader::kTiff); }, ExitCode::kBadInput,
              "compression is 33005");
}

struct MadeCase {
  const char* name;
  MadeTiff made;
  int channels = 3;
};

std::vector<MadeCase> MadeCases() {
  const auto jpeg = [](int subsampling, bool tables = true) {
    MadeTiff made;
    made.compression = COMPRESSION_JPEG;
    made.subsampling = subsampling;
    made.jpeg_tables = tables;
    return made;
  };
  const auto packed = [](int compression, int predictor) {
    MadeTiff made;
    made.compression = compression;
    made.predictor = predictor;
    return made;
  };
  std::vector<MadeCase> cases = {
      {"420", jpeg(420)},
      {"422", jpeg(422)},
      {"444", jpeg(444)},
      {"rgb", jpeg(0)},
      {"420 with tables in tiles", jpeg(420, false)},
      {"rgb with tables in tiles", jpeg(0, false)},
      {"grey jpeg", jpeg(0), 1},
      {"deflate", packed(COMPRESSION_ADOBE_DEFLATE, 1)},
      {"deflate, predicted", packed(COMPRESSION_ADOBE_DEFLATE, 2)},
      {"old deflate", packed(COMPRESSION_DEFLATE, 2)},
      {"lzw", packed(COMPRESSION_LZW, 1)},
      {"lzw, predicted", packed(COMPRESSION_LZW, 2)},
      {"none", packed(COMPRESSION_NONE, 1)},
      {"grey lzw", packed(COMPRESSION_LZW, 2), 1},
  };
  const size_t count = cases.size();
  for (size_t i = 0; i < count; ++i) {  // each once more, in another container and tile
    MadeCase other = cases[i];
    other.made.mode = i % 3 == 0 ? "w8" : i % 3 == 1 ? "wb" : "wb8";
    other.made.tile = i % 2 ? 240 : 128;
    other.made.aperio = false;
    cases.push_back(other);
  }
  return cases;
}

TEST(TiffSlide, EqualsOpenSlideOnMadeSlides) {
  TempFolder temp;
  // Odd sizes; half and a quarter exactly.
  std::map<int, std::vector<Image>> pyramids;  // by channels
  for (const int channels : {1, 3}) {
    pyramids[channels] = {TissuePicture(804, 724, channels, 5),
                          TissuePicture(402, 362, channels, 6),
                          TissuePicture(201, 181, channels, 7)};
  }
  for (const MadeCase& c : MadeCases()) {
    SCOPED_TRACE(std::string(c.name) + " " + c.made.mode);
    const std::vector<Image>& levels = pyramids[c.channels];
    const fs::path path = temp / "made.tif";
    WriteTiff(path, levels, 0.25, c.made);
    const auto slide = Slide::Open(path, SlideReader::kTiff);
    ASSERT_EQ(slide->levels().size(), 3u);
    if (std::strchr(c.made.mode, 'b')) {
      // OpenSlide (3.4.1, 4.0.1) does not open classic big-endian files of several directories:
      // a little-endian twin stands in.
      MadeTiff little = c.made;
      little.mode = std::strchr(c.made.mode, '8') ? "w8" : "w";
      WriteTiff(temp / "twin.tif", levels, 0.25, little);
      ExpectOpenSlidesWord(temp / "twin.tif");
      const auto twin = Slide::Open(temp / "twin.tif");
      EXPECT_EQ(slide->properties(), twin->properties());
      for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(slide->ReadRegion(i, 0, 0, 804, 724).pixels ==
                    twin->ReadRegion(i, 0, 0, 804, 724).pixels);
      }
    } else {
      ExpectOpenSlidesWord(path);
    }
    EXPECT_EQ(slide->vendor(), c.made.aperio ? "aperio" : "generic-tiff");
    // 0.25 um/px contradicts the 20x that the made Aperio slides carry by no more than 2.
    EXPECT_NEAR(slide->mpp().x, 0.25, 1e-7);
    if (c.made.compression == COMPRESSION_JPEG) {
      ExpectCopiesAreTheTiles(*slide);
    } else {
      EXPECT_FALSE(slide->StoresJpeg(0));
      EXPECT_TRUE(slide->ReadRegion(0, 0, 0, 804, 724).pixels ==
                  TissuePicture(804, 724, c.channels, 5, true).pixels);
    }
  }
}

TEST(TiffSlide, ReadsLevelsSmallerThanATile) {
  TempFolder temp;
  const Image full = TissuePicture(300, 200, 3, 1), small = TissuePicture(75, 50, 3, 2);
  eosin::testing::WriteSlide(temp / "a.tif", {full, small}, 0.5);
  const auto slide = Slide::Open(temp / "a.tif");
  ASSERT_EQ(slide->levels().size(), 2u);
  EXPECT_TRUE(slide->ReadRegion(0, 0, 0, 300, 200).pixels == full.pixels);
  EXPECT_TRUE(slide->ReadRegion(1, 0, 0, 75, 50).pixels == small.pixels);
}

// Levels whose downsample is no whole number: the stored pixels, by libtiff.
TEST(TiffSlide, LevelsAreTheStoredTiles) {
  const fs::path path = DataFolder() / "slides" / "hard" / "kidney-48-5_pyr.tif";
  EOSIN_REQUIRE_DATA(path);
  const auto slide = Slide::Open(path);
  ASSERT_EQ(slide->levels().size(), 2u);
  EXPECT_GT(slide->level(1).downsample, 2);
  TIFF* tiff = TIFFOpen(path.c_str(), "r");
  TIFFSetDirectory(tiff, 1);
  TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
  Bytes expected(static_cast<size_t>(TIFFTileSize(tiff)));
  ASSERT_EQ(expected.size(), 256u * 256 * 3);
  for (int64_t tile = 0; tile < slide->level(1).tile_count(); ++tile) {
    ASSERT_GT(TIFFReadEncodedTile(tiff, static_cast<uint32_t>(tile), expected.data(), -1), 0);
    EXPECT_TRUE(DecodeTile(*slide, 1, tile).pixels == expected) << tile;
  }
  TIFFClose(tiff);
}

TEST(TiffSlide, ShrinksByScaledDctAndByMeans) {
  TempFolder temp;
  const Image full = TissuePicture(512, 512, 3, 4);
  eosin::testing::WriteJpegSlide(temp / "jpeg.tif", {full}, 0.5, 90, 420);
  eosin::testing::WriteSlide(temp / "flat.tif", {full}, 0.5);
  const auto jpeg = Slide::Open(temp / "jpeg.tif"), flat = Slide::Open(temp / "flat.tif");
  for (const int shrink : {2, 4, 8}) {
    // TurboJPEG's own scaling of the copied tile.
    Bytes stream;
    ASSERT_TRUE(jpeg->AppendJpeg(0, 3, &stream, nullptr));
    const int side = 256 / shrink;
    Image expected(side, side, 3);
    tjhandle handle = tjInitDecompress();
    EXPECT_EQ(tjDecompress2(handle, stream.data(), stream.size(), expected.pixels.data(), side, 0,
                            side, TJPF_RGB, 0),
              0);
    tjDestroy(handle);
    const Image scaled = DecodeTile(*jpeg, 0, 3, shrink);
    EXPECT_TRUE(scaled.pixels == expected.pixels) << shrink;

    const Image means = DecodeTile(*flat, 0, 3, shrink);
    int64_t worst = 0;
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        for (int k = 0; k < 3; ++k) {
          int sum = 0;
          for (int i = 0; i < shrink * shrink; ++i) {
            sum += full.at(256 + x * shrink + i % shrink, 256 + y * shrink + i / shrink)[k];
          }
          const int count = shrink * shrink;
          ASSERT_EQ(means.at(x, y)[k], (sum + count / 2) / count);
          worst = std::max<int64_t>(worst, std::abs(means.at(x, y)[k] - scaled.at(x, y)[k]));
        }
      }
    }
    EXPECT_LT(worst, 40) << shrink;  // of another filter and a lossy tile
  }
}

TEST(TiffSlide, SurvivesTruncation) {
  TempFolder temp;
  const Image full = TissuePicture(700, 500, 3, 3), half = TissuePicture(350, 250, 3, 8);
  eosin::testing::WriteJpegSlide(temp / "a.tif", {full, half}, 0.5);
  const std::string whole = core::ReadFile(temp / "a.tif");
  const auto sound = Slide::Open(temp / "a.tif");
  int opened = 0;
  for (uint32_t seed = 0; seed < 200; ++seed) {
    core::PhiloxStream random(11, core::DrawPurpose::kTest, 0, seed);
    const size_t size = random.Below(static_cast<uint32_t>(whole.size()));
    const std::vector<uint8_t> part(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    std::string why_not;
    try {
      const auto slide = TiffSlide::Open(std::make_unique<MemorySource>(part), "cut.tif", &why_not);
      if (!slide) continue;  // not even a header
      // Only what comes after the tables is missing: a text.
      ++opened;
      for (int64_t i = 0; i < 6; ++i) {
        EXPECT_TRUE(DecodeTile(*slide, 0, i).pixels == DecodeTile(*sound, 0, i).pixels);
      }
    } catch (const core::SlideError& error) {
      EXPECT_THAT(error.what(), HasSubstr("cut.tif"));
      EXPECT_FALSE(error.hint().empty());
    }
  }
  EXPECT_LT(opened, 5);  // the last directory lies at the end
}

// Directories first, tiles after, as copies that stopped: all tiles before the cut stay right.
TEST(TiffSlide, ACutFileKeepsWhatIsThere) {
  TempFolder temp;
  const Image full = TissuePicture(700, 500, 3, 3);
  eosin::testing::WriteJpegSlide(temp / "a.tif", {full}, 0.5);
  const auto sound = Slide::Open(temp / "a.tif");
  const std::string whole = core::ReadFile(temp / "a.tif");
  const auto last = eosin::testing::FindTile(temp / "a.tif", 5);
  std::string cut = whole;
  std::fill(cut.begin() + static_cast<ptrdiff_t>(last.offset + last.bytes / 2),
            cut.begin() + static_cast<ptrdiff_t>(last.offset + last.bytes), '\0');
  std::ofstream(temp / "b.tif", std::ios::binary) << cut;
  const auto slide = Slide::Open(temp / "b.tif");
  const auto decoder = slide->NewDecoder();
  Image tile(256, 256, 3);
  for (int64_t i = 0; i < 6; ++i) {
    std::string error;
    EXPECT_EQ(decoder->Decode(0, i, 1, tile.pixels.data(), 768, &error), i != 5);
    EXPECT_EQ(error.empty(), i != 5);
    if (i != 5) {
      EXPECT_TRUE(tile.pixels == DecodeTile(*sound, 0, i).pixels);
    }
  }
}

}  // namespace
}  // namespace eosin::tiling
