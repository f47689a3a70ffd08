// SPDX-License-Identifier: Apache-2.0
#include "eval/analysis/clusters.h"

#include <cmath>

#include "tests/eval/analysis_fixture.h"

namespace eosin::eval {
namespace {

TEST(ClustersTest, ByHand) {
  // Two classes on a line: 0, 1 and 4, 6.
  const at::Tensor x = torch::tensor({{0.0}, {1.0}, {4.0}, {6.0}}, at::kDouble);
  const at::Tensor labels = torch::tensor({0, 0, 1, 1}, at::kLong);
  const ClassDistances facts = MeasureClasses(x, labels, Distance::kEuclidean);
  // a: 1, 1, 2, 2; b: 5, 4, 3.5, 5.5.
  EXPECT_NEAR(facts.silhouette, (4.0 / 5 + 3.0 / 4 + 1.5 / 3.5 + 3.5 / 5.5) / 4, 1e-12);
  EXPECT_NEAR(facts.intra, 1.5, 1e-12);
  EXPECT_NEAR(facts.inter, (4 + 6 + 3 + 5) / 4.0, 1e-12);
  EXPECT_NEAR(facts.ratio, 1.5 / 4.5, 1e-12);
  EXPECT_NEAR(facts.between[0][1].item<double>(), 4.5, 1e-12);
  EXPECT_NEAR(facts.between[1][1].item<double>(), 2, 1e-12);
  // Spreads .5 and 1, centres 4.5 apart.
  EXPECT_NEAR(DaviesBouldin(x, labels), 1.5 / 4.5, 1e-12);
}

TEST(ClustersTest, AgreesWithScikitLearn) {
  const auto fixture = AnalysisFixture("small");
  const at::Tensor x = Doubles(fixture["x"], {60, 7});
  const at::Tensor labels = Integers(fixture["labels"]), other = Integers(fixture["other"]);
  const auto euclidean = MeasureClasses(x, labels, Distance::kEuclidean);
  EXPECT_NEAR(euclidean.silhouette, fixture["silhouette_euclidean"], 1e-9);
  EXPECT_NEAR(MeasureClasses(x, labels, Distance::kCosine).silhouette, fixture["silhouette_cosine"],
              1e-9);
  EXPECT_NEAR(MeasureClasses(x.to(at::kFloat), labels, Distance::kCosine).silhouette,
              fixture["silhouette_cosine"], 1e-5);
  EXPECT_NEAR(MeasureClasses(x, labels, Distance::kEuclidean, 7).silhouette, euclidean.silhouette,
              1e-12);
  EXPECT_NEAR(DaviesBouldin(x, labels), fixture["davies_bouldin"], 1e-9);
  const Agreement agreement = CompareLabels(labels, other);
  EXPECT_NEAR(agreement.nmi, fixture["nmi"], 1e-9);
  EXPECT_NEAR(agreement.ari, fixture["ari"], 1e-9);
  const KMeansResult clusters = KMeans(x, {.clusters = 4, .starts = 20});
  EXPECT_NEAR(clusters.inertia, fixture["kmeans_inertia"], 1e-3);
}

TEST(ClustersTest, UnlabelledRowsAreLeftOut) {
  const at::Tensor x = Clouds(3, 20, 4, 5, 1);
  at::Tensor labels = CloudLabels(3, 20);
  const auto before = MeasureClasses(x, labels, Distance::kEuclidean);
  const at::Tensor more = torch::cat({x, torch::full({5, 4}, 100.0f)});
  const at::Tensor more_labels = torch::cat({labels, torch::full({5}, -1, at::kLong)});
  const auto after = MeasureClasses(more, more_labels, Distance::kEuclidean);
  EXPECT_NEAR(before.silhouette, after.silhouette, 1e-6);
  EXPECT_NEAR(DaviesBouldin(x, labels), DaviesBouldin(more, more_labels), 1e-9);
  // Labels need not be dense.
  labels.masked_fill_(labels.eq(1), 7);
  EXPECT_NEAR(MeasureClasses(x, labels, Distance::kEuclidean).silhouette, before.silhouette, 1e-6);
}

TEST(ClustersTest, DegenerateInputIsNoNumberOrAnError) {
  const at::Tensor x = torch::ones({4, 2}), one = torch::zeros({4}, at::kLong);
  EXPECT_TRUE(std::isnan(MeasureClasses(x, one, Distance::kCosine).silhouette));
  EXPECT_TRUE(std::isnan(MeasureClasses(x, one, Distance::kCosine).inter));
  EXPECT_TRUE(std::isnan(DaviesBouldin(x, one)));
  EXPECT_TRUE(std::isnan(MeasureClasses(x, one - 1, Distance::kCosine).silhouette));
  // Two classes in one place: no silhouette either way, worst Davies-Bouldin of points is 0.
  const at::Tensor two = torch::tensor({0, 0, 1, 1}, at::kLong);
  EXPECT_EQ(MeasureClasses(x, two, Distance::kEuclidean).silhouette, 0);
  testing::ExpectError([&] { MeasureClasses(x, one.narrow(0, 0, 3), Distance::kCosine); },
                       core::ExitCode::kBadInput, "one integer a row");
  testing::ExpectError([&] { MeasureClasses(x / 0 * 0, two, Distance::kCosine); },
                       core::ExitCode::kBadInput, "not finite");
}

TEST(KMeansTest, FindsCloudsWhateverTheSeed) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const at::Tensor x = Clouds(6, 40, 16, 14, seed);
    const KMeansResult clusters = KMeans(x, {.clusters = 6, .starts = 3, .seed = seed});
    EXPECT_EQ(CompareLabels(clusters.labels, CloudLabels(6, 40)).ari, 1) << seed;
    // The inertia is that of the labels and centres given.
    const at::Tensor own = clusters.centres.index_select(0, clusters.labels);
    EXPECT_NEAR((x - own).square().sum(at::kDouble).item<double>(), clusters.inertia,
                1e-4 * clusters.inertia);
    const KMeansResult again = KMeans(x, {.clusters = 6, .starts = 3, .seed = seed});
    EXPECT_TRUE(at::equal(clusters.labels, again.labels));
  }
}

TEST(KMeansTest, MoreClustersThanPlaces) {
  // Three places, five clusters wanted; and fewer rows than clusters.
  const at::Tensor x = torch::tensor({{0.0f}, {0.0f}, {0.0f}, {5.0f}, {5.0f}, {9.0f}});
  EXPECT_NEAR(KMeans(x, {.clusters = 5, .starts = 2}).inertia, 0, 1e-9);
  EXPECT_EQ(KMeans(x, {.clusters = 50, .starts = 1}).centres.size(0), 6);
  testing::ExpectError([&] { KMeans(x.narrow(0, 0, 0), {}); }, core::ExitCode::kBadInput,
                       "k-means");
}

TEST(AgreementTest, ByHand) {
  const at::Tensor a = torch::tensor({0, 0, 1, 1}, at::kLong);
  EXPECT_EQ(CompareLabels(a, a).ari, 1);
  EXPECT_NEAR(CompareLabels(a, torch::tensor({7, 7, 3, 3}, at::kLong)).nmi, 1, 1e-12);
  const Agreement none = CompareLabels(a, torch::tensor({0, 1, 0, 1}, at::kLong));
  EXPECT_NEAR(none.nmi, 0, 1e-12);
  EXPECT_NEAR(none.ari, -0.5, 1e-12);  // (0 - 4/6) / (2 - 4/6)
}

TEST(NeighboursTest, ExactAmongNearDuplicates) {
  at::manual_seed(4);
  // A tight pair far from the origin: expanded squares in fp32 cannot order them.
  at::Tensor x = torch::randn({50, 8}) + 300;
  x[1].copy_(x[0] + 1e-3);
  x[2].copy_(x[0] + 2e-3);
  for (const Distance distance : {Distance::kEuclidean, Distance::kCosine}) {
    const Neighbours near = NearestNeighbours(x, 6, distance, 16);
    const Neighbours whole = NearestNeighbours(x, 6, distance, 1000);
    EXPECT_TRUE(at::equal(near.index, whole.index));
    const at::Tensor rows = RowsFor(x.to(at::kDouble), distance);
    for (int64_t i = 0; i < 50; ++i) {
      double last = -1;
      for (int64_t j = 0; j < 6; ++j) {
        const int64_t other = near.index[i][j].item<int64_t>();
        EXPECT_NE(other, i);
        const double apart = near.distance[i][j].item<double>();
        EXPECT_GE(apart, last);
        last = apart;
      }
    }
    if (distance == Distance::kEuclidean) {
      EXPECT_EQ(near.index[0][0].item<int64_t>(), 1);
      EXPECT_EQ(near.index[0][1].item<int64_t>(), 2);
      EXPECT_NEAR(near.distance[0][0].item<double>(), 1e-3 * std::sqrt(8), 2e-4);
    }
  }
}

TEST(StratifiedRowsTest, SharesAndEveryClass) {
  // 900 of class 0, 90 of class 1, 9 of class 2, 1 unlabelled.
  const at::Tensor labels =
      torch::cat({torch::zeros({900}, at::kLong), torch::ones({90}, at::kLong),
                  torch::full({9}, 2, at::kLong), torch::full({1}, -1, at::kLong)});
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const std::vector<int64_t> rows = StratifiedRows(labels, 100, seed);
    ASSERT_EQ(rows.size(), 100u);
    EXPECT_TRUE(std::is_sorted(rows.begin(), rows.end()));
    std::vector<int> count(4);
    for (const int64_t row : rows) ++count[static_cast<size_t>(labels[row].item<int64_t>() + 1)];
    EXPECT_EQ(count[0], 1);
    EXPECT_NEAR(count[1], 90, 1);
    EXPECT_EQ(count[2], 9);
    EXPECT_GE(count[3], 1);
    EXPECT_EQ(rows, StratifiedRows(labels, 100, seed));
    EXPECT_NE(rows, StratifiedRows(labels, 100, seed + 1));
  }
  EXPECT_EQ(StratifiedRows(labels, 5000, 0).size(), 1000u);
  EXPECT_EQ(StratifiedRows(labels, 2, 0).size(), 2u);  // fewer than classes
}

}  // namespace
}  // namespace eosin::eval
