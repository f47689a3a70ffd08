// SPDX-License-Identifier: Apache-2.0
// Against scipy, scikit-image, scikit-learn and the published formulas in Python:
// tests/parity/make_segmentation_score_fixtures.py.
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "eval/segmentation/measures.h"
#include "tests/eval/segmentation/made_masks.h"

namespace eosin::eval {
namespace {

using testing::Mask;

TEST(SegmentationParity, PublishedFormulas) {
  const auto fixture = testing::FixtureFolder() / "segmentation" / "scores.json";
  const auto root = nlohmann::json::parse(core::ReadFile(fixture));
  size_t compared = 0;
  for (const auto& entry : root.at("cases")) {
    SCOPED_TRACE(entry.at("name").get<std::string>());
    const Mask truth(entry.at("truth").get<std::vector<std::string>>());
    const Mask seen(entry.at("prediction").get<std::vector<std::string>>());
    std::vector<uint16_t> instances;
    if (entry.contains("instances")) {
      instances = Mask(entry.at("instances").get<std::vector<std::string>>()).Numbers();
    }
    const int classes = entry.at("classes");
    ScoreOptions options;
    options.tolerance = entry.at("tolerance");
    options.min_area = entry.at("min_area");
    const ImageScores scores = ScoreMasks({.width = truth.width,
                                           .height = truth.height,
                                           .truth = truth.pixels,
                                           .prediction = seen.pixels,
                                           .instances = instances,
                                           .classes = classes,
                                           .ignore = 35,
                                           .mpp = entry.at("mpp")},
                                          options);
    for (int t = 0; t < classes; ++t) {
      for (int p = 0; p < classes; ++p) {
        EXPECT_EQ(scores.counts.count(t, p), entry.at("confusion").at(t).at(p).get<int64_t>());
      }
    }
    EXPECT_NEAR(scores.counts.PixelAccuracy(), entry.at("pixel_accuracy").get<double>(), 1e-9);
    for (int c = 1; c < classes; ++c) {
      for (const auto& [name, expected] : entry.at("scores").at(c - 1).items()) {
        const double value = FindMeasure(name).value(scores, c);
        if (expected.is_null()) {
          EXPECT_TRUE(std::isnan(value)) << name << " of class " << c << " is " << value;
        } else {
          EXPECT_NEAR(value, expected.get<double>(), 1e-9) << name << " of class " << c;
        }
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 450u);
}

}  // namespace
}  // namespace eosin::eval
