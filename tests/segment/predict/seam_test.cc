// SPDX-License-Identifier: Apache-2.0
// Seams, measured with a made network that errs as real ones do: the more, the nearer a pixel lies
// to its window's border.
#include <cmath>

#include "tests/segment/predict/made_network.h"

namespace eosin::testing {
namespace {

using namespace segment;

constexpr int kSide = 64;

int Blobs(int64_t x, int64_t y) {
  const double wave = std::sin(static_cast<double>(x) / 11) + std::sin(static_cast<double>(y) / 13);
  return wave > 0 ? 1 : 0;
}

// The truth where it is sure; at a window's border it is wrong in a third of the windows.
Network BorderBlind(int side) {
  return [side](const uint8_t* images, int64_t count, uint16_t* out) {
    const int64_t pixels = int64_t{side} * side;
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t p = 0; p < pixels; ++p) {
        const int64_t x = p % side, y = p / side;
        const uint8_t* pixel = images + (i * pixels + p) * 3;
        const auto depth =
            static_cast<double>(std::min({x, y, side - 1 - x, side - 1 - y})) / (side / 2.0);
        const double noise = (pixel[1] - 127.5) / 127.5;  // of the place, the same in all windows
        // A bias of the window's own: at its border the window decides, not the pixel.
        const double bias =
            ((images[i * pixels * 3 + 1] & 3) == 0 ? -1.6 : 0.2) * std::exp(-12 * depth);
        const double sure = (pixel[0] > 25 ? 1 : -1) * 0.8 + 0.9 * noise + bias;
        const double one = 1 / (1 + std::exp(-4 * sure));
        const auto units = static_cast<uint16_t>(std::lround(one * kOneProbability));
        out[i * 2 * pixels + p] = static_cast<uint16_t>(kOneProbability - units);
        out[(i * 2 + 1) * pixels + p] = units;
      }
    }
  };
}

MapOptions Options(int stride, int64_t shift) {
  MapOptions options;
  options.classes = 2;
  options.stride = stride;
  options.shift = shift;
  return options;
}

// Error rate within 2 px of where a window's inner part ends, over the rate elsewhere.
double BorderOverInterior(const std::vector<uint8_t>& labels, int64_t width, int stride) {
  double wrong[2] = {0, 0}, all[2] = {0, 0};
  const auto seam = [&](int64_t at) { return std::min(at % stride, stride - at % stride) <= 2; };
  for (size_t i = 0; i < labels.size(); ++i) {
    const int64_t x = static_cast<int64_t>(i) % width, y = static_cast<int64_t>(i) / width;
    const int where = seam(x) || seam(y);
    ++all[where];
    wrong[where] += labels[i] != Blobs(x, y);
  }
  EXPECT_GT(wrong[0], 1000);
  return wrong[1] / all[1] / (wrong[0] / all[0]);
}

TEST(Seams, NoMoreErrorsWhereWindowsMeet) {
  const auto slide = SlideOf(2048, 1536, Blobs);
  const std::vector<uint8_t> labels = LabelsOf(*slide, BorderBlind(kSide), Options(32, 0));
  const double ratio = BorderOverInterior(labels, 2048, 32);
  std::printf("error near seams over interior: %.4f\n", ratio);
  EXPECT_NEAR(ratio, 1.0, 0.02);
}

// The measure sees seams where there are some: windows side by side.
TEST(Seams, WithoutOverlapTheyShow) {
  const auto slide = SlideOf(2048, 1536, Blobs);
  const std::vector<uint8_t> labels = LabelsOf(*slide, BorderBlind(kSide), Options(64, 0));
  EXPECT_GT(BorderOverInterior(labels, 2048, 64), 1.1);
}

TEST(Seams, AShiftedGridChangesLittle) {
  const auto slide = SlideOf(2048, 1536, Blobs);
  const std::vector<uint8_t> a = LabelsOf(*slide, BorderBlind(kSide), Options(32, 0));
  const std::vector<uint8_t> b = LabelsOf(*slide, BorderBlind(kSide), Options(32, 16));
  int64_t changed = 0;
  for (size_t i = 0; i < a.size(); ++i) changed += a[i] != b[i];
  const double share = static_cast<double>(changed) / static_cast<double>(a.size());
  std::printf("changed by half a tile: %.4f %%\n", 100 * share);
  EXPECT_LE(share, 0.005);
  EXPECT_GT(changed, 0);
}

}  // namespace
}  // namespace eosin::testing
