// SPDX-License-Identifier: Apache-2.0
#include "segment/study/leaks/fingerprint.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <span>

#include "core/base/hash.h"
#include "core/base/threads.h"
#include "core/image/resample.h"

namespace eosin::segment {
namespace {

constexpr int kTurns = 8;
constexpr int kShift = 2;              // px of the fine map
constexpr int kHighPass = 3;           // radius of the box whose mean is taken off: 7 of 48 pixels
constexpr double kCoarseBar = 0.5;     // pairs below are not looked at closer
constexpr double kBlankSpread = 0.01;  // optical density

// Optical density, mean of the channels, of the picture without its border at side x side.
std::vector<float> Density(const core::Image& rgb, double border, int side) {
  const double dx = border * rgb.width, dy = border * rgb.height;
  const core::Image small =
      core::ResizeBox(rgb, {dx, dy, rgb.width - 2 * dx, rgb.height - 2 * dy}, side, side);
  std::vector<float> density(static_cast<size_t>(side) * side);
  for (size_t i = 0; i < density.size(); ++i) {
    float sum = 0;
    for (size_t c = 0; c < 3; ++c) {
      sum -= std::log((static_cast<float>(small.pixels[3 * i + c]) + 1.0f) / 256.0f);
    }
    density[i] = sum / 3;
  }
  return density;
}

// Mean 0, norm 1; returns the standard deviation before.
double Normalize(std::span<float> map) {
  double mean = 0, square = 0;
  for (const float value : map) mean += value;
  mean /= static_cast<double>(map.size());
  for (float& value : map) {
    value = static_cast<float>(value - mean);
    square += static_cast<double>(value) * value;
  }
  if (square > 0) {
    for (float& value : map) value = static_cast<float>(value / std::sqrt(square));
  }
  return std::sqrt(square / static_cast<double>(map.size()));
}

// Takes the mean of the surrounding box off each pixel.
void HighPass(std::vector<float>* map, int side) {
  const std::vector<float> before = *map;
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      float sum = 0;
      int count = 0;
      for (int v = std::max(0, y - kHighPass); v <= std::min(side - 1, y + kHighPass); ++v) {
        for (int u = std::max(0, x - kHighPass); u <= std::min(side - 1, x + kHighPass); ++u) {
          sum += before[static_cast<size_t>(v * side + u)];
          ++count;
        }
      }
      (*map)[static_cast<size_t>(y * side + x)] -= sum / static_cast<float>(count);
    }
  }
}

// Where pixel (x, y) of the turned map lies in the map: transposed for turns 4 to 7, then mirrored.
int Source(int turn, int side, int x, int y) {
  if (turn & 4) std::swap(x, y);
  if (turn & 1) x = side - 1 - x;
  if (turn & 2) y = side - 1 - y;
  return y * side + x;
}

template <int kSide>
const std::array<std::array<int, kSide * kSide>, kTurns>& Turns() {
  static const auto kTable = [] {
    std::array<std::array<int, kSide * kSide>, kTurns> table;
    for (int turn = 0; turn < kTurns; ++turn) {
      for (int i = 0; i < kSide * kSide; ++i) {
        table[static_cast<size_t>(turn)][static_cast<size_t>(i)] =
            Source(turn, kSide, i % kSide, i / kSide);
      }
    }
    return table;
  }();
  return kTable;
}

// Correlation of a with b moved by (dx, dy), over what both have.
double CorrelationAt(const float* a, const float* b, int dx, int dy) {
  const int x0 = std::max(0, -dx), x1 = std::min(kFineSide, kFineSide - dx);
  const int y0 = std::max(0, -dy), y1 = std::min(kFineSide, kFineSide - dy);
  float ab = 0, aa = 0, bb = 0, sum_a = 0, sum_b = 0;
  for (int y = y0; y < y1; ++y) {
    const float* row_a = a + y * kFineSide;
    const float* row_b = b + (y + dy) * kFineSide + dx;
    for (int x = x0; x < x1; ++x) {
      ab += row_a[x] * row_b[x];
      aa += row_a[x] * row_a[x];
      bb += row_b[x] * row_b[x];
      sum_a += row_a[x];
      sum_b += row_b[x];
    }
  }
  const double n = static_cast<double>(x1 - x0) * (y1 - y0);
  const double spread_a = aa - sum_a * sum_a / n, spread_b = bb - sum_b * sum_b / n;
  if (spread_a <= 0 || spread_b <= 0) return 0;
  return (ab - sum_a * sum_b / n) / std::sqrt(spread_a * spread_b);
}

double FineCorrelation(const StructureMap& a, const StructureMap& b, int turn) {
  std::array<float, kFineSide * kFineSide> turned;
  const auto& table = Turns<kFineSide>()[static_cast<size_t>(turn)];
  for (size_t i = 0; i < turned.size(); ++i) turned[i] = b.fine[static_cast<size_t>(table[i])];
  double best = -1;
  for (int dy = -kShift; dy <= kShift; ++dy) {
    for (int dx = -kShift; dx <= kShift; ++dx) {
      best = std::max(best, CorrelationAt(a.fine.data(), turned.data(), dx, dy));
    }
  }
  return best;
}

// At the best turn.
double Correlation(const StructureMap& a, const StructureMap& b) {
  double best = 0;
  for (int turn = 0; turn < kTurns; ++turn) {
    const auto& table = Turns<kCoarseSide>()[static_cast<size_t>(turn)];
    float coarse = 0;
    for (size_t i = 0; i < a.coarse.size(); ++i) {
      coarse += a.coarse[i] * b.coarse[static_cast<size_t>(table[i])];
    }
    if (coarse >= kCoarseBar) best = std::max(best, FineCorrelation(a, b, turn));
  }
  return best;
}

}  // namespace

Fingerprint MakeFingerprint(const core::Image& rgb) {
  Fingerprint print;
  core::Xxh3 hash;
  const int size[2] = {rgb.width, rgb.height};
  hash.Update(size, sizeof size);
  hash.Update(rgb.pixels.data(), rgb.pixels.size());
  print.pixels = hash.Hex();
  for (size_t part = 0; part < kBorders.size(); ++part) {
    std::vector<float> coarse = Density(rgb, kBorders[part], kCoarseSide);
    std::vector<float> fine = Density(rgb, kBorders[part], kFineSide);
    const double spread = Normalize(coarse);
    if (part == 0) print.blank = spread < kBlankSpread;
    HighPass(&fine, kFineSide);
    Normalize(fine);
    std::copy(coarse.begin(), coarse.end(), print.parts[part].coarse.begin());
    std::copy(fine.begin(), fine.end(), print.parts[part].fine.begin());
  }
  return print;
}

double Resemblance(const Fingerprint& a, const Fingerprint& b) {
  if (a.pixels == b.pixels) return 1;
  if (a.blank || b.blank) return 0;
  double best = 0;
  for (size_t part = 0; part < kBorders.size(); ++part) {
    best = std::max(best, Correlation(a.parts.front(), b.parts[part]));
    if (part > 0) best = std::max(best, Correlation(a.parts[part], b.parts.front()));
  }
  return best;
}

std::vector<CopyPair> FindCopies(const std::vector<Fingerprint>& prints, int threads,
                                 double threshold) {
  std::vector<CopyPair> pairs;
  std::mutex mutex;
  const auto count = static_cast<int64_t>(prints.size());
  core::ParallelFor(count, threads, [&](int64_t a) {
    for (int64_t b = a + 1; b < count; ++b) {
      const double resemblance =
          Resemblance(prints[static_cast<size_t>(a)], prints[static_cast<size_t>(b)]);
      if (resemblance < threshold) continue;
      std::lock_guard lock(mutex);
      pairs.push_back({a, b, resemblance});
    }
  });
  std::sort(pairs.begin(), pairs.end(), [](const CopyPair& x, const CopyPair& y) {
    return std::pair(x.a, x.b) < std::pair(y.a, y.b);
  });
  return pairs;
}

}  // namespace eosin::segment
