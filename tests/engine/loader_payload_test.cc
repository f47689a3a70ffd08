// SPDX-License-Identifier: Apache-2.0
// What a batch may carry: groups of views, images, records; stain facts; neighbours.
#include <cmath>
#include <cstring>
#include <set>

#include "core/stain/stain_template.h"
#include "core/stain/tile_stain.h"
#include "engine/augment/apply.h"
#include "engine/data/facts_cache.h"
#include "engine/data/neighbours.h"
#include "engine/data/view_loader.h"
#include "tests/engine/fake_source.h"
#include "tests/testing.h"

namespace eosin::engine {
namespace {

using core::ExitCode;
using eosin::testing::ExpectError;
using testing::FakeSource;

std::vector<ViewRecipe> MultiCrop(const std::string& stain = "off") {
  std::vector<ViewRecipe> views(5, ViewRecipe::Preset("byol_b"));
  for (size_t v = 0; v < views.size(); ++v) {
    views[v].size = v < 2 ? 16 : 9;
    views[v].stain = stain;
    views[v].stain_probability = 1;
  }
  return views;
}

LoaderOptions Options(Payload payload, int64_t workers = 2, int64_t batch = 8) {
  LoaderOptions options;
  options.batch = batch, options.workers = workers, options.seed = 42;
  options.payload = payload;
  options.drop_last = false;
  return options;
}

// A batch in a form that compares.
struct Copy {
  std::vector<int64_t> indices, labels, record_images;
  std::vector<uint8_t> records, pixels;
  bool operator==(const Copy&) const = default;
};

template <typename T>
void AppendBytes(const T* from, size_t count, std::vector<uint8_t>* to) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(from);
  to->insert(to->end(), bytes, bytes + count * sizeof(T));
}

Copy CopyOf(const Batch& batch, size_t image_bytes) {
  Copy copy{batch.indices, batch.labels, batch.record_images, {}, {}};
  AppendBytes(batch.records.data(), batch.records.size(), &copy.records);
  for (const ViewGroup& group : batch.groups) {
    if (!group.pixels) continue;
    AppendBytes(group.pixels,
                static_cast<size_t>(group.count * batch.size() * group.size * group.size * 3),
                &copy.pixels);
  }
  if (batch.images) {
    AppendBytes(batch.images, static_cast<size_t>(batch.image_count) * image_bytes, &copy.pixels);
  }
  return copy;
}

std::vector<Copy> Epoch(ViewLoader& loader, int64_t epoch) {
  std::vector<Copy> copies;
  loader.StartEpoch(epoch);
  while (const Batch* batch = loader.Next()) copies.push_back(CopyOf(*batch, 24 * 20 * 3));
  return copies;
}

// Tiles on a 6-wide grid, 30 a slide.
std::optional<TilePlace> GridPlace(int64_t i) {
  return TilePlace{i / 30, static_cast<double>(i % 30 % 6), static_cast<double>(i % 30 / 6)};
}

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

TEST(NeighbourIndex, GridByHand) {
  FakeSource source(60);
  source.place_of = GridPlace;
  const NeighbourIndex index(source, 1.0);
  EXPECT_EQ(index.Near(0), (std::vector<int64_t>{1, 6}));  // corner
  EXPECT_EQ(index.Near(8), (std::vector<int64_t>{2, 7, 9, 14}));
  EXPECT_EQ(index.Near(30), (std::vector<int64_t>{31, 36}));  // the other slide's corner
  const NeighbourIndex wide(source, 1.5);
  EXPECT_EQ(wide.Near(0), (std::vector<int64_t>{1, 6, 7}));
  EXPECT_EQ(wide.Near(8).size(), 8u);
  EXPECT_EQ(*index.Pick(0, 0), 1);
  EXPECT_EQ(*index.Pick(0, 0xFFFFFFFFu), 6);
  const NeighbourIndex narrow(source, 0.5);
  EXPECT_FALSE(narrow.Pick(8, 7));
}

TEST(NeighbourIndex, EqualsALookAtAllPairs) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    core::PhiloxStream draw(seed, core::DrawPurpose::kTest, 0, 0);
    const double radius = 0.2 + 3 * draw.Uniform();
    std::vector<std::optional<TilePlace>> places;
    for (int i = 0; i < 150; ++i) {
      places.push_back(
          TilePlace{draw.Below(3), 12 * draw.Uniform() - 6.0, 9 * draw.Uniform() - 3.});
      if (draw.Below(10) == 0) places.back() = std::nullopt;
    }
    FakeSource source(150);
    source.place_of = [&](int64_t i) { return places[static_cast<size_t>(i)]; };
    const NeighbourIndex index(source, radius);
    for (size_t i = 0; i < places.size(); ++i) {
      std::set<int64_t> expected;
      for (size_t j = 0; j < places.size() && places[i]; ++j) {
        if (j == i || !places[j] || places[j]->slide != places[i]->slide) continue;
        const double dx = places[j]->x - places[i]->x, dy = places[j]->y - places[i]->y;
        if (std::hypot(dx, dy) <= radius) expected.insert(static_cast<int64_t>(j));
      }
      const std::vector<int64_t> near = index.Near(static_cast<int64_t>(i));
      EXPECT_EQ(std::set<int64_t>(near.begin(), near.end()), expected) << seed << " " << i;
      EXPECT_EQ(near.size(), expected.size());
    }
  }
}

TEST(NeighbourIndex, NeedsPlaces) {
  FakeSource source(30);
  ExpectError([&] { NeighbourIndex(source, 1.5); }, ExitCode::kUsage, "where the tiles lie");
  source.place_of = GridPlace;
  ExpectError([&] { NeighbourIndex(source, 0); }, ExitCode::kUsage, "neighbour_radius");
}

TEST(ViewLoader, LaterViewsComeFromANeighbour) {
  FakeSource source(300);
  source.uniform = true;
  source.place_of = GridPlace;
  LoaderOptions options = Options(Payload::kRecords, 2, 50);
  options.neighbour_probability = 0.5;
  options.neighbour_radius = 1.0;
  ViewLoader loader(source, MultiCrop(), options);
  const NeighbourIndex index(source, 1.0);
  int64_t from_neighbours = 0, views = 0;
  for (const Copy& batch : Epoch(loader, 0)) {
    const size_t count = batch.indices.size();
    for (size_t n = 0; n < count; ++n) {
      EXPECT_EQ(batch.record_images[n], batch.indices[n]);
      std::set<int64_t> others;
      for (size_t v = 1; v < 5; ++v, ++views) {
        const int64_t image = batch.record_images[v * count + n];
        if (image == batch.indices[n]) continue;
        ++from_neighbours;
        others.insert(image);
      }
      EXPECT_LE(others.size(), 1u);  // one neighbour a sample
      for (const int64_t other : others) {
        EXPECT_THAT(index.Near(batch.indices[n]), ::testing::Contains(other));
      }
    }
  }
  EXPECT_NEAR(static_cast<double>(from_neighbours) / static_cast<double>(views), 0.5, 0.07);
}

TEST(ViewLoader, NeighbourImagesTravelBesideTheOwn) {
  FakeSource source(60, {7});
  source.uniform = true;
  source.place_of = [](int64_t i) {
    std::optional<TilePlace> place = GridPlace(i);
    if (i == 20) place->x = 1000;  // alone
    return place;
  };
  LoaderOptions options = Options(Payload::kImages, 2, 60);
  options.neighbour_probability = 1;
  options.neighbour_radius = 1.0;
  ViewLoader loader(source, MultiCrop(), options);
  loader.StartEpoch(0);
  const Batch* batch = loader.Next();
  ASSERT_EQ(batch->image_count, 120);
  int64_t alone = 0, damaged = 0, replaced = 0;
  const std::vector<int64_t> order = EpochOrder(60, 42, 0);
  for (size_t n = 0; n < 60; ++n) {
    const auto row = static_cast<size_t>(batch->record_images[60 + n]);
    const uint8_t* pixels = batch->images + row * 24 * 20 * 3;
    bool known = false;
    for (const int64_t near : NeighbourIndex(source, 1.0).Near(batch->indices[n])) {
      known = known || std::memcmp(pixels, source.Picture(near).pixels.data(), 24 * 20 * 3) == 0;
    }
    const bool own = row == n;
    EXPECT_NE(own, known);
    EXPECT_NE(batch->indices[n], 7);
    const bool moved = batch->indices[n] != order[n];
    replaced += moved;
    alone += own && batch->indices[n] == 20;
    damaged += moved || (own && batch->indices[n] != 20);  // the neighbour drawn was tile 7
  }
  EXPECT_GE(alone, 1);
  EXPECT_EQ(replaced, 1);
  EXPECT_EQ(loader.bad_count(), damaged);
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
