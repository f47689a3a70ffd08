// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/predict_image.h"

#include <algorithm>
#include <cmath>

#include "core/base/interrupt.h"
#include "segment/predict/mirror.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

namespace eosin::segment {
std::vector<int64_t> WindowStarts(int64_t length, int64_t window, double overlap) {
  if (length <= window) return {0};
  const auto stride =
      std::max<int64_t>(1, std::llround(static_cast<double>(window) * (1 - overlap)));
  const int64_t gaps = (length - window + stride - 1) / stride;
  std::vector<int64_t> starts;
  for (int64_t i = 0; i <= gaps; ++i) starts.push_back(i * (length - window) / gaps);
  return starts;
}

core::Image PredictImage(SegmentationNet& net, const core::Image& image,
                         const WindowOptions& options, const engine::Compute& compute,
                         const engine::Normalization& normalization) {
  at::NoGradGuard no_grad;
  const int64_t window = options.window;
  struct Place {
    int64_t x, y;
  };
  std::vector<Place> places;
  for (const int64_t y : WindowStarts(image.height, window, options.overlap)) {
    for (const int64_t x : WindowStarts(image.width, window, options.overlap)) {
      places.push_back({x, y});
    }
  }
  const int64_t full_width = std::max<int64_t>(image.width, window);
  const int64_t full_height = std::max<int64_t>(image.height, window);
  // Sums instead of means: windows over a pixel count the same for every class.
  at::Tensor sums = at::zeros({net->options().classes, full_height, full_width},
                              at::TensorOptions().device(compute.device));
  const auto pixels = static_cast<size_t>(window * window * 3);
  for (size_t first = 0; first < places.size(); first += static_cast<size_t>(options.batch)) {
    core::ThrowIfInterrupted();
    const size_t count = std::min(places.size() - first, static_cast<size_t>(options.batch));
    std::vector<uint8_t> bytes(count * pixels);
    for (size_t i = 0; i < count; ++i) {
      uint8_t* out = &bytes[i * pixels];
      for (int64_t y = 0; y < window; ++y) {
        const uint8_t* row =
            image.row(static_cast<int>(Mirror(places[first + i].y + y, image.height)));
        for (int64_t x = 0; x < window; ++x, out += 3) {
          std::copy_n(row + 3 * Mirror(places[first + i].x + x, image.width), 3, out);
        }
      }
    }
    const at::Tensor input = engine::ToInput(bytes.data(), static_cast<int64_t>(count), window,
                                             compute.device, normalization);
    at::Tensor logits;
    {
      const engine::AutocastGuard autocast(compute.device.type(), compute.bf16);
      logits = net->forward(input).out;
    }
    const at::Tensor probabilities = at::softmax(logits.to(at::kFloat), 1);
    for (size_t i = 0; i < count; ++i) {
      const Place& place = places[first + i];
      sums.slice(1, place.y, place.y + window)
          .slice(2, place.x, place.x + window)
          .add_(probabilities[static_cast<int64_t>(i)]);
    }
  }
  const at::Tensor classes = at::argmax(sums, 0)
                                 .slice(0, 0, image.height)
                                 .slice(1, 0, image.width)
                                 .to(at::kByte)
                                 .to(at::kCPU)
                                 .contiguous();
  core::Image out(image.width, image.height, 1);
  std::copy_n(classes.data_ptr<uint8_t>(), out.pixels.size(), out.pixels.data());
  return out;
}

}  // namespace eosin::segment
