// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/tiff_directory.h"

#include "core/base/philox.h"
#include "tests/testing.h"
#include "tests/tiling/tiff_bytes.h"
#include "tiling/slides/tiff_slide.h"

namespace eosin::tiling {
namespace {

using core::ExitCode;
using eosin::testing::Ascii;
using eosin::testing::ExpectError;
using eosin::testing::TiffBytes;
using eosin::testing::TiledRgb;
using ::testing::HasSubstr;

TiffFile Parse(const std::vector<uint8_t>& bytes) {
  return ReadTiff(MemorySource(bytes), "made.tif");
}

std::unique_ptr<TiffSlide> OpenBytes(const std::vector<uint8_t>& bytes, std::string* why_not) {
  return TiffSlide::Open(std::make_unique<MemorySource>(bytes), "made.tif", why_not);
}

TEST(TiffDirectory, ReadsEveryContainer) {
  for (const bool big_tiff : {false, true}) {
    for (const bool big_endian : {false, true}) {
      TiffBytes made(big_tiff, big_endian);
      auto first = TiledRgb(40, 20, 16, {1000, 2000, 3000, 4000, 5000, 6000});
      first[270] = Ascii("Aperio test|MPP = 0.25");
      first[282] = {TiffBytes::kRational, {50800, 2}};
      first[296] = {TiffBytes::kShort, {3}};
      first[347] = {TiffBytes::kUndefined, {1, 2, 3}};
      first[34675] = {TiffBytes::kUndefined, {9}};
      made.Add(first);
      TiffBytes::Directory strip = {{256, {TiffBytes::kShort, {7}}},
                                    {257, {TiffBytes::kShort, {5}}},
                                    {254, {TiffBytes::kLong, {1}}}};
      made.Add(strip);
      const TiffFile file = Parse(made.bytes());
      EXPECT_EQ(file.big_tiff, big_tiff);
      EXPECT_EQ(file.big_endian, big_endian);
      ASSERT_EQ(file.directories.size(), 2u);
      const TiffDirectory& d = file.directories[0];
      EXPECT_EQ(d.problem, "");
      EXPECT_EQ(d.width, 40);
      EXPECT_EQ(d.height, 20);
      EXPECT_EQ(d.tile_width, 16);
      EXPECT_EQ(d.columns(), 3);
      EXPECT_EQ(d.rows(), 2);
      EXPECT_EQ(d.bits, 8);
      EXPECT_EQ(d.samples, 3);
      EXPECT_EQ(d.photometric, kTiffRgb);
      EXPECT_EQ(d.Text(270), "Aperio test|MPP = 0.25");
      EXPECT_EQ(d.Text(305), "");
      EXPECT_DOUBLE_EQ(d.x_resolution, 25400);
      EXPECT_EQ(d.y_resolution, 0);
      EXPECT_EQ(d.resolution_unit, 3);
      EXPECT_EQ(d.jpeg_tables, (std::vector<uint8_t>{1, 2, 3}));
      EXPECT_TRUE(d.HasTag(34675));
      EXPECT_EQ(d.tile_offsets[5], 6000u);
      EXPECT_EQ(d.tile_bytes[5], 768u);
      EXPECT_FALSE(file.directories[1].tiled());
      EXPECT_EQ(file.directories[1].width, 7);
      EXPECT_TRUE(file.directories[1].has_subfile_type);
      EXPECT_TRUE(FirstDirectoryHasTag(MemorySource(made.bytes()), 347));
      EXPECT_FALSE(FirstDirectoryHasTag(MemorySource(made.bytes()), 254));
    }
  }
}

TEST(TiffDirectory, RefusesChainsThatDoNotEnd) {
  TiffBytes made(false, false);
  const uint64_t first = made.Add(TiledRgb(16, 16, 16, {8}));
  made.Add(TiledRgb(16, 16, 16, {8}));
  made.PointLastAt(first);
  ExpectError([&] { Parse(made.bytes()); }, ExitCode::kBadInput,
              "made.tif has directories that turn");

  TiffBytes longest(false, false);
  for (int i = 0; i <= kMaxTiffDirectories; ++i) {
    longest.Add({{256, {TiffBytes::kShort, {1}}}});
  }
  ExpectError([&] { Parse(longest.bytes()); }, ExitCode::kBadInput, "over 4096 directories");
}

TEST(TiffDirectory, RefusesWhatIsCutShort) {
  TiffBytes made(false, false);
  made.Add(TiledRgb(16, 16, 16, {8}));
  const auto whole = made.bytes();
  EXPECT_EQ(Parse(whole).directories.size(), 1u);
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::vector<uint8_t> part(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_THROW(Parse(part), core::SlideError) << size;
  }
  made.PointLastAt(uint64_t{1} << 31);
  ExpectError([&] { Parse(made.bytes()); }, ExitCode::kBadInput, "lies outside the file");
  ExpectError([&] { Parse({'M', 'Z', 0, 0, 0, 0, 0, 0}); }, ExitCode::kBadInput, "no TIFF");
  ExpectError([&] { Parse({'I', 'I', 42, 0, 0, 0, 0, 0}); }, ExitCode::kBadInput, "no directory");
}

// A kilobyte that claims the world costs a sentence, not memory.
TEST(TiffDirectory, BombsAreNamed) {
  const uint64_t most = (uint64_t{1} << 31) - 1;
  const auto problem = [](const TiffBytes::Directory& directory) {
    TiffBytes made(true, false);
    made.Add(directory);
    EXPECT_LT(made.bytes().size(), 1000u);
    return Parse(made.bytes()).directories[0].problem;
  };
  EXPECT_EQ(problem(TiledRgb(16, 16, 16, {8})), "");
  EXPECT_THAT(problem(TiledRgb(most, most, 16, {8})), HasSubstr("of 18014398509481984 tiles"));
  EXPECT_THAT(problem(TiledRgb(most + 1, 16, 16, {8})), HasSubstr("2147483648 x 16 px"));
  EXPECT_THAT(problem(TiledRgb(0, 16, 16, {8})), HasSubstr("0 x 16 px"));
  EXPECT_THAT(problem(TiledRgb(16, 16, 16385, {8})), HasSubstr("tiles of 16385"));
  EXPECT_EQ(problem(TiledRgb(16, 16, 4096, {8})), "");
  EXPECT_THAT(problem(TiledRgb(16, 16, 4112, {8})), HasSubstr("tiles of 4112 x 4112 px"));
  auto tables = TiledRgb(most, most, 4096, {8});
  tables[324].type = tables[325].type = TiffBytes::kLong8;
  tables[324].count = tables[325].count = uint64_t{1} << 40;
  EXPECT_THAT(problem(tables), HasSubstr("outside the file"));
  auto overflow = TiledRgb(16, 16, 16, {8});
  overflow[324].count = UINT64_MAX;
  EXPECT_THAT(problem(overflow), HasSubstr("outside the file"));

  // 4,096 directories that share one table of half a megabyte.
  TiffBytes sharing(false, false);
  const uint64_t table = sharing.Data(std::vector<uint8_t>(1 << 19, 1));
  auto directory = TiledRgb(16 << 6, 16 << 6, 16, {table});
  directory[324] = {TiffBytes::kLong, {table}, 1 << 17};
  directory[325] = {TiffBytes::kLong, {table}, 1 << 17};
  for (int i = 0; i < kMaxTiffDirectories; ++i) sharing.Add(directory);
  ExpectError([&] { Parse(sharing.bytes()); }, ExitCode::kBadInput,
              "more tables than it has bytes");
}

// Tables may name more tiles than there are: no more is read than the tiles', wherever it lies.
TEST(TiffDirectory, ReadsNoMoreOfATableThanThereAreTiles) {
  struct CountingSource : MemorySource {
    using MemorySource::MemorySource;
    bool Read(uint64_t offset, void* out, size_t count) const override {
      largest = std::max(largest, count);
      return MemorySource::Read(offset, out, count);
    }
    mutable size_t largest = 0;
  };
  for (const bool big_tiff : {false, true}) {
    TiffBytes made(big_tiff, false);
    const uint64_t offsets = made.Data({40, 0, 0, 0, 50, 0, 0, 0, 60, 0, 0, 0});
    const uint64_t bytes = made.Data({7, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0});
    made.Data(std::vector<uint8_t>(1 << 20));
    auto directory = TiledRgb(32, 16, 16, {0});
    // The file's own count tells that the values lie elsewhere.
    directory[324] = {big_tiff ? TiffBytes::kLong8 : TiffBytes::kLong, {offsets}, 100000};
    directory[325] = {big_tiff ? TiffBytes::kLong8 : TiffBytes::kLong, {bytes}, 100000};
    made.Add(directory);
    std::vector<uint8_t> file = made.bytes();
    if (big_tiff) {  // the type of the table is that of its values
      for (size_t i = 0; i + 4 < file.size(); ++i) {
        const bool table = (file[i] == 0x44 || file[i] == 0x45) && file[i + 1] == 1;
        if (table && file[i + 2] == 16 && file[i + 3] == 0) file[i + 2] = 4;
      }
    }
    const CountingSource source(file);
    const TiffFile parsed = ReadTiff(source, "made.tif");
    const TiffDirectory& d = parsed.directories[0];
    EXPECT_EQ(d.problem, "");
    EXPECT_EQ(d.tile_offsets, (std::vector<uint64_t>{40, 50}));
    EXPECT_EQ(d.tile_bytes, (std::vector<uint32_t>{7, 8}));
    EXPECT_LT(source.largest, 1000u);
  }
  for (const uint16_t id : {uint16_t{324}, uint16_t{325}}) {
    auto directory = TiledRgb(16, 16, 16, {8});
    directory[id].type = 1;
    TiffBytes made(false, false);
    made.Add(directory);
    EXPECT_THAT(Parse(made.bytes()).directories[0].problem, HasSubstr("are of bytes"));
  }
}

// libtiff looks at the tag for LZW and deflate alone.
TEST(TiffSlide, ThePredictorOfUncompressedTilesMeansNothing) {
  std::vector<uint8_t> pixels(16 * 16 * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(7 * i);
  for (const uint64_t predictor : {1, 2, 3}) {
    TiffBytes made(false, false);
    const uint64_t at = made.Data(pixels);
    auto directory = TiledRgb(16, 16, 16, {at});
    directory[317] = {TiffBytes::kShort, {predictor}};
    made.Add(directory);
    std::string why_not;
    const auto slide = OpenBytes(made.bytes(), &why_not);
    ASSERT_NE(slide, nullptr) << why_not;
    EXPECT_EQ(slide->ReadRegion(0, 0, 0, 16, 16).pixels, pixels) << predictor;
  }
  auto packed = TiledRgb(16, 16, 16, {8});
  packed[259] = {TiffBytes::kShort, {8}};
  packed[317] = {TiffBytes::kShort, {3}};
  TiffBytes made(false, false);
  made.Add(packed);
  std::string why_not;
  EXPECT_EQ(OpenBytes(made.bytes(), &why_not), nullptr);
  EXPECT_THAT(why_not, HasSubstr("predictor"));
}

TEST(TiffSlide, ReadsAperiosDecimalCommas) {
  const auto slide = [](const char* description) {
    TiffBytes made(false, false);
    auto directory = TiledRgb(16, 16, 16, {8});
    directory[270] = Ascii(description);
    made.Add(directory);
    std::string why_not;
    return OpenBytes(made.bytes(), &why_not);
  };
  const auto comma = slide("Aperio Image Library|AppMag = 20,0|MPP = 0,2520");
  EXPECT_EQ(comma->properties().at("openslide.mpp-x"), "0.252");
  EXPECT_EQ(comma->properties().at("openslide.mpp-y"), "0.252");
  EXPECT_EQ(comma->properties().at("openslide.objective-power"), "20");
  EXPECT_EQ(comma->properties().at("aperio.MPP"), "0,2520");
  for (const char* wrong : {"MPP = 0.25 um", "MPP = 0,25,1", "MPP = ", "MPP = nan", "MPP = x"}) {
    EXPECT_FALSE(
        slide((std::string("Aperio|") + wrong).c_str())->properties().count("openslide.mpp-x"))
        << wrong;
  }
}

TEST(TiffSlide, RefusesBombsInASentence) {
  std::string why_not;
  const auto open = [&](const TiffBytes::Directory& directory) {
    TiffBytes made(true, false);
    made.Add(directory);
    OpenBytes(made.bytes(), &why_not);
  };
  ExpectError([&] { open(TiledRgb(1u << 30, 1u << 30, 16, {8})); }, ExitCode::kBadInput,
              "level 0 cannot be read");
  auto samples = TiledRgb(16, 16, 16, {8});
  samples[277] = {TiffBytes::kShort, {65535}};
  ExpectError([&] { open(samples); }, ExitCode::kBadInput, "65535 samples");
}

TEST(TiffSlide, LeavesTheRestToOpenSlide) {
  const auto why = [](const TiffBytes::Directory& directory) {
    TiffBytes made(false, false);
    made.Add(directory);
    std::string why_not;
    EXPECT_EQ(OpenBytes(made.bytes(), &why_not), nullptr);
    return why_not;
  };
  const auto with = [](uint16_t id, const TiffBytes::Tag& tag) {
    auto directory = TiledRgb(16, 16, 16, {8});
    directory[id] = tag;
    return directory;
  };
  const auto number = [](uint64_t value) { return TiffBytes::Tag{TiffBytes::kShort, {value}}; };
  EXPECT_THAT(why(with(259, number(33003))), HasSubstr("compression is 33003"));
  EXPECT_THAT(why(with(259, number(33005))), HasSubstr("compression is 33005"));
  EXPECT_THAT(why(with(65420, number(1))), HasSubstr("NDPI"));
  EXPECT_THAT(why(with(33560, number(1))), HasSubstr("Olympus"));
  EXPECT_THAT(why(with(65000, Ascii("<Argos>"))), HasSubstr("Argos"));
  EXPECT_THAT(why(with(271, Ascii("Huron"))), HasSubstr("Huron"));
  EXPECT_THAT(why(with(305, Ascii("Philips DP v1.0"))), HasSubstr("Philips"));
  EXPECT_THAT(why(with(305, Ascii("MedScan 3"))), HasSubstr("Trestle"));
  EXPECT_THAT(
      why(with(270, Ascii("<scn xmlns=\"http://www.leica-microsystems.com/scn/2010/10/01\">"))),
      HasSubstr("Leica"));
  EXPECT_THAT(why(with(700, Ascii("<iScan Magnification='20'/>"))), HasSubstr("Ventana"));
  EXPECT_THAT(why(with(258, {TiffBytes::kShort, {16, 16, 16}})), HasSubstr("16 bits"));
  EXPECT_THAT(why(with(284, number(2))), HasSubstr("samples"));
  EXPECT_THAT(why(with(262, number(3))), HasSubstr("of kind 3"));
  EXPECT_THAT(why(with(277, number(4))), HasSubstr("4 samples"));
  EXPECT_THAT(why(with(274, number(3))), HasSubstr("turned"));
  auto strips = TiledRgb(16, 16, 16, {8});
  strips.erase(322);
  strips.erase(323);
  EXPECT_THAT(why(strips), HasSubstr("not tiled"));
  std::string why_not;
  EXPECT_EQ(OpenBytes({'<', 'x', 'm', 'l', '>', ' ', ' ', ' '}, &why_not), nullptr);
  EXPECT_THAT(why_not, HasSubstr("no TIFF"));
}

// Any bytes: an error or tables that keep to the file.
TEST(TiffDirectory, SurvivesRandomDamage) {
  for (const bool big_tiff : {false, true}) {
    TiffBytes made(big_tiff, false);
    auto first = TiledRgb(40, 20, 16, {1000, 2000, 3000, 4000, 5000, 6000});
    first[270] = Ascii("Aperio test|MPP = 0.25|AppMag = 40");
    first[347] = {TiffBytes::kUndefined, {0xFF, 0xD8, 0xFF, 0xD9, 0}};
    made.Add(first);
    made.Add(first);
    int opened = 0;
    for (uint32_t seed = 0; seed < 4000; ++seed) {
      core::PhiloxStream random(7, core::DrawPurpose::kTest, 0, seed);
      auto bytes = made.bytes();
      for (int i = 0; i < 1 + static_cast<int>(seed % 5); ++i) {
        bytes[random.Next() % bytes.size()] = static_cast<uint8_t>(random.Next());
      }
      try {
        std::string why_not;
        const auto slide = OpenBytes(bytes, &why_not);
        if (!slide) continue;
        ++opened;
        const auto decoder = slide->NewDecoder();
        const auto& level = slide->level(0);
        if (level.tile_width * level.tile_height > 1 << 20) continue;
        std::vector<uint8_t> pixels(3 * static_cast<size_t>(level.tile_width * level.tile_height));
        decoder->Decode(0, level.tile_count() - 1, 1, pixels.data(), 3 * level.tile_width, nullptr);
      } catch (const core::SlideError& error) {
        EXPECT_FALSE(error.hint().empty());
      }
    }
    EXPECT_GT(opened, 100);
  }
}

}  // namespace
}  // namespace eosin::tiling
