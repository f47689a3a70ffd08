// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/glass.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>
#include <vector>

namespace eosin::tiling {
namespace {

// Optical densities (natural) unless said otherwise.
constexpr int kDarkestGlass = 170;       // grey level of the brightest channel
constexpr float kMostSaturation = .27f;  // of glass with a film of stain
constexpr float kFlat = .045f;           // range of density over 3 x 3 cells
constexpr double kLeastShare = .003;     // of the picture, to count as glass at all
// Little on a slide is brighter than its glass: this share of the cells, and by no more than this.
constexpr double kBrighterShare = .005;
constexpr float kMostBrighter = .1f;
constexpr float kBin = .01f;
constexpr int kBins = 100;
constexpr int kSpan = 3;      // bins to each side that count as one peak
constexpr double kPeak = .2;  // of the highest peak: brighter ones this high are the glass
constexpr float kDarker = .05f, kBrighter = .06f;  // from the model
constexpr float kTint = .022f;  // of a channel against the others; less where glass scatters less
constexpr float kLeastTint = .007f, kTintSpread = 5;
constexpr size_t kMostCells = 8000;  // that the model is fitted to
constexpr int kRounds = 8, kPlaneRounds = 3;

struct Cell {
  float u, v;
  std::array<float, 3> level;  // log(I + 1)
  float mean;                  // of the three
  int at;                      // index into the grid
};

// Least squares of each channel over the chosen cells. The curved terms are damped, so that they
// stay small where glass is seen in one corner only.
void Fit(const std::vector<Cell>& cells, const std::vector<char>& chosen, int count,
         GlassModel* model) {
  cv::Mat normal = cv::Mat::zeros(count, count, CV_64F), right = cv::Mat::zeros(count, 3, CV_64F);
  double total = 0;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (!chosen[i]) continue;
    const Cell& cell = cells[i];
    const double basis[6] = {1, cell.u, cell.v, cell.u * cell.u, cell.u * cell.v, cell.v * cell.v};
    for (int a = 0; a < count; ++a) {
      for (int b = 0; b < count; ++b) normal.at<double>(a, b) += basis[a] * basis[b];
      for (int c = 0; c < 3; ++c)
        right.at<double>(a, c) += basis[a] * cell.level[static_cast<size_t>(c)];
    }
    ++total;
  }
  for (int a = 1; a < count; ++a) normal.at<double>(a, a) += (a < 3 ? .002 : .01) * total + 1e-9;
  cv::Mat solution;
  if (total == 0 || !cv::solve(normal, right, solution, cv::DECOMP_CHOLESKY)) return;
  for (int c = 0; c < 3; ++c) {
    for (int a = 0; a < 6; ++a) {
      model->terms[static_cast<size_t>(c)][static_cast<size_t>(a)] =
          a < count ? static_cast<float>(solution.at<double>(a, c)) : 0;
    }
  }
}

float Value(const std::array<float, 6>& t, float u, float v) {
  return t[0] + t[1] * u + t[2] * v + t[3] * u * u + t[4] * u * v + t[5] * v * v;
}

// How far the cell's tint is from the model's; large when it is too bright or dark for glass.
float Tint(const GlassModel& model, const Cell& cell) {
  std::array<float, 3> d;
  for (size_t c = 0; c < 3; ++c) d[c] = Value(model.terms[c], cell.u, cell.v) - cell.level[c];
  const float mean = (d[0] + d[1] + d[2]) / 3;
  if (mean >= kDarker || mean <= -kBrighter) return 1;
  return std::max({std::abs(d[0] - mean), std::abs(d[1] - mean), std::abs(d[2] - mean)});
}

// The brightest peak that is not negligible beside the highest.
float BrightestPeak(const std::vector<Cell>& cells) {
  std::array<double, kBins> histogram{}, peak{};
  const float top = std::log(256.0f);
  for (const Cell& cell : cells) {
    const int bin = std::clamp(static_cast<int>((top - cell.mean) / kBin), 0, kBins - 1);
    ++histogram[static_cast<size_t>(bin)];
  }
  double highest = 0;
  for (int b = 0; b < kBins; ++b) {
    for (int i = std::max(0, b - kSpan); i <= std::min(kBins - 1, b + kSpan); ++i) {
      peak[static_cast<size_t>(b)] += histogram[static_cast<size_t>(i)];
    }
    highest = std::max(highest, peak[static_cast<size_t>(b)]);
  }
  int best = 0;
  while (peak[static_cast<size_t>(best)] < kPeak * highest) ++best;
  while (best + 1 < kBins &&
         peak[static_cast<size_t>(best) + 1] > peak[static_cast<size_t>(best)]) {
    ++best;
  }
  return top - (static_cast<float>(best) + .5f) * kBin;
}

// Whether something other than pure white is brighter than `peak`.
bool IsOutshone(const cv::Mat& small, const cv::Mat& usable, float peak) {
  const double least = 3 * std::exp(static_cast<double>(peak + kMostBrighter)) - 3;
  int total = 0, brighter = 0;
  for (int y = 0; y < small.rows; ++y) {
    for (int x = 0; x < small.cols; ++x) {
      const cv::Vec3b& p = small.at<cv::Vec3b>(y, x);
      if (usable.at<uint8_t>(y, x) != 255 || std::min({p[0], p[1], p[2]}) >= 254) continue;
      ++total;
      brighter += p[0] + p[1] + p[2] > least;
    }
  }
  return brighter > kBrighterShare * total;
}

std::vector<Cell> FindCandidates(const cv::Mat& small, const cv::Mat& usable) {
  cv::Mat green, highest, lowest;
  cv::extractChannel(small, green, 1);
  cv::dilate(green, highest, cv::Mat());
  cv::erode(green, lowest, cv::Mat());
  std::vector<Cell> cells, saturated;
  for (int y = 0; y < small.rows; ++y) {
    for (int x = 0; x < small.cols; ++x) {
      if (usable.at<uint8_t>(y, x) != 255) continue;
      const cv::Vec3b& p = small.at<cv::Vec3b>(y, x);
      const int most = std::max({p[0], p[1], p[2]}), least = std::min({p[0], p[1], p[2]});
      if (most < kDarkestGlass ||
          static_cast<float>(most - least) > kMostSaturation * static_cast<float>(most))
        continue;
      const float range =
          std::log((highest.at<uint8_t>(y, x) + 1.0f) / (lowest.at<uint8_t>(y, x) + 1.0f));
      if (range > kFlat) continue;
      Cell cell;
      cell.u = 2 * (static_cast<float>(x) + .5f) / static_cast<float>(small.cols) - 1;
      cell.v = 2 * (static_cast<float>(y) + .5f) / static_cast<float>(small.rows) - 1;
      cell.mean = 0;
      for (int c = 0; c < 3; ++c) {
        cell.level[static_cast<size_t>(c)] = std::log(p[c] + 1.0f);
        cell.mean += cell.level[static_cast<size_t>(c)] / 3;
      }
      cell.at = y * small.cols + x;
      // Pure white is more often where nothing was scanned than glass.
      (least >= 254 ? saturated : cells).push_back(cell);
    }
  }
  if (cells.size() < saturated.size() / 20) return saturated;
  return cells;
}

}  // namespace

std::array<float, 3> GlassModel::At(int x, int y, const cv::Size& size) const {
  const float u = 2 * (static_cast<float>(x) + .5f) / static_cast<float>(size.width) - 1;
  const float v = 2 * (static_cast<float>(y) + .5f) / static_cast<float>(size.height) - 1;
  return {std::exp(Value(terms[0], u, v)), std::exp(Value(terms[1], u, v)),
          std::exp(Value(terms[2], u, v))};
}

GlassModel FindGlass(const cv::Mat& rgb, const cv::Mat& usable) {
  GlassModel model;
  for (auto& terms : model.terms) terms[0] = std::log(static_cast<float>(kWhite) + 1);
  const cv::Size size(std::max(1, rgb.cols / kGlassCell), std::max(1, rgb.rows / kGlassCell));
  cv::Mat small, small_usable;
  cv::resize(rgb, small, size, 0, 0, cv::INTER_AREA);
  cv::resize(usable, small_usable, size, 0, 0, cv::INTER_AREA);
  model.sure = cv::Mat::zeros(size, CV_8U);
  const std::vector<Cell> all = FindCandidates(small, small_usable);
  if (static_cast<double>(all.size()) < std::max(1.0, kLeastShare * size.area())) return model;
  const float peak = BrightestPeak(all);
  if (IsOutshone(small, small_usable, peak)) return model;
  model.found = true;

  // From the peak's colour outwards: cells near the model are glass and refine it.
  std::vector<Cell> cells;
  const size_t step = all.size() / kMostCells + 1;
  for (size_t i = 0; i < all.size(); i += step) cells.push_back(all[i]);
  std::vector<char> chosen(cells.size());
  for (size_t i = 0; i < cells.size(); ++i) {
    chosen[i] = cells[i].mean > peak - kDarker && cells[i].mean < peak + kBrighter;
  }
  Fit(cells, chosen, 1, &model);
  float limit = kTint;
  std::vector<float> tints;
  for (int round = 0; round < kRounds; ++round) {
    tints.clear();
    for (size_t i = 0; i < cells.size(); ++i) {
      const float tint = Tint(model, cells[i]);
      chosen[i] = tint < limit;
      if (chosen[i]) tints.push_back(tint);
    }
    if (tints.empty()) break;
    Fit(cells, chosen, round < kPlaneRounds ? 3 : 6, &model);
    // Faint tissue is among the cells at first. The low quarter of the tints is the glass's own.
    const auto quarter = tints.begin() + static_cast<std::ptrdiff_t>(tints.size() / 4);
    std::nth_element(tints.begin(), quarter, tints.end());
    limit = std::clamp(kTintSpread * *quarter, kLeastTint, kTint);
  }
  for (const Cell& cell : all) {
    if (Tint(model, cell) < limit) {
      model.sure.at<uint8_t>(cell.at / size.width, cell.at % size.width) = 255;
    }
  }
  return model;
}

cv::Mat Whiten(const cv::Mat& rgb, const GlassModel& glass) {
  // The gain is linear between knots 16 px apart; it is smooth, and exponentials are dear.
  constexpr int kStep = 16;
  cv::Mat white(rgb.size(), CV_8UC3);
  const auto gains = [&](int x, int y) {
    std::array<float, 3> gain = glass.At(x, y, rgb.size());
    for (float& g : gain) g = (kWhite + 1) / g;
    return gain;
  };
  for (int y = 0; y < rgb.rows; ++y) {
    const uint8_t* in = rgb.ptr(y);
    uint8_t* out = white.ptr(y);
    std::array<float, 3> left = gains(0, y);
    for (int x0 = 0; x0 < rgb.cols; x0 += kStep) {
      const std::array<float, 3> right = gains(x0 + kStep, y);
      const int end = std::min(kStep, rgb.cols - x0);
      std::array<float, 3> gain = left, step;
      for (size_t c = 0; c < 3; ++c) step[c] = (right[c] - left[c]) / kStep;
      for (int i = 0; i < end; ++i, in += 3, out += 3) {
        for (size_t c = 0; c < 3; ++c) {
          const float value = (static_cast<float>(in[c]) + 1) * gain[c] - .5f;
          out[c] = static_cast<uint8_t>(std::min(value, 255.0f));
          gain[c] += step[c];
        }
      }
      left = right;
    }
  }
  return white;
}

}  // namespace eosin::tiling
