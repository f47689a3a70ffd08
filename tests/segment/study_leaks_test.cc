// SPDX-License-Identifier: Apache-2.0
// Copies of pictures under other names: twenty planted leaks are all refused, real different
// pictures are not.
#include <fmt/format.h>

#include "core/base/files.h"
#include "core/stain/stain_shift.h"
#include "segment/study/leaks/leaks.h"
#include "tests/segment/made_data.h"
#include "tools/bench/alterations.h"

namespace eosin::segment {
namespace {

using core::ExitCode;
using core::Image;
using testing::ExpectError;

// Blobs of several sizes: no two seeds alike.
Image MakeTissue(uint32_t seed, int width, int height) {
  Image image(width, height, 3);
  core::PhiloxStream stream(11, core::DrawPurpose::kTest, seed, 0);
  struct Blob {
    float x, y, r;
  };
  std::vector<Blob> blobs;
  for (int i = 0; i < 60; ++i) {
    blobs.push_back({stream.Uniform(0, static_cast<float>(width)),
                     stream.Uniform(0, static_cast<float>(height)),
                     stream.Uniform(0.02f, 0.1f) * static_cast<float>(width)});
  }
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      bool inside = false;
      for (const Blob& blob : blobs) {
        const float dx = static_cast<float>(x) - blob.x, dy = static_cast<float>(y) - blob.y;
        inside = inside || dx * dx + dy * dy < blob.r * blob.r;
      }
      const int noise = static_cast<int>(stream.Below(20));
      const int rgb[3] = {inside ? 100 : 215, inside ? 60 : 150, inside ? 140 : 190};
      for (int c = 0; c < 3; ++c) image.at(x, y)[c] = static_cast<uint8_t>(rgb[c] + noise);
    }
  }
  return image;
}

TEST(Fingerprint, CopiesAndOthers) {
  const Image image = MakeTissue(1, 160, 120);
  const Fingerprint print = MakeFingerprint(image);
  EXPECT_EQ(Resemblance(print, MakeFingerprint(image)), 1);
  for (const tools::Alteration& alteration : tools::Alterations()) {
    const Fingerprint other = MakeFingerprint(alteration.apply(image));
    EXPECT_GE(Resemblance(print, other), kCopyThreshold) << alteration.name;
    EXPECT_NEAR(Resemblance(print, other), Resemblance(other, print), 0.02) << alteration.name;
  }
  for (uint32_t seed = 2; seed < 40; ++seed) {
    EXPECT_LT(Resemblance(print, MakeFingerprint(MakeTissue(seed, 160, 120))), kCopyThreshold);
  }
}

TEST(Fingerprint, BlankPicturesAreNotCopies) {
  Image white(64, 64, 3, 245), other = white;
  other.at(10, 10)[0] = 240;
  const Fingerprint a = MakeFingerprint(white), b = MakeFingerprint(other);
  EXPECT_TRUE(a.blank && b.blank);
  EXPECT_EQ(Resemblance(a, b), 0);
  EXPECT_EQ(Resemblance(a, a), 1);  // but equal pixels are
}

class LeaksTest : public ::testing::Test {
 protected:
  void SetUp() override {
    core::MakeFolder(temp_ / "images");
    for (uint32_t i = 0; i < 8; ++i) {
      const fs::path path = temp_ / "images" / fmt::format("im{}.png", i);
      testing::WritePng(path, MakeTissue(i, 160, 120));
      items_.push_back({fmt::format("im{}", i), fmt::format("p{}", i), path, path, ""});
    }
    split_ = {{0, 1, 2, 3}, {4, 5}, {6, 7}};
  }
  // Image `to` becomes an altered copy of image `from`.
  void Plant(size_t from, size_t to, const std::function<Image(const Image&)>& alter) {
    testing::WritePng(items_[to].image, alter(core::ReadRgb(items_[from].image)));
  }
  LeakFacts Check() {
    LeakFacts facts;
    CheckNoCopies(items_, FingerprintImages(items_, 2), {split_}, 2, &facts);
    return facts;
  }
  testing::TempFolder temp_;
  std::vector<MaskItem> items_;
  ImageSplit split_;
};

TEST_F(LeaksTest, CleanDataPass) {
  const LeakFacts facts = Check();
  EXPECT_EQ(facts.images, 8);
  EXPECT_EQ(facts.copies_inside, 0);
  EXPECT_LT(facts.closest, kCopyThreshold);
}

TEST_F(LeaksTest, CopiesInsideOnePartAreCounted) {
  Plant(0, 1, [](const Image& image) { return tools::Turn(image, 3); });
  EXPECT_EQ(Check().copies_inside, 1);
}

// Each with the names of both, and a hint.
TEST_F(LeaksTest, TwentyPlantedLeaksAreRefused) {
  int refused = 0;
  auto expect = [&](const std::function<void()>& check, const std::string& a,
                    const std::string& b) {
    try {
      check();
      ADD_FAILURE() << "not refused: " << a << " and " << b;
    } catch (const core::Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadInput);
      EXPECT_THAT(std::string(error.what()), ::testing::HasSubstr(a));
      EXPECT_THAT(std::string(error.what()), ::testing::HasSubstr(b));
      EXPECT_FALSE(error.hint().empty());
      ++refused;
    }
  };
  std::vector<MaskDataset::Hashes> hashes;
  for (size_t i = 0; i < items_.size(); ++i) hashes.push_back({fmt::format("h{}", i), ""});
  auto exact = [&] { CheckNoLeak(items_, hashes, split_); };

  // 1-3: one patient, one slide, one file in two parts.
  items_[6].patient = "p0";
  expect(exact, "im0", "im6");
  items_[6].patient = "p6";
  items_[1].slide = items_[7].slide = "S";
  expect(exact, "im1", "im7");
  items_[1].slide = items_[7].slide = "";
  hashes[5].image = hashes[2].image;
  expect(exact, "im2", "im5");
  hashes[5].image = "h5";

  // 4-15: altered copies in validation and test.
  const core::StainShift stain = core::StandardShifts().front();
  const std::vector<std::function<Image(const Image&)>> alterations = {
      [](const Image& i) { return i; },  // another file, the same pixels
      [](const Image& i) { return tools::Recompress(i, 40); },
      [](const Image& i) { return tools::Turn(i, 1); },
      [](const Image& i) { return tools::Turn(i, 3); },
      [](const Image& i) { return tools::Turn(i, 4); },
      [](const Image& i) { return tools::Turn(i, 5); },
      [](const Image& i) { return tools::MapPixels(i, [](double v) { return 0.7 * v; }); },
      [](const Image& i) { return tools::MapPixels(i, [](double v) { return 1.15 * v; }); },
      [&](const Image& i) { return core::ApplyShift(i, stain); },
      [&](const Image& i) { return core::ApplyShift(tools::Turn(i, 6), stain); },
      [](const Image& i) { return core::Resize(i, i.width / 2, i.height / 2); },
      [](const Image& i) { return tools::CropBorder(i, 0.02); }};
  for (size_t k = 0; k < alterations.size(); ++k) {
    const size_t from = k % 4, to = 4 + k % 4;
    const std::string before = core::ReadFile(items_[to].image);
    Plant(from, to, alterations[k]);
    expect([&] { Check(); }, items_[from].name, items_[to].name);
    core::WriteFileAtomic(items_[to].image, before);
  }

  // 16-20: tiles of the pretraining data that are held-out images.
  const auto prints = FingerprintImages(items_, 2);
  const std::vector<std::function<Image(const Image&)>> tiles = {
      alterations[0], alterations[1], alterations[5], alterations[8], alterations[9]};
  for (size_t k = 0; k < tiles.size(); ++k) {
    const size_t held_out = 4 + k % 4;
    const TileList list = {3,
                           [&](int64_t t) {
                             return t == 1 ? tiles[k](core::ReadRgb(items_[held_out].image))
                                           : MakeTissue(100 + static_cast<uint32_t>(t), 160, 120);
                           },
                           [](int64_t t) { return fmt::format("tile{}", t); }};
    LeakFacts facts;
    expect([&] { CheckTilesHeldOut(items_, prints, split_, list, 1, &facts); }, "tile1",
           items_[held_out].name);
  }
  EXPECT_EQ(refused, 20);
}

TEST_F(LeaksTest, TilesOfTrainingPatientsPass) {
  const auto prints = FingerprintImages(items_, 2);
  const TileList list = {
      4, [&](int64_t t) { return core::ReadRgb(items_[static_cast<size_t>(t)].image); },
      [](int64_t t) { return fmt::format("tile{}", t); }};
  LeakFacts facts;
  EXPECT_NO_THROW(CheckTilesHeldOut(items_, prints, split_, list, 2, &facts));
  EXPECT_EQ(facts.tiles, 4);
  core::WriteFileAtomic(temp_ / "leaks.json", LeakFactsJson(facts));
  EXPECT_EQ(ReadLeakFacts(temp_ / "leaks.json").tiles, 4);
}

TEST(Leaks, RealPicturesOfOneTissueAreNoCopies) {
  const fs::path glas = testing::DataFolder() / "glas" / "images";
  EOSIN_REQUIRE_DATA(glas);
  std::vector<Fingerprint> prints;
  for (const fs::path& path : core::ListFiles(glas, {".jpg"}, false)) {
    prints.push_back(MakeFingerprint(core::ReadRgb(path)));
  }
  EXPECT_TRUE(FindCopies(prints, 2).empty());
}

}  // namespace
}  // namespace eosin::segment
