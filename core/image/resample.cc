// SPDX-License-Identifier: Apache-2.0
#include "core/image/resample.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/base/error.h"

namespace eosin::core {
namespace {

// Keys (1981), a = -1/2.
double Cubic(double x) {
  x = std::abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
  return 0;
}

}  // namespace

void ComputeTaps(int input, double begin, double length, int output, ResampleTaps* taps,
                 Filter filter) {
  if (!(length > 0) || begin < 0 || begin + length > input + 1e-3 || output < 1) {
    throw ConfigError("cannot resample [" + std::to_string(begin) + ", " +
                          std::to_string(begin + length) + ") of an axis of " +
                          std::to_string(input) + " pixels to " + std::to_string(output),
                      "the box must lie inside the image and sizes must be positive");
  }
  // The filter sees only the pixels that the box touches, as if it had been cropped first.
  const int first = std::min(static_cast<int>(begin), input - 1);
  const int last = std::clamp(static_cast<int>(std::ceil(begin + length)), first + 1, input);
  const double scale = length / output;
  const bool cubic = filter == Filter::kBicubic;
  const double stretch = std::max(scale, 1.0);
  const double support = cubic ? 2 * stretch : stretch;  // half width, in source pixels
  const int widest = static_cast<int>(std::ceil(2 * support)) + 1;
  taps->size = output;
  taps->count = std::min(widest, last - first);
  taps->start.resize(static_cast<size_t>(output));
  taps->weights.assign(static_cast<size_t>(taps->count) * output, 0.0f);
  std::vector<double> weight(static_cast<size_t>(taps->count));
  int used = 1;  // taps with a weight, over all outputs
  for (int i = 0; i < output; ++i) {
    const double centre = begin + (i + 0.5) * scale;
    int start = std::max(first, static_cast<int>(std::floor(centre - support + 0.5)));
    start = std::clamp(start, first, last - taps->count);
    double sum = 0;
    for (int k = 0; k < taps->count; ++k) {
      const double at = (start + k + 0.5 - centre) / stretch;
      weight[k] = cubic ? Cubic(at) : std::max(0.0, 1.0 - std::abs(at));
      sum += weight[k];
    }
    taps->start[i] = start;
    for (int k = 0; k < taps->count; ++k) {
      taps->weights[static_cast<size_t>(k) * output + i] = static_cast<float>(weight[k] / sum);
      if (weight[k] != 0) used = std::max(used, k + 1);
    }
  }
  taps->count = used;  // tap-major, so dropping the empty last taps is cutting the tail
  taps->weights.resize(static_cast<size_t>(used) * output);
}

Image Resize(const Image& image, int width, int height) {
  return ResizeBox(image, {0, 0, double(image.width), double(image.height)}, width, height);
}

Image ResizeBox(const Image& image, const Box& box, int width, int height) {
  if (image.empty()) throw ConfigError("cannot resize an empty image", "read or make it first");
  ResampleTaps across, down;
  ComputeTaps(image.width, box.x, box.width, width, &across);
  ComputeTaps(image.height, box.y, box.height, height, &down);
  const int channels = image.channels;
  const int from = *std::min_element(across.start.begin(), across.start.end());
  const int to = *std::max_element(across.start.begin(), across.start.end()) + across.count;
  std::vector<float> line(static_cast<size_t>(to - from) * channels);
  Image out(width, height, channels);
  for (int y = 0; y < height; ++y) {
    std::fill(line.begin(), line.end(), 0.0f);
    for (int k = 0; k < down.count; ++k) {
      const float w = down.weight(k, y);
      if (w == 0.0f) continue;
      const uint8_t* in = image.at(from, down.start[y] + k);
      for (size_t i = 0; i < line.size(); ++i) line[i] += w * static_cast<float>(in[i]);
    }
    uint8_t* to_pixel = out.row(y);
    for (int x = 0; x < width; ++x) {
      const float* in = line.data() + static_cast<size_t>(across.start[x] - from) * channels;
      for (int c = 0; c < channels; ++c) {
        float sum = 0;
        for (int k = 0; k < across.count; ++k) sum += across.weight(k, x) * in[k * channels + c];
        *to_pixel++ = static_cast<uint8_t>(std::min(sum, 255.0f) + 0.5f);
      }
    }
  }
  return out;
}

Image Thumbnail(const Image& image, int side) {
  const double scale = std::min(1.0, double(side) / std::max({image.width, image.height, 1}));
  return Resize(image, std::max(1, static_cast<int>(std::lround(image.width * scale))),
                std::max(1, static_cast<int>(std::lround(image.height * scale))));
}

}  // namespace eosin::core
