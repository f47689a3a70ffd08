// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/predict_plan.h"

#include <set>

#include "tests/segment/predict/made_network.h"

namespace eosin::testing {
namespace {

using namespace segment;

int Nothing(int64_t, int64_t) { return 0; }

TEST(PredictPlan, WholeSlideWithoutTissue) {
  const auto slide = SlideOf(600, 300, Nothing);
  const PredictPlan plan = PlanOf(*slide, {});
  EXPECT_EQ(plan.width, 600);
  EXPECT_EQ(plan.height, 300);
  EXPECT_EQ(plan.cells.count(), 19 * 10);
  EXPECT_EQ(plan.blocks.tiles.size(), 3U * 2);
  EXPECT_EQ(plan.CountWindows(), plan.x.count * plan.y.count);
}

TEST(PredictPlan, ScaleIsTheModels) {
  const auto slide = SlideOf(601, 300, Nothing, 128, 0.5);
  MapOptions options;
  options.mpp = 1.25;
  const PredictPlan plan = PlanOf(*slide, options);
  EXPECT_DOUBLE_EQ(plan.downsample, 2.5);
  EXPECT_EQ(plan.width, 240);  // 240.4
  EXPECT_EQ(plan.height, 120);
}

TEST(PredictPlan, RefusesUnknownAndFinerScales) {
  const auto slide = SlideOf(600, 300, Nothing);
  MapOptions options;
  options.mpp = 0.5;
  ExpectError([&] { PlanOf(*slide, options); }, core::ExitCode::kBadInput, "finer than the slide");
  slide->OverrideMpp(0);
  ExpectError([&] { PlanOf(*slide, {}); }, core::ExitCode::kBadInput, "does not say its scale");
}

// Which pixels are predicted depends on tissue alone, and all windows over them are run, with all
// the blocks they look at.
TEST(PredictPlan, TissueDecidesCellsWindowsAndBlocks) {
  const auto slide = SlideOf(900, 700, Nothing);
  core::Image picture(90, 70, 1);
  picture.row(20)[30] = 255;  // level-0 pixels 300-309, 200-209
  picture.row(69)[89] = 255;  // the lower right corner
  const tiling::TissueMask tissue(picture, 900, 700);
  for (const int64_t shift : {0, 7, 31}) {
    MapOptions options;
    options.tissue = &tissue;
    options.shift = shift;
    const PredictPlan plan = PlanOf(*slide, options);
    EXPECT_EQ(plan.cells.count(), 3);
    EXPECT_TRUE(plan.cells.at(9, 6));    // 288-319, 192-223
    EXPECT_TRUE(plan.cells.at(28, 21));  // 896-899, 672-699
    EXPECT_TRUE(plan.cells.at(27, 21));  // 890-895
    std::set<std::pair<int64_t, int64_t>> blocks;
    for (const auto& tile : plan.blocks.tiles) blocks.insert({tile.x / kBlock, tile.y / kBlock});
    EXPECT_EQ(blocks.size(), plan.blocks.tiles.size());
    for (int64_t row = 0; row < plan.y.count; ++row) {
      const std::vector<int64_t> columns = plan.Columns(row);
      for (int64_t i = 0; i < plan.x.count; ++i) {
        const auto touches = [&](int64_t left, int64_t top, int64_t right, int64_t bottom) {
          return plan.x.Start(i) < right && plan.x.Start(i) + 64 > left &&
                 plan.y.Start(row) < bottom && plan.y.Start(row) + 64 > top;
        };
        const bool want = touches(288, 192, 320, 224) || touches(864, 672, 900, 700);
        const bool have = std::count(columns.begin(), columns.end(), i) > 0;
        if (have) {
          for (int64_t y = 0; y < 64; ++y) {
            for (int64_t x = 0; x < 64; ++x) {
              const int64_t u = Mirror(plan.x.Start(i) + x, 900);
              const int64_t v = Mirror(plan.y.Start(row) + y, 700);
              ASSERT_TRUE(blocks.contains({u / kBlock, v / kBlock}));
            }
          }
        }
        if (touches(896, 672, 900, 700) || touches(288, 192, 320, 224)) {
          EXPECT_TRUE(have);
        }
        if (!want) {
          EXPECT_FALSE(have);
        }
      }
    }
  }
}

TEST(PredictPlan, StaysInsideTheScannedBounds) {
  class Bounded : public FakeSlide {
   public:
    using FakeSlide::FakeSlide;
    void SetBounds() { geometry_.bounds = {320, 0, 100, 300}; }
  };
  tiling::SlideLevel level;
  level.width = 600;
  level.height = 300;
  level.tile_width = level.tile_height = 128;
  Bounded slide({level}, 1);
  slide.SetBounds();
  const PredictPlan plan = PlanOf(slide, {});
  EXPECT_FALSE(plan.cells.at(9, 0));
  EXPECT_TRUE(plan.cells.at(10, 0));
  EXPECT_TRUE(plan.cells.at(13, 0));  // 416-447 begins inside
  EXPECT_FALSE(plan.cells.at(14, 0));
}

}  // namespace
}  // namespace eosin::testing
