// SPDX-License-Identifier: Apache-2.0
#include "core/stain/tile_stain.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>

#include "core/base/clones.h"
#include "core/stain/density.h"
#include "core/stain/eigen3.h"
#include "core/stain/lanes.h"

// Vectors are passed between functions of this file alone, and those are inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace eosin::core {
namespace {

constexpr double kBeta = 0.15, kAlpha = 0.01;
constexpr int64_t kFewest = 64;       // pixels of stain to fit to
constexpr double kFlat = 1e-5;        // second variance over the first: colours on a line
constexpr double kLeastAngle = 0.02;  // rad between the stains; nearer cannot be unmixed
constexpr int kBins = 2048;
constexpr float kBinsPerUnit = 256;  // of concentration: 8 covers the darkest pixel

// Everything runs over blocks of this many pixels, so that their loops have known lengths.
constexpr int kBlock = 64;

// Per grey level: optical density.
struct Tables {
  float density[256];
  Tables() {
    for (size_t i = 0; i < 256; ++i) density[i] = static_cast<float>(kDensities[i]);
  }
};

const Tables& Table() {
  static const Tables tables;
  return tables;
}

// Sums over the pixels. LAB is summed about the first pixel's, so that flat tiles deviate by 0.
struct Sums {
  double lab[3] = {}, lab_squares[3] = {};
  double stained = 0;
  double od[3] = {}, od_products[6] = {};  // of stained pixels; rr gg bb rg rb gb
};

EOSIN_CLONES void AddLab(const float* r, const float* g, const float* b, const Lab& origin,
                         Sums* sums) {
  Lab first{}, second{};
  for (int i = 0; i < kBlock; i += kLanes) {
    const Lab lab = LabOf(Load(r + i), Load(g + i), Load(b + i));
    const Floats dl = lab.l - origin.l, da = lab.a - origin.a, db = lab.b - origin.b;
    first.l += dl;
    first.a += da;
    first.b += db;
    second.l += dl * dl;
    second.a += da * da;
    second.b += db * db;
  }
  AddLanes(first.l, &sums->lab[0]);
  AddLanes(first.a, &sums->lab[1]);
  AddLanes(first.b, &sums->lab[2]);
  AddLanes(second.l, &sums->lab_squares[0]);
  AddLanes(second.a, &sums->lab_squares[1]);
  AddLanes(second.b, &sums->lab_squares[2]);
}

EOSIN_LANES Ints IsStained(const Floats& r, const Floats& g, const Floats& b) {
  return Least(r, Least(g, b)) > static_cast<float>(kBeta);
}

EOSIN_CLONES void AddDensities(const float* r, const float* g, const float* b, Sums* sums) {
  Floats count{}, first[3] = {}, products[6] = {};
  for (int i = 0; i < kBlock; i += kLanes) {
    const Floats od[3] = {Load(r + i), Load(g + i), Load(b + i)};
    const Floats in = IsStained(od[0], od[1], od[2]) ? All(1) : All(0);
    const Floats x = od[0] * in, y = od[1] * in, z = od[2] * in;
    count += in;
    first[0] += x;
    first[1] += y;
    first[2] += z;
    products[0] += x * x;
    products[1] += y * y;
    products[2] += z * z;
    products[3] += x * y;
    products[4] += x * z;
    products[5] += y * z;
  }
  AddLanes(count, &sums->stained);
  for (int c = 0; c < 3; ++c) AddLanes(first[c], &sums->od[c]);
  for (int c = 0; c < 6; ++c) AddLanes(products[c], &sums->od_products[c]);
}

using Histogram = std::array<uint32_t, kBins>;

// The value, in bins, below which a share q of `count` entries lies.
double Percentile(const Histogram& histogram, double count, double q) {
  const double rank = q * (count - 1);
  double before = 0;
  for (int bin = 0; bin < kBins; ++bin) {
    const double here = histogram[static_cast<size_t>(bin)];
    if (here > 0 && before + here > rank) return bin + (rank - before + 0.5) / here;
    before += here;
  }
  return kBins;
}

double Dot(const Vector3& a, const Vector3& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

// alpha * a + beta * b
Vector3 Combine(double alpha, const Vector3& a, double beta, const Vector3& b) {
  return {alpha * a[0] + beta * b[0], alpha * a[1] + beta * b[1], alpha * a[2] + beta * b[2]};
}

// Optical densities of a whole tile, padded to whole blocks with 0 (white).
struct Densities {
  explicit Densities(int64_t n)
      : count((n + kBlock - 1) / kBlock * kBlock),
        values(std::make_unique_for_overwrite<float[]>(static_cast<size_t>(5 * count))) {}
  float* plane(int i) { return values.get() + i * count; }
  int64_t count;
  std::unique_ptr<float[]> values;  // R, G, B, then coordinates in the plane of the stains
};

// Two unit vectors that span the plane of the stains, the first along the mean colour.
bool FindPlane(const Sums& sums, Vector3* along, Vector3* across) {
  const double n = sums.stained;
  const Vector3 mean = {sums.od[0] / n, sums.od[1] / n, sums.od[2] / n};
  const double* p = sums.od_products;
  const auto moment = [&](double product, size_t i, size_t j) {
    return product / n - mean[i] * mean[j];
  };
  const Eigen3 eigen =
      EigenSymmetric({{{moment(p[0], 0, 0), moment(p[3], 0, 1), moment(p[4], 0, 2)},
                       {0, moment(p[1], 1, 1), moment(p[5], 1, 2)},
                       {0, 0, moment(p[2], 2, 2)}}});
  if (!(eigen.values[0] > 1e-8) || eigen.values[1] < kFlat * eigen.values[0]) return false;
  const double x = Dot(mean, eigen.vectors[0]), y = Dot(mean, eigen.vectors[1]);
  const double length = std::sqrt(x * x + y * y);
  if (length < kBeta) return false;
  *along = Combine(x / length, eigen.vectors[0], y / length, eigen.vectors[1]);
  *across = Combine(-y / length, eigen.vectors[0], x / length, eigen.vectors[1]);
  return true;
}

// Coordinates of every pixel in the plane; counts the angles of the stained ones. The angle is kept
// as y / (|x| + |y|), which grows with it from -1 at -90 degrees to 1 at 90.
EOSIN_CLONES void Project(const Vector3& along, const Vector3& across, Densities* od,
                          Histogram* angles) {
  const auto f = [](double v) { return static_cast<float>(v); };
  const float a0 = f(along[0]), a1 = f(along[1]), a2 = f(along[2]);
  const float c0 = f(across[0]), c1 = f(across[1]), c2 = f(across[2]);
  Histogram counts[2] = {};  // in turn: neighbours often fall into one bin
  uint32_t unstained = 0;
  for (int64_t i = 0; i < od->count; i += kLanes) {
    const Floats r = Load(od->plane(0) + i), g = Load(od->plane(1) + i), b = Load(od->plane(2) + i);
    const Floats x = a0 * r + a1 * g + a2 * b, y = c0 * r + c1 * g + c2 * b;
    std::memcpy(od->plane(3) + i, &x, sizeof x);
    std::memcpy(od->plane(4) + i, &y, sizeof y);
    const Floats length = (x < 0 ? -x : x) + (y < 0 ? -y : y) + 1e-20f;
    const Floats bin = Least((y / length + 1) * (kBins / 2), All(kBins - 1));
    const Ints in = IsStained(r, g, b);
    const Ints bins = __builtin_convertvector(bin, Ints) & in;  // others fall into bin 0
    for (int k = 0; k < kLanes; ++k) {
      ++counts[k & 1][static_cast<size_t>(bins[k])];
      unstained += static_cast<uint32_t>(in[k] + 1);
    }
  }
  for (size_t i = 0; i < kBins; ++i) (*angles)[i] = counts[0][i] + counts[1][i];
  (*angles)[0] -= unstained;
}

// The unit vector at an angle given in bins.
Vector3 Direction(double bin, const Vector3& along, const Vector3& across) {
  const double y = bin / (kBins / 2) - 1, x = 1 - std::abs(y);
  const double length = std::sqrt(x * x + y * y);
  return Combine(x / length, along, y / length, across);
}

// 99th percentiles of the concentrations of two stains over the first `pixels` pixels.
EOSIN_CLONES void Concentrations(const Vector3 stains[2], const Vector3& along,
                                 const Vector3& across, int64_t pixels, Densities* od,
                                 double out[2]) {
  // A pixel's coordinates are C * M, M's rows being the stains' coordinates.
  const double m00 = Dot(stains[0], along), m01 = Dot(stains[0], across);
  const double m10 = Dot(stains[1], along), m11 = Dot(stains[1], across);
  const double scale = double{kBinsPerUnit} / (m00 * m11 - m01 * m10);
  const auto f = [&](double v) { return static_cast<float>(v * scale); };
  const float h0 = f(m11), h1 = f(-m10), e0 = f(-m01), e1 = f(m00);
  Histogram counts[2] = {};
  for (int64_t i = 0; i < od->count; i += kLanes) {
    const Floats x = Load(od->plane(3) + i), y = Load(od->plane(4) + i);
    const auto bins = [](const Floats& raw) {
      const Floats v = Least(raw, All(kBins - 1));
      return __builtin_convertvector(v > 0 ? v : All(0), Ints);
    };
    const Ints h = bins(h0 * x + h1 * y), e = bins(e0 * x + e1 * y);
    for (int k = 0; k < kLanes; ++k) {
      ++counts[0][static_cast<size_t>(h[k])];
      ++counts[1][static_cast<size_t>(e[k])];
    }
  }
  for (int s = 0; s < 2; ++s) {
    counts[s][0] -= static_cast<uint32_t>(od->count - pixels);  // the padding
    out[s] = Percentile(counts[s], static_cast<double>(pixels), 1 - kAlpha) / double{kBinsPerUnit};
  }
}

}  // namespace

StainRow MeasureStain(const Image& rgb) {
  StainRow row;
  row.fill(std::numeric_limits<float>::quiet_NaN());
  const int64_t pixels = int64_t{rgb.width} * rgb.height;
  if (rgb.empty() || rgb.channels != 3 || pixels <= 0) return row;

  const Tables& table = Table();
  const float* light = LinearLight();
  const uint8_t* at = rgb.pixels.data();
  const Lab origin = LabOf(All(light[at[0]]), All(light[at[1]]), All(light[at[2]]));
  Densities od(pixels);
  Sums sums;
  for (int64_t from = 0; from < pixels; from += kBlock) {
    float linear[3][kBlock];
    float* density[3] = {od.plane(0) + from, od.plane(1) + from, od.plane(2) + from};
    const int count = static_cast<int>(std::min<int64_t>(kBlock, pixels - from));
    for (int i = 0; i < count; ++i, at += 3) {
      for (int c = 0; c < 3; ++c) {
        linear[c][i] = light[at[c]];
        density[c][i] = table.density[at[c]];
      }
    }
    for (int i = count; i < kBlock; ++i) {
      for (int c = 0; c < 3; ++c) {
        linear[c][i] = light[rgb.pixels[static_cast<size_t>(c)]];
        density[c][i] = 0;
      }
    }
    AddLab(linear[0], linear[1], linear[2], origin, &sums);
    AddDensities(density[0], density[1], density[2], &sums);
  }
  const double first[3] = {double{origin.l[0]}, double{origin.a[0]}, double{origin.b[0]}};
  const auto n = static_cast<double>(pixels);
  for (size_t c = 0; c < 3; ++c) {
    const double mean = sums.lab[c] / n;
    row[c] = static_cast<float>(first[c] + mean);
    row[c + 3] =
        static_cast<float>(std::sqrt(std::max(0.0, sums.lab_squares[c] / n - mean * mean)));
  }

  Vector3 along, across;
  if (sums.stained < kFewest || !FindPlane(sums, &along, &across)) return row;
  Histogram angles;
  Project(along, across, &od, &angles);
  Vector3 stains[2] = {Direction(Percentile(angles, sums.stained, kAlpha), along, across),
                       Direction(Percentile(angles, sums.stained, 1 - kAlpha), along, across)};
  if (Dot(stains[0], stains[1]) > std::cos(kLeastAngle)) return row;
  if (stains[0][0] < stains[1][0]) std::swap(stains[0], stains[1]);
  double strongest[2];
  Concentrations(stains, along, across, pixels, &od, strongest);
  for (size_t s = 0; s < 2; ++s) {
    for (size_t c = 0; c < 3; ++c) row[6 + 3 * s + c] = static_cast<float>(stains[s][c]);
    row[12 + s] = static_cast<float>(strongest[s]);
  }
  return row;
}

}  // namespace eosin::core
