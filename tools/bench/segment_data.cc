// SPDX-License-Identifier: Apache-2.0
// What scoring and reading cost.
//
//   bench_segment_data GLAS        a folder with images/, masks/ and grade.csv
//
// Scoring: every GlaS image against a made prediction (the truth moved by 3 px, with specks), its
// parts apart; then against one with hundreds of specks, as an untrained network predicts them.
// Reading: milliseconds a crop of 256 px from three made JPEG images of 8,000 x 8,000 px, by how
// many of them are kept. One thread.
#include <fmt/format.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/philox.h"
#include "core/image/codec.h"
#include "core/stats/summary.h"
#include "segment/data/crops.h"
#include "segment/data/mask_dataset.h"
#include "segment/train/score.h"

namespace eosin {
namespace {

namespace fs = std::filesystem;

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

core::Image Prediction(const core::Image& truth, int specks, uint32_t seed) {
  core::Image seen(truth.width, truth.height, 1, 0);
  for (int y = 0; y < truth.height; ++y) {
    for (int x = 3; x < truth.width; ++x) seen.row(y)[x] = truth.row(y)[x - 3];
  }
  core::PhiloxStream draw(seed, core::DrawPurpose::kTest, 0, 0);
  for (int k = 0; k < specks; ++k) {
    const int x = static_cast<int>(draw.Below(static_cast<uint32_t>(truth.width - 4)));
    const int y = static_cast<int>(draw.Below(static_cast<uint32_t>(truth.height - 4)));
    for (int dy = 0; dy < 3; ++dy) {
      for (int dx = 0; dx < 3; ++dx) seen.row(y + dy)[x + dx] ^= 1;
    }
  }
  return seen;
}

void Scoring(const std::string& folder) {
  segment::MaskDataOptions options = segment::DataPreset("glas");
  options.data = folder;
  const segment::MaskDataset data(options);
  for (const int specks : {5, 300}) {
    std::vector<double> pixels, all;
    double objects = 0;
    for (int64_t i = 0; i < data.size(); ++i) {
      const auto pair = data.Read(i);
      const core::Image seen = Prediction(pair->mask, specks, static_cast<uint32_t>(i));
      double start = Seconds();
      segment::ScorePrediction(data, i, *pair, seen, {}, segment::ScoreDetail::kPixels);
      pixels.push_back(1e3 * (Seconds() - start));
      start = Seconds();
      const auto scores =
          segment::ScorePrediction(data, i, *pair, seen, {}, segment::ScoreDetail::kAll);
      all.push_back(1e3 * (Seconds() - start));
      objects +=
          static_cast<double>(scores.detail[1].objects.truth + scores.detail[1].objects.predicted);
    }
    std::printf(
        "scoring, %d specks: %.0f objects an image (truth and prediction); ms an image, median "
        "(95th percentile): pixels %.2f (%.2f), all %.2f (%.2f)\n",
        specks, objects / static_cast<double>(data.size()), core::Quantile(pixels, 0.5),
        core::Quantile(pixels, 0.95), core::Quantile(all, 0.5), core::Quantile(all, 0.95));
  }
}

void Reading() {
  constexpr int kSide = 8000, kImages = 3;
  std::string name = (fs::temp_directory_path() / "eosin-bench-XXXXXX").string();
  const fs::path folder = mkdtemp(name.data());
  core::MakeFolder(folder / "images");
  core::MakeFolder(folder / "masks");
  for (int i = 0; i < kImages; ++i) {
    core::Image image(kSide, kSide, 3), mask(kSide, kSide, 1, 0);
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        const int wave = ((x / 40) * 7 + (y / 55) * 13 + i) % 97;
        image.at(x, y)[0] = static_cast<uint8_t>(120 + wave);
        image.at(x, y)[1] = static_cast<uint8_t>(60 + wave + x % 16);
        image.at(x, y)[2] = static_cast<uint8_t>(100 + wave + y % 16);
        mask.row(y)[x] = wave > 60;
      }
    }
    const auto write = [&](const fs::path& path, const core::Bytes& bytes) {
      core::WriteFileAtomic(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    };
    write(folder / "images" / fmt::format("a{}.jpg", i), core::EncodeJpeg(image, 90));
    write(folder / "masks" / fmt::format("a{}.png", i), core::EncodePng(mask));
  }
  segment::SegmentOptions options;
  options.data.data = folder.string();
  options.data.groups = "image";
  options.data.crop_foreground = 0.33;
  options.batch = 4;
  options.workers = 1;
  const int64_t bytes = int64_t{kSide} * kSide * 4;
  for (int keep = 0; keep <= kImages; ++keep) {
    const segment::MaskDataset data(options.data, keep * bytes);
    double start = Seconds();
    data.ClassIndex(1);
    const double index = Seconds() - start;
    const int64_t steps = keep == kImages ? 300 : 6;
    start = Seconds();
    for (int64_t step = 0; step < steps; ++step) {
      segment::MakeCrops(data, {0, 1, 2}, options, step);
    }
    std::printf(
        "reading: %d of %d images kept (%.0f MiB): index %.1f s once, then %.1f ms a crop\n", keep,
        kImages, static_cast<double>(data.kept_bytes()) / (1 << 20), index,
        1e3 * (Seconds() - start) / static_cast<double>(4 * steps));
  }
  fs::remove_all(folder);
}

}  // namespace
}  // namespace eosin

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: bench_segment_data GLAS\n");
    return 2;
  }
  try {
    eosin::Scoring(argv[1]);
    eosin::Reading();
  } catch (const eosin::core::Error& error) {
    std::fprintf(stderr, "error: %s\nhint: %s\n", error.what(), error.hint().c_str());
    return static_cast<int>(error.code());
  }
  return 0;
}
