// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/double_pass.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "core/stain/density.h"
#include "tiling/tissue/components.h"
#include "tiling/tissue/glass.h"
#include "tiling/tissue/otsu.h"
#include "tiling/tissue/pen_marks.h"

namespace eosin::tiling {
namespace {

// Ranges of optical density in units of 1 / 400, so that 8 bits hold 0-0.64.
constexpr double kUnit = 400;
constexpr int kFaintest = 12;  // .03, where glass does not scatter more
constexpr int kFaintestTextured = 5, kLeastTexture = 8;
constexpr int kHighest = 60;    // .15: the first threshold may not cut into stained tissue
constexpr double kScatter = 3;  // distances between median and 90th percentile of the glass
constexpr int kBlack = 40;      // all channels below: the scanner's black
constexpr int kGreyest = 5;     // grey levels below kWhite: density .02
constexpr double kGreyBorder = .5, kGreyShare = .25;
constexpr double kFaintUm = 56, kCloseUm = 40, kGapUm = 48;

// Brightest channel's density below the darkest's, 0-255 in units.
cv::Mat Colourfulness(const cv::Mat& rgb) {
  static const std::array<float, 256> density = [] {
    std::array<float, 256> table{};
    for (size_t i = 0; i < 256; ++i) table[i] = static_cast<float>(kUnit * core::kDensities[i]);
    return table;
  }();
  cv::Mat out(rgb.size(), CV_8U);
  for (int y = 0; y < rgb.rows; ++y) {
    const uint8_t* p = rgb.ptr(y);
    uint8_t* to = out.ptr(y);
    for (int x = 0; x < rgb.cols; ++x, p += 3) {
      const float range =
          density[std::min({p[0], p[1], p[2]})] - density[std::max({p[0], p[1], p[2]})];
      to[x] = static_cast<uint8_t>(std::min(range + .5f, 255.0f));
    }
  }
  return out;
}

int Percentile(const Histogram& histogram, double share) {
  double total = 0, below = 0;
  for (const double count : histogram) total += count;
  for (int v = 0; v < 256; ++v) {
    below += histogram[static_cast<size_t>(v)];
    if (below >= share * total) return v;
  }
  return 255;
}

// The least value that glass does not reach by chance.
int FloorOf(const cv::Mat& colour, const cv::Mat& glass, int least) {
  const Histogram histogram = Count(colour, glass);
  const int middle = Percentile(histogram, .5), high = Percentile(histogram, .9);
  return std::max(least, middle + static_cast<int>(kScatter * (high - middle) + .5));
}

// Means over a window of the pixels that `take` marks; white where there are none.
cv::Mat MeanOf(const cv::Mat& rgb, const cv::Mat& take, int window) {
  cv::Mat share, sums;
  cv::blur(take, share, {window, window});
  cv::Mat masked(rgb.size(), CV_8UC3, cv::Scalar::all(0));
  rgb.copyTo(masked, take);
  cv::boxFilter(masked, sums, CV_32S, {window, window}, {-1, -1}, false);
  cv::Mat out(rgb.size(), CV_8UC3);
  const float per_full = 255.0f / static_cast<float>(window * window);
  for (int y = 0; y < rgb.rows; ++y) {
    const int32_t* s = sums.ptr<int32_t>(y);
    const uint8_t* n = share.ptr(y);
    uint8_t* to = out.ptr(y);
    for (int x = 0; x < rgb.cols; ++x, s += 3, to += 3) {
      const float scale = n[x] ? per_full / static_cast<float>(n[x]) : 0;
      for (int c = 0; c < 3; ++c) {
        to[c] = n[x]
                    ? static_cast<uint8_t>(std::min(255.0f, scale * static_cast<float>(s[c]) + .5f))
                    : kWhite;
      }
    }
  }
  return out;
}

// Mean distance of the green channel from `mean` over a window, in 1/8 grey levels; of `take`
// alone.
cv::Mat Texture(const cv::Mat& rgb, const cv::Mat& mean, const cv::Mat& take, int window) {
  cv::Mat green, level;
  cv::extractChannel(rgb, green, 1);
  cv::extractChannel(mean, level, 1);
  cv::absdiff(green, level, green);
  green.setTo(0, take == 0);
  green *= 8;
  cv::blur(green, green, {window, window});
  return green;
}

// Adds the patches that have tissue around them, are no larger than a part of it and do not reach
// the picture's edge: a coverslip's shade is large and does.
void JoinGrey(const cv::Mat& grey, cv::Mat* tissue) {
  cv::Mat large = grey.clone();
  DropSpecks(&large, kGreyShare * cv::countNonZero(*tissue));
  cv::Mat patches;
  cv::copyMakeBorder(grey & (large == 0), patches, 1, 1, 1, 1, cv::BORDER_CONSTANT, 255);
  cv::floodFill(patches, {0, 0}, 0);
  FillByBorder(patches(cv::Rect(1, 1, tissue->cols, tissue->rows)).clone(), kGreyBorder, tissue);
}

}  // namespace

DoublePass SegmentByDoublePass(const cv::Mat& rgb, const cv::Mat& known, double mpp,
                               bool remove_pen) {
  // Scanner black, with the rim that compression and averaging colour.
  cv::Mat smooth;
  cv::blur(rgb, smooth, {3, 3});
  cv::Mat black;
  cv::inRange(smooth, cv::Scalar::all(0), cv::Scalar::all(kBlack), black);
  cv::dilate(black, black, cv::Mat(), {-1, -1}, 2);
  cv::Mat usable = black == 0;
  if (!known.empty()) usable &= known;

  const GlassModel glass = FindGlass(rgb, usable);
  const cv::Mat white = Whiten(rgb, glass);
  cv::blur(white, smooth, {3, 3});
  DoublePass result;
  result.never = black;
  if (remove_pen) {
    const cv::Mat ink = FindPenMarks(smooth, mpp);
    result.never |= ink;
    usable.setTo(0, ink);
  }
  cv::Mat sure;
  cv::resize(glass.sure, sure, rgb.size(), 0, 0, cv::INTER_NEAREST);

  cv::Mat colour = Colourfulness(smooth);
  if (std::min(colour.rows, colour.cols) >= 5) cv::medianBlur(colour, colour, 5);
  const int floor = FloorOf(colour, sure, kFaintest);
  const int first =
      std::clamp(Otsu(Count(colour, usable)).threshold, floor, std::max(floor, kHighest));
  result.tissue = (colour > first) & usable;

  cv::Mat rest;
  cv::dilate(result.tissue, rest, Disc(kGapUm, mpp));
  rest = (rest == 0) & usable;
  const cv::Mat mean = MeanOf(white, rest, OddPixels(kFaintUm, mpp));
  const cv::Mat faint = Colourfulness(mean);
  const cv::Mat glass_left = sure & rest;
  cv::Mat second = faint > FloorOf(faint, glass_left, kFaintest);
  const cv::Mat texture = Texture(white, mean, rest, OddPixels(kFaintUm, mpp));
  second |= (faint > FloorOf(faint, glass_left, kFaintestTextured)) &
            (texture > FloorOf(texture, glass_left, kLeastTexture));
  second &= usable;
  result.tissue |= second;
  cv::morphologyEx(result.tissue, result.tissue, cv::MORPH_CLOSE, Disc(kCloseUm, mpp));

  // Where two stains add up to grey (haematoxylin and DAB), tissue is no more colourful than dirt
  // or a shade, but tissue lies around it.
  cv::Mat grey;
  cv::extractChannel(mean, grey, 1);
  cv::subtract(cv::Scalar(kWhite), grey, grey);
  grey = (grey > FloorOf(grey, glass_left, kGreyest)) & usable & (result.tissue == 0);
  JoinGrey(grey, &result.tissue);
  return result;
}

}  // namespace eosin::tiling
