// SPDX-License-Identifier: Apache-2.0
#include "engine/data/mixed_source.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>

#include "core/base/files.h"
#include "core/image/codec.h"
#include "engine/data/epoch_order.h"
#include "engine/data/view_loader.h"
#include "tests/engine/fake_source.h"
#include "tests/testing.h"

namespace eosin::engine {
namespace {

namespace fs = std::filesystem;
using core::ExitCode;
using eosin::testing::ExpectError;
using testing::FakeSource;

std::unique_ptr<ImageSource> Mix(std::vector<std::pair<double, int64_t>> sets) {
  std::vector<MixPart> parts;
  for (size_t p = 0; p < sets.size(); ++p) {
    parts.push_back(
        {sets[p].first, "set" + std::to_string(p), std::make_unique<FakeSource>(sets[p].second)});
  }
  return MixSources(std::move(parts));
}

TEST(MixShares, ByHand) {
  using Shares = std::vector<int64_t>;
  EXPECT_EQ(MixShares(10, {1, 1}, {5, 5}), (Shares{5, 5}));
  EXPECT_EQ(MixShares(10, {3, 1}, {9, 1}), (Shares{8, 2}));  // 7.5, 2.5: the earlier is rounded up
  EXPECT_EQ(MixShares(10, {1, 1, 1}, {8, 1, 1}), (Shares{4, 3, 3}));
  EXPECT_EQ(MixShares(7, {1, 5, 1}, {4, 0, 3}), (Shares{4, 0, 3}));
  EXPECT_EQ(MixShares(100, {1e-9, 1}, {50, 50}), (Shares{0, 100}));
}

TEST(EpochOrder, OfOneSetIsTheSamePermutation) {
  const FakeSource source(50);
  EXPECT_EQ(EpochOrder(source, 5, 3), EpochOrder(50, 5, 3));
}

TEST(EpochOrder, EachSetGivesItsShareAndNothingComesAgainTooSoon) {
  const auto mix = Mix({{1, 90}, {2, 10}});  // shares 33 and 67 of 100
  std::map<int64_t, int64_t> times;
  std::vector<int64_t> first_set;
  for (int64_t epoch = 0; epoch < 7; ++epoch) {
    const std::vector<int64_t> order = EpochOrder(*mix, 5, epoch);
    ASSERT_EQ(order.size(), 100u);
    EXPECT_EQ(std::count_if(order.begin(), order.end(), [](int64_t i) { return i < 90; }), 33);
    EXPECT_EQ(order, EpochOrder(*mix, 5, epoch));
    EXPECT_NE(order, EpochOrder(*mix, 6, epoch));
    for (const int64_t i : order) ++times[i];
    // After any number of epochs, no two images of a set differ by more than one.
    for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 90}, {90, 100}}) {
      int64_t least = 1000, most = 0;
      for (int64_t i = begin; i < end; ++i) {
        least = std::min(least, times[i]), most = std::max(most, times[i]);
      }
      EXPECT_LE(most - least, 1) << epoch;
    }
  }
  // The sets are shuffled together: both in each tenth... of 10 samples, 6.7 are of the second set.
  const std::vector<int64_t> order = EpochOrder(*mix, 5, 0);
  EXPECT_GT(std::count_if(order.begin(), order.begin() + 50, [](int64_t i) { return i >= 90; }),
            20);
  EXPECT_LT(std::count_if(order.begin(), order.begin() + 50, [](int64_t i) { return i >= 90; }),
            47);
}

TEST(EpochOrder, RepeatCounts) {
  EXPECT_TRUE(RepeatCounts({2, 0, 1}, 3).empty());
  EXPECT_EQ(RepeatCounts({2, 0, 2, 2, 0}, 3), (std::vector<uint32_t>{0, 0, 1, 2, 1}));
}

TEST(MixedSource, FactsOfTheImages) {
  auto a = std::make_unique<FakeSource>(4), b = std::make_unique<FakeSource>(5);
  a->uniform = b->uniform = true;
  const auto place = [](int64_t i) { return TilePlace{i / 3, 1.0 * static_cast<double>(i), 2}; };
  a->place_of = b->place_of = place;
  b->stain_of = [](int64_t i) {
    core::StainRow row{};
    row[0] = static_cast<float>(i);
    return row;
  };
  const core::Image third = b->Picture(2);
  std::vector<MixPart> parts;
  parts.push_back({1, "x", std::move(a)});
  parts.push_back({3, "y", std::move(b)});
  const auto mix = MixSources(std::move(parts));
  EXPECT_EQ(mix->size(), 9);
  EXPECT_EQ(mix->Read(6).pixels, third.pixels);
  EXPECT_EQ(mix->name(6), "y/image 2");
  EXPECT_EQ(mix->label(6), 2);
  EXPECT_EQ(mix->classes().size(), 3u);
  EXPECT_EQ(mix->part(3), 0);
  EXPECT_EQ(mix->part(4), 1);
  EXPECT_EQ(mix->part_weights(), (std::vector<double>{1, 3}));
  EXPECT_EQ(mix->uniform_size(), (std::pair<int, int>{24, 20}));
  EXPECT_FALSE(mix->stain(0));
  EXPECT_EQ((*mix->stain(7))[0], 3.0f);
  EXPECT_NE(mix->place(0)->slide, mix->place(4)->slide);
  EXPECT_EQ(mix->place(0)->slide, mix->place(2)->slide);
  EXPECT_NE(mix->place(3)->slide, mix->place(0)->slide);
  EXPECT_EQ(mix->place(7)->x, 3);
  EXPECT_THROW(mix->Read(9), std::out_of_range);
  // What is left of a mix is a mix.
  std::vector<MixPart> again;
  again.push_back({1, "", std::make_unique<FakeSource>(30)});
  again.push_back({1, "z", std::make_unique<FakeSource>(10)});
  const auto some = FilterGroups(MixSources(std::move(again)),
                                 [](const std::string& group) { return group != "1"; });
  ASSERT_EQ(some->size(), 30);  // 20 of the first set, 10 of the second
  EXPECT_EQ(some->name(0), "image 0");
  const std::vector<int64_t> order = EpochOrder(*some, 1, 0);
  EXPECT_EQ(std::count_if(order.begin(), order.end(), [](int64_t i) { return i < 20; }), 15);
}

TEST(MixedSource, RepeatedImagesGetOtherViews) {
  const auto mix = Mix({{1, 60}, {9, 4}});
  ViewRecipe recipe = ViewRecipe::Preset("simclr");
  recipe.size = 8;
  LoaderOptions options;
  options.batch = 16, options.seed = 3;
  std::vector<uint8_t> expected;
  for (const int64_t workers : {1, 3}) {
    options.workers = workers;
    ViewLoader loader(*mix, {recipe}, options);
    loader.StartEpoch(0);
    std::vector<uint8_t> all;
    std::map<int64_t, std::set<std::string>> views;
    std::map<int64_t, size_t> times;
    while (const Batch* batch = loader.Next()) {
      for (size_t n = 0; n < 16; ++n) {
        const auto* record = reinterpret_cast<const char*>(&batch->records[n]);
        views[batch->indices[n]].insert(std::string(record, sizeof(ViewParams)));
        ++times[batch->indices[n]];
      }
      all.insert(all.end(), batch->views, batch->views + 16 * 8 * 8 * 3);
    }
    for (const auto& [index, count] : times) EXPECT_EQ(views[index].size(), count);
    EXPECT_GT(times[60], 10u);
    if (workers == 1) expected = all;
    EXPECT_TRUE(all == expected);
  }
}

void WritePicture(const fs::path& path, uint8_t value) {
  fs::create_directories(path.parent_path());
  const core::Bytes bytes = core::EncodePng(core::Image(16, 12, 3, value));
  core::WriteFileAtomic(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

TEST(OpenMix, ClassesByName) {
  eosin::testing::TempFolder folder;
  WritePicture(folder / "one/lung/1.png", 1);
  WritePicture(folder / "one/tumour/2.png", 2);
  WritePicture(folder / "two/colon/3.png", 3);
  WritePicture(folder / "two/lung/4.png", 4);
  WritePicture(folder / "plain/5.png", 5);
  const std::string root = folder.path().string();
  const auto mix = OpenMix({"1:" + root + "/one", "2.5:" + root + "/two/", "1:" + root + "/plain"});
  EXPECT_EQ(mix->classes(), (std::vector<std::string>{"lung", "tumour", "colon"}));
  ASSERT_EQ(mix->size(), 5);
  const int64_t labels[] = {0, 1, 2, 0, -1};
  for (int64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(mix->label(i), labels[i]);
    EXPECT_EQ(mix->Read(i).pixels[0], i + 1);
  }
  EXPECT_EQ(mix->name(3), "two/lung/4.png");
  EXPECT_EQ(mix->uniform_size(), (std::pair<int, int>{16, 12}));
  EXPECT_EQ(mix->part_weights()[1], 2.5);
  EXPECT_EQ(OpenMix({"7:" + root + "/one"})->name(0), "lung/1.png");
  const auto twice = OpenMix({"1:" + root + "/one", "1:" + root + "/one"});
  EXPECT_EQ(twice->name(0), "1:one/lung/1.png");
  EXPECT_EQ(twice->name(2), "2:one/lung/1.png");
}

TEST(OpenMix, RefusesWhatIsNoWeightAndPath) {
  for (const char* entry : {"tiles", "tiles:2", ":tiles", "2:", "0:tiles", "-1:tiles", "nan:tiles",
                            "inf:tiles", "1 :tiles", "1e999:tiles"}) {
    ExpectError([&] { OpenMix({entry}); }, ExitCode::kUsage, "is no weight and path");
  }
  ExpectError([] { OpenMix({}); }, ExitCode::kUsage, "data.mix is empty");
  ExpectError([] { OpenMix({"1:/nowhere/at/all"}); }, ExitCode::kBadInput, "no such file");
  std::vector<MixPart> parts;
  parts.push_back({0, "x", std::make_unique<FakeSource>(3)});
  ExpectError([&] { MixSources(std::move(parts)); }, ExitCode::kUsage, "weight 0 of x");
}

}  // namespace
}  // namespace eosin::engine
