// SPDX-License-Identifier: Apache-2.0
#include "eval/analysis/projections.h"

#include <ATen/Parallel.h>
#include <algorithm>
#include <cmath>
#include <span>

#include "eval/analysis/tsne.h"
#include "eval/analysis/umap.h"
#include "tests/eval/analysis_fixture.h"

namespace eosin::eval {
namespace {

at::Tensor Digits(const nlohmann::json& fixture) {
  const std::string pixels = fixture["pixels"];
  std::vector<float> values;
  for (const char c : pixels) values.push_back(static_cast<float>(c - 'a'));
  return torch::tensor(values).view({-1, 64});
}

std::vector<float> Column(const at::Tensor& points, int64_t c) {
  const at::Tensor column = points.select(1, c).to(at::kFloat).contiguous();
  return {column.const_data_ptr<float>(), column.const_data_ptr<float>() + column.numel()};
}

TEST(PcaTest, AgreesWithScikitLearn) {
  const auto fixture = AnalysisFixture("small");
  const at::Tensor x = Doubles(fixture["x"], {60, 7});
  const Pca pca = FitPca(x, 4);
  EXPECT_LT((pca.variance - Doubles(fixture["pca_variance"], {4})).abs().max().item<double>(),
            1e-7);
  EXPECT_LT((pca.share - Doubles(fixture["pca_share"], {4})).abs().max().item<double>(), 1e-8);
  // scikit-learn's signs follow the same rule.
  EXPECT_LT(
      (pca.components - Doubles(fixture["pca_components"], {4, 7})).abs().max().item<double>(),
      1e-7);
  EXPECT_NEAR(pca.Project(x).select(1, 0).to(at::kDouble).var().item<double>(),
              pca.variance[0].item<double>(), 1e-5);
}

TEST(PcaTest, WideAndNarrowAgree) {
  at::manual_seed(1);
  const at::Tensor x = torch::randn({12, 40}, at::kDouble);
  const Pca wide = FitPca(x, 5);
  // The same rows padded to more samples than channels: each twice.
  const Pca narrow = FitPca(x.repeat({4, 1}), 5);
  EXPECT_LT((wide.components - narrow.components).abs().max().item<double>(), 1e-9);
  EXPECT_LT((wide.share - narrow.share).abs().max().item<double>(), 1e-9);
  EXPECT_LT((torch::matmul(wide.components, wide.components.t()) - torch::eye(5, at::kDouble))
                .abs()
                .max()
                .item<double>(),
            1e-9);
  // Rank 1: nothing is made of the rest.
  const Pca line = FitPca(torch::arange(6, at::kDouble).unsqueeze(1) * torch::ones({1, 9}), 3);
  EXPECT_NEAR(line.share[0].item<double>(), 1, 1e-12);
  EXPECT_FALSE(line.components.isnan().any().item<bool>());
  testing::ExpectError([] { FitPca(torch::ones({1, 3}), 2); }, core::ExitCode::kBadInput, "PCA");
}

TEST(TrustworthinessTest, AgreesWithScikitLearn) {
  const auto fixture = AnalysisFixture("small");
  const at::Tensor x = Doubles(fixture["x"], {60, 7});
  EXPECT_NEAR(Trustworthiness(x, x.narrow(1, 0, 2), 5), fixture["trustworthiness"], 1e-9);
  EXPECT_NEAR(Trustworthiness(x, x.narrow(1, 0, 2), 7, Distance::kCosine),
              fixture["trustworthiness_cosine"], 1e-9);
  EXPECT_EQ(Trustworthiness(x, x, 5), 1);
  testing::ExpectError([&] { Trustworthiness(x, x, 30); }, core::ExitCode::kBadInput, "k = 30");
}

TEST(TsneTest, CalibrationReachesThePerplexity) {
  at::manual_seed(3);
  for (const double perplexity : {2.0, 9.0, 30.0}) {
    // Distances on scales from tiny to huge; one row of ties.
    for (const double scale : {1e-8, 1.0, 1e8}) {
      const at::Tensor d2 = torch::rand({100}, at::kDouble).square() * scale;
      std::vector<double> row(d2.const_data_ptr<double>(), d2.const_data_ptr<double>() + 100);
      row[17] = 0;
      tsne::Calibrate(&row, 17, perplexity);
      double entropy = 0, sum = 0;
      for (const double p : row) {
        sum += p;
        if (p > 0) entropy -= p * std::log(p);
      }
      EXPECT_EQ(row[17], 0);
      EXPECT_NEAR(sum, 1, 1e-9);
      EXPECT_NEAR(entropy, std::log(perplexity), 1.1e-5) << perplexity << " " << scale;
    }
  }
  std::vector<double> equal(10, 4.0);
  tsne::Calibrate(&equal, 0, 3);  // no beta can reach it: uniform
  EXPECT_NEAR(equal[1], 1.0 / 9, 1e-12);
}

TEST(TsneTest, JointProbabilitiesAgreeWithScikitLearn) {
  const auto fixture = AnalysisFixture("small");
  const at::Tensor joint = tsne::JointProbabilities(Doubles(fixture["x"], {60, 7}), 9);
  EXPECT_NEAR(joint.sum(at::kDouble).item<double>(), 1, 1e-5);
  EXPECT_TRUE(at::equal(joint, joint.t()));
  const std::vector<double> theirs = fixture["joint"];  // the upper triangle
  size_t at = 0;
  double worst = 0;
  for (int64_t i = 0; i < 60; ++i) {
    for (int64_t j = i + 1; j < 60; ++j) {
      worst = std::max(worst, std::abs(joint[i][j].item<double>() - theirs[at++]));
    }
  }
  EXPECT_LT(worst, 2e-7);  // of values up to 2e-3: both stop at 1e-5 of the entropy
}

TEST(TsneTest, GradientIsThatOfTheDivergence) {
  at::manual_seed(5);
  const at::Tensor joint = tsne::JointProbabilities(torch::randn({21, 4}, at::kDouble), 5);
  const float* p = joint.const_data_ptr<float>();
  const at::Tensor points = torch::randn({21, 2});
  std::vector<float> x = Column(points, 0), y = Column(points, 1), gx, gy;
  tsne::Gradient(p, x, y, 1, &gx, &gy);
  constexpr float kStep = 1.0f / 256;
  for (size_t i = 0; i < x.size(); ++i) {
    for (auto [coordinate, gradient] : {std::pair{&x, &gx}, std::pair{&y, &gy}}) {
      const float before = (*coordinate)[i];
      (*coordinate)[i] = before + kStep;
      const double up = tsne::Divergence(p, x, y);
      (*coordinate)[i] = before - kStep;
      const double down = tsne::Divergence(p, x, y);
      (*coordinate)[i] = before;
      EXPECT_NEAR((up - down) / (2 * kStep), (*gradient)[i], 2e-5);
    }
  }
  // Exaggeration scales the pull alone: linear in it.
  std::vector<float> g2, g3, unused;
  tsne::Gradient(p, x, y, 2, &g2, &unused);
  tsne::Gradient(p, x, y, 3, &g3, &unused);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(g3[i] - g2[i], g2[i] - gx[i], 1e-5);
}

TEST(TsneTest, ThreadsChangeNothing) {
  at::manual_seed(6);
  const at::Tensor joint = tsne::JointProbabilities(torch::randn({300, 4}), 5);
  const at::Tensor points = torch::randn({300, 2});
  const std::vector<float> x = Column(points, 0), y = Column(points, 1);
  std::vector<float> gx, gy, two_x, two_y;
  tsne::Gradient(joint.const_data_ptr<float>(), x, y, 1, &gx, &gy);
  const double divergence = tsne::Divergence(joint.const_data_ptr<float>(), x, y);
  at::set_num_threads(2);
  tsne::Gradient(joint.const_data_ptr<float>(), x, y, 1, &two_x, &two_y);
  EXPECT_EQ(tsne::Divergence(joint.const_data_ptr<float>(), x, y), divergence);
  at::set_num_threads(1);
  EXPECT_EQ(gx, two_x);
  EXPECT_EQ(gy, two_y);
}

TEST(TsneTest, DivergenceFallsAndTheSameInputGivesTheSamePoints) {
  const at::Tensor x = Clouds(4, 40, 10, 8, 2);
  double last = 1e9;
  for (const int64_t iterations : {260, 400, 900}) {
    const TsneOptions options{.perplexity = 20, .iterations = iterations};
    const TsneResult result = Tsne(x, options);
    EXPECT_LT(result.kl, last);
    last = result.kl;
    if (iterations == 400) {
      EXPECT_TRUE(at::equal(result.points, Tsne(x, options).points));
    }
  }
}

TEST(TsneTest, KeepsDigitsAsScikitLearnDoes) {
  const auto fixture = AnalysisFixture("digits");
  const at::Tensor x = Digits(fixture);
  const TsneResult result = Tsne(x);
  EXPECT_GE(Trustworthiness(x, result.points), fixture["tsne_trust"].get<double>() - 0.005);
  // It minimises the same divergence as well.
  EXPECT_NEAR(result.kl, fixture["tsne_kl"], 0.03);
}

TEST(UmapTest, CurvesAgreeWithUmapLearn) {
  for (const auto& row : AnalysisFixture("digits")["curves"]) {
    const umap::Curve curve = umap::FitCurve(row[0], row[1]);
    EXPECT_NEAR(curve.a, row[2], 2e-4) << row;
    EXPECT_NEAR(curve.b, row[3], 2e-4) << row;
  }
  EXPECT_NEAR(umap::FitCurve(0.1, 1).a, 1.577, 1e-3);
  EXPECT_NEAR(umap::FitCurve(0.1, 1).b, 0.895, 1e-3);
}

TEST(UmapTest, SmoothDistancesAgreeWithUmapLearn) {
  const auto fixture = AnalysisFixture("digits");
  const std::vector<double> near = fixture["near"], sigma = fixture["sigma"], rho = fixture["rho"];
  double mean = 0;
  for (const double distance : near) mean += distance / static_cast<double>(near.size());
  for (size_t i = 0; i < sigma.size(); ++i) {
    const std::span<const double> row(near.data() + 15 * i + 1, 14);  // 15 with the row itself
    const umap::Smooth smooth = umap::SmoothKnn(row, mean);
    EXPECT_NEAR(smooth.rho, rho[i], 1e-5);
    EXPECT_NEAR(smooth.sigma, sigma[i], 1e-4 * (1 + sigma[i])) << i;
  }
  // All neighbours in one place: the floor.
  const std::vector<double> zeros(5);
  EXPECT_DOUBLE_EQ(umap::SmoothKnn(zeros, 7).sigma, 7e-3);  // a thousandth of the mean
}

TEST(UmapTest, FuzzyUnionAgreesWithUmapLearn) {
  const auto fixture = AnalysisFixture("digits");
  const at::Tensor x = Digits(fixture).narrow(0, 0, 80);
  const Neighbours near = NearestNeighbours(x, 14, Distance::kEuclidean);
  const umap::Graph graph = umap::FuzzyUnion(near.index, near.distance);
  EXPECT_EQ(graph.weight.size(), fixture["edge_count"].get<size_t>());
  size_t i = 0;
  for (const auto& edge : fixture["edges"]) {
    ASSERT_LT(i, graph.weight.size());
    EXPECT_EQ(graph.from[i], edge[0]);
    EXPECT_EQ(graph.to[i], edge[1]);
    EXPECT_NEAR(graph.weight[i], edge[2].get<double>(), 2e-4);
    ++i;
  }
}

TEST(UmapTest, KeepsDigitsAsUmapLearnDoes) {
  const auto fixture = AnalysisFixture("digits");
  const at::Tensor x = Digits(fixture);
  std::vector<double> theirs = fixture["umap_trust"];
  std::sort(theirs.begin(), theirs.end());
  for (const uint64_t seed : {0, 1}) {
    const at::Tensor points = Umap(x, {.seed = seed});
    EXPECT_GE(Trustworthiness(x, points), theirs[theirs.size() / 2] - 0.01);
    if (seed == 0) {
      EXPECT_TRUE(at::equal(points, Umap(x, {.seed = seed})));
    }
  }
}

TEST(UmapTest, BadOptionsAndInput) {
  const at::Tensor x = Clouds(2, 10, 3, 5, 1);
  testing::ExpectError([&] { Umap(x, {.neighbours = 1}); }, core::ExitCode::kUsage, "1 neighbours");
  testing::ExpectError([&] { Umap(x.narrow(0, 0, 3)); }, core::ExitCode::kBadInput, "3 rows");
  testing::ExpectError([&] { Tsne(x.narrow(0, 0, 3)); }, core::ExitCode::kBadInput, "3 rows");
}

TEST(ProjectTest, SeparatedCloudsStaySeparated) {
  for (const std::string method : {"pca", "tsne", "umap"}) {
    for (uint64_t seed = 0; seed < 2; ++seed) {
      const at::Tensor x = Clouds(3, 60, 24, 16, seed), labels = CloudLabels(3, 60);
      ProjectionOptions options;
      options.rows = 150;
      options.pca = 10;
      options.seed = seed;
      options.tsne.iterations = 500;
      options.umap.epochs = 200;
      const Projection projection = Project(method, x, labels, options);
      ASSERT_EQ(projection.rows.size(), 150u);
      ASSERT_EQ(projection.points.sizes(), (std::vector<int64_t>{150, 2}));
      std::vector<int64_t> drawn;
      for (const int64_t row : projection.rows) drawn.push_back(row / 60);
      const at::Tensor own = torch::tensor(drawn, at::kLong);
      // Every point's nearest neighbours are of its class.
      const Neighbours near = NearestNeighbours(projection.points, 3, Distance::kEuclidean);
      const at::Tensor same = own.index_select(0, near.index.flatten()).view({150, 3});
      EXPECT_GE(same.eq(own.unsqueeze(1)).to(at::kDouble).mean().item<double>(), 0.99)
          << method << " seed " << seed;
      EXPECT_GT(projection.trustworthiness, method == "pca" ? 0.7 : 0.85) << method;
    }
  }
}

TEST(ProjectTest, PointsInOnePlaceAndBadNames) {
  const at::Tensor same = torch::ones({30, 5}), none = torch::full({30}, -1, at::kLong);
  for (const std::string method : {"pca", "tsne", "umap"}) {
    const Projection projection = Project(method, same, none, {});
    EXPECT_TRUE(projection.points.isfinite().all().item<bool>()) << method;
  }
  testing::ExpectError([&] { Project("mds", same, none, {}); }, core::ExitCode::kUsage, "mds");
  testing::ExpectError([&] { Project("pca", same / 0, none, {}); }, core::ExitCode::kBadInput,
                       "not finite");
}

}  // namespace
}  // namespace eosin::eval
