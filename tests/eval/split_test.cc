// SPDX-License-Identifier: Apache-2.0
#include "eval/study/split.h"
#include "eval/study/seen.h"

#include <set>

#include "eval/study/scores.h"
#include "tests/eval/made_images.h"
#include "tests/testing.h"

namespace eosin::eval {
namespace {

std::set<std::string> Groups(const ImageSet& set) {
  const auto groups = set.Groups();
  return {groups.begin(), groups.end()};
}

TEST(SplitTest, DrawsGroupsAndKeepsThemWhole) {
  const testing::TempFolder folder;
  testing::MakeImages(folder.path(), 10, 2);
  const Split split = MakeSplit(folder.path(), "", {.seed = 3});
  EXPECT_EQ(split.classes, (std::vector<std::string>{"across", "along"}));
  EXPECT_TRUE(split.grouped);
  EXPECT_EQ(Groups(split.test).size(), 2u);  // 20 % of 10
  EXPECT_EQ(Groups(split.val).size(), 2u);
  EXPECT_EQ(Groups(split.train).size(), 6u);
  EXPECT_EQ(split.train.size() + split.val.size() + split.test.size(), 40);
  for (const std::string& group : Groups(split.test)) {
    EXPECT_EQ(Groups(split.train).count(group) + Groups(split.val).count(group), 0u);
  }
  EXPECT_EQ(Groups(MakeSplit(folder.path(), "", {.seed = 3}).test), Groups(split.test));
  EXPECT_THAT(split.Describe(), ::testing::HasSubstr("test  8 images, 2 groups"));
}

TEST(SplitTest, TakesTheColumnOfTheIndexAndRefusesItsLeaks) {
  const testing::TempFolder folder;
  testing::MakeImages(folder.path(), 4, 1, {"train", "train", "val", "test"});
  const Split split = MakeSplit(folder.path(), "", {});
  EXPECT_EQ(Groups(split.test), (std::set<std::string>{"patient3"}));
  EXPECT_EQ(Groups(split.val), (std::set<std::string>{"patient2"}));
  EXPECT_EQ(split.train.size(), 4);

  // Patient 3 in train and in test.
  std::string index = core::ReadFile(folder / "index.csv");
  index.replace(index.find("patient0,train"), 8, "patient3");
  core::WriteFileAtomic(folder / "index.csv", index);
  testing::ExpectError([&] { MakeSplit(folder.path(), "", {}); }, core::ExitCode::kBadInput,
                       "patient3");
  index.replace(index.find(",train"), 6, ",practice");
  core::WriteFileAtomic(folder / "index.csv", index);
  testing::ExpectError([&] { MakeSplit(folder.path(), "", {}); }, core::ExitCode::kBadInput,
                       "practice");
}

TEST(SeenInPretrainingTest, WarnsUnlessTheTestImagesWereLeftOut) {
  const testing::TempFolder folder;
  core::MakeFolder(folder / "set");
  core::MakeFolder(folder / "run");
  const std::string weights = folder / "run/encoder.safetensors";
  EvalOptions options;
  options.data = folder / "set/";
  const auto seen = [&](const std::string& data, const std::string& split) {
    core::WriteFileAtomic(
        folder / "run/provenance.json",
        R"({"processes": [{}, {"data": ")" + data + R"(", "data_split": ")" + split + R"("}]})");
    return !SeenInPretraining("a", weights, options).empty();
  };
  EXPECT_TRUE(SeenInPretraining("a", weights, options).empty());  // nothing is known
  EXPECT_TRUE(seen(folder / "set", ""));
  EXPECT_TRUE(seen(folder / "set", "test"));
  EXPECT_FALSE(seen(folder / "set", "train"));
  EXPECT_FALSE(seen(folder / "run", ""));
  options.test = folder / "set";  // whole
  EXPECT_TRUE(seen(folder / "set", "train"));
  core::WriteFileAtomic(folder / "run/provenance.json", "no json");
  EXPECT_TRUE(SeenInPretraining("a", weights, options).empty());
}

TEST(SplitTest, AnotherSetIsTestedOnWholeAndMustFit) {
  const testing::TempFolder folder;
  testing::MakeImages(folder / "a", 3, 2);
  testing::MakeImages(folder / "b", 2, 2, {}, 100);
  // The same patients in both: a leak.
  testing::ExpectError([&] { MakeSplit(folder / "a", folder / "b", {}); },
                       core::ExitCode::kBadInput, "groups");
  // Without groups the pictures' names may agree.
  std::filesystem::remove(folder.path() / "a" / "index.csv");
  std::filesystem::remove(folder.path() / "b" / "index.csv");
  const Split split = MakeSplit(folder / "a", folder / "b", {});
  EXPECT_EQ(split.train.size(), 12);
  EXPECT_EQ(split.val.size(), 0);
  EXPECT_EQ(split.test.size(), 8);
  EXPECT_FALSE(split.grouped);
  const Split thin = MakeSplit(folder / "a", folder / "b", {.train_images = 6, .test_images = 4});
  EXPECT_EQ(thin.train.size(), 6);
  EXPECT_EQ(std::count(thin.train.labels.begin(), thin.train.labels.end(), 0), 3);
  EXPECT_EQ(thin.test.size(), 4);

  std::filesystem::rename(folder.path() / "b" / "along", folder.path() / "b" / "other");
  testing::ExpectError([&] { MakeSplit(folder / "a", folder / "b", {}); },
                       core::ExitCode::kBadInput, "other");
  // One class, no classes.
  testing::ExpectError([&] { MakeSplit(folder.path() / "a" / "along", "", {}); },
                       core::ExitCode::kBadInput, "no labels");
}

TEST(SplitTest, GroupsMayBeNumberedAnewInEachClass) {
  const testing::TempFolder folder;
  testing::MakeImages(folder.path(), 3, 1, {"train", "train", "test"});
  // Patient 2 of one class is tested on, and trained on in the other.
  std::string index = core::ReadFile(folder / "index.csv");
  index.replace(index.rfind("patient2,test"), 13, "patient2,train");
  index.replace(index.rfind("patient0,train"), 14, "patient0,test");
  core::WriteFileAtomic(folder / "index.csv", index);
  try {
    MakeSplit(folder.path(), "", {});
    ADD_FAILURE() << "a leak was let through";
  } catch (const core::DataError& error) {
    EXPECT_THAT(error.hint(), ::testing::HasSubstr("groups_per_class"));
  }
  const Split split = MakeSplit(folder.path(), "", {.groups_per_class = true});
  EXPECT_EQ(split.train.size(), 4);
  EXPECT_EQ(Groups(split.train).size(), 4u);
  EXPECT_EQ(split.test.size(), 2);
}

TEST(SplitTest, FindsImagesThatAreOnBothSides) {
  const testing::TempFolder folder;
  testing::MakeImages(folder.path(), 5, 1, {"train", "train", "val", "test", "test"});
  const auto copy = std::filesystem::copy_options::overwrite_existing;
  std::filesystem::copy_file(folder.path() / "along" / "p3_0.png",
                             folder.path() / "along" / "p0_0.png", copy);
  std::filesystem::copy_file(folder.path() / "across" / "p4_0.png",
                             folder.path() / "across" / "p2_0.png", copy);
  const Split split = MakeSplit(folder.path(), "", {});
  const ImageHashes hashes = HashImages(split, 2);
  const std::vector<Duplicate> found = FindDuplicates(hashes);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_FALSE(found[0].in_val);
  EXPECT_EQ(split.train.source->name(split.train.indices[static_cast<size_t>(found[0].place)]),
            "along/p0_0.png");
  EXPECT_EQ(split.test.source->name(split.test.indices[static_cast<size_t>(found[0].test)]),
            "along/p3_0.png");
  EXPECT_TRUE(found[1].in_val);
  // The digest sees order and labels.
  ImageSet other = split.test;
  other.labels[0] = 1 - other.labels[0];
  EXPECT_NE(hashes.Digest(hashes.test, split.test), hashes.Digest(hashes.test, other));
}

TEST(ScoresTest, SharesAndAccuracyByHand) {
  const Grouping grouping = MakeGrouping({"b", "a", "b", "b"});
  EXPECT_EQ(grouping.group, (std::vector<int64_t>{1, 0, 1, 1}));
  EXPECT_EQ(grouping.sizes, (std::vector<double>{1, 3}));
  const std::vector<double> shares = GroupShares({0, 1, 1, 0}, {0, 0, 1, 1}, grouping);
  EXPECT_EQ(shares, (std::vector<double>{0, 2.0 / 3}));
  const Measure a = AccuracyMeasure("x", "kNN", {shares}, grouping, 500, 1);
  EXPECT_DOUBLE_EQ(a.value.estimate, 50);  // two of four images
  EXPECT_LE(a.value.low, 50);
  EXPECT_GE(a.value.high, 50);
  EXPECT_EQ(a.n, 2);

  // All right in every group against all wrong: 100 points for sure, whatever the repetitions.
  const Measure all = AccuracyMeasure("x", "kNN", {{1, 1}}, grouping, 500, 1);
  const Measure none = AccuracyMeasure("y", "kNN", {{0, 0}, {0, 0}, {0, 0}}, grouping, 500, 1);
  const core::Interval difference = Difference(all, none, grouping, 500, 1);
  EXPECT_DOUBLE_EQ(difference.low, 100);
  EXPECT_DOUBLE_EQ(difference.high, 100);
  Measure two = all;
  two.table = {{1, 1}, {1, 1}};
  testing::ExpectError([&] { Difference(two, none, grouping, 500, 1); }, core::ExitCode::kBadInput,
                       "do not pair");
}

TEST(ScoresTest, JackknifeOfAMeanIsItsStandardError) {
  // Five groups of one image each; of a mean, the jackknife's error is s / sqrt(n).
  const std::vector<double> values = {1, 2, 4, 8, 10};
  const Grouping grouping = MakeGrouping({"a", "b", "c", "d", "e"});
  int64_t blocks = 0;
  const core::Interval mean =
      Jackknife(grouping, 1, &blocks, [&](const std::vector<int64_t>& images) {
        double sum = 0;
        for (const int64_t i : images) sum += values[static_cast<size_t>(i)];
        return sum / static_cast<double>(images.size());
      });
  EXPECT_EQ(blocks, 5);
  EXPECT_DOUBLE_EQ(mean.estimate, 5);
  const double error = std::sqrt((16 + 9 + 1 + 9 + 25) / 4.0 / 5);
  EXPECT_NEAR(mean.high, 5 + 1.96 * error, 1e-9);
  EXPECT_NEAR(mean.low, 5 - 1.96 * error, 1e-9);
  EXPECT_TRUE(std::isnan(
      Jackknife(MakeGrouping({"a", "b"}), 1, nullptr, [](const auto&) { return 1.0; }).low));
}

}  // namespace
}  // namespace eosin::eval
