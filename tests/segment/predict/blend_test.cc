// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/blend_weights.h"

#include "segment/predict/dihedral.h"
#include "segment/predict/mirror.h"
#include "tests/segment/predict/made_network.h"

namespace eosin::testing {
namespace {

using namespace segment;

TEST(Mirror, BouncesWithoutRepeatingTheBorder) {
  const std::vector<int64_t> want = {1, 2, 1, 0, 1, 2, 1, 0};  // of -3 to 4
  for (int64_t i = -3; i < 5; ++i) EXPECT_EQ(Mirror(i, 3), want[static_cast<size_t>(i + 3)]) << i;
  EXPECT_EQ(Mirror(-7, 1), 0);
  EXPECT_EQ(Mirror(-2, 10), 2);
  EXPECT_EQ(Mirror(11, 10), 7);
}

TEST(Mirror, SpansHoldEveryPixelLookedAt) {
  for (int64_t size = 1; size < 24; ++size) {
    for (int64_t window = 1; window < 20; ++window) {
      for (int64_t start = 1 - window; start < size; ++start) {
        const Span span = MirroredSpan(start, window, size);
        ASSERT_GE(span.begin, 0);
        ASSERT_LE(span.end, size);
        for (int64_t i = start; i < start + window; ++i) {
          ASSERT_GE(Mirror(i, size), span.begin) << size << " " << window << " " << start;
          ASSERT_LT(Mirror(i, size), span.end) << size << " " << window << " " << start;
        }
      }
    }
  }
}

TEST(WindowAxis, CoversItsAxisAndEndsThere) {
  for (const int64_t size : {1, 5, 63, 64, 65, 200, 257}) {
    for (const int stride : {64, 48, 32, 13, 1}) {
      for (const int64_t offset : {0, 1, 31}) {
        const WindowAxis axis(size, 64, stride, offset);
        EXPECT_LE(axis.Start(0), 0);
        EXPECT_GT(axis.Start(0) + 64, 0);
        EXPECT_LT(axis.Start(axis.count - 1), size);
        EXPECT_GE(axis.Start(axis.count - 1) + 64, size);
        EXPECT_EQ(axis.Done(0), 0);
        EXPECT_EQ(axis.Done(axis.count), size);
        for (int64_t at = 0; at < size; ++at) {
          const int64_t first = axis.FirstReaching(at);
          ASSERT_GT(axis.Start(first) + 64, at);
          if (first > 0) {
            ASSERT_LE(axis.Start(first - 1) + 64, at);
          }
        }
      }
    }
  }
}

// At every pixel, at the edges too, the windows' weights sum to one exactly.
TEST(BlendWeights, SumExactlyEverywhere) {
  for (const std::string& blend : BlendNames()) {
    for (const int stride : {64, 48, 32, 31, 7}) {
      for (const int64_t size : {10, 64, 300}) {
        const WindowAxis axis(size, 64, stride, 5);
        BlendWeights weights(axis, blend);
        std::vector<uint32_t> sums(static_cast<size_t>(size));
        for (int64_t i = 0; i < axis.count; ++i) {
          for (int k = 0; k < 64; ++k) {
            const int64_t at = axis.Start(i) + k;
            if (at >= 0 && at < size) {
              sums[static_cast<size_t>(at)] += weights.Of(i)[static_cast<size_t>(k)];
            }
          }
        }
        for (const uint32_t sum : sums) ASSERT_EQ(sum, kAxisOne) << blend << " " << stride;
      }
    }
  }
}

TEST(BlendWeights, TrustTheMiddle) {
  const WindowAxis axis(1000, 64, 32, 0);
  for (const std::string& blend : BlendNames()) {
    BlendWeights weights(axis, blend);
    const std::vector<uint32_t>& w = weights.Of(5);
    EXPECT_LE(w[0], 1U);
    EXPECT_LE(w[63], 1U);
    EXPECT_GE(w[31], kAxisOne - 2);  // its neighbours are at their borders there
    EXPECT_NEAR(w[16], 128, 24);     // as deep in this window as in the one before
    for (size_t k = 1; k < 32; ++k) EXPECT_GE(w[k], w[k - 1]);
  }
}

// By hand: windows of 4 every 2 pixels, cosine: sin^2 at 1/8, 3/8, 5/8, 7/8 of pi.
TEST(BlendWeights, ByHand) {
  BlendWeights weights(WindowAxis(100, 4, 2, 0), "cosine");
  // .1464 and .8536 sum to 1: 37.49 and 218.51 of 256; the larger remainder gets the last.
  EXPECT_EQ(weights.Of(10), (std::vector<uint32_t>{37, 219, 219, 37}));
}

TEST(Dihedral, PlacesAreTheSquaresGroup) {
  for (int g = 0; g < kDihedralElements; ++g) {
    std::vector<int> hits(25);
    for (int y = 0; y < 5; ++y) {
      for (int x = 0; x < 5; ++x) {
        const Place p = DihedralSource(g, x, y, 5);
        ++hits[static_cast<size_t>(p.y * 5 + p.x)];
      }
    }
    EXPECT_THAT(hits, ::testing::Each(1)) << g;
  }
  EXPECT_EQ(DihedralSource(1, 0, 0, 5).y, 4);  // a quarter turn brings the lower left up
  EXPECT_EQ(DihedralSource(4, 0, 0, 5).x, 4);  // the flip
}

// Turning the window turns the answer, whatever the network does.
TEST(Dihedral, AnswersTurnWithTheWindow) {
  constexpr int kSide = 8, kClasses = 2;
  const Network crooked = [](const uint8_t* images, int64_t count, uint16_t* out) {
    for (int64_t i = 0; i < count * kSide * kSide * kClasses; ++i) {
      const int64_t pixel = i % (kSide * kSide), image = i / (kSide * kSide * kClasses);
      const int64_t left = pixel % kSide > 0 ? pixel - 1 : pixel;  // knows left from right
      out[i] = static_cast<uint16_t>(images[(image * kSide * kSide + left) * 3] * 100 +
                                     (i / (kSide * kSide)) % kClasses);
    }
  };
  const Network even = Dihedral(crooked, kSide, kClasses);
  std::vector<uint8_t> image(kSide * kSide * 3), turned(image.size());
  for (size_t i = 0; i < image.size(); ++i) {
    image[i] = FakeSlide::Hash(0, static_cast<int64_t>(i), 3, 0);
  }
  std::vector<uint16_t> want(kSide * kSide * kClasses), got(want.size());
  even(image.data(), 1, want.data());
  for (int g = 0; g < kDihedralElements; ++g) {
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        const Place p = DihedralSource(g, x, y, kSide);
        for (int c = 0; c < 3; ++c) {
          turned[static_cast<size_t>((y * kSide + x) * 3 + c)] =
              image[static_cast<size_t>((p.y * kSide + p.x) * 3 + c)];
        }
      }
    }
    even(turned.data(), 1, got.data());
    for (int c = 0; c < kClasses; ++c) {
      for (int y = 0; y < kSide; ++y) {
        for (int x = 0; x < kSide; ++x) {
          const Place p = DihedralSource(g, x, y, kSide);
          ASSERT_EQ(got[static_cast<size_t>((c * kSide + y) * kSide + x)],
                    want[static_cast<size_t>((c * kSide + p.y) * kSide + p.x)])
              << g;
        }
      }
    }
  }
}

}  // namespace
}  // namespace eosin::testing
