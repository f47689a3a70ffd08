// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <map>

#include <torch/types.h>

#include "core/formats/csv.h"
#include "engine/data/image_source.h"
#include "eval/embedding_file.h"
#include "eval/study/run.h"
#include "eval/study/subject.h"
#include "tests/eval/made_images.h"
#include "tests/testing.h"

namespace eosin::eval {
namespace {

EvalOptions SmallOptions(const std::filesystem::path& folder) {
  EvalOptions options;
  options.encoders = {(folder / "a.safetensors").string(), (folder / "b.safetensors").string()};
  options.data = (folder / "images").string();
  options.out = (folder / "out").string();
  options.batch = 16;
  options.random_seeds = 2;
  options.knn_ks = {5};
  options.knn_temperatures = {0.1};
  options.probe_l2s = {1e-3, 1e-1};
  options.shots = {2, 1000};
  options.shot_draws = 3;
  options.pixel_size = 8;
  options.picture_images = 12;
  options.draws = 200;
  options.compute.threads = 1;
  options.compute.device = "cpu";
  return options;
}

class EvalStudyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::MakeImages(folder_ / "images", 10, 2);
    testing::WriteTinyNet(folder_ / "a.safetensors", 5);
    testing::WriteTinyNet(folder_ / "b.safetensors", 6);
  }
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> Rows() const {
    const core::CsvTable table = core::ReadCsv(folder_.path() / "out" / "results.csv");
    std::map<std::pair<std::string, std::string>, std::vector<std::string>> rows;
    for (const auto& row : table.rows) {
      EXPECT_TRUE(rows.emplace(std::pair{row[0], row[1]}, row).second) << row[0] << row[1];
    }
    return rows;
  }
  testing::TempFolder folder_;
};

TEST_F(EvalStudyTest, MeasuresEverythingOnceAndReusesItsEmbeddings) {
  EvalOptions options = SmallOptions(folder_.path());
  options.finetune = true;
  options.finetuning.epochs = 2;
  options.finetuning.batch = 8;
  const EvalResult result = RunEval(options);
  EXPECT_EQ(result.reused, 0);
  EXPECT_EQ(result.size, 16);
  EXPECT_EQ(result.test_groups, 2);
  EXPECT_EQ(result.subjects, (std::vector<std::string>{"a", "b", "random init", "raw pixels"}));

  const auto rows = Rows();
  for (const char* encoder : {"a", "b", "random init"}) {
    for (const char* measure :
         {"kNN k=5 T=0.1", "linear probe", "linear probe, mean of classes", "2-shot, nearest mean",
          "2-shot, logistic", "silhouette", "Davies-Bouldin", "intra-class distance",
          "inter-class distance", "intra / inter", "k-means clusters, NMI", "RankMe", "uniformity",
          "alignment", "kNN, stain-shifted, mean", "linear, stain-shifted, worst",
          "feature cosine under stain shift, mean", "fine-tune, last epoch"}) {
      ASSERT_TRUE(rows.count({encoder, measure})) << encoder << ", " << measure;
      EXPECT_FALSE(rows.at({encoder, measure})[2].empty());
    }
    EXPECT_FALSE(rows.count({encoder, "1000-shot, logistic"}));
  }
  EXPECT_TRUE(rows.count({"raw pixels", "kNN k=5 T=0.1"}));
  EXPECT_TRUE(rows.count({"a - random init", "linear probe"}));
  EXPECT_TRUE(rows.count({"a - b", "linear probe"}));
  EXPECT_TRUE(rows.count({"a to b", "drift, CKA"}));
  EXPECT_TRUE(rows.count({"random init to a", "drift, weights of layer4"}));
  // The warning about shots that are not there.
  EXPECT_THAT(result.warnings, ::testing::Contains(::testing::HasSubstr("1000-shot")));
  EXPECT_EQ(result.pictures.size(), 9u);
  ASSERT_EQ(result.shifts.size(), 3u);
  EXPECT_EQ(result.shifts[0].shifts.size(), 17u);

  const std::string html = core::ReadFile(folder_.path() / "out" / "report.html");
  EXPECT_THAT(html, ::testing::HasSubstr(result.verdict.front().substr(0, 20)));
  EXPECT_THAT(html, ::testing::HasSubstr(result.encoders[0].fingerprint.substr(0, 16)));

  // By hand: the difference of two scores is the score of the difference.
  const double a = std::stod(rows.at({"a", "linear probe"})[2]);
  const double b = std::stod(rows.at({"b", "linear probe"})[2]);
  EXPECT_NEAR(std::stod(rows.at({"a - b", "linear probe"})[2]), a - b, 1e-9);

  // Again: nothing is embedded or trained, every number is the same.
  const std::string first = core::ReadFile(folder_.path() / "out" / "results.csv");
  const EvalResult again = RunEval(options);
  EXPECT_GT(again.reused, 12);
  EXPECT_EQ(core::ReadFile(folder_.path() / "out" / "results.csv"), first);

  // Other weights under the same name are embedded anew; the rest is reused.
  testing::WriteTinyNet(folder_ / "b.safetensors", 7);
  options.stain_shift = options.pictures = options.finetune = false;
  const EvalResult changed = RunEval(options);
  EXPECT_EQ(changed.reused, 5 * 3);  // a and two random seeds: train, val, test, two views
  EXPECT_NE(core::ReadFile(folder_.path() / "out" / "results.csv"), first);

  // What other tools read: all images of the set, in its order.
  const Embedding embedding =
      ReadEmbedding(folder_.path() / "out" / "embeddings" / "a" / "embedding.h5");
  EXPECT_EQ(embedding.features.sizes(), (std::vector<int64_t>{40, 64}));
  EXPECT_EQ(embedding.maker.fingerprint, result.encoders[0].fingerprint);
  EXPECT_EQ(embedding.classes, result.classes);
  EXPECT_EQ(embedding.labels.sum().item<int64_t>(), 20);
  const auto source = engine::OpenImageSource(options.data);
  for (int64_t i = 0; i < source->size(); ++i) {
    EXPECT_EQ(embedding.names[static_cast<size_t>(i)], source->name(i));
  }
}

TEST_F(EvalStudyTest, BadInputsAreSaidBeforeAnythingIsRead) {
  EvalOptions options = SmallOptions(folder_.path());
  options.data.clear();
  testing::ExpectError([&] { RunEval(options); }, core::ExitCode::kUsage, "no data");
  options = SmallOptions(folder_.path());
  options.knn_temperatures = {0.1, 0.2};
  testing::ExpectError([&] { RunEval(options); }, core::ExitCode::kUsage, "eval.knn_ks");
  options = SmallOptions(folder_.path());
  options.shots = {1.5};
  testing::ExpectError([&] { RunEval(options); }, core::ExitCode::kUsage, "whole number");
  options = SmallOptions(folder_.path());
  options.encoders = {(folder_ / "missing.pth").string()};
  testing::ExpectError([&] { RunEval(options); }, core::ExitCode::kBadInput, "missing.pth");
  options = SmallOptions(folder_.path());
  options.data = (folder_ / "nowhere").string();
  testing::ExpectError([&] { RunEval(options); }, core::ExitCode::kBadInput, "nowhere");
  // A folder of something else.
  options = SmallOptions(folder_.path());
  options.out = options.data;
  testing::ExpectError([&] { RunEval(options); }, core::ExitCode::kBadInput, "not empty");
  // A picture that does not decode is named.
  core::WriteFileAtomic(folder_.path() / "images" / "along" / "p4_0.png", "no picture");
  testing::ExpectError([&] { RunEval(SmallOptions(folder_.path())); }, core::ExitCode::kBadInput,
                       "p4_0.png");
}

TEST(VerdictTest, SaysWhatIsShownAndWhatIsNot) {
  EvalResult result;
  result.test_groups = 12;
  result.grouped = true;
  result.comparisons = {{"a", "random init", "linear probe", {5, 2, 8}},
                        {"a", "raw pixels", "kNN k=200 T=0.1", {-3, -5, -1}},
                        {"a", "raw pixels", "kNN k=20 T=0.07", {9, 8, 10}},
                        {"a", "b", "linear probe", {1, -2, 4}},
                        {"a", "b", "kNN k=20 T=0.07", {7, 6, 8}}};
  EXPECT_EQ(MakeVerdict(result),
            (std::vector<std::string>{
                "a is above random init by 5.0 points [2.0, 8.0] on these 12 test groups (linear "
                "probe).",
                "a is below raw pixels by 3.0 points [1.0, 5.0] on these 12 test groups (kNN k=200 "
                "T=0.1).",
                "Between a and b no difference is shown on these 12 test groups: +1.0 points "
                "[-2.0, 4.0] (linear probe)."}));
}

TEST(VerdictTest, FewGroupsShowNothing) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  EvalResult result;
  result.test_groups = 5;
  result.grouped = true;
  result.comparisons = {{"a", "random init", "linear probe", {5, 2, 8}}};
  EXPECT_EQ(MakeVerdict(result),
            (std::vector<std::string>{
                "So few test groups cannot show a difference, whatever the scores: 5 where 6 or "
                "more are needed.",
                "a less random init: +5.0 points [2.0, 8.0] on these 5 test groups (linear "
                "probe)."}));
  result.test_groups = 1;
  result.comparisons[0].difference = {5, kNan, kNan};
  EXPECT_EQ(MakeVerdict(result)[1],
            "a less random init: +5.0 points [interval not known] on this 1 test group (linear "
            "probe).");
  result.test_groups = 6;
  result.comparisons[0].difference = {5, 2, 8};
  EXPECT_THAT(MakeVerdict(result), ::testing::ElementsAre(::testing::HasSubstr("is above")));
}

TEST_F(EvalStudyTest, FewImagesOfOneGroupAreStillReported) {
  EvalOptions options = SmallOptions(folder_.path());
  std::filesystem::remove_all(folder_ / "images");
  testing::MakeImages(folder_ / "images", 3, 1, {"train", "train", "test"});
  options.shots = {1};
  const EvalResult result = RunEval(options);
  EXPECT_EQ(result.test, 2);
  EXPECT_EQ(result.test_groups, 1);
  EXPECT_TRUE(result.pictures.empty());
  EXPECT_THAT(result.warnings, ::testing::Contains(::testing::HasSubstr("No pictures")));
  EXPECT_THAT(result.verdict.front(), ::testing::HasSubstr("cannot show"));
  const auto rows = Rows();
  const auto& knn = rows.at({"a", "kNN k=5 T=0.1"});
  EXPECT_FALSE(knn[2].empty());
  EXPECT_TRUE(knn[3].empty() && knn[4].empty()) << "no interval over one group";
  EXPECT_EQ(knn[8], "k = 4: no more training images");
  EXPECT_TRUE(rows.at({"a - b", "linear probe"})[3].empty());
  EXPECT_EQ(rows.at({"a to b", "drift, CKA"})[6], "2");
  EXPECT_THAT(
      core::ReadFile(folder_.path() / "out" / "report.html"),
      ::testing::AllOf(::testing::HasSubstr(" [-]"), ::testing::HasSubstr("assumed ImageNet"),
                       ::testing::Not(::testing::HasSubstr("[nan"))));
}

TEST_F(EvalStudyTest, AFolderHoldsOneConfigAndItsResults) {
  EvalOptions options = SmallOptions(folder_.path());
  options.stain_shift = options.pictures = options.geometry = false;
  options.shots = {};
  options.random_seeds = 1;
  options.probe.iterations = 1;
  const EvalResult result = RunEval(options);
  const auto out = [&](const std::string& name) { return folder_.path() / "out" / name; };
  const std::string config = core::ReadFile(out("config.toml"));
  const auto finished = [&] {
    return core::ReadFile(out("state.json")).find("\"finished\": true") != std::string::npos;
  };
  EXPECT_TRUE(finished());
  EXPECT_TRUE(std::filesystem::exists(out("embeddings/b/embedding.h5")));
  // What did not converge says so where numbers are read.
  EXPECT_EQ(Rows().at({"a", "linear probe"})[8], "not converged");
  EXPECT_THAT(core::ReadFile(out("log.txt")), ::testing::HasSubstr("did not converge"));

  // A command that is refused leaves the folder as it was.
  EvalOptions wrong = options;
  wrong.encoders = {(folder_ / "missing.pth").string()};
  testing::ExpectError([&] { RunEval(wrong); }, core::ExitCode::kBadInput, "missing.pth");
  EXPECT_EQ(core::ReadFile(out("config.toml")), config);
  EXPECT_TRUE(finished() && std::filesystem::exists(out("results.csv")));

  // One that fails later leaves no results of the other config.
  wrong = options;
  wrong.encoders.pop_back();
  core::StateDict broken = engine::ToStateDict(*testing::TinyNet(3));
  for (auto& tensor : broken.tensors) {
    if (tensor.name != "bn1.weight") continue;
    std::fill(tensor.data.begin(), tensor.data.end(), 0xFF);  // not a number
  }
  core::WriteSafetensors(folder_ / "a.safetensors", broken);
  testing::ExpectError([&] { RunEval(wrong); }, core::ExitCode::kBadInput, "not finite");
  EXPECT_NE(core::ReadFile(out("config.toml")), config);
  EXPECT_FALSE(finished());
  EXPECT_FALSE(std::filesystem::exists(out("results.csv")));

  // And the next one exports its own encoders alone.
  testing::WriteTinyNet(folder_ / "a.safetensors", 5);
  RunEval(wrong);
  EXPECT_TRUE(finished());
  EXPECT_TRUE(std::filesystem::exists(out("embeddings/a/embedding.h5")));
  EXPECT_FALSE(std::filesystem::exists(out("embeddings/b")));
  EXPECT_FALSE(std::filesystem::exists(out("embeddings.part")));
}

TEST(FrozenTest, AChangedWeightIsFound) {
  Subject subject;
  subject.members.emplace_back();
  Member& member = subject.members[0];
  member.encoder.name = "a";
  member.encoder.net = testing::TinyNet(1);
  member.fingerprint = Fingerprint(*member.encoder.net);
  ProveFrozen(subject);
  const at::NoGradGuard no_grad;
  member.encoder.net->named_parameters()["layer3.0.conv1.weight"].flatten()[7] += 1e-6f;
  testing::ExpectError([&] { ProveFrozen(subject); }, core::ExitCode::kBadInput,
                       "a changed while it was evaluated as frozen");
}

}  // namespace
}  // namespace eosin::eval
