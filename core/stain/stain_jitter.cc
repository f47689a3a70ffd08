// SPDX-License-Identifier: Apache-2.0
#include "core/stain/stain_jitter.h"

#include <cmath>

namespace eosin::core {
namespace {

double Dot(const double a[3], const double b[3]) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

}  // namespace

StainAffine MacenkoJitterAffine(const float stains[2][3], const float alpha[2], const float beta[2],
                                const float angle[2]) {
  double s[2][3], first[3], second[3];
  for (int i = 0; i < 2; ++i) {
    for (int c = 0; c < 3; ++c) s[i][c] = double{stains[i][c]};
  }
  // An orthonormal basis of the plane: along H, then towards E.
  const double length = std::sqrt(Dot(s[0], s[0]));
  for (int c = 0; c < 3; ++c) first[c] = s[0][c] / length;
  const double along = Dot(s[1], first);
  for (int c = 0; c < 3; ++c) second[c] = s[1][c] - along * first[c];
  const double height = std::sqrt(Dot(second, second));
  for (int c = 0; c < 3; ++c) second[c] /= height;

  // Rows of the pseudo-inverse, c_i = OD . pinv_i: with H = length * first and
  // E = along * first + height * second.
  double pinv[2][3], turned[2][3];
  for (int c = 0; c < 3; ++c) {
    pinv[0][c] = (first[c] - along / height * second[c]) / length;
    pinv[1][c] = second[c] / height;
  }
  for (int i = 0; i < 2; ++i) {
    const double x = Dot(s[i], first), y = Dot(s[i], second);
    const double cosine = std::cos(double{angle[i]}), sine = std::sin(double{angle[i]});
    for (int c = 0; c < 3; ++c) {
      turned[i][c] = (cosine * x - sine * y) * first[c] + (sine * x + cosine * y) * second[c];
    }
  }
  StainAffine affine{};
  for (int j = 0; j < 3; ++j) {
    affine.b[j] = static_cast<float>(beta[0] * turned[0][j] + beta[1] * turned[1][j]);
    for (int i = 0; i < 3; ++i) {
      double sum = i == j;
      for (int k = 0; k < 2; ++k) sum += pinv[k][i] * (alpha[k] * turned[k][j] - s[k][j]);
      affine.a[i][j] = static_cast<float>(sum);
    }
  }
  return affine;
}

ChannelMap ReinhardMap(const ColorStats& from, const ColorStats& to) {
  constexpr float kFlat = 1e-6f;
  ChannelMap map{};
  for (int c = 0; c < 3; ++c) {
    const double scale = from.std[c] < kFlat ? 1 : double{to.std[c]} / double{from.std[c]};
    map.scale[c] = static_cast<float>(scale);
    map.offset[c] = static_cast<float>(double{to.mean[c]} - double{from.mean[c]} * scale);
  }
  return map;
}

StainAffine ReinhardHedAffine(const ColorStats& from, const ColorStats& to) {
  const ChannelMap map = ReinhardMap(from, to);
  return HedJitterAffine(HedDabMatrix(), map.scale, map.offset);
}

}  // namespace eosin::core
