// SPDX-License-Identifier: Apache-2.0
#include "eval/knn.h"

#include <torch/types.h>
#include <cmath>

#include "eval/embed.h"
#include "tests/eval/analysis_fixture.h"

namespace eosin::eval {
namespace {

TEST(KnnTest, VotesByHand) {
  // Query (1, 0). Cosines: .8 (class 0), .6 (class 1), .6 (class 1), -1 (class 2).
  const at::Tensor bank = torch::tensor({{8.0f, 6.0f}, {0.6f, 0.8f}, {3.0f, -4.0f}, {-1.0f, 0.0f}});
  const at::Tensor labels = torch::tensor({int64_t{0}, int64_t{1}, int64_t{1}, int64_t{2}});
  const at::Tensor query = torch::tensor({{5.0f, 0.0f}});
  auto predict = [&](int64_t k, double t) {
    return KnnPredict(bank, labels, query, 3, {.k = k, .temperature = t}).item<int64_t>();
  };
  EXPECT_EQ(predict(1, 0.1), 0);
  EXPECT_EQ(predict(3, 0.1), 0);    // e^8 = 2981 against 2 e^6 = 807
  EXPECT_EQ(predict(3, 1.0), 1);    // e^.8 = 2.23 against 2 e^.6 = 3.64
  EXPECT_EQ(predict(200, 1.0), 1);  // k above the bank
}

TEST(KnnTest, BlocksChangeNothingAndAgreeWithALoop) {
  at::manual_seed(3);
  const int64_t classes = 5, k = 7;
  const at::Tensor bank = torch::randn({60, 8}), queries = torch::randn({37, 8});
  const at::Tensor labels = torch::randint(classes, {60}, at::kLong);
  const at::Tensor whole = KnnPredict(bank, labels, queries, classes, {.k = k, .temperature = 0.2});
  EXPECT_TRUE(at::equal(
      whole, KnnPredict(bank, labels, queries, classes, {.k = k, .temperature = 0.2, .block = 5})));
  for (int64_t q = 0; q < queries.size(0); ++q) {
    std::vector<std::pair<double, int64_t>> near;
    for (int64_t i = 0; i < bank.size(0); ++i) {
      const double cosine =
          (bank[i].dot(queries[q]) / (bank[i].norm() * queries[q].norm())).item<double>();
      near.emplace_back(-cosine, labels[i].item<int64_t>());
    }
    std::sort(near.begin(), near.end());
    std::vector<double> votes(classes);
    for (int64_t n = 0; n < k; ++n) {
      votes[static_cast<size_t>(near[static_cast<size_t>(n)].second)] +=
          std::exp(-near[static_cast<size_t>(n)].first / 0.2);
    }
    const auto best = std::max_element(votes.begin(), votes.end()) - votes.begin();
    EXPECT_EQ(whole[q].item<int64_t>(), best) << "query " << q;
  }
  const double accuracy = KnnAccuracy(bank, labels, bank, labels, classes, {.k = 1});
  EXPECT_EQ(accuracy, 1.0);
}

TEST(KnnTest, BothVotesAgreeWithStraightPython) {
  const auto fixture = AnalysisFixture("small");
  const at::Tensor x = Doubles(fixture["x"], {60, 7}).to(at::kFloat);
  const at::Tensor bank = x.narrow(0, 0, 40), queries = x.narrow(0, 40, 20);
  const at::Tensor labels = Integers(fixture["labels"]).narrow(0, 0, 40);
  for (const auto& [name, vote] :
       {std::pair{"exp", KnnVote::kExp}, std::pair{"inverse", KnnVote::kInverseDistance}}) {
    const KnnOptions options{.block = 7, .vote = vote};
    const at::Tensor predicted = KnnPredictMany(bank, labels, queries, 5, kUsualKs, options);
    ASSERT_EQ(predicted.sizes(), (std::vector<int64_t>{5, 20}));
    for (size_t i = 0; i < kUsualKs.size(); ++i) {
      const at::Tensor expected = Integers(fixture["knn"][name][std::to_string(kUsualKs[i])]);
      EXPECT_TRUE(at::equal(predicted[static_cast<int64_t>(i)], expected))
          << name << " k = " << kUsualKs[i];
    }
  }
}

TEST(KnnTest, AListIsEachKAlone) {
  at::manual_seed(8);
  const at::Tensor bank = torch::randn({90, 6}), queries = torch::randn({31, 6});
  const at::Tensor labels = torch::randint(4, {90}, at::kLong);
  const at::Tensor truth = torch::randint(4, {31}, at::kLong);
  const std::vector<int64_t> ks = {20, 1, 500, 7, 7};  // any order, above the bank, twice
  for (const KnnVote vote : {KnnVote::kExp, KnnVote::kInverseDistance}) {
    const at::Tensor all = KnnPredictMany(bank, labels, queries, 4, ks, {.vote = vote});
    const std::vector<double> shares =
        KnnAccuracies(bank, labels, queries, truth, 4, ks, {.vote = vote});
    for (size_t i = 0; i < ks.size(); ++i) {
      const KnnOptions one{.k = ks[i], .vote = vote};
      EXPECT_TRUE(
          at::equal(all[static_cast<int64_t>(i)], KnnPredict(bank, labels, queries, 4, one)));
      EXPECT_EQ(shares[i], KnnAccuracy(bank, labels, queries, truth, 4, one));
    }
  }
  testing::ExpectError([&] { KnnPredict(bank, labels, queries, 4, {.k = 0}); },
                       core::ExitCode::kUsage, "k = 0");
}

TEST(KnnTest, AListOfTemperaturesIsEachPairAlone) {
  at::manual_seed(9);
  const at::Tensor bank = torch::randn({80, 6}), queries = torch::randn({200, 6});
  const at::Tensor labels = torch::randint(4, {80}, at::kLong);
  // Any order, one temperature twice, a k twice.
  const std::vector<int64_t> ks = {20, 60, 5, 20, 500};
  const std::vector<double> temperatures = {0.07, 0.1, 0.1, 5, 0.07};
  const at::Tensor all = KnnPredictMany(bank, labels, queries, 4, ks, temperatures, {.block = 33});
  for (size_t i = 0; i < ks.size(); ++i) {
    EXPECT_TRUE(at::equal(
        all[static_cast<int64_t>(i)],
        KnnPredict(bank, labels, queries, 4, {.k = ks[i], .temperature = temperatures[i]})))
        << i;
  }
  EXPECT_FALSE(at::equal(all[0], all[3])) << "the temperature matters";
  testing::ExpectError(
      [&] { KnnPredictMany(bank, labels, queries, 4, {1, 2}, {0.1}, KnnOptions{}); },
      core::ExitCode::kUsage, "1 temperatures");
}

TEST(KnnTest, ALowTemperatureDoesNotOverflow) {
  // exp(1 / .005) is beyond fp32; the nearest must win all the same.
  const at::Tensor bank = torch::tensor({{1.0f, 0.0f}, {0.8f, 0.6f}, {0.8f, 0.6f}});
  const at::Tensor labels = torch::tensor({1, 0, 0}, at::kLong);
  const at::Tensor query = torch::tensor({{1.0f, 0.01f}});
  EXPECT_EQ(KnnPredict(bank, labels, query, 2, {.k = 3, .temperature = 0.005}).item<int64_t>(), 1);
}

TEST(KnnTest, InverseDistanceByHand) {
  // Distances 1 (class 0), 1.5 and 1.5 (class 1): 1 against 1.33; a copy outvotes everything.
  const at::Tensor bank = torch::tensor({{1.0f}, {-1.5f}, {1.5f}});
  const at::Tensor labels = torch::tensor({0, 1, 1}, at::kLong);
  const auto predict = [&](float at, int64_t k) {
    return KnnPredict(bank, labels, torch::full({1, 1}, at), 2,
                      {.k = k, .vote = KnnVote::kInverseDistance})
        .item<int64_t>();
  };
  EXPECT_EQ(predict(0, 1), 0);
  EXPECT_EQ(predict(0, 3), 1);
  EXPECT_EQ(predict(1, 3), 0);
}

TEST(KnnTest, RefusesFeaturesThatDoNotFit) {
  testing::ExpectError(
      [] {
        KnnPredict(torch::ones({2, 3}), torch::zeros({2}, at::kLong), torch::ones({1, 4}), 2, {});
      },
      core::ExitCode::kBadInput, "kNN needs");
}

// Images of one colour each; image 3 does not decode.
class Colours : public engine::ImageSource {
 public:
  explicit Colours(int64_t broken = -1) : broken_(broken) {}
  int64_t size() const override { return 7; }
  core::Image Read(int64_t i) const override {
    if (i == broken_) throw core::DataError("damaged", "x");
    return core::Image(40, 36, 3, static_cast<uint8_t>(30 * i + 10));
  }
  std::string name(int64_t i) const override { return "image " + std::to_string(i); }
  std::string group(int64_t i) const override { return name(i); }
  int64_t label(int64_t) const override { return -1; }
  const std::vector<std::string>& classes() const override { return classes_; }

 private:
  int64_t broken_;
  std::vector<std::string> classes_;
};

TEST(EmbedTest, KeepsTheOrderWhateverTheBatchAndMode) {
  engine::ResNetOptions options;
  options.arch = "resnet18";
  options.stem = "cifar";
  options.width = 8;
  engine::ResNet net(options);
  engine::InitResNet(net, 1);
  net->train();
  const engine::Compute compute;
  const Colours source;
  const at::Tensor some = Embed(net, source, {5, 0, 3}, {.size = 32, .batch = 2}, compute);
  const at::Tensor all =
      Embed(net, source, {0, 1, 2, 3, 4, 5, 6}, {.size = 32, .batch = 7, .workers = 2}, compute);
  ASSERT_EQ(some.sizes(), (std::vector<int64_t>{3, net->feature_dim()}));
  EXPECT_LT((some[0] - all[5]).abs().max().item<double>(), 1e-5);
  EXPECT_LT((some[1] - all[0]).abs().max().item<double>(), 1e-5);
  EXPECT_GT((some[0] - some[1]).abs().max().item<double>(), 1e-3);
  EXPECT_TRUE(net->is_training()) << "the mode is given back";
  EXPECT_FALSE(some.requires_grad());
  // By hand: the eval-mode network on a constant image.
  net->eval();
  std::vector<uint8_t> bytes(32 * 32 * 3, 30 * 5 + 10);
  const at::Tensor direct = net->forward(engine::ToInput(bytes.data(), 1, 32, compute.device, {}));
  EXPECT_LT((some[0] - direct[0]).abs().max().item<double>(), 1e-4);
}

TEST(EmbedTest, NamesAnImageThatDoesNotDecode) {
  engine::ResNetOptions options;
  options.arch = "resnet18";
  options.stem = "cifar";
  options.width = 8;
  engine::ResNet net(options);
  testing::ExpectError(
      [&] { Embed(net, Colours(3), {2, 3, 4}, {.size = 32, .batch = 3}, engine::Compute()); },
      core::ExitCode::kBadInput, "image 3");
}

}  // namespace
}  // namespace eosin::eval
