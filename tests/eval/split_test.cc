// SPDX-License-Identifier: Apache-2.0
#include "eval/study/split.h"
#include "eval/study/seen.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/store/tile_store.h"
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

TEST(SplitTest, EveryImageNeedsItsSplit) {
  const testing::TempFolder folder;
  testing::MakeImages(folder.path(), 4, 1, {"train", "train", "val", "test"});
  const std::string whole = core::ReadFile(folder / "index.csv");
  // The first, and one in between.
  for (const std::string cell : {"patient0,train", "patient2,val"}) {
    std::string index = whole;
    index.replace(index.find(cell), cell.size(), cell.substr(0, 9));
    core::WriteFileAtomic(folder / "index.csv", index);
    testing::ExpectError([&] { MakeSplit(folder.path(), "", {}); }, core::ExitCode::kBadInput,
                         "has split = \"\"");
  }
  // Nothing in the column: the groups are drawn.
  testing::MakeImages(folder.path(), 4, 1, {"", "", "", ""});
  EXPECT_THAT(MakeSplit(folder.path(), "", {}).how, ::testing::HasSubstr("drawn"));
  // Absolute paths keep what the column says.
  std::string index = whole;
  for (size_t at = 0; (at = index.find("\na", at)) != std::string::npos; at += 2) {
    index.insert(at + 1, folder.path().string() + "/");
  }
  core::WriteFileAtomic(folder / "index.csv", index);
  const Split split = MakeSplit(folder.path(), "", {});
  EXPECT_EQ(Groups(split.test), (std::set<std::string>{"patient3"}));
  EXPECT_EQ(split.train.source->name(0), "across/p0_0.png");
}

TEST(SplitTest, ThePatientsOfTwoSetsMustDifferEvenWithOnePictureEach) {
  const testing::TempFolder folder;
  // One picture a patient, named as the patient.
  for (const std::string set : {"a", "b"}) {
    testing::MakeImages(folder / set, 2, 1);
    std::string index = "file,class,group\n";
    for (const std::string name : {"across", "along"}) {
      for (int p = 0; p < 2; ++p) {
        const std::string patient = name + std::to_string(p);
        std::filesystem::rename(folder.path() / set / name / ("p" + std::to_string(p) + "_0.png"),
                                folder.path() / set / name / (patient + ".png"));
        index += name + "/" + patient + ".png," + name + "," + patient + "\n";
      }
    }
    core::WriteFileAtomic(folder.path() / set / "index.csv", index);
  }
  testing::ExpectError([&] { MakeSplit(folder / "a", folder / "b", {}); },
                       core::ExitCode::kBadInput, "4 of the groups");
  // Groups of one side alone are not known groups of the whole.
  std::filesystem::remove(folder.path() / "b" / "index.csv");
  for (const std::string name : {"across", "along"}) {
    for (const std::string p : {"0", "1"}) {
      std::filesystem::rename(folder.path() / "b" / name / (name + p + ".png"),
                              folder.path() / "b" / name / ("other" + name + p + ".png"));
    }
  }
  EXPECT_FALSE(MakeSplit(folder / "a", folder / "b", {}).grouped);
}

TEST(SplitTest, TheSameSlideInTwoSetsOfStoresIsRefused) {
  const testing::TempFolder folder;
  const auto write = [&](const std::string& path) {
    std::filesystem::create_directories((folder / path).parent_path());
    core::TileStoreInfo info;
    info.slide_name = "s.svs";
    info.width = info.height = 64;
    info.mpp_x = info.mpp_y = 0.5;
    info.tile_size = info.stride = info.patch_size_level0 = 8;
    info.tile_mpp = 0.5;
    info.encoding = "raw";
    core::TileStoreWriter writer(folder / path, info);
    for (int i = 0; i < 2; ++i) writer.Append(8 * i, 0, core::Bytes(8 * 8 * 3, 9), 1);
    writer.Finish();
  };
  // No patient is stored: the slide's name counts.
  for (const std::string path : {"a/benign/s1", "a/tumour/s2", "b/benign/s3", "b/tumour/s2"}) {
    write(path + ".h5");
  }
  testing::ExpectError([&] { MakeSplit(folder / "a", folder / "b", {}); },
                       core::ExitCode::kBadInput, "s2");
  std::filesystem::rename(folder / "b/tumour/s2.h5", folder / "b/tumour/s4.h5");
  EXPECT_TRUE(MakeSplit(folder / "a", folder / "b", {}).grouped);
}

TEST(SplitTest, NamesClassesThatAreOnOneSideAlone) {
  const testing::TempFolder folder;
  testing::MakeImages(folder.path(), 4, 1, {"train", "train", "val", "test"});
  // A third class in the test part alone, a fourth in the training part alone.
  std::string index = core::ReadFile(folder / "index.csv");
  const auto give = [&](const std::string& row, const std::string& name) {
    index.replace(index.find(row) + row.find(",") + 1, row.size() - row.find(",") - 1, name);
  };
  give("along/p3_0.png,along", "rare");
  give("along/p0_0.png,along", "common");
  core::WriteFileAtomic(folder / "index.csv", index);
  Split split = MakeSplit(folder.path(), "", {});
  const std::vector<std::string> sentences = CheckClasses(split);
  ASSERT_EQ(sentences.size(), 2u);
  EXPECT_THAT(sentences[0], ::testing::HasSubstr("Test images of rare "));
  EXPECT_THAT(sentences[1], ::testing::HasSubstr("no image of along, common:"));
  split.train = split.train.Take({0});
  testing::ExpectError([&] { CheckClasses(split); }, core::ExitCode::kBadInput, "one class only");
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

  // One patient has no interval, as there is nothing to resample.
  const Measure alone = AccuracyMeasure("x", "kNN", {{0.5}}, MakeGrouping({"p", "p"}), 500, 1);
  EXPECT_DOUBLE_EQ(alone.value.estimate, 50);
  EXPECT_TRUE(std::isnan(alone.value.low) && std::isnan(alone.value.high));
  EXPECT_TRUE(std::isnan(Difference(alone, alone, MakeGrouping({"p", "p"}), 500, 1).low));

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

TEST(ScoresTest, DifferencesPairDrawsAndGroups) {
  const Grouping grouping = MakeGrouping({"a", "b", "c", "d"});
  // Draws and groups differ by far more than the encoders do: ten points, everywhere.
  core::SeedPatientTable high = {{1, 0.2, 0.7, 0.4}, {0.5, 0.1, 0.3, 0.9}, {0.8, 0.6, 0.2, 0.1}};
  core::SeedPatientTable low = high;
  for (auto& row : low) {
    for (double& share : row) share -= 0.1;
  }
  const auto difference = [&](core::SeedPatientTable a, core::SeedPatientTable b) {
    return Difference(AccuracyMeasure("x", "5-shot", std::move(a), grouping, 500, 1),
                      AccuracyMeasure("y", "5-shot", std::move(b), grouping, 500, 1), grouping, 500,
                      1);
  };
  const core::Interval paired = difference(high, low);
  EXPECT_NEAR(paired.low, 10, 1e-9);
  EXPECT_NEAR(paired.high, 10, 1e-9);
  // Draws or groups out of step: the same mean, but no certainty.
  core::SeedPatientTable other_draws = {low[1], low[2], low[0]}, other_groups = low;
  for (auto& row : other_groups) std::reverse(row.begin(), row.end());
  for (const auto& table : {other_draws, other_groups}) {
    const core::Interval mispaired = difference(high, table);
    EXPECT_NEAR(mispaired.estimate, 10, 1e-9);
    EXPECT_GT(mispaired.high - mispaired.low, 20);
  }
  // One row stands against every row of the other, and not against the first alone.
  const core::Interval one = difference({{1, 1, 1, 1}}, {{1, 1, 1, 1}, {0, 0, 0, 0}});
  EXPECT_NEAR(one.estimate, 50, 1e-9);
  EXPECT_NEAR(one.low, 0, 1e-9);
  EXPECT_NEAR(one.high, 100, 1e-9);
  // Two rows are no copies of one row, so four do not pair with them.
  testing::ExpectError([&] { difference({low[0], low[1]}, {low[0], low[1], low[0], low[1]}); },
                       core::ExitCode::kBadInput, "do not pair");
}

TEST(ScoresTest, TheMeanOverSeedsKeepsARowADraw) {
  // Four draws of shots, seen by three seeds: which draw it was is all that matters.
  const Grouping grouping = MakeGrouping({"a", "b"});
  std::vector<core::SeedPatientTable> seeds;
  core::SeedPatientTable stacked;
  for (int seed = 0; seed < 3; ++seed) {
    seeds.emplace_back();
    for (const double share : {0.1, 0.9, 0.3, 0.7}) {
      seeds.back().push_back({share + 0.01 * seed, share + 0.01 * seed});
      stacked.push_back(seeds.back().back());
    }
  }
  const core::SeedPatientTable mean = MeanTable(seeds);
  ASSERT_EQ(mean.size(), 4u);
  EXPECT_NEAR(mean[1][0], 0.91, 1e-12);
  EXPECT_NEAR(mean[3][1], 0.71, 1e-12);
  const auto width = [&](const core::SeedPatientTable& table) {
    const core::Interval i = AccuracyMeasure("x", "5-shot", table, grouping, 2000, 1).value;
    EXPECT_NEAR(i.estimate, 51, 1e-9);
    return i.high - i.low;
  };
  // Rows of one draw are no independent witnesses: twelve would narrow the interval by sqrt(3).
  EXPECT_GT(width(mean), 1.4 * width(stacked));
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
  EXPECT_NEAR(mean.high, 5 + 2.7764451 * error, 1e-6);  // t of 4 degrees of freedom
  EXPECT_NEAR(mean.low, 5 - 2.7764451 * error, 1e-6);
  EXPECT_TRUE(std::isnan(
      Jackknife(MakeGrouping({"a", "b"}), 1, nullptr, [](const auto&) { return 1.0; }).low));
}

}  // namespace
}  // namespace eosin::eval
