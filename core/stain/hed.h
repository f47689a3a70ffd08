// SPDX-License-Identifier: Apache-2.0
// Stain space of haematoxylin-eosin pictures: optical density and Ruifrok's stain matrices (Ruifrok
// & Johnston 2001). C++17, host and device.
//
// Convention: natural optical density OD = -ln((I + 1) / 256), I = 0..255. A pixel's OD (a row of
// R, G, B) is stains * M, M's rows being the stains' OD colours (length near 1); stains = OD *
// M^-1. Other conventions in use:
//  - scikit-image >= 0.18 (kSkimage): ln(max(rgb, 1e-6)) / ln(1e-6), rgb = I / 255: our OD
//  / 13.8155
//    up to the "+ 1"; it clamps stains at 0. A beta of .05 there is .69 here.
//  - decadic logarithm (kLog10; Ruifrok's paper, ImageJ, QuPath): our OD / 2.3026.
//  - scikit-image <= 0.17 and DIAG's jitter: -ln(rgb + 2); not an optical density, no factor.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/base/philox.h"  // EOSIN_HOST_DEVICE

namespace eosin::core {

// scikit-image's unit of optical density (>= 0.18) in natural OD: -ln(1e-6).
constexpr double kSkimageOdUnit = 13.815510557964274;

// Units of optical density, and of stain concentrations and jitter offsets (beta) in it. Factors
// (alpha) are the same in all.
enum class OdUnit : uint8_t { kNatural = 0, kSkimage = 1, kLog10 = 2 };
// Natural optical density of one such unit.
EOSIN_HOST_DEVICE inline double NaturalPerUnit(OdUnit unit) {
  return unit == OdUnit::kSkimage ? kSkimageOdUnit
                                  : (unit == OdUnit::kLog10 ? 2.302585092994046 : 1.0);
}
// A density, a concentration or a beta of one convention in another.
EOSIN_HOST_DEVICE inline double ConvertDensity(double value, OdUnit from, OdUnit to) {
  return from == to ? value : value * (NaturalPerUnit(from) / NaturalPerUnit(to));
}

struct StainMatrix {
  double forward[3][3];  // rows: stains; columns: OD of R, G, B
  double inverse[3][3];
};

// Rows H, E, DAB as published (.65 .70 .29; .07 .99 .11; .27 .57 .78), as scikit-image uses them.
EOSIN_HOST_DEVICE inline StainMatrix HedDabMatrix();
// Rows H (.650 .704 .286), E (.072 .990 .105) and their normalised cross product.
EOSIN_HOST_DEVICE inline StainMatrix HedResidualMatrix();

// Natural optical density of a grey level 0..255, and back (not rounded, not clamped).
EOSIN_HOST_DEVICE inline double OpticalDensity(double level) {
  return -std::log((level + 1.0) / 256.0);
}
EOSIN_HOST_DEVICE inline double LevelOfDensity(double od) { return 256.0 * std::exp(-od) - 1.0; }

EOSIN_HOST_DEVICE inline void Unmix(const StainMatrix& m, const double od[3], double stains[3]) {
  for (int s = 0; s < 3; ++s) {
    stains[s] = od[0] * m.inverse[0][s] + od[1] * m.inverse[1][s] + od[2] * m.inverse[2][s];
  }
}
EOSIN_HOST_DEVICE inline void Mix(const StainMatrix& m, const double stains[3], double od[3]) {
  for (int c = 0; c < 3; ++c) {
    od[c] = stains[0] * m.forward[0][c] + stains[1] * m.forward[1][c] + stains[2] * m.forward[2][c];
  }
}

// Unmix, s' = alpha * s + beta, mix: one affine map of optical density, od' = od * a + b.
struct StainAffine {
  float a[3][3];  // a[i][j]: from channel i to channel j
  float b[3];
};
EOSIN_HOST_DEVICE inline StainAffine HedJitterAffine(const StainMatrix& m, const float alpha[3],
                                                     const float beta[3]) {
  StainAffine affine{};
  for (int j = 0; j < 3; ++j) {
    double offset = 0;
    for (int s = 0; s < 3; ++s) offset += beta[s] * m.forward[s][j];
    affine.b[j] = static_cast<float>(offset);
    for (int i = 0; i < 3; ++i) {
      double sum = 0;
      for (int s = 0; s < 3; ++s) sum += m.inverse[i][s] * alpha[s] * m.forward[s][j];
      affine.a[i][j] = static_cast<float>(sum);
    }
  }
  return affine;
}

EOSIN_HOST_DEVICE inline void Invert3x3(const double m[3][3], double out[3][3]) {
  const double c00 = m[1][1] * m[2][2] - m[1][2] * m[2][1];
  const double c01 = m[1][2] * m[2][0] - m[1][0] * m[2][2];
  const double c02 = m[1][0] * m[2][1] - m[1][1] * m[2][0];
  const double scale = 1.0 / (m[0][0] * c00 + m[0][1] * c01 + m[0][2] * c02);
  out[0][0] = c00 * scale;
  out[1][0] = c01 * scale;
  out[2][0] = c02 * scale;
  out[0][1] = (m[0][2] * m[2][1] - m[0][1] * m[2][2]) * scale;
  out[1][1] = (m[0][0] * m[2][2] - m[0][2] * m[2][0]) * scale;
  out[2][1] = (m[0][1] * m[2][0] - m[0][0] * m[2][1]) * scale;
  out[0][2] = (m[0][1] * m[1][2] - m[0][2] * m[1][1]) * scale;
  out[1][2] = (m[0][2] * m[1][0] - m[0][0] * m[1][2]) * scale;
  out[2][2] = (m[0][0] * m[1][1] - m[0][1] * m[1][0]) * scale;
}

EOSIN_HOST_DEVICE inline StainMatrix HedDabMatrix() {
  StainMatrix m = {{{0.65, 0.70, 0.29}, {0.07, 0.99, 0.11}, {0.27, 0.57, 0.78}}, {}};
  Invert3x3(m.forward, m.inverse);
  return m;
}

EOSIN_HOST_DEVICE inline StainMatrix HedResidualMatrix() {
  StainMatrix m = {{{0.650, 0.704, 0.286}, {0.072, 0.990, 0.105}, {0, 0, 0}}, {}};
  double* r = m.forward[2];
  const double* h = m.forward[0];
  const double* e = m.forward[1];
  r[0] = h[1] * e[2] - h[2] * e[1];
  r[1] = h[2] * e[0] - h[0] * e[2];
  r[2] = h[0] * e[1] - h[1] * e[0];
  const double norm = std::sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
  for (int c = 0; c < 3; ++c) r[c] /= norm;
  Invert3x3(m.forward, m.inverse);
  return m;
}

}  // namespace eosin::core
