// SPDX-License-Identifier: Apache-2.0
#include "segment/data/split.h"

#include <fmt/format.h>
#include <algorithm>
#include <set>

#include "core/base/files.h"
#include "segment/data/split_file.h"
#include "tests/testing.h"

namespace eosin::segment {
namespace {

using core::ExitCode;
using testing::ExpectError;

std::vector<MaskItem> Items(int patients, int images) {
  std::vector<MaskItem> items;
  for (int p = 0; p < patients; ++p) {
    for (int i = 0; i < images; ++i) {
      items.push_back({fmt::format("p{}_{}", p, i), fmt::format("p{}", p), "", "", ""});
    }
  }
  return items;
}

std::vector<MaskDataset::Hashes> Hashes(size_t count) {
  std::vector<MaskDataset::Hashes> hashes;
  for (size_t i = 0; i < count; ++i)
    hashes.push_back({fmt::format("i{}", i), fmt::format("m{}", i)});
  return hashes;
}

TEST(Split, CountsAndDisjointPatients) {
  const auto items = Items(10, 3);
  for (int64_t seed = 0; seed < 50; ++seed) {
    const ImageSplit split = SplitByPatient(items, {.seed = seed});
    // 10 patients: 3 test, 2 validation, 5 train; 3 images each.
    EXPECT_EQ(split.test.size(), 9u);
    EXPECT_EQ(split.val.size(), 6u);
    EXPECT_EQ(split.train.size(), 15u);
    std::set<std::string> all;
    for (const auto* part : {&split.train, &split.val, &split.test}) {
      for (const std::string& patient : PatientsOf(items, *part)) {
        EXPECT_TRUE(all.insert(patient).second) << patient << " is in two parts";
      }
    }
    EXPECT_EQ(all.size(), 10u);
    EXPECT_NO_THROW(CheckNoLeak(items, Hashes(items.size()), split));
  }
}

TEST(Split, DependsOnTheSeedAlone) {
  const auto items = Items(12, 2);
  const ImageSplit a = SplitByPatient(items, {.seed = 4}), b = SplitByPatient(items, {.seed = 4});
  EXPECT_EQ(a.test, b.test);
  EXPECT_EQ(a.train, b.train);
  std::set<std::vector<int64_t>> tests;
  for (int64_t seed = 0; seed < 10; ++seed)
    tests.insert(SplitByPatient(items, {.seed = seed}).test);
  EXPECT_GT(tests.size(), 5u);
  // The order in which images are listed does not matter to who is where.
  auto reversed = items;
  std::reverse(reversed.begin(), reversed.end());
  EXPECT_EQ(PatientsOf(reversed, SplitByPatient(reversed, {.seed = 4}).test),
            PatientsOf(items, a.test));
}

TEST(Split, TooFewPatients) {
  ExpectError([] { SplitByPatient(Items(2, 9), {}); }, ExitCode::kBadInput, "2 patients");
  EXPECT_EQ(SplitByPatient(Items(3, 1), {}).train.size(), 1u);
  ExpectError([] { SplitByPatient(Items(9, 1), {.val = 0.5, .test = 0.5}); }, ExitCode::kUsage,
              "nobody");
  SplitOptions both{.file = "split.json", .official = true};
  ExpectError([&] { both.Check(); }, ExitCode::kUsage, "split.official");
}

TEST(Split, LeaksAreRefused) {
  const auto items = Items(6, 1);
  const ImageSplit split = SplitByPatient(items, {});
  auto hashes = Hashes(items.size());
  // The same picture under another name in the test part.
  hashes[static_cast<size_t>(split.test[0])].image =
      hashes[static_cast<size_t>(split.train[0])].image;
  ExpectError([&] { CheckNoLeak(items, hashes, split); }, ExitCode::kBadInput, "same picture");
  // A patient in two parts.
  auto shared = items;
  shared[static_cast<size_t>(split.val[0])].patient =
      shared[static_cast<size_t>(split.train[0])].patient;
  ExpectError([&] { CheckNoLeak(shared, Hashes(items.size()), split); }, ExitCode::kBadInput,
              "is in train");
  // A duplicate inside one part is no leak.
  auto twins = Hashes(items.size());
  ASSERT_GE(split.train.size(), 2u);
  twins[static_cast<size_t>(split.train[1])] = twins[static_cast<size_t>(split.train[0])];
  EXPECT_NO_THROW(CheckNoLeak(items, twins, split));
}

TEST(Split, JsonNamesEverythingAndIsStable) {
  const auto items = Items(4, 1);
  const ImageSplit split = SplitByPatient(items, {});
  const std::string json = SplitToJson(items, Hashes(4), split, {});
  for (const MaskItem& item : items) EXPECT_THAT(json, ::testing::HasSubstr(item.name));
  EXPECT_EQ(json, SplitToJson(items, Hashes(4), split, {}));
}

TEST(Split, OneSlideInTwoPartsIsRefused) {
  auto items = Items(6, 1);
  const ImageSplit split = SplitByPatient(items, {});
  items[static_cast<size_t>(split.train[0])].slide = "S1";
  items[static_cast<size_t>(split.test[0])].slide = "S2";
  EXPECT_NO_THROW(CheckNoLeak(items, Hashes(6), split));
  items[static_cast<size_t>(split.test[0])].slide = "S1";
  ExpectError([&] { CheckNoLeak(items, Hashes(6), split); }, ExitCode::kBadInput, "slide S1");
}

TEST(Split, FoldsTestEveryPatientOnce) {
  std::vector<MaskItem> items = Items(11, 1);
  for (int extra = 0; extra < 8; ++extra) {  // patient 3 has nine images
    items.push_back({fmt::format("more{}", extra), "p3", "", "", ""});
  }
  const auto splits = FoldsByPatient(items, {.seed = 5}, 4);
  ASSERT_EQ(splits.size(), 4u);
  std::vector<int> tested(items.size(), 0);
  for (const ImageSplit& split : splits) {
    EXPECT_NO_THROW(CheckNoLeak(items, Hashes(items.size()), split));
    EXPECT_EQ(split.train.size() + split.val.size() + split.test.size(), items.size());
    const size_t patients = PatientsOf(items, split.test).size();
    EXPECT_TRUE(patients == 2 || patients == 3) << patients;
    EXPECT_EQ(PatientsOf(items, split.val).size(), 2u);  // a fifth of eleven
    for (const int64_t i : split.test) ++tested[static_cast<size_t>(i)];
  }
  EXPECT_EQ(std::set<int>(tested.begin(), tested.end()), std::set<int>{1});
  EXPECT_EQ(FoldsByPatient(items, {.seed = 5}, 4)[2].test, splits[2].test);
  ExpectError([&] { FoldsByPatient(items, {}, 12); }, ExitCode::kBadInput, "12 folds");
  ExpectError([&] { FoldsByPatient(Items(3, 1), {}, 2); }, ExitCode::kBadInput, "train on");
}

class SplitFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    core::WriteFileAtomic(path_, SplitToJson(items_, Hashes(6), split_, {}));
  }
  testing::TempFolder temp_;
  const fs::path path_ = temp_ / "split.json";
  const std::vector<MaskItem> items_ = Items(6, 1);
  const ImageSplit split_ = SplitByPatient(items_, {});
};

TEST_F(SplitFileTest, RoundTripAndUse) {
  const ImageSplit back = ReadSplit(path_, items_);
  EXPECT_EQ(back.train, split_.train);
  EXPECT_EQ(back.val, split_.val);
  EXPECT_EQ(back.test, split_.test);
  EXPECT_NO_THROW(VerifySplit(path_, items_, Hashes(6)));
  EXPECT_EQ(SplitByPatient(items_, {.seed = 77, .file = path_.string()}).test, split_.test);
}

TEST_F(SplitFileTest, WhatChangedIsNamed) {
  auto hashes = Hashes(6);
  hashes[3].mask = "another";
  ExpectError([&] { VerifySplit(path_, items_, hashes); }, ExitCode::kBadInput, "has changed");
  auto items = items_;
  items[2].name = "renamed";
  ExpectError([&] { ReadSplit(path_, items); }, ExitCode::kBadInput, "\"p2_0\", which is not");
  items = items_;
  items[2].patient = "p5";
  ExpectError([&] { ReadSplit(path_, items); }, ExitCode::kBadInput, "p2");
  core::WriteFileAtomic(path_, "{\"format\": \"eosin-split\", \"train\": 3}");
  ExpectError([&] { ReadSplit(path_, items_); }, ExitCode::kBadInput, "no images for train");
  core::WriteFileAtomic(path_, "[1, 2");
  ExpectError([&] { ReadSplit(path_, items_); }, ExitCode::kBadInput, "no split of eosin");
}

TEST(NestedSubsets, SmallerInsideLargerWithEveryClass) {
  std::vector<int64_t> train;
  std::vector<std::vector<int64_t>> pixels;
  for (int64_t i = 0; i < 40; ++i) {
    train.push_back(i);
    pixels.push_back({100, 5, i == 17 ? 3 : 0});  // one image alone shows the third class
  }
  std::set<std::vector<int64_t>> smallest;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto subsets = NestedSubsets(train, pixels, {2, 4, 10, 40}, seed, {"a", "b", "rare"}, -1);
    ASSERT_EQ(subsets.size(), 4u);
    EXPECT_EQ(subsets[0].size(), 2u);
    EXPECT_EQ(subsets[1].size(), 4u);
    EXPECT_EQ(subsets[2].size(), 10u);
    EXPECT_EQ(subsets[3].size(), 40u);
    for (size_t f = 1; f < subsets.size(); ++f) {
      EXPECT_TRUE(std::equal(subsets[f - 1].begin(), subsets[f - 1].end(), subsets[f].begin()));
    }
    EXPECT_EQ(std::count(subsets[0].begin(), subsets[0].end(), 17), 1);
    EXPECT_EQ(std::set<int64_t>(subsets[3].begin(), subsets[3].end()).size(), 40u);
    smallest.insert(subsets[0]);
  }
  EXPECT_GT(smallest.size(), 10u);  // another seed, another subset
}

TEST(NestedSubsets, AtLeastOneImageAndNoMissingClass) {
  const std::vector<std::vector<int64_t>> pixels = {{1, 1}, {1, 1}, {1, 0}};
  EXPECT_EQ(NestedSubsets({0, 1}, pixels, {0}, 1, {"a", "b"}, -1)[0].size(), 1u);
  ExpectError([&] { NestedSubsets({2}, pixels, {1}, 1, {"a", "gland"}, 0); }, ExitCode::kBadInput,
              "gland");
  // Tiles that the classes fill need no background.
  const std::vector<std::vector<int64_t>> full = {{0, 1}, {0, 1}, {0, 1}};
  EXPECT_EQ(NestedSubsets({0, 1, 2}, full, {1}, 1, {"background", "tumor"}, 0)[0].size(), 1u);
  ExpectError([&] { NestedSubsets({0, 1, 2}, full, {1}, 1, {"stroma", "tumor"}, -1); },
              ExitCode::kBadInput, "stroma");
}

}  // namespace
}  // namespace eosin::segment
