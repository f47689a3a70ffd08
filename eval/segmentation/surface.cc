// SPDX-License-Identifier: Apache-2.0
#include "eval/segmentation/surface.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/stats/summary.h"

namespace eosin::eval {
namespace {

constexpr double kNotApplicable = std::numeric_limits<double>::quiet_NaN();

double Ratio(double part, int64_t whole) {
  return whole > 0 ? part / static_cast<double>(whole) : kNotApplicable;
}

// What of the image holds all points, so that distances are computed for no more.
struct Frame {
  int32_t x0 = std::numeric_limits<int32_t>::max(), y0 = x0, x1 = -1, y1 = -1;
  void Hold(std::span<const Pixel> points) {
    for (const Pixel& p : points) {
      x0 = std::min(x0, p.x), x1 = std::max(x1, p.x);
      y0 = std::min(y0, p.y), y1 = std::max(y1, p.y);
    }
  }
  std::vector<Pixel> Within(std::span<const Pixel> points) const {
    std::vector<Pixel> moved(points.begin(), points.end());
    for (Pixel& p : moved) p.x -= x0, p.y -= y0;
    return moved;
  }
};

// Distances in um; adds those within the tolerance to *near and all to *sum.
std::vector<double> Distances(const DistanceMap& to, const std::vector<Pixel>& from, double mpp,
                              double tolerance, int64_t* near, double* sum) {
  std::vector<double> distances;
  distances.reserve(from.size());
  const double limit = tolerance / mpp * (tolerance / mpp) * (1 + 1e-12);
  for (const int64_t squared : to.Squared(from)) {
    *near += static_cast<double>(squared) <= limit;
    distances.push_back(std::sqrt(static_cast<double>(squared)) * mpp);
    *sum += distances.back();
  }
  return distances;
}

}  // namespace

void SurfaceScores::Merge(const SurfaceScores& other) {
  truth += other.truth;
  predicted += other.predicted;
  truth_found += other.truth_found;
  predicted_right += other.predicted_right;
  measured += other.measured;
  truth_measured += other.truth_measured;
  predicted_measured += other.predicted_measured;
  truth_distance += other.truth_distance;
  predicted_distance += other.predicted_distance;
  hd95 += other.hd95;
  missed += other.missed;
  spurious += other.spurious;
}

double SurfaceScores::BoundaryPrecision() const {
  return Ratio(static_cast<double>(predicted_right), predicted);
}

double SurfaceScores::BoundaryRecall() const {
  return Ratio(static_cast<double>(truth_found), truth);
}

double SurfaceScores::BoundaryF1() const {
  if (truth + predicted == 0) return kNotApplicable;
  if (truth_found == 0 || predicted_right == 0) return 0;
  const double p = BoundaryPrecision(), r = BoundaryRecall();
  return 2 * p * r / (p + r);
}

double SurfaceScores::Hausdorff95() const { return Ratio(hd95, measured); }

double SurfaceScores::MeanDistance() const {
  return (Ratio(truth_distance, truth_measured) + Ratio(predicted_distance, predicted_measured)) /
         2;
}

std::vector<std::vector<Pixel>> Boundaries(std::span<const uint8_t> classes, int width, int height,
                                           int count, int ignore) {
  std::vector<std::vector<Pixel>> boundaries(static_cast<size_t>(count));
  const auto stride = static_cast<size_t>(width);
  std::vector<uint8_t> mixed(stride);
  for (int y = 0; y < height; ++y) {
    const uint8_t* row = classes.data() + static_cast<size_t>(y) * stride;
    const bool rim = y == 0 || y + 1 == height;
    const uint8_t* above = y == 0 ? row : row - stride;
    const uint8_t* below = y + 1 == height ? row : row + stride;
    // Few pixels have any neighbour of another value: those are found first, in one vector loop.
    for (size_t x = 1; x + 1 < stride; ++x) {
      mixed[x] = static_cast<uint8_t>((row[x] ^ row[x - 1]) | (row[x] ^ row[x + 1]) |
                                      (row[x] ^ above[x]) | (row[x] ^ below[x]));
    }
    mixed.front() = mixed.back() = 1;
    for (size_t x = 0; x < stride; ++x) {
      const uint8_t c = row[x];
      if ((!rim && !mixed[x]) || c == ignore || c >= count) continue;
      const auto other = [&](uint8_t neighbour) { return neighbour != c && neighbour != ignore; };
      if (rim || x == 0 || x + 1 == stride || other(row[x - 1]) || other(row[x + 1]) ||
          other(above[x]) || other(below[x])) {
        boundaries[c].push_back({static_cast<int32_t>(x), y});
      }
    }
  }
  return boundaries;
}

SurfaceScores CompareBoundaries(std::span<const Pixel> truth, std::span<const Pixel> predicted,
                                int width, int height, double mpp, double tolerance) {
  SurfaceScores scores;
  scores.truth = static_cast<int64_t>(truth.size());
  scores.predicted = static_cast<int64_t>(predicted.size());
  if (truth.empty() || predicted.empty()) return scores;
  Frame frame;
  frame.Hold(truth);
  frame.Hold(predicted);
  const int frame_width = std::min(width, frame.x1 - frame.x0 + 1);
  const int frame_height = std::min(height, frame.y1 - frame.y0 + 1);
  const std::vector<Pixel> t = frame.Within(truth), p = frame.Within(predicted);
  std::vector<double> all = Distances(DistanceMap(frame_width, frame_height, p), t, mpp, tolerance,
                                      &scores.truth_found, &scores.truth_distance);
  const std::vector<double> back =
      Distances(DistanceMap(frame_width, frame_height, t), p, mpp, tolerance,
                &scores.predicted_right, &scores.predicted_distance);
  all.insert(all.end(), back.begin(), back.end());
  scores.measured = 1;
  scores.truth_measured = scores.truth;
  scores.predicted_measured = scores.predicted;
  scores.hd95 = core::Quantile(std::move(all), 0.95);
  return scores;
}

}  // namespace eosin::eval
