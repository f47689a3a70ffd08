// SPDX-License-Identifier: Apache-2.0
#include "core/stain/hed.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/testing.h"

namespace eosin::core {
namespace {

TEST(Stain, OpticalDensityIsNatural) {
  EXPECT_DOUBLE_EQ(OpticalDensity(255), 0);
  EXPECT_NEAR(OpticalDensity(0), 5.545177444479562, 1e-12);     // ln 256
  EXPECT_NEAR(OpticalDensity(127), 0.6931471805599453, 1e-12);  // ln 2
  for (int level = 0; level < 256; ++level) {
    EXPECT_NEAR(LevelOfDensity(OpticalDensity(level)), level, 1e-9);
  }
}

TEST(Stain, InverseAsPublished) {
  const StainMatrix m = HedDabMatrix();
  const double expected[3][3] = {
      {1.87798, -1.00768, -.55612}, {-.06591, 1.13473, -.13552}, {-.60191, -.48041, 1.57359}};
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) EXPECT_NEAR(m.inverse[i][j], expected[i][j], 1e-5);
  }
}

TEST(Stain, ResidualIsOrthogonalToHAndE) {
  const StainMatrix m = HedResidualMatrix();
  for (int stain = 0; stain < 2; ++stain) {
    double dot = 0;
    for (int c = 0; c < 3; ++c) dot += m.forward[stain][c] * m.forward[2][c];
    EXPECT_NEAR(dot, 0, 1e-12);
  }
  // (.704*.105 - .286*.990, .286*.072 - .650*.105, .650*.990 - .704*.072), divided by its length.
  const double length = std::sqrt(.20922 * .20922 + .047658 * .047658 + .592812 * .592812);
  EXPECT_NEAR(m.forward[2][0], -.20922 / length, 1e-9);
  EXPECT_NEAR(m.forward[2][1], -.047658 / length, 1e-9);
  EXPECT_NEAR(m.forward[2][2], .592812 / length, 1e-9);
}

TEST(Stain, PureStainsUnmixToOne) {
  for (const StainMatrix& m : {HedDabMatrix(), HedResidualMatrix()}) {
    for (int stain = 0; stain < 3; ++stain) {
      double found[3], back[3];
      Unmix(m, m.forward[stain], found);
      for (int s = 0; s < 3; ++s) EXPECT_NEAR(found[s], s == stain, 1e-9);
      Mix(m, found, back);
      for (int c = 0; c < 3; ++c) EXPECT_NEAR(back[c], m.forward[stain][c], 1e-9);
    }
  }
}

TEST(Stain, JitterIsOneAffineMap) {
  const StainMatrix m = HedResidualMatrix();
  const float alpha[3] = {1.2f, 0.9f, 1.0f}, beta[3] = {0.1f, -0.05f, 0.0f};
  const StainAffine affine = HedJitterAffine(m, alpha, beta);
  const double od[3] = {0.8, 1.3, 0.5};
  double stains[3], expected[3];
  Unmix(m, od, stains);
  for (int s = 0; s < 3; ++s) stains[s] = alpha[s] * stains[s] + beta[s];
  Mix(m, stains, expected);
  for (int c = 0; c < 3; ++c) {
    const double got = od[0] * affine.a[0][c] + od[1] * affine.a[1][c] + od[2] * affine.a[2][c];
    EXPECT_NEAR(got + affine.b[c], expected[c], 1e-6);
  }
}

// scikit-image's stains are ours in units of -ln(1e-6), on rgb in 0..1 without our "+ 1".
TEST(Stain, ScikitImageUpToItsUnit) {
  std::ifstream file(testing::FixtureFolder() / "views" / "views.json");
  const nlohmann::json stains = nlohmann::json::parse(file).at("stains");
  const StainMatrix m = HedDabMatrix();
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) {
      EXPECT_NEAR(m.inverse[i][j], stains.at("inverse")[i][j].get<double>(), 1e-9);
    }
  }
  for (const auto& pixel : stains.at("pixels")) {
    double od[3], found[3], back[3];
    for (int c = 0; c < 3; ++c) od[c] = -std::log(pixel.at("rgb")[c].get<double>() / 255.0);
    Unmix(m, od, found);
    for (int s = 0; s < 3; ++s) {
      EXPECT_NEAR(found[s] / kSkimageOdUnit, pixel.at("hed")[s].get<double>(), 1e-9);
    }
    Mix(m, found, back);
    for (int c = 0; c < 3; ++c) {
      EXPECT_NEAR(255 * std::exp(-back[c]), pixel.at("back")[c].get<double>(), 1e-6);
    }
  }
}

}  // namespace
}  // namespace eosin::core
