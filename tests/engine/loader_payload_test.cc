// SPDX-License-Identifier: Apache-2.0
// What a batch may carry: groups of views, images, records; stain facts.
#include <cstring>
#include <set>

#include "core/stain/stain_template.h"
#include "core/stain/tile_stain.h"
#include "engine/augment/apply.h"
#include "engine/data/facts_cache.h"
#include "engine/data/view_loader.h"
#include "tests/engine/fake_source.h"
#include "tests/engine/loader_testing.h"
#include "tests/testing.h"

namespace eosin::engine {
namespace {

using core::ExitCode;
using eosin::testing::ExpectError;
using testing::Copy;
using testing::Epoch;
using testing::FakeSource;
using testing::GridPlace;
using testing::MultiCrop;
using testing::Options;

TEST(ViewLoader, ViewsOfSeveralSizesFormGroups) {
  const FakeSource source(21);
  std::vector<ViewRecipe> views = MultiCrop();
  ViewLoader loader(source, views, Options(Payload::kViews));
  ASSERT_EQ(loader.groups().size(), 2u);
  EXPECT_EQ(loader.image_size(), 16);
  EXPECT_EQ(loader.view_count(), 5);
  EXPECT_EQ(loader.groups()[1].size, 9);
  EXPECT_EQ(loader.groups()[1].count, 3);
  EXPECT_EQ(loader.groups()[1].pixels, nullptr);
  ViewScratch scratch;
  loader.StartEpoch(2);
  int64_t samples = 0;
  while (const Batch* batch = loader.Next()) {  // the last one has 5 samples
    ASSERT_EQ(batch->groups.size(), 2u);
    EXPECT_EQ(batch->views, batch->groups[0].pixels);
    samples += batch->size();
    for (size_t v = 0; v < 5; ++v) {
      const ViewGroup& group = batch->groups[v < 2 ? 0 : 1];
      const auto side = static_cast<size_t>(group.size), bytes = side * side * 3;
      for (int64_t n = 0; n < batch->size(); ++n) {
        const int64_t index = batch->indices[static_cast<size_t>(n)];
        const core::Image image = source.Picture(index);
        const core::PhiloxStream stream(42, core::DrawPurpose::kView, 2,
                                        static_cast<uint32_t>(index), static_cast<uint32_t>(v));
        const ViewParams expected = DrawView(views[v], stream, image.width, image.height);
        const size_t row = v * static_cast<size_t>(batch->size()) + static_cast<size_t>(n);
        EXPECT_EQ(std::memcmp(&expected, &batch->records[row], sizeof(expected)), 0);
        EXPECT_EQ(batch->record_images[row], index);
        std::vector<uint8_t> view(bytes);
        ApplyView(image, expected, static_cast<int>(side), view.data(), scratch);
        const size_t at =
            (v < 2 ? v : v - 2) * static_cast<size_t>(batch->size()) + static_cast<size_t>(n);
        EXPECT_EQ(std::memcmp(view.data(), group.pixels + at * bytes, bytes), 0) << v << " " << n;
      }
    }
  }
  EXPECT_EQ(samples, 21);
  views[1].size = 10;  // 16, 10, 9 9 9
  EXPECT_EQ(ViewLoader(source, views, Options(Payload::kViews)).groups().size(), 3u);
}

TEST(ViewLoader, AllPayloadsDrawTheSameRecordsOverTheSameImages) {
  for (const std::string stain : {"off", "macenko", "randstainna"}) {
    FakeSource source(61, {5, 17});
    source.uniform = true;
    const std::vector<ViewRecipe> views = MultiCrop(stain);
    LoaderOptions records_only = Options(Payload::kRecords);
    records_only.damaged = {17, 5};  // as whoever loaded the images found
    ViewLoader viewed(source, views, Options(Payload::kViews)),
        imaged(source, views, Options(Payload::kImages)), recorded(source, views, records_only);
    EXPECT_EQ(recorded.buffer_bytes(), 0u);
    viewed.StartEpoch(1), imaged.StartEpoch(1), recorded.StartEpoch(1);
    ViewScratch scratch;
    while (const Batch* a = viewed.Next()) {
      const Batch* b = imaged.Next();
      const Batch* c = recorded.Next();
      ASSERT_TRUE(b && c);
      EXPECT_EQ(a->indices, b->indices);
      EXPECT_EQ(a->indices, c->indices);
      EXPECT_EQ(a->labels, c->labels);
      EXPECT_EQ(b->image_count, b->size());
      EXPECT_EQ(c->images, nullptr);
      EXPECT_EQ(c->groups[0].pixels, nullptr);
      const size_t bytes = a->records.size() * sizeof(ViewParams);
      EXPECT_EQ(std::memcmp(a->records.data(), b->records.data(), bytes), 0) << stain;
      EXPECT_EQ(std::memcmp(a->records.data(), c->records.data(), bytes), 0) << stain;
      for (size_t row = 0; row < a->records.size(); ++row) {
        const auto image_row = static_cast<size_t>(b->record_images[row]);
        EXPECT_EQ(a->record_images[row], c->record_images[row]);
        EXPECT_EQ(b->indices[image_row], c->record_images[row]);
        core::Image image(24, 20, 3);
        std::memcpy(image.pixels.data(), b->images + image_row * 24 * 20 * 3, 24 * 20 * 3);
        EXPECT_EQ(image.pixels, source.Picture(c->record_images[row]).pixels);
      }
    }
    EXPECT_EQ(viewed.bad_count(), 2);
    EXPECT_EQ(imaged.bad_count(), 2);
    EXPECT_EQ(recorded.bad_count(), 2);
  }
}

TEST(ViewLoader, AnyWorkersGiveTheSameBatchesInEveryMode) {
  for (const Payload payload : {Payload::kViews, Payload::kImages, Payload::kRecords}) {
    for (const double neighbours : {0.0, 0.6}) {
      FakeSource source(
          90, payload == Payload::kRecords ? std::set<int64_t>{} : std::set<int64_t>{8, 40, 41});
      source.uniform = true;
      source.place_of = GridPlace;
      std::vector<Copy> expected;
      for (int64_t workers = 1; workers <= 5; ++workers) {
        LoaderOptions options = Options(payload, workers, 20);
        options.prefetch = workers == 4 ? 5 : 2;
        options.neighbour_probability = neighbours;
        if (payload == Payload::kRecords) options.damaged = {8, 40, 41};
        ViewLoader loader(source, MultiCrop("randstainna"), options);
        const std::vector<Copy> got = Epoch(loader, 3);
        ASSERT_EQ(got.size(), 5u);
        if (workers == 1) expected = got;
        EXPECT_TRUE(got == expected) << static_cast<int>(payload) << " " << workers;
      }
    }
  }
}

TEST(ViewLoader, ImagesAndRecordsNeedOneSize) {
  FakeSource source(30);
  for (const Payload payload : {Payload::kImages, Payload::kRecords}) {
    ExpectError([&] { ViewLoader(source, MultiCrop(), Options(payload)); }, ExitCode::kUsage,
                "different sizes");
    const FakeSource empty(0);
    ExpectError([&] { ViewLoader(empty, MultiCrop(), Options(payload)); }, ExitCode::kBadInput,
                "no images");
  }
}

// A source that says one size and reads another once.
class LyingSource : public FakeSource {
 public:
  LyingSource() : FakeSource(30) { uniform = true; }
  core::Image Read(int64_t index) const override {
    return index == 3 ? core::Image(8, 8, 3) : FakeSource::Read(index);
  }
};

TEST(ViewLoader, AnImageOfAnotherSizeIsReplaced) {
  const LyingSource source;
  ViewLoader loader(source, MultiCrop(), Options(Payload::kImages));
  for (const Copy& batch : Epoch(loader, 0)) {
    for (const int64_t index : batch.indices) EXPECT_NE(index, 3);
  }
  EXPECT_EQ(loader.bad_count(), 1);
}

class HugeSource : public FakeSource {
 public:
  HugeSource() : FakeSource(int64_t{1} << 32) {}
};

TEST(ViewLoader, RefusesMoreImagesThanKeys) {
  const HugeSource source;
  ExpectError([&] { ViewLoader(source, MultiCrop(), Options(Payload::kViews)); }, ExitCode::kUsage,
              "4294967296 images");
  FakeSource few(30);
  LoaderOptions options = Options(Payload::kViews);
  options.damaged = {30};
  ExpectError([&] { ViewLoader(few, MultiCrop(), options); }, ExitCode::kUsage, "damaged image 30");
  options.damaged = {};
  options.neighbour_probability = 1.5;
  ExpectError([&] { ViewLoader(few, MultiCrop(), options); }, ExitCode::kUsage,
              "neighbour_probability = 1.5");
}

TEST(ViewLoader, RecordsTakeStainFactsFromTheStoreOrReadOnce) {
  FakeSource source(40);
  source.uniform = true;
  const std::vector<ViewRecipe> views = MultiCrop("macenko");
  ViewLoader loader(source, views, Options(Payload::kRecords));
  Epoch(loader, 0), Epoch(loader, 1);
  EXPECT_EQ(source.reads, 40);
  source.reads = 0;
  source.stain_of = [&](int64_t i) { return core::MeasureStain(source.Picture(i)); };
  ViewLoader stored(source, views, Options(Payload::kRecords));
  const std::vector<Copy> got = Epoch(stored, 1), expected = Epoch(loader, 1);
  EXPECT_TRUE(got == expected);
  EXPECT_EQ(source.reads, 0);
}

TEST(ViewLoader, RecordsReadOnceWhatTheStoreLacks) {
  FakeSource source(24);
  source.uniform = true;
  source.stain_of = [&](int64_t i) { return core::MeasureStain(source.Picture(i)); };
  eosin::testing::TempFolder folder;
  core::StainTemplate all = core::StainTemplate::PublishedCrc();
  all.spaces[1] = {.center = {0.8, 0.4, 0.7, 0.1, 0.1, 0.1}, .spread = {.1, .1, .1, .02, .02, .02}};
  all.spaces[2] = {.center = {0.4, 0.3, 0.1, 0.1, 0.1, 0.1}, .spread = {.1, .1, .1, .02, .02, .02}};
  all.Write(folder / "template.json");
  std::vector<ViewRecipe> views = MultiCrop("randstainna");
  for (ViewRecipe& view : views) {
    view.randstainna_space = "random";
    view.randstainna_template = (folder / "template.json").string();
  }
  ViewLoader recorded(source, views, Options(Payload::kRecords)),
      viewed(source, views, Options(Payload::kViews));
  const std::vector<Copy> first = Epoch(recorded, 0), second = Epoch(recorded, 1);
  EXPECT_EQ(source.reads, 24);
  std::vector<Copy> expected = Epoch(viewed, 1);
  for (size_t i = 0; i < second.size(); ++i) EXPECT_EQ(second[i].records, expected[i].records);
  // The stored LAB row is enough for LAB.
  std::vector<ViewSampler> samplers;
  samplers.emplace_back(MultiCrop("randstainna")[0]);
  FactsCache cache(source, samplers);
  EXPECT_EQ(cache.Of(7)->colors(core::StainSpace::kLab).mean[1], (*source.stain(7))[1]);
  EXPECT_EQ(cache.images_read(), 0);
}

TEST(ViewLoader, PlainCutsAreCopies) {
  FakeSource source(10);  // 24 to 28 wide, 20 high
  ViewRecipe recipe = ViewRecipe::Preset("none");
  recipe.size = 20;
  LoaderOptions options = Options(Payload::kViews);
  options.shuffle = false;
  ViewLoader loader(source, {recipe}, options);
  loader.StartEpoch(0);
  ViewScratch scratch;
  while (const Batch* batch = loader.Next()) {
    for (size_t n = 0; n < batch->indices.size(); ++n) {
      const core::Image image = source.Picture(batch->indices[n]);
      std::vector<uint8_t> expected(20 * 20 * 3);
      ApplyView(image, batch->records[n], 20, expected.data(), scratch);
      EXPECT_EQ(std::memcmp(expected.data(), batch->views + n * expected.size(), expected.size()),
                0);
      EXPECT_EQ(expected[0], image.at((image.width - 20) / 2, 0)[0]);
    }
  }
}

}  // namespace
}  // namespace eosin::engine
