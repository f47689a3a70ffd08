// SPDX-License-Identifier: Apache-2.0
#include "engine/data/view_loader.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <set>
#include <thread>

#include "core/base/error.h"
#include "engine/augment/apply.h"
#include "tests/engine/fake_source.h"
#include "tests/testing.h"

namespace eosin::engine {
namespace {

using core::Image;
using testing::FakeSource;

std::vector<ViewRecipe> TwoViews() {
  ViewRecipe a = ViewRecipe::Preset("byol_a"), b = ViewRecipe::Preset("byol_b");
  a.size = b.size = 16;
  return {a, b};
}

struct Copy {
  int64_t step;
  std::vector<int64_t> indices, labels;
  std::vector<uint8_t> views;
  bool operator==(const Copy& o) const {
    return step == o.step && indices == o.indices && labels == o.labels && views == o.views;
  }
};

Copy CopyOf(const Batch& batch, const ViewLoader& loader) {
  const size_t side = static_cast<size_t>(loader.image_size());
  const size_t bytes = side * side * 3 * static_cast<size_t>(batch.size() * loader.view_count());
  return {batch.step, batch.indices, batch.labels, {batch.views, batch.views + bytes}};
}

std::vector<Copy> Epoch(ViewLoader& loader, int64_t epoch, int64_t first_step = 0) {
  std::vector<Copy> copies;
  loader.StartEpoch(epoch, first_step);
  while (const Batch* batch = loader.Next()) copies.push_back(CopyOf(*batch, loader));
  return copies;
}

LoaderOptions Options(int64_t batch, int64_t workers, int64_t prefetch = 0) {
  LoaderOptions options;
  options.batch = batch, options.workers = workers, options.prefetch = prefetch, options.seed = 42;
  return options;
}

TEST(EpochOrder, IsAPermutationThatDependsOnEpochAndSeed) {
  const std::vector<int64_t> order = EpochOrder(1000, 1, 0);
  std::vector<int64_t> sorted = order, all(1000);
  std::sort(sorted.begin(), sorted.end());
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(sorted, all);
  EXPECT_EQ(EpochOrder(1000, 1, 0), order);
  EXPECT_NE(EpochOrder(1000, 1, 1), order);
  EXPECT_NE(EpochOrder(1000, 2, 0), order);
}

TEST(ViewLoader, AnyWorkersAndRingGiveTheSameBatches) {
  const FakeSource source(53);
  ViewLoader reference(source, TwoViews(), Options(8, 1));
  const std::vector<Copy> expected = Epoch(reference, 3);
  ASSERT_EQ(expected.size(), 6u);
  const std::vector<int64_t> order = EpochOrder(53, 42, 3);
  for (size_t step = 0; step < expected.size(); ++step) {
    EXPECT_EQ(expected[step].step, static_cast<int64_t>(step));
    for (size_t i = 0; i < 8; ++i) {
      EXPECT_EQ(expected[step].indices[i], order[step * 8 + i]);
      EXPECT_EQ(expected[step].labels[i], order[step * 8 + i] % 3);
    }
  }
  for (const int64_t workers : {1, 2, 5}) {
    for (const int64_t prefetch : {2, 3, 7}) {
      ViewLoader loader(source, TwoViews(), Options(8, workers, prefetch));
      EXPECT_TRUE(Epoch(loader, 3) == expected) << workers << " workers, ring of " << prefetch;
    }
  }
}

TEST(ViewLoader, ResumesInTheMiddleOfAnEpoch) {
  const FakeSource source(40);
  ViewLoader loader(source, TwoViews(), Options(8, 2));
  const std::vector<Copy> whole = Epoch(loader, 1);
  const std::vector<Copy> rest = Epoch(loader, 1, 3);
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_TRUE(rest[0] == whole[3]);
  EXPECT_TRUE(rest[1] == whole[4]);
  EXPECT_FALSE(Epoch(loader, 2)[0] == whole[0]);
  // Restart while batches are under way.
  loader.StartEpoch(7);
  loader.Next();
  EXPECT_TRUE(Epoch(loader, 1) == whole);
  EXPECT_EQ(loader.Next(), nullptr);
}

TEST(ViewLoader, ViewsAreTheRecordsOfTheSample) {
  const FakeSource source(10);
  const std::vector<ViewRecipe> views = TwoViews();
  ViewLoader loader(source, views, Options(5, 2));
  loader.StartEpoch(4);
  const Batch* batch = loader.Next();
  ViewScratch scratch;
  std::vector<uint8_t> expected(16 * 16 * 3);
  for (size_t v = 0; v < 2; ++v) {
    for (size_t n = 0; n < 5; ++n) {
      const int64_t index = batch->indices[n];
      const Image image = source.Read(index);
      const core::PhiloxStream stream(42, core::DrawPurpose::kView, 4, static_cast<uint32_t>(index),
                                      static_cast<uint32_t>(v));
      ApplyView(image, DrawView(views[v], stream, image.width, image.height), 16, expected.data(),
                scratch);
      const uint8_t* got = batch->views + (v * 5 + n) * expected.size();
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), got)) << v << " " << n;
    }
  }
}

TEST(ViewLoader, LastBatch) {
  const FakeSource source(21);
  LoaderOptions options = Options(8, 2);
  EXPECT_EQ(ViewLoader(source, TwoViews(), options).steps_per_epoch(), 2);
  options.drop_last = false;
  options.shuffle = false;
  ViewLoader loader(source, TwoViews(), options);
  EXPECT_EQ(loader.steps_per_epoch(), 3);
  const std::vector<Copy> batches = Epoch(loader, 0);
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[2].indices, (std::vector<int64_t>{16, 17, 18, 19, 20}));
  EXPECT_EQ(batches[2].views.size(), 2u * 5 * 16 * 16 * 3);
  options.batch = 64;  // larger than the set, but nothing is dropped
  ViewLoader all(source, TwoViews(), options);
  EXPECT_EQ(Epoch(all, 0)[0].indices.size(), 21u);
}

TEST(ViewLoader, DamagedImagesAreReplacedByTheNextInOrder) {
  const std::set<int64_t> bad = {4, 11, 30};
  const FakeSource source(40, bad), sound(40);
  ViewLoader loader(source, TwoViews(), Options(10, 3)),
      reference(sound, TwoViews(), Options(10, 1));
  const std::vector<Copy> got = Epoch(loader, 0), expected = Epoch(reference, 0);
  const std::vector<int64_t> order = EpochOrder(40, 42, 0);
  const size_t image = 16 * 16 * 3;
  for (size_t place = 0; place < 40; ++place) {
    const Copy &a = got[place / 10], &b = expected[place / 10];
    const size_t n = place % 10;
    size_t next = place;
    while (bad.count(order[next % 40])) ++next;
    EXPECT_EQ(a.indices[n], order[next % 40]);
    EXPECT_EQ(a.labels[n], order[next % 40] % 3);
    if (next == place) {  // the others are untouched
      EXPECT_TRUE(std::equal(a.views.begin() + static_cast<int64_t>(n * image),
                             a.views.begin() + static_cast<int64_t>((n + 1) * image),
                             b.views.begin() + static_cast<int64_t>(n * image)));
    }
  }
  EXPECT_EQ(loader.bad_count(), 3);
  ViewLoader single(source, TwoViews(), Options(10, 1));
  EXPECT_TRUE(Epoch(single, 0) == got);
}

TEST(ViewLoader, StopsWhenTooMuchIsDamaged) {
  std::set<int64_t> bad;
  for (int64_t i = 0; i < 15; ++i) bad.insert(i * 20);
  const FakeSource source(300, bad);
  ViewLoader loader(source, TwoViews(), Options(10, 2));
  eosin::testing::ExpectError([&] { Epoch(loader, 0); }, core::ExitCode::kBadInput,
                              "could not be read, such as: damaged image");
}

TEST(ViewLoader, TenDamagedImagesOfAFewAreBorne) {
  std::set<int64_t> bad;
  for (int64_t i = 0; i < 10; ++i) bad.insert(i);
  const FakeSource source(60, bad);
  ViewLoader loader(source, TwoViews(), Options(10, 2));
  EXPECT_EQ(Epoch(loader, 0).size(), 6u);
  EXPECT_EQ(loader.bad_count(), 10);
}

TEST(ViewLoader, NothingDecodes) {
  std::set<int64_t> bad;
  for (int64_t i = 0; i < 20; ++i) bad.insert(i);
  const FakeSource source(20, bad);
  ViewLoader loader(source, TwoViews(), Options(4, 2));
  eosin::testing::ExpectError([&] { Epoch(loader, 0); }, core::ExitCode::kBadInput,
                              "none of 20 images in a row");
}

TEST(ViewLoader, WorkersErrorsSurfaceInNext) {
  FakeSource source(40);
  source.crash_at = EpochOrder(40, 42, 0)[13];
  ViewLoader loader(source, TwoViews(), Options(5, 3));
  loader.StartEpoch(0);
  EXPECT_NE(loader.Next(), nullptr);
  EXPECT_NE(loader.Next(), nullptr);
  EXPECT_THROW(loader.Next(), std::runtime_error);
  EXPECT_THROW(loader.Next(), std::runtime_error);
  source.crash_at = -1;
  EXPECT_EQ(Epoch(loader, 0).size(), 8u);  // usable again
}

TEST(ViewLoader, MemoryIsTheRingAndNothingRunsBeyondIt) {
  const FakeSource source(400);
  std::atomic<int64_t> allocated{0}, live{0};
  LoaderOptions options = Options(4, 2, 3);
  options.allocator.allocate = [&](size_t bytes) {
    allocated += static_cast<int64_t>(bytes), ++live;
    return std::malloc(bytes);
  };
  options.allocator.release = [&](void* buffer) { --live, std::free(buffer); };
  {
    ViewLoader loader(source, TwoViews(), options);
    const int64_t ring = 3 * 2 * 4 * 16 * 16 * 3;
    EXPECT_EQ(loader.buffer_bytes(), static_cast<size_t>(ring));
    loader.StartEpoch(0);
    const Batch* first = loader.Next();
    const Copy copy = CopyOf(*first, loader);
    // Workers fill the two other buffers and stop: the handed-out batch is not written again.
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    EXPECT_LE(source.reads, 3 * 4);
    EXPECT_TRUE(CopyOf(*first, loader) == copy);
    EXPECT_EQ(allocated, ring);
    EXPECT_EQ(live, 3);
    EXPECT_GE(loader.wait_seconds(), 0);
  }  // destroyed mid-epoch
  EXPECT_EQ(live, 0);
}

TEST(ViewLoader, RefusesImpossibleOptions) {
  const FakeSource source(30);
  eosin::testing::ExpectError([&] { ViewLoader(source, TwoViews(), Options(64, 2)); },
                              core::ExitCode::kUsage,
                              "batch = 64 is larger than the set of 30 images");
  eosin::testing::ExpectError([&] { ViewLoader(source, TwoViews(), Options(8, 0)); },
                              core::ExitCode::kUsage, "workers = 0");
  eosin::testing::ExpectError([&] { ViewLoader(source, {}, Options(8, 1)); },
                              core::ExitCode::kUsage, "no views");
  LoaderOptions starved = Options(8, 1);
  starved.allocator.allocate = [](size_t) -> void* { return nullptr; };
  starved.allocator.release = [](void*) {};
  eosin::testing::ExpectError([&] { ViewLoader(source, TwoViews(), starved); },
                              core::ExitCode::kMachine, "no memory");
  ViewLoader loader(source, TwoViews(), Options(8, 1));
  eosin::testing::ExpectError([&] { loader.StartEpoch(0, 9); }, core::ExitCode::kUsage,
                              "step 9 of 3");
}

}  // namespace
}  // namespace eosin::engine
