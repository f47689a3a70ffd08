// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "tiling/slides/slide.h"

namespace eosin::tiling {
namespace {

constexpr int64_t kReadSide = 1024;  // of one read, about; in pixels of the level

}  // namespace

core::Image ShrinkByMean(const core::Image& image, int block) {
  core::Image out((image.width + block - 1) / block, (image.height + block - 1) / block, 3);
  for (int r = 0; r < out.height; ++r) {
    const int y0 = r * block, y1 = std::min(y0 + block, image.height);
    for (int c = 0; c < out.width; ++c) {
      const int x0 = c * block, x1 = std::min(x0 + block, image.width);
      uint32_t sum[3] = {0, 0, 0};
      for (int y = y0; y < y1; ++y) {
        const uint8_t* p = image.at(x0, y);
        for (int x = x0; x < x1; ++x, p += 3) {
          sum[0] += p[0];
          sum[1] += p[1];
          sum[2] += p[2];
        }
      }
      const uint32_t count = static_cast<uint32_t>((y1 - y0) * (x1 - x0));
      for (int k = 0; k < 3; ++k) {
        out.at(c, r)[k] = static_cast<uint8_t>((sum[k] + count / 2) / count);
      }
    }
  }
  return out;
}

Overview ReadOverview(Slide& slide, double mpp, int max_side) {
  const double mpp0 = slide.RequireMpp().mean();
  const std::vector<SlideLevel>& levels = slide.levels();
  int level = 0;
  for (int i = 0; i < static_cast<int>(levels.size()); ++i) {
    const double downsample = levels[static_cast<size_t>(i)].downsample;
    if (mpp0 * downsample <= 1.01 * mpp &&
        downsample > levels[static_cast<size_t>(level)].downsample) {
      level = i;
    }
  }
  const SlideLevel& source = levels[static_cast<size_t>(level)];
  const int64_t longest = std::max(source.width, source.height);
  int64_t block = std::max<int64_t>(1, std::llround(mpp / (mpp0 * source.downsample) - 0.49));
  block = std::max(block, (longest + max_side - 1) / max_side);

  Overview overview;
  overview.scale = source.downsample * static_cast<double>(block);
  overview.image = core::Image(static_cast<int>((source.width + block - 1) / block),
                               static_cast<int>((source.height + block - 1) / block), 3, 255);
  const int64_t cells = std::max<int64_t>(1, kReadSide / block);
  const int64_t side = cells * block;
  int read = 0;
  std::string error;
  for (int64_t y = 0; y < source.height; y += side) {
    for (int64_t x = 0; x < source.width; x += side) {
      core::ThrowIfInterrupted();
      try {
        const core::Image part =
            slide.ReadRegion(std::llround(static_cast<double>(x) * source.downsample),
                             std::llround(static_cast<double>(y) * source.downsample), level,
                             static_cast<int>(std::min(side, source.width - x)),
                             static_cast<int>(std::min(side, source.height - y)));
        const core::Image shrunk = ShrinkByMean(part, static_cast<int>(block));
        for (int r = 0; r < shrunk.height; ++r) {
          std::copy_n(
              shrunk.row(r), shrunk.stride(),
              overview.image.at(static_cast<int>(x / block), static_cast<int>(y / block) + r));
        }
        ++read;
      } catch (const core::SlideError& failure) {
        if (error.empty()) error = failure.what();
        ++overview.unread;
      }
    }
  }
  if (read == 0) {
    throw core::SlideError(
        fmt::format("no part of {} can be read ({})", slide.path().string(), error),
        "the file is damaged; fetch it again");
  }
  return overview;
}

}  // namespace eosin::tiling
