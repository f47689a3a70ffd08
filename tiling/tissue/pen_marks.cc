// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/pen_marks.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <opencv2/imgproc.hpp>

#include "core/stain/density.h"
#include "tiling/tissue/components.h"
#include "tiling/tissue/glass.h"
#include "tiling/tissue/pen.h"

namespace eosin::tiling {
namespace {

constexpr double kLeastUm2 = 12000;  // of a mark
constexpr double kWindowUm = 72;     // ink is judged over such windows
constexpr double kSeed = .06;        // share of sure ink in a window that lets thin ink count
constexpr double kFill = .4;         // share of ink of either kind in a window of a mark
constexpr int kPaleInk = 222;        // brighter in every channel is no ink
constexpr double kEdgeUm = 20;       // the rim, too thin to be told by its colour

// Thin ink, dry strokes and ink over tissue, of one kind. Densities are over that of the glass,
// which sharpens the rules: red ink lets red light through more freely than stained tissue does.
// Pale stain passes now and then, so this counts only beside sure ink of its kind.
bool MayBeCool(float r, float g, float b) {
  return r > 1.12f * g && r > 1.08f * b && r - std::min(g, b) > .08f;
}
bool MayBeRed(float r, float g, float b) {
  return (r < .24f * g && b > .6f * g && b < 1.25f * g && g > .1f) ||
         (r < .33f * g && b > .68f * g && b < 1.2f * g && g > .4f);
}
bool MayBeBlack(float r, float g, float b) {
  const float sum = r + g + b;
  return sum > 1.2f && g < .355f * sum && r > .24f * sum && b > .27f * sum;
}
// Tissue under blue or green ink: hardly any tissue is as dense in red light.
bool IsDeepCool(float r, float g, float b) { return r > .85f && r > 1.15f * g && r > 1.1f * b; }

// Paler red ink and much eosin are of one colour.
constexpr float kLeastRed = .65f;

enum : uint8_t { kCool = 1, kRed = 2, kBlack = 4 };

// Of `maybe`, what lies beside dense enough `sure` and is dense itself.
cv::Mat DenseInk(const cv::Mat& sure, const cv::Mat& maybe, double mpp) {
  const int side = OddPixels(kWindowUm, mpp);
  cv::Mat share, ink;
  cv::blur(sure, share, {side, side});
  cv::bitwise_and(maybe, share > 255 * kSeed, ink);
  cv::blur(ink, share, {side, side});
  cv::Mat marks = ink & (share > 255 * kFill);
  DropSpecks(&marks, kLeastUm2 / (mpp * mpp));
  cv::Mat near;
  cv::dilate(marks, near, Disc(kWindowUm, mpp));
  return marks | (near & ink);
}

}  // namespace

cv::Mat FindPenMarks(const cv::Mat& smooth, double mpp) {
  const float glass = core::kDensities[kWhite];
  cv::Mat sure(smooth.size(), CV_8U), maybe(smooth.size(), CV_8U);
  std::array<int, 5> count{};
  for (int y = 0; y < smooth.rows; ++y) {
    const uint8_t* p = smooth.ptr(y);
    uint8_t* to_sure = sure.ptr(y);
    uint8_t* to_maybe = maybe.ptr(y);
    for (int x = 0; x < smooth.cols; ++x, p += 3) {
      to_sure[x] = to_maybe[x] = 0;
      if (std::min({p[0], p[1], p[2]}) > kPaleInk) continue;
      const float r = core::kDensities[p[0]] - glass, g = core::kDensities[p[1]] - glass,
                  b = core::kDensities[p[2]] - glass;
      const Ink ink = InkOf(p[0], p[1], p[2]);
      if (ink == Ink::kGreen || ink == Ink::kBlue || IsDeepCool(r, g, b)) to_sure[x] = kCool;
      if (ink == Ink::kRed && g > kLeastRed) to_sure[x] = kRed;
      if (ink == Ink::kBlack) to_sure[x] = kBlack;
      if (to_sure[x]) ++count[to_sure[x]];
      to_maybe[x] =
          static_cast<uint8_t>((MayBeCool(r, g, b) ? kCool : 0) | (MayBeRed(r, g, b) ? kRed : 0) |
                               (MayBeBlack(r, g, b) ? kBlack : 0) | to_sure[x]);
    }
  }
  cv::Mat marks = cv::Mat::zeros(smooth.size(), CV_8U);
  for (const uint8_t kind : {kCool, kRed, kBlack}) {
    if (count[kind] * mpp * mpp < kSeed * kLeastUm2) continue;
    marks |= DenseInk(sure == kind, (maybe & kind) != 0, mpp);
  }
  cv::dilate(marks, marks, Disc(kEdgeUm, mpp));
  return marks;
}

}  // namespace eosin::tiling
