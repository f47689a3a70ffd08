// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/pen_marks.h"

#include <algorithm>
#include <opencv2/imgproc.hpp>

#include "core/stain/density.h"
#include "tiling/tissue/components.h"
#include "tiling/tissue/glass.h"
#include "tiling/tissue/pen.h"

namespace eosin::tiling {
namespace {

constexpr double kLeastUm2 = 12000;  // of a mark
constexpr double kWindowUm = 72;     // ink is judged over such windows
constexpr double kSeed = .12;        // share of sure ink in a window that lets thin ink count
constexpr double kFill = .4;         // share of ink of either kind in a window of a mark
constexpr double kEdgeUm = 20;       // the rim, too thin to be told by its colour

int OddPixels(double um, double mpp) { return 2 * static_cast<int>(um / mpp / 2 + .5) + 1; }

// Thin ink, dry strokes and ink over tissue. Densities are over that of the glass, which sharpens
// the rules: red ink lets red light through more freely than stained tissue does. Pale stain passes
// now and then, so this counts only beside sure ink.
bool MayBeInk(const uint8_t* p) {
  const float glass = core::kDensities[kWhite];
  const float r = core::kDensities[p[0]] - glass, g = core::kDensities[p[1]] - glass,
              b = core::kDensities[p[2]] - glass;
  if (r > 1.12f * g && r > 1.08f * b && r - std::min(g, b) > .08f) return true;
  if (r < .24f * g && b > .6f * g && b < 1.25f * g && g > .1f) return true;
  if (r < .33f * g && b > .68f * g && b < 1.2f * g && g > .4f) return true;
  const float sum = r + g + b;
  return sum > 1.2f && g < .355f * sum && r > .24f * sum && b > .27f * sum;
}

cv::Mat Disc(double um, double mpp) {
  const int side = OddPixels(um, mpp);
  return cv::getStructuringElement(cv::MORPH_ELLIPSE, {side, side});
}

}  // namespace

cv::Mat FindPenMarks(const cv::Mat& smooth, double mpp) {
  cv::Mat sure(smooth.size(), CV_8U), ink(smooth.size(), CV_8U);
  for (int y = 0; y < smooth.rows; ++y) {
    const uint8_t* p = smooth.ptr(y);
    uint8_t* to_sure = sure.ptr(y);
    uint8_t* to_ink = ink.ptr(y);
    for (int x = 0; x < smooth.cols; ++x, p += 3) {
      to_sure[x] = IsPen(p[0], p[1], p[2]) ? 255 : 0;
      to_ink[x] = to_sure[x] || MayBeInk(p) ? 255 : 0;
    }
  }
  const int side = OddPixels(kWindowUm, mpp);
  cv::Mat share;
  cv::blur(sure, share, {side, side});
  ink &= share > 255 * kSeed;
  if (cv::countNonZero(ink) == 0) return ink;
  cv::blur(ink, share, {side, side});
  cv::Mat marks = ink & (share > 255 * kFill);
  DropSpecks(&marks, kLeastUm2 / (mpp * mpp));
  cv::Mat near;
  cv::dilate(marks, near, Disc(kWindowUm, mpp));
  marks |= near & ink;
  cv::dilate(marks, marks, Disc(kEdgeUm, mpp));
  return marks;
}

}  // namespace eosin::tiling
