// SPDX-License-Identifier: Apache-2.0
#include "engine/data/neighbours.h"

#include <cmath>
#include <cstring>
#include <set>

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

}  // namespace
}  // namespace eosin::engine
