// SPDX-License-Identifier: Apache-2.0
#include "core/image/mosaic.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "core/image/mosaic_kernels.h"

namespace eosin::core {
namespace {

constexpr int kCubicBits = 22;  // PIL's

bool IsCubic(double ratio) { return ratio < 1; }
double Support(double ratio) { return IsCubic(ratio) ? 2.0 : ratio; }

// PIL's triangle and cubic (a = -0.5).
double Filter(double x, bool cubic) {
  x = std::abs(x);
  if (!cubic) return x < 1 ? 1 - x : 0;
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

// First and one past the last pixel that an output centred there looks at, uncut.
int64_t SpanBegin(double centre, double support) {
  return static_cast<int64_t>(std::floor(centre - support + 0.5));
}
int64_t SpanEnd(double centre, double support) {
  return static_cast<int64_t>(std::floor(centre + support + 0.5));
}
double Centre(double phase, double ratio, int i) { return phase + (i + 0.5) * ratio; }

// Whole numbers that sum to `one`; what rounding leaves over goes to the largest. Hundreds of small
// weights leave over more than the largest can bear: then running sums are rounded.
void Quantize(const double* weights, int count, int one, int* out) {
  int sum = 0, largest = 0;
  for (int k = 0; k < count; ++k) {
    out[k] = static_cast<int>(weights[k] * one + 0.5);
    sum += out[k];
    if (out[k] > out[largest]) largest = k;
  }
  if (2 * std::abs(one - sum) <= out[largest]) {
    out[largest] += one - sum;
    return;
  }
  double running = 0;
  for (int k = 0, before = 0; k < count; ++k) {
    running += weights[k];
    const int now = k + 1 < count ? static_cast<int>(std::min(running, 1.0) * one + 0.5) : one;
    out[k] = now - before;
    before = now;
  }
}

uint8_t Clip8(int64_t sum) {
  return static_cast<uint8_t>(std::clamp<int64_t>(sum >> kCubicBits, 0, 255));
}

int64_t RoundCubic(double weight) {
  return static_cast<int64_t>(weight * (1 << kCubicBits) + (weight < 0 ? -0.5 : 0.5));
}

// Calls body(x, length) for each run of pixels of [begin, end) that lies in one tile of `side`.
template <typename Body>
void ForEachRun(int64_t begin, int64_t end, int side, Body&& body) {
  for (int64_t x = begin; x < end;) {
    const int64_t next = std::min(end, (x / side + 1) * side);
    body(x, next - x);
    x = next;
  }
}

// Tiles were decoded a while ago; their rows are called for before they are needed.
void Prefetch(const uint8_t* from, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i);
}

}  // namespace

void CopyWindow(const Mosaic& source, int64_t x, int64_t y, Image* out) {
  const int64_t left = std::clamp<int64_t>(x, 0, source.width);
  const int64_t right = std::clamp<int64_t>(x + out->width, left, source.width);
  const int64_t top = std::clamp<int64_t>(y, 0, source.height);
  const int64_t bottom = std::clamp<int64_t>(y + out->height, top, source.height);
  if (right - left < out->width || bottom - top < out->height) {
    std::memset(out->pixels.data(), 255, out->pixels.size());
  }
  const ptrdiff_t stride = ptrdiff_t{3} * source.tile_width;
  ForEachRun(top, bottom, source.tile_height, [&](int64_t row, int64_t rows) {
    ForEachRun(left, right, source.tile_width, [&](int64_t column, int64_t columns) {
      const uint8_t* from = source.at(column, row);
      uint8_t* to = out->at(static_cast<int>(column - x), static_cast<int>(row - y));
      for (int64_t i = 0; i < rows; ++i, from += stride, to += out->stride()) {
        std::memcpy(to, from, static_cast<size_t>(3 * columns));
      }
    });
  });
}

MosaicResampler::MosaicResampler(double ratio, int outputs) : ratio_(ratio), outputs_(outputs) {}

PixelSpan MosaicResampler::Span(double ratio, int outputs, double begin, int64_t size) {
  const double origin = std::floor(begin);
  const double phase = begin - origin;
  const int64_t from =
      static_cast<int64_t>(origin) + SpanBegin(Centre(phase, ratio, 0), Support(ratio));
  const int64_t to =
      static_cast<int64_t>(origin) + SpanEnd(Centre(phase, ratio, outputs - 1), Support(ratio));
  PixelSpan span;
  span.begin = std::clamp<int64_t>(from, 0, size - 1);
  span.end = std::clamp<int64_t>(to, span.begin + 1, size);
  return span;
}

// Makes the weights anew where they differ from the last window's; true then.
bool MosaicResampler::Refresh(double begin, int64_t size, Axis* axis) const {
  const double origin = std::floor(begin);
  const double phase = begin - origin;
  const double support = Support(ratio_);
  // As Span: a window beyond an edge sees the pixel there.
  const int64_t first = -static_cast<int64_t>(origin), end = first + size;
  const int64_t low = std::clamp(SpanBegin(Centre(phase, ratio_, 0), support), first, end - 1);
  const int64_t high =
      std::clamp(SpanEnd(Centre(phase, ratio_, outputs_ - 1), support), low + 1, end);
  if (axis->phase == phase && axis->low == low && axis->high == high) return false;
  axis->phase = phase;
  axis->low = low;
  axis->high = high;
  axis->stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  axis->start.resize(static_cast<size_t>(outputs_));
  axis->count.resize(static_cast<size_t>(outputs_));
  axis->weights.resize(static_cast<size_t>(outputs_) * static_cast<size_t>(axis->stride));
  const double scale = 1 / std::max(ratio_, 1.0);
  for (int i = 0; i < outputs_; ++i) {
    const double centre = Centre(phase, ratio_, i);
    const int64_t start = std::clamp(SpanBegin(centre, support), low, high - 1);
    const int count =
        static_cast<int>(std::clamp(SpanEnd(centre, support), start + 1, high) - start);
    double* weights = axis->weights.data() + static_cast<size_t>(i) * axis->stride;
    double sum = 0;
    for (int k = 0; k < count; ++k) {
      weights[k] = Filter((static_cast<double>(start + k) - centre + 0.5) * scale, IsCubic(ratio_));
      sum += weights[k];
    }
    for (int k = 0; k < count; ++k) weights[k] = sum != 0 ? weights[k] / sum : (k == 0 ? 1 : 0);
    axis->start[static_cast<size_t>(i)] = start;
    axis->count[static_cast<size_t>(i)] = count;
  }
  return true;
}

void MosaicResampler::PrepareDown(Axis* axis) const {
  axis->down.assign(axis->weights.size(), 0);
  std::vector<int> whole(static_cast<size_t>(axis->stride));
  for (size_t i = 0; i < axis->start.size(); ++i) {
    const size_t at = i * static_cast<size_t>(axis->stride);
    Quantize(axis->weights.data() + at, axis->count[i], 1 << kDownBits, whole.data());
    for (int k = 0; k < axis->count[i]; ++k) {
      axis->down[at + static_cast<size_t>(k)] = static_cast<uint32_t>(whole[k]) * 0x10001u;
    }
    while (axis->count[i] > 1 && axis->down[at + static_cast<size_t>(axis->count[i]) - 1] == 0) {
      --axis->count[i];
    }
  }
}

void MosaicResampler::PrepareAcross(Axis* axis) const {
  const int groups = (outputs_ + 3) / 4, room = (axis->stride + 1) / 2;
  axis->first_value.assign(static_cast<size_t>(4 * groups), 0);
  axis->pairs.assign(static_cast<size_t>(groups), 1);
  axis->across.assign(static_cast<size_t>(32 * groups * room), 0);
  std::vector<int> whole(static_cast<size_t>(2 * room));
  for (int i = 0; i < outputs_; ++i) {
    const auto index = static_cast<size_t>(i);
    const int count = axis->count[index], group = i / 4, lane = i % 4;
    std::fill(whole.begin(), whole.end(), 0);
    Quantize(axis->weights.data() + index * static_cast<size_t>(axis->stride), count,
             1 << kAcrossBits, whole.data());
    int used = count;
    while (used > 1 && whole[static_cast<size_t>(used) - 1] == 0) --used;
    int& pairs = axis->pairs[static_cast<size_t>(group)];
    pairs = std::max(pairs, (used + 1) / 2);
    axis->first_value[index] = static_cast<int>(3 * (axis->start[index] - axis->low));
    for (int k = 0; k < room; ++k) {
      const auto at =
          static_cast<size_t>(16 * (2 * (group * room + k) + (lane & 1)) + 8 * (lane >> 1));
      for (size_t copy = 0; copy < 8; copy += 2) {
        axis->across[at + copy] = static_cast<int16_t>(whole[static_cast<size_t>(2 * k)]);
        axis->across[at + copy + 1] = static_cast<int16_t>(whole[static_cast<size_t>(2 * k + 1)]);
      }
    }
  }
}

void MosaicResampler::Run(const Mosaic& source, double x, double y, Image* out) {
  if (out->width != outputs_ || out->height != outputs_ || out->channels != 3) {
    *out = Image(outputs_, outputs_, 3);
  }
  if (IsCubic(ratio_)) return RunCubic(source, x, y, out);
  if (Refresh(x, source.width, &x_)) PrepareAcross(&x_);
  if (Refresh(y, source.height, &y_)) PrepareDown(&y_);
  const int64_t left = static_cast<int64_t>(std::floor(x)) + x_.low;
  const int64_t right = static_cast<int64_t>(std::floor(x)) + x_.high;
  const int64_t top = static_cast<int64_t>(std::floor(y));
  FindPlaces(source, left, right, top + y_.low, top + y_.high);
  const DownKernel down = BestDownKernel();
  const AcrossKernel across = BestAcrossKernel();
  const auto room = static_cast<size_t>(3 * (right - left) + 6 * x_.stride + kLinePadding);
  if (line_.size() < room) line_.resize(room);
  taps_.resize(static_cast<size_t>(y_.stride));
  for (int i = 0; i < outputs_; ++i) {
    const auto index = static_cast<size_t>(i);
    const int taps = y_.count[index];
    const RowPlace* rows = rows_.data() + (y_.start[index] - y_.low);
    PrefetchFor(i + 2);
    for (const RunPlace& run : runs_) {
      for (int k = 0; k < taps; ++k)
        taps_[static_cast<size_t>(k)] = rows[k].tiles[run.column] + rows[k].offset + run.offset;
      down({taps_.data(), y_.down.data() + index * static_cast<size_t>(y_.stride), taps, run.values,
            line_.data() + run.out});
    }
    across({line_.data(), x_.first_value.data(), x_.across.data(), x_.pairs.data(),
            (x_.stride + 1) / 2, outputs_, out->row(i)});
  }
}

// Calls for the rows that output row i is the first to look at: the tiles were decoded a while ago.
void MosaicResampler::PrefetchFor(int i) const {
  if (i >= outputs_) return;
  const auto index = static_cast<size_t>(i);
  const int64_t begin = y_.start[index - 1] + y_.count[index - 1];
  const int64_t end = y_.start[index] + y_.count[index];
  for (int64_t row = begin; row < end; ++row) {
    const RowPlace& place = rows_[static_cast<size_t>(row - y_.low)];
    for (const RunPlace& run : runs_) {
      Prefetch(place.tiles[run.column] + place.offset + run.offset, run.values);
    }
  }
}

// Where the window's rows, and their stretches in one tile, lie: divisions are dear.
void MosaicResampler::FindPlaces(const Mosaic& source, int64_t left, int64_t right, int64_t top,
                                 int64_t bottom) {
  rows_.clear();
  for (int64_t y = top; y < bottom; ++y) {
    const int64_t row = y / source.tile_height;
    rows_.push_back({source.tiles + (row - source.first_row) * source.columns,
                     (y - row * source.tile_height) * source.tile_width * 3});
  }
  runs_.clear();
  ForEachRun(left, right, source.tile_width, [&](int64_t from, int64_t length) {
    const int64_t column = from / source.tile_width;
    runs_.push_back({column - source.first_column, 3 * (from - column * source.tile_width),
                     3 * (from - left), static_cast<int>(3 * length)});
  });
}

// PIL's passes to the letter: across, 8 bits, down. Enlarging is rare and may be slow.
void MosaicResampler::RunCubic(const Mosaic& source, double x, double y, Image* out) {
  Refresh(x, source.width, &x_);
  Refresh(y, source.height, &y_);
  const int64_t left = static_cast<int64_t>(std::floor(x)) + x_.low;
  const int64_t top = static_cast<int64_t>(std::floor(y)) + y_.low;
  const int width = static_cast<int>(x_.high - x_.low), height = static_cast<int>(y_.high - y_.low);
  if (window_.width != width || window_.height != height) window_ = Image(width, height, 3);
  CopyWindow(source, left, top, &window_);
  const size_t stride = static_cast<size_t>(outputs_) * 3;
  narrow_.resize(stride * static_cast<size_t>(height));
  constexpr int64_t kHalf = int64_t{1} << (kCubicBits - 1);
  const auto weight = [](const Axis& axis, int i, int k) {
    return RoundCubic(axis.weights[static_cast<size_t>(i) * axis.stride + static_cast<size_t>(k)]);
  };
  for (int i = 0; i < outputs_; ++i) {
    const int start = static_cast<int>(x_.start[static_cast<size_t>(i)] - x_.low);
    for (int row = 0; row < height; ++row) {
      int64_t sum[3] = {kHalf, kHalf, kHalf};
      for (int k = 0; k < x_.count[static_cast<size_t>(i)]; ++k) {
        for (int c = 0; c < 3; ++c) sum[c] += weight(x_, i, k) * window_.at(start + k, row)[c];
      }
      for (int c = 0; c < 3; ++c) {
        narrow_[stride * static_cast<size_t>(row) + static_cast<size_t>(3 * i + c)] = Clip8(sum[c]);
      }
    }
  }
  for (int i = 0; i < outputs_; ++i) {
    const auto start = static_cast<size_t>(y_.start[static_cast<size_t>(i)] - y_.low);
    for (size_t v = 0; v < stride; ++v) {
      int64_t sum = kHalf;
      for (int k = 0; k < y_.count[static_cast<size_t>(i)]; ++k) {
        sum += weight(y_, i, k) * narrow_[stride * (start + static_cast<size_t>(k)) + v];
      }
      out->row(i)[v] = Clip8(sum);
    }
  }
}

}  // namespace eosin::core
