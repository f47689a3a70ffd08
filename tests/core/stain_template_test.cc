// SPDX-License-Identifier: Apache-2.0
#include "core/stain/stain_template.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/image/codec.h"
#include "core/stain/mixture.h"
#include "core/stain/template_fit.h"
#include "core/stain/tile_stain.h"
#include "core/store/tile_store.h"
#include "tests/testing.h"

namespace eosin::core {
namespace {

using ::testing::ElementsAre;
using testing::ExpectError;
using testing::TempFolder;

nlohmann::json Fixture() {
  return nlohmann::json::parse(ReadFile(testing::FixtureFolder() / "stain" / "mixture.json"));
}

TEST(Mixture, CholeskyByHand) {
  std::array<double, 36> matrix{}, lower;
  for (size_t i = 0; i < 6; ++i) matrix[7 * i] = 4;
  matrix[6] = matrix[1] = 2;  // [4 2; 2 4] = L L^T with L = [2 0; 1 sqrt(3)]
  ASSERT_TRUE(Cholesky6(matrix, &lower));
  EXPECT_DOUBLE_EQ(lower[0], 2);
  EXPECT_DOUBLE_EQ(lower[6], 1);
  EXPECT_DOUBLE_EQ(lower[7], std::sqrt(3.0));
  EXPECT_DOUBLE_EQ(lower[1], 0);
  matrix[35] = -1;
  EXPECT_FALSE(Cholesky6(matrix, &lower));
}

TEST(Mixture, AsScikitLearn) {
  const nlohmann::json fixture = Fixture();
  const std::vector<StainVector> rows = fixture["rows"];
  for (const auto& expected : fixture["fits"]) {
    const int k = expected["components"];
    const MixtureFit fit = FitMixture(rows, k, 0);
    // Of three components there are many local optima; one as good as scikit-learn's best of 20.
    const double likelihood = expected["log_likelihood"];
    EXPECT_GT(fit.mean_log_likelihood, likelihood - (k < 3 ? 1e-6 : 2e-2)) << k;
    if (k == 3) continue;
    EXPECT_NEAR(fit.mean_log_likelihood, likelihood, 1e-6) << k;
    EXPECT_NEAR(fit.bic, expected["bic"].get<double>(), 1e-3) << k;
    for (size_t c = 0; c < static_cast<size_t>(k); ++c) {
      EXPECT_NEAR(fit.mixture.weights[c], expected["weights"][c].get<double>(), 1e-5);
      for (size_t d = 0; d < 6; ++d) {
        EXPECT_NEAR(fit.mixture.means[c][d], expected["means"][c][d].get<double>(), 1e-3);
      }
    }
  }
  EXPECT_EQ(ChooseMixture(rows, 0).mixture.weights.size(), 2u);
}

TEST(Mixture, FitHasMeanSpreadAndWhatTheCriterionChose) {
  const nlohmann::json fixture = Fixture();
  const std::vector<StainVector> rows = fixture["rows"];
  const StainSpaceFit fit = FitStainSpace(rows, -1, 3);
  for (size_t d = 0; d < 6; ++d) {
    EXPECT_NEAR(fit.center[d], fixture["mean"][d].get<double>(), 1e-9);
    EXPECT_NEAR(fit.spread[d], fixture["std"][d].get<double>(), 1e-9);
  }
  ASSERT_TRUE(fit.mixture);
  EXPECT_EQ(fit.mixture->weights.size(), 2u);
  EXPECT_FALSE(FitStainSpace(rows, 0, 3).mixture);
}

TEST(Mixture, ConstantColumnsAndTooFewRows) {
  std::vector<StainVector> rows(40);
  for (size_t i = 0; i < rows.size(); ++i) rows[i][0] = static_cast<double>(i);
  const MixtureFit fit = FitMixture(rows, 2, 0);
  EXPECT_TRUE(std::isfinite(fit.mean_log_likelihood));
  ExpectError([&] { FitMixture(rows, 3, 0); }, ExitCode::kBadInput, "too few");
  ExpectError([&] { FitMixture(rows, 0, 0); }, ExitCode::kUsage, "0 components");
  ExpectError([] { FitStainSpace({{}}, 0, 0); }, ExitCode::kBadInput, "too few");
  ExpectError([&] { FitStainSpace(rows, -2, 0); }, ExitCode::kUsage, "-2");
  rows[3][2] = std::nan("");
  ExpectError([&] { FitStainSpace(rows, 0, 0); }, ExitCode::kBadInput, "no numbers");
}

StainSpaceFit ExampleFit() {
  const std::vector<StainVector> rows = Fixture()["rows"];
  return FitStainSpace(rows, 2, 0);
}

TEST(Template, DrawsHaveTheFitsMoments) {
  const StainSpaceFit fit = ExampleFit();
  constexpr int kDraws = 20000;
  for (const StainSpread spread : {StainSpread::kNormal, StainSpread::kLaplace,
                                   StainSpread::kUniform, StainSpread::kMixture}) {
    double sum[6] = {}, square[6] = {}, product = 0;
    for (uint32_t i = 0; i < kDraws; ++i) {
      PhiloxStream draw(1, DrawPurpose::kTest, static_cast<uint32_t>(spread), i);
      const ColorStats target = DrawTarget(fit, spread, 0, draw);
      for (size_t d = 0; d < 6; ++d) {
        const double v = d < 3 ? target.mean[d] : target.std[d - 3];
        sum[d] += v;
        square[d] += v * v;
      }
      product += double{target.mean[0]} * double{target.mean[1]};
    }
    for (size_t d = 0; d < 3; ++d) {  // deviations are cut off below
      const double mean = sum[d] / kDraws, deviation = std::sqrt(square[d] / kDraws - mean * mean);
      const double expected = fit.spread[d] * (spread == StainSpread::kUniform ? std::sqrt(3) : 1);
      EXPECT_NEAR(mean, fit.center[d], 0.05 * expected) << int(spread) << d;
      EXPECT_NEAR(deviation, expected, 0.03 * expected) << int(spread) << d;
    }
    // Only the mixture knows that light tiles are less red here.
    const double covariance = product / kDraws - sum[0] / kDraws * sum[1] / kDraws;
    const double correlation = covariance / (fit.spread[0] * fit.spread[1]);
    if (spread == StainSpread::kMixture) {
      EXPECT_LT(correlation, -0.5);
    } else {
      EXPECT_NEAR(correlation, 0, 0.1);
    }
  }
}

TEST(Template, HyperScalesSpreadAndDeviationsStayAboveZero) {
  StainSpaceFit fit = ExampleFit();
  fit.spread[3] = 100 * fit.center[3];
  for (uint32_t i = 0; i < 300; ++i) {
    PhiloxStream draw(1, DrawPurpose::kTest, 0, i), again = draw;
    const ColorStats still = DrawTarget(fit, StainSpread::kNormal, -1, draw);
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_FLOAT_EQ(still.mean[c], static_cast<float>(fit.center[c]));
    }
    const ColorStats wide = DrawTarget(fit, StainSpread::kNormal, 0.5, again);
    EXPECT_GE(wide.std[0], 0.049f * static_cast<float>(fit.center[3]));
  }
  fit.mixture.reset();
  PhiloxStream draw(1, DrawPurpose::kTest, 0, 0);
  ExpectError([&] { DrawTarget(fit, StainSpread::kMixture, 0, draw); }, ExitCode::kUsage,
              "no mixture");
}

TEST(Template, PublishedCrcInCieUnits) {
  const StainTemplate crc = StainTemplate::PublishedCrc();
  const StainSpaceFit& lab = crc.spaces[0].value();
  EXPECT_NEAR(lab.center[0], 61.97372549, 1e-6);  // 158.033 / 2.55
  EXPECT_NEAR(lab.center[1], 23.187, 1e-9);
  EXPECT_NEAR(lab.center[2], -11.188, 1e-9);
  EXPECT_NEAR(lab.center[3], 14.47019608, 1e-6);  // 36.899 / 2.55
  EXPECT_NEAR(lab.spread[0], 19.13411765, 1e-6);
  EXPECT_NEAR(lab.spread[1], 10.958, 1e-9);
  EXPECT_FALSE(crc.spaces[1]);
}

TEST(Template, FileRoundTrip) {
  TempFolder folder;
  StainTemplate made;
  made.spaces[0] = ExampleFit();
  made.spaces[2] = FitStainSpace(Fixture()["rows"], 0, 0);
  made.tiles = 200;
  made.source = "tiles \"A\"";
  made.Write(folder / "t.json");
  const StainTemplate read = StainTemplate::Read(folder / "t.json");
  EXPECT_EQ(read.tiles, 200);
  EXPECT_EQ(read.source, made.source);
  EXPECT_FALSE(read.spaces[1]);
  EXPECT_EQ(read.spaces[0]->center, made.spaces[0]->center);
  EXPECT_EQ(read.spaces[0]->mixture->covariances, made.spaces[0]->mixture->covariances);
  EXPECT_EQ(read.spaces[2]->spread, made.spaces[2]->spread);
  read.Write(folder / "again.json");
  EXPECT_EQ(ReadFile(folder / "again.json"), ReadFile(folder / "t.json"));
}

TEST(Template, BadFilesAreNamed) {
  TempFolder folder;
  StainTemplate made;
  made.spaces[0] = ExampleFit();
  made.Write(folder / "good.json");
  const nlohmann::json good = nlohmann::json::parse(ReadFile(folder / "good.json"));
  const auto refuses = [&](const nlohmann::json& json, const std::string& why) {
    std::ofstream(folder / "bad.json") << json.dump();
    ExpectError([&] { StainTemplate::Read(folder / "bad.json"); }, ExitCode::kBadInput, why);
  };
  const auto changed = [&](const std::string& at, const nlohmann::json& value) {
    nlohmann::json json = good;
    json[nlohmann::json::json_pointer(at)] = value;
    return json;
  };
  refuses("text", "format");
  refuses(changed("/version", 2), "version");
  refuses(changed("/tiles", -1), "tiles");
  refuses(changed("/spaces", nlohmann::json::object()), "empty");
  refuses(changed("/spaces/rgb", good["spaces"]["lab"]), "rgb");
  refuses(changed("/spaces/lab/center", {1, 2, 3}), "lab.center is no list of 6");
  refuses(changed("/spaces/lab/center/2", nullptr), "no finite number");
  refuses(changed("/spaces/lab/spread/0", -1), "negative");
  refuses(changed("/spaces/lab/mixture/0/weight", 0.9), "sum to 1");
  refuses(changed("/spaces/lab/mixture/0/covariance/0", -1), "positive definite");
  refuses(changed("/spaces/lab/mixture", 3), "no list of components");
  std::ofstream(folder / "bad.json") << "{";
  ExpectError([&] { StainTemplate::Read(folder / "bad.json"); }, ExitCode::kBadInput, "no JSON");
  ExpectError([&] { StainTemplate::Read(folder / "none.json"); }, ExitCode::kBadInput, "none.json");
}

TEST(TemplateFit, SharesAreBalanced) {
  EXPECT_THAT(BalancedShares({100, 100, 100}, 30), ElementsAre(10, 10, 10));
  EXPECT_THAT(BalancedShares({100, 3, 100}, 23), ElementsAre(10, 3, 10));
  EXPECT_THAT(BalancedShares({5, 6}, 100), ElementsAre(5, 6));
  EXPECT_THAT(BalancedShares({5, 6, 7}, 2), ElementsAre(1, 1, 0));
  EXPECT_THAT(BalancedShares({}, 2), ElementsAre());
}

Image Noise(uint32_t seed, int level) {
  Image image(16, 16, 3);
  PhiloxStream random(seed, DrawPurpose::kTest, 0, 0);
  for (uint8_t& v : image.pixels)
    v = static_cast<uint8_t>(level + static_cast<int>(random.Below(60)));
  return image;
}

void MakeStore(const fs::path& path, const std::string& patient, int tiles, int level,
               bool with_stain) {
  TileStoreInfo info;
  info.slide_name = path.stem().string() + ".svs";
  info.slide_hash = "x";
  info.vendor = "made";
  info.width = info.height = info.bounds[2] = info.bounds[3] = 4096;
  info.mpp_x = info.mpp_y = info.tile_mpp = 0.5;
  info.mpp_source = "made";
  info.tile_size = info.stride = info.patch_size_level0 = 16;
  info.encoding = "png";
  info.patch_level = 0;
  info.level_width = info.level_height = 4096;
  info.patient = patient;
  TileStoreWriter writer(path, info);
  std::vector<float> stain;
  for (int i = 0; i < tiles; ++i) {
    const Image tile = Noise(static_cast<uint32_t>(i), level);
    writer.Append(16 * i, 0, EncodePng(tile));
    const StainRow row = MeasureStain(tile);
    stain.insert(stain.end(), row.begin(), row.end());
  }
  writer.Append(16 * tiles, 0, EncodePng(Image(16, 16, 3, 255)), 0, TileStatus::kBlank);
  stain.insert(stain.end(), kStainColumns.size(), 0.0f);
  if (with_stain) writer.SetStain(stain, {kStainColumns.begin(), kStainColumns.end()});
  writer.Finish();
}

TEST(TemplateFit, StoredColumnsAndPixelsAgreeAtAnyThreads) {
  TempFolder folder;
  fs::create_directories(folder / "with");
  fs::create_directories(folder / "without");
  for (const bool with : {true, false}) {
    const fs::path to = folder / (with ? "with" : "without");
    MakeStore(to / "a.h5", "", 30, 60, with);
    MakeStore(to / "b.h5", "", 12, 150, with);
  }
  TemplateFitOptions options;
  options.spaces = {StainSpace::kLab, StainSpace::kHsv};
  options.tiles = 30;
  options.threads = 1;
  const TemplateFit stored = FitTemplate(folder / "with", options);
  options.threads = 3;
  const TemplateFit pixels = FitTemplate(folder / "without", options);
  EXPECT_TRUE(stored.from_store);
  EXPECT_FALSE(pixels.from_store);
  EXPECT_EQ(stored.available, 42);  // blank tiles are none
  EXPECT_EQ(stored.groups, 2);
  EXPECT_EQ(stored.fitted.tiles, 30);  // 18 and 12
  for (const size_t s : {size_t{0}, size_t{1}}) {
    EXPECT_EQ(stored.fitted.spaces[s]->center, pixels.fitted.spaces[s]->center);
    EXPECT_EQ(stored.fitted.spaces[s]->spread, pixels.fitted.spaces[s]->spread);
  }
  EXPECT_FALSE(stored.fitted.spaces[2]);
}

// Two slides of one patient and one of another: the patients weigh the same.
TEST(TemplateFit, PatientsWeighTheSame) {
  TempFolder folder;
  fs::create_directories(folder / "s");
  MakeStore(folder / "s" / "a.h5", "P1", 40, 30, false);
  MakeStore(folder / "s" / "b.h5", "P1", 40, 30, false);
  MakeStore(folder / "s" / "c.h5", "P2", 40, 190, false);
  TemplateFitOptions options;
  options.spaces = {StainSpace::kHsv};
  options.tiles = 40;
  const TemplateFit fit = FitTemplate(folder / "s", options);
  EXPECT_EQ(fit.groups, 2);
  // Values of the tiles are near (30..89) / 255 and (190..249) / 255, brightest channels counting.
  const double dark = MeasureColors(Noise(1, 30), StainSpace::kHsv).mean[2],
               light = MeasureColors(Noise(1, 190), StainSpace::kHsv).mean[2];
  EXPECT_NEAR(fit.fitted.spaces[1]->center[2], (dark + light) / 2, 0.01);
}

TEST(TemplateFit, PicturesListsAndDamage) {
  TempFolder folder;
  fs::create_directories(folder / "p");
  for (uint32_t i = 0; i < 8; ++i) {
    const Bytes png = EncodePng(Noise(i, 100));
    WriteFileAtomic(folder / "p" / (std::to_string(i) + ".png"),
                    {reinterpret_cast<const char*>(png.data()), png.size()});
  }
  TemplateFitOptions options;
  options.spaces = {StainSpace::kHed};
  EXPECT_EQ(FitTemplate(folder / "p", options).fitted.tiles, 8);
  WriteFileAtomic(folder / "list.txt", "# two\np/1.png\np/2.png\n");
  EXPECT_EQ(FitTemplate(folder / "list.txt", options).fitted.tiles, 2);
  WriteFileAtomic(folder / "p" / "3.png", "no picture");
  const TemplateFit one = FitTemplate(folder / "p", options);
  EXPECT_EQ(one.skipped, 1);
  EXPECT_EQ(one.fitted.tiles, 7);
  WriteFileAtomic(folder / "p" / "4.png", "no picture");
  ExpectError([&] { FitTemplate(folder / "p", options); }, ExitCode::kBadInput, "2 of 8");
  ExpectError([&] { FitTemplate(folder / "none", options); }, ExitCode::kBadInput, "none");
  fs::create_directories(folder / "empty");
  ExpectError([&] { FitTemplate(folder / "empty", options); }, ExitCode::kBadInput, "no tiles");
}

// Label masks are not tissue.
TEST(TemplateFit, MasksBesideImagesAreLeftOut) {
  TempFolder folder;
  const fs::path set = folder / "set", images = set / "images", masks = set / "masks";
  fs::create_directories(images);
  fs::create_directories(masks);
  for (uint32_t i = 0; i < 6; ++i) {
    const Bytes png = EncodePng(Noise(i, 100)), mask = EncodePng(Noise(i, 0));
    const std::string name = std::to_string(i) + ".png";
    WriteFileAtomic(images / name, {reinterpret_cast<const char*>(png.data()), png.size()});
    WriteFileAtomic(masks / name, {reinterpret_cast<const char*>(mask.data()), mask.size()});
  }
  const auto expect_images = [&](const TemplateFit& fit) {
    const TemplateFit alone = FitTemplate(images, {});
    EXPECT_EQ(fit.available, 6);
    EXPECT_EQ(fit.fitted.tiles, alone.fitted.tiles);
    for (size_t s = 0; s < kStainSpaces; ++s) {
      EXPECT_EQ(fit.fitted.spaces[s]->center, alone.fitted.spaces[s]->center);
      EXPECT_EQ(fit.fitted.spaces[s]->spread, alone.fitted.spaces[s]->spread);
    }
  };
  expect_images(FitTemplate(set, {}));
  WriteFileAtomic(set / "index.csv", "file,group\n");  // names nothing: as if it were not there
  expect_images(FitTemplate(set, {}));
  WriteFileAtomic(set / "index.csv", "file,class\n0.png,images\nimages/1.png,x\n");
  EXPECT_EQ(FitTemplate(set, {}).available, 2);
  WriteFileAtomic(set / "index.csv", "file\n7.png\n");
  ExpectError([&] { FitTemplate(set, {}); }, ExitCode::kBadInput, "names 7.png");
}

}  // namespace
}  // namespace eosin::core
