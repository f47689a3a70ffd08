// SPDX-License-Identifier: Apache-2.0
// Colour statistics, stain jitter and stain shifts against hand-made values, scikit-image and numpy
// (tests/parity/make_stain_fixtures.py).
#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "core/base/philox.h"
#include "core/image/codec.h"
#include "core/stain/color_stats.h"
#include "core/stain/stain_jitter.h"
#include "core/stain/stain_shift.h"
#include "core/stain/tile_stain.h"
#include "tests/testing.h"

namespace eosin::core {
namespace {

constexpr StainSpace kSpaces[] = {StainSpace::kLab, StainSpace::kHsv, StainSpace::kHed};

nlohmann::json Fixtures() {
  return nlohmann::json::parse(ReadFile(testing::FixtureFolder() / "stain" / "transforms.json"));
}

Image MadeTile(int i) {
  return ReadRgb(testing::FixtureFolder() / "stain" / ("made_" + std::to_string(i) + ".png"));
}

std::array<double, 3> Apply(const StainAffine& map, const std::vector<double>& od) {
  std::array<double, 3> out{};
  for (size_t j = 0; j < 3; ++j) {
    out[j] = map.b[j];
    for (size_t i = 0; i < 3; ++i) out[j] += od[i] * map.a[i][j];
  }
  return out;
}

TEST(HedUnits, Converters) {
  // A beta of .05 in scikit-image's unit is .69 natural, .3 decadic.
  EXPECT_NEAR(ConvertDensity(0.05, OdUnit::kSkimage, OdUnit::kNatural), 0.6907755279, 1e-9);
  EXPECT_NEAR(ConvertDensity(0.05, OdUnit::kSkimage, OdUnit::kLog10), 0.3, 1e-12);
  EXPECT_NEAR(ConvertDensity(1, OdUnit::kNatural, OdUnit::kLog10), 0.4342944819, 1e-9);
  for (const OdUnit from : {OdUnit::kNatural, OdUnit::kSkimage, OdUnit::kLog10}) {
    for (const OdUnit to : {OdUnit::kNatural, OdUnit::kSkimage, OdUnit::kLog10}) {
      EXPECT_NEAR(ConvertDensity(ConvertDensity(0.7, from, to), to, from), 0.7, 1e-15);
    }
  }
}

TEST(ColorStats, Names) {
  EXPECT_STREQ(StainSpaceName(StainSpace::kLab), "lab");
  EXPECT_STREQ(StainSpaceName(StainSpace::kHsv), "hsv");
  EXPECT_STREQ(StainSpaceName(StainSpace::kHed), "hed");
}

TEST(ColorStats, ByHand) {
  // Pure red beside pure blue: hue 0 and 2/3, saturation and value 1.
  Image image(2, 1, 3);
  image.pixels = {255, 0, 0, 0, 0, 255};
  const ColorStats hsv = MeasureColors(image, StainSpace::kHsv);
  EXPECT_NEAR(hsv.mean[0], 1.0 / 3, 1e-6);
  EXPECT_NEAR(hsv.std[0], 1.0 / 3, 1e-6);
  EXPECT_EQ(hsv.mean[1], 1);
  EXPECT_EQ(hsv.std[1], 0);
  // A pixel of one unit of haematoxylin beside white: 0.5 +- 0.5 of it, up to rounding of levels.
  for (size_t c = 0; c < 3; ++c) {
    const double od[3] = {0.65, 0.70, 0.29};
    image.pixels[c] = static_cast<uint8_t>(std::lround(LevelOfDensity(od[c])));
    image.pixels[3 + c] = 255;
  }
  const ColorStats hed = MeasureColors(image, StainSpace::kHed);
  EXPECT_NEAR(hed.mean[0], 0.5, 0.01);
  EXPECT_NEAR(hed.std[0], 0.5, 0.01);
  EXPECT_NEAR(hed.mean[1], 0, 0.01);
}

TEST(ColorStats, TilesAsScikitImage) {
  const nlohmann::json fixtures = Fixtures();
  ASSERT_EQ(fixtures["tiles"].size(), 3u);
  for (int i = 0; i < 3; ++i) {
    for (const StainSpace space : kSpaces) {
      const ColorStats stats = MeasureColors(MadeTile(i), space);
      const auto& expected = fixtures["tiles"][static_cast<size_t>(i)]["stats"];
      for (size_t c = 0; c < 3; ++c) {
        const double slack = space == StainSpace::kLab ? 2e-3 : 2e-6;
        const auto& values = expected[StainSpaceName(space)];
        EXPECT_NEAR(stats.mean[c], values[c].get<double>(), slack) << StainSpaceName(space) << c;
        EXPECT_NEAR(stats.std[c], values[3 + c].get<double>(), slack) << StainSpaceName(space) << c;
      }
    }
  }
}

TEST(ColorStats, HueOfSingleColoursIsScikitImages) {
  const nlohmann::json fixtures = Fixtures();
  ASSERT_EQ(fixtures["colours"].size(), 200u);
  for (size_t i = 0; i < 200; ++i) {
    Image flat(5, 3, 3);
    for (size_t k = 0; k < flat.pixels.size(); ++k) flat.pixels[k] = fixtures["colours"][i][k % 3];
    for (const StainSpace space : kSpaces) {
      const ColorStats stats = MeasureColors(flat, space);
      for (size_t c = 0; c < 3; ++c) {
        // A flat picture has no spread: exactly, or up to a density's rounding.
        EXPECT_LE(stats.std[c], space == StainSpace::kHed ? 1e-7f : 0) << fixtures["colours"][i];
      }
    }
    const ColorStats stats = MeasureColors(flat, StainSpace::kHsv);
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(stats.mean[c], fixtures["hsv"][i][c].get<double>(), 1e-6)
          << fixtures["colours"][i] << c;
    }
  }
}

// The LAB of the tiler and of training are one: the columns of a store can stand for the pixels.
TEST(ColorStats, LabIsTheTilers) {
  PhiloxStream random(3, DrawPurpose::kTest, 0, 0);
  for (int round = 0; round < 30; ++round) {
    Image image(1 + static_cast<int>(random.Below(50)), 1 + static_cast<int>(random.Below(50)), 3);
    for (uint8_t& v : image.pixels) v = static_cast<uint8_t>(random.Below(256));
    const StainRow row = MeasureStain(image);
    const ColorStats stats = MeasureColors(image, StainSpace::kLab);
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_EQ(stats.mean[c], row[c]);
      EXPECT_EQ(stats.std[c], row[3 + c]);
    }
  }
}

TEST(ColorStats, NothingToMeasureIsSaid) {
  testing::ExpectError([] { MeasureColors(Image(), StainSpace::kLab); }, ExitCode::kBadInput,
                       "no colours");
  testing::ExpectError([] { MeasureColors(Image(4, 4, 1), StainSpace::kHed); }, ExitCode::kBadInput,
                       "1 channels");
}

TEST(MacenkoJitter, AsNumpy) {
  const nlohmann::json fixtures = Fixtures();
  ASSERT_EQ(fixtures["macenko"].size(), 6u);
  for (const auto& item : fixtures["macenko"]) {
    float stains[2][3], alpha[2], beta[2], angle[2];
    for (size_t s = 0; s < 2; ++s) {
      for (size_t c = 0; c < 3; ++c) stains[s][c] = item["stains"][s][c];
      alpha[s] = item["alpha"][s];
      beta[s] = item["beta"][s];
      angle[s] = item["angle"][s];
    }
    const StainAffine map = MacenkoJitterAffine(stains, alpha, beta, angle);
    for (size_t i = 0; i < item["od"].size(); ++i) {
      const std::array<double, 3> out = Apply(map, item["od"][i]);
      for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(out[c], item["out"][i][c].get<double>(), 3e-6);
    }
  }
}

TEST(MacenkoJitter, NothingDrawnChangesNothing) {
  const float stains[2][3] = {{0.65f, 0.70f, 0.29f}, {0.12f, 0.95f, 0.25f}};
  const float one[2] = {1, 1}, none[2] = {0, 0};
  const StainAffine map = MacenkoJitterAffine(stains, one, none, none);
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(map.b[i], 0, 1e-7);
    for (int j = 0; j < 3; ++j) EXPECT_NEAR(map.a[i][j], i == j, 1e-6);
  }
}

TEST(MacenkoJitter, TurnsHTowardsE) {
  // Axes: H is red, E is green; a quarter turn brings H onto E, and E onto minus H.
  const float stains[2][3] = {{1, 0, 0}, {0, 1, 0}};
  const float one[2] = {1, 1}, none[2] = {0, 0}, quarter[2] = {1.57079633f, 0};
  const StainAffine map = MacenkoJitterAffine(stains, one, none, quarter);
  const std::array<double, 3> h = Apply(map, {2, 0, 0}), blue = Apply(map, {0, 0, 3});
  EXPECT_NEAR(h[0], 0, 1e-6);
  EXPECT_NEAR(h[1], 2, 1e-6);
  EXPECT_NEAR(blue[2], 3, 1e-6);  // the residual stays
  EXPECT_NEAR(blue[0] + blue[1], 0, 1e-6);
}

TEST(Reinhard, ByHandAndFlatChannels) {
  const ColorStats from = {{50, 10, -5}, {10, 4, 0}}, to = {{60, 12, -8}, {5, 8, 3}};
  const ChannelMap map = ReinhardMap(from, to);
  EXPECT_FLOAT_EQ(map.scale[0], 0.5f);
  EXPECT_FLOAT_EQ(map.offset[0], 35);
  EXPECT_FLOAT_EQ(map.scale[1], 2);
  EXPECT_FLOAT_EQ(map.offset[1], -8);
  EXPECT_FLOAT_EQ(map.scale[2], 1);  // no spread: only moved
  EXPECT_FLOAT_EQ(map.offset[2], -3);
}

TEST(Reinhard, HedAsNumpy) {
  const nlohmann::json fixtures = Fixtures();
  ASSERT_EQ(fixtures["reinhard_hed"].size(), 4u);
  for (const auto& item : fixtures["reinhard_hed"]) {
    ColorStats from, to;
    for (size_t c = 0; c < 3; ++c) {
      from.mean[c] = item["from"][c];
      from.std[c] = item["from"][3 + c];
      to.mean[c] = item["to"][c];
      to.std[c] = item["to"][3 + c];
    }
    const StainAffine map = ReinhardHedAffine(from, to);
    for (size_t i = 0; i < item["od"].size(); ++i) {
      const std::array<double, 3> out = Apply(map, item["od"][i]);
      for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(out[c], item["out"][i][c].get<double>(), 2e-5);
    }
  }
}

// Moving a tile's statistics to another's gives that tile's statistics.
TEST(Reinhard, ReachesItsTargetInHed) {
  const Image source = MadeTile(0), target = MadeTile(1);
  const ColorStats want = MeasureColors(target, StainSpace::kHed);
  const StainAffine map = ReinhardHedAffine(MeasureColors(source, StainSpace::kHed), want);
  const StainMatrix m = HedDabMatrix();
  double sum[3] = {}, square[3] = {};
  const auto n = static_cast<double>(source.pixels.size() / 3);
  for (size_t p = 0; p < source.pixels.size(); p += 3) {
    std::vector<double> od(3);
    for (size_t c = 0; c < 3; ++c) od[c] = OpticalDensity(source.pixels[p + c]);
    double stains[3];
    Unmix(m, Apply(map, od).data(), stains);
    for (int s = 0; s < 3; ++s) {
      sum[s] += stains[s];
      square[s] += stains[s] * stains[s];
    }
  }
  for (int s = 0; s < 3; ++s) {
    const double mean = sum[s] / n;
    EXPECT_NEAR(mean, want.mean[s], 1e-5);
    EXPECT_NEAR(std::sqrt(square[s] / n - mean * mean), want.std[s], 1e-5);
  }
}

TEST(StainShift, EveryCombinationOfTwoFactorsAndTwoOffsets) {
  std::map<std::string, std::array<float, 4>> shifts;  // alpha H, alpha E, beta H, beta E
  for (const StainShift& s : StandardShifts()) {
    EXPECT_TRUE(
        shifts.emplace(s.name, std::array{s.alpha[0], s.alpha[1], s.beta[0], s.beta[1]}).second);
  }
  const std::map<std::string, std::array<float, 4>> expected = {
      {"H*0.7-0.1 E*0.7-0.1", {0.7f, 0.7f, -0.1f, -0.1f}},
      {"H*0.7-0.1 E*0.7+0.1", {0.7f, 0.7f, -0.1f, 0.1f}},
      {"H*0.7-0.1 E*1.3-0.1", {0.7f, 1.3f, -0.1f, -0.1f}},
      {"H*0.7-0.1 E*1.3+0.1", {0.7f, 1.3f, -0.1f, 0.1f}},
      {"H*0.7+0.1 E*0.7-0.1", {0.7f, 0.7f, 0.1f, -0.1f}},
      {"H*0.7+0.1 E*0.7+0.1", {0.7f, 0.7f, 0.1f, 0.1f}},
      {"H*0.7+0.1 E*1.3-0.1", {0.7f, 1.3f, 0.1f, -0.1f}},
      {"H*0.7+0.1 E*1.3+0.1", {0.7f, 1.3f, 0.1f, 0.1f}},
      {"H*1.3-0.1 E*0.7-0.1", {1.3f, 0.7f, -0.1f, -0.1f}},
      {"H*1.3-0.1 E*0.7+0.1", {1.3f, 0.7f, -0.1f, 0.1f}},
      {"H*1.3-0.1 E*1.3-0.1", {1.3f, 1.3f, -0.1f, -0.1f}},
      {"H*1.3-0.1 E*1.3+0.1", {1.3f, 1.3f, -0.1f, 0.1f}},
      {"H*1.3+0.1 E*0.7-0.1", {1.3f, 0.7f, 0.1f, -0.1f}},
      {"H*1.3+0.1 E*0.7+0.1", {1.3f, 0.7f, 0.1f, 0.1f}},
      {"H*1.3+0.1 E*1.3-0.1", {1.3f, 1.3f, 0.1f, -0.1f}},
      {"H*1.3+0.1 E*1.3+0.1", {1.3f, 1.3f, 0.1f, 0.1f}}};
  EXPECT_EQ(shifts, expected);
}

TEST(StainShift, FilesOfAFolder) {
  testing::TempFolder folder;
  const std::filesystem::path in = folder / "in";
  std::filesystem::create_directories(in / "sub");
  std::filesystem::create_directories(in / "shifted" / "sub");
  std::filesystem::create_directories(in / "shifted2");
  for (const char* name : {"a.png", "a.jpg", "sub/a.png", "shifted2/b.png", "shifted/a_png_x.png",
                           "shifted/sub/a.png"}) {
    WriteFileAtomic(in / name, "picture");
  }
  const auto names = [](const std::vector<ShiftedPicture>& pictures) {
    std::set<std::string> to;
    for (const ShiftedPicture& picture : pictures) to.insert(picture.to.generic_string());
    EXPECT_EQ(to.size(), pictures.size());  // no two write the same file
    return to;
  };
  const std::string out = (folder / "out").generic_string(),
                    own = (in / "shifted").generic_string();
  EXPECT_EQ(names(PicturesToShift(in, out)),
            (std::set<std::string>{out + "/a_jpg", out + "/a_png", out + "/sub/a_png",
                                   out + "/shifted2/b_png", out + "/shifted/a_png_x_png",
                                   out + "/shifted/sub/a_png"}));
  // Copies of an earlier run are no pictures, however the folder is written.
  const std::set<std::string> kept = {own + "/a_jpg", own + "/a_png", own + "/sub/a_png",
                                      own + "/shifted2/b_png"};
  EXPECT_EQ(names(PicturesToShift(in, own)), kept);
  EXPECT_EQ(names(PicturesToShift(in / "", own)), kept);
  EXPECT_EQ(PicturesToShift(in, in / "sub" / ".." / "shifted").size(), 4u);
  EXPECT_EQ(PicturesToShift(in, folder / "").size(), 6u);  // above the pictures, not among them
  const std::vector<ShiftedPicture> one = PicturesToShift(in / "a.jpg", out);
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(ShiftedFile(one[0], StandardShifts()[1]).generic_string(),
            out + "/a_jpg_Hx0.7-0.1_Ex0.7+0.1.png");
  testing::ExpectError([&] { PicturesToShift(in, in / "sub" / ".."); }, ExitCode::kUsage,
                       "folder of the pictures");
  testing::ExpectError([&] { PicturesToShift(folder / "none", out); }, ExitCode::kBadInput,
                       "no such file");
  std::filesystem::create_directories(folder / "empty");
  testing::ExpectError([&] { PicturesToShift(folder / "empty", out); }, ExitCode::kBadInput,
                       "no pictures");
}

TEST(StainShift, AsNumpy) {
  const nlohmann::json fixtures = Fixtures();
  ASSERT_EQ(fixtures["shifts"].size(), 16u);
  for (const auto& item : fixtures["shifts"]) {
    StainShift shift;
    for (size_t s = 0; s < 2; ++s) {
      shift.alpha[s] = item["alpha"][s];
      shift.beta[s] = item["beta"][s];
    }
    Image row(static_cast<int>(item["out"].size()), 1, 3);
    for (size_t i = 0; i < item["out"].size(); ++i) {
      for (size_t c = 0; c < 3; ++c) row.pixels[3 * i + c] = fixtures["colours"][i][c];
    }
    const Image out = ApplyShift(row, shift);
    int off = 0;
    for (size_t i = 0; i < item["out"].size(); ++i) {
      for (size_t c = 0; c < 3; ++c) {
        const int difference = int{out.pixels[3 * i + c]} - item["out"][i][c].get<int>();
        EXPECT_LE(std::abs(difference), 1);
        off += difference != 0;
      }
    }
    EXPECT_LE(off, 1);  // a rounding at one half, at most
  }
}

TEST(StainShift, NoShiftKeepsEveryLevel) {
  Image image(256, 3, 3);
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i * 7);
  EXPECT_EQ(ApplyShift(image, {}).pixels, image.pixels);
}

}  // namespace
}  // namespace eosin::core
