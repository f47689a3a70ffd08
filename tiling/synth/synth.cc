// SPDX-License-Identifier: Apache-2.0
#include "tiling/synth/synth.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <string>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/base/progress.h"
#include "core/base/threads.h"
#include "core/image/codec.h"
#include "tiling/synth/painter.h"
#include "tiling/synth/pyramid_writer.h"
#include "tiling/synth/regions.h"

namespace eosin::tiling {
namespace {

namespace fs = std::filesystem;
using core::Bytes;
using core::Image;

constexpr int kTile = PaintedTile::kTile;
constexpr int kBlock = 4;  // a block = 4 x 4 tiles = one tile of level 1
constexpr int kBlockPixels = kBlock * kTile;
constexpr int kSlideQuality = 87, kRegionQuality = 95;

int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

std::string PatientName(const SynthOptions& options, int64_t slide) {
  const int64_t patients = options.patients > 0 ? options.patients : options.slides;
  return fmt::format("P{:02d}", slide % patients + 1);
}

std::string StemOf(const SynthOptions& options, int64_t slide) {
  return fmt::format("{}-S{:02d}", PatientName(options, slide), slide + 1);
}

void WriteBytes(const fs::path& path, const Bytes& bytes) {
  core::WriteFileAtomic(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

// Mean of 4 x 4 pixels; `out` is a window of a larger picture.
void Shrink(const Image& in, Image* out, int x0, int y0) {
  for (int y = 0; y < in.height / 4; ++y) {
    uint8_t* to = out->at(x0, y0 + y);
    for (int x = 0; x < in.width / 4; ++x) {
      for (int c = 0; c < 3; ++c) {
        int sum = 8;
        for (int j = 0; j < 4; ++j) {
          const uint8_t* from = in.at(4 * x, 4 * y + j) + c;
          sum += from[0] + from[3] + from[6] + from[9];
        }
        to[3 * x + c] = static_cast<uint8_t>(sum / 16);
      }
    }
  }
}

// One slide in the making.
class SlideMaker {
 public:
  SlideMaker(const SynthOptions& options, int64_t slide, const fs::path& out)
      : options_(options),
        out_(out),
        stem_(StemOf(options, slide)),
        scene_(static_cast<uint64_t>(options.seed), static_cast<uint32_t>(slide),
               static_cast<uint32_t>(slide %
                                     (options.patients > 0 ? options.patients : options.slides)),
               static_cast<float>(static_cast<double>(options.width) * options.mpp),
               static_cast<float>(static_cast<double>(options.height) * options.mpp),
               options.pen && slide % 3 == 1),
        columns_(DivideUp(options.width, kTile)),
        rows_(DivideUp(options.height, kTile)),
        block_columns_(DivideUp(columns_, kBlock)),
        block_rows_(DivideUp(rows_, kBlock)) {}

  // Returns the names of the regions.
  std::vector<std::string> Make(int threads, core::Progress* progress) {
    truth_ = Image(static_cast<int>(options_.width / kMaskDownsample),
                   static_cast<int>(options_.height / kMaskDownsample), 1);
    map_.columns = DivideUp(options_.width, ContentMap::kCell);
    map_.rows = DivideUp(options_.height, ContentMap::kCell);
    map_.tissue.assign(map_.columns * map_.rows, 0);
    map_.gland.assign(map_.columns * map_.rows, 0);
    WriteSlide(threads, progress);
    WriteBytes(out_ / "masks" / (stem_ + ".png"), core::EncodePng(truth_));
    return WriteRegions(threads);
  }

 private:
  struct Block {
    std::array<Bytes, kBlock * kBlock> tiles;  // level 0; empty outside the slide
    Bytes shrunk;                              // level 1
  };

  void WriteSlide(int threads, core::Progress* progress) {
    PyramidWriter writer(out_ / "slides" / (stem_ + ".tif"), options_.width, options_.height,
                         options_.mpp, options_.power);
    std::vector<Bytes> level1, level2;
    Image band;  // of level 2: one row of its tiles
    std::vector<Block> blocks(block_columns_);
    const int64_t level1_columns = DivideUp(options_.width / 4, kTile);
    const int64_t level1_rows = DivideUp(options_.height / 4, kTile);
    const int64_t level2_columns = DivideUp(options_.width / 16, kTile);
    const int64_t level2_rows = DivideUp(options_.height / 16, kTile);
    for (int64_t block_row = 0; block_row < block_rows_; ++block_row) {
      core::ThrowIfInterrupted();
      if (block_row % 4 == 0) {
        band = Image(static_cast<int>(DivideUp(block_columns_, 4) * kTile), kTile, 3, 255);
      }
      core::ParallelFor(block_columns_, threads, [&](int64_t column) {
        MakeBlock(column, block_row, &blocks[column], &band);
      });
      for (int64_t r = 0; r < kBlock && block_row * kBlock + r < rows_; ++r) {
        for (int64_t c = 0; c < columns_; ++c) {
          const Block& block = blocks[c / kBlock];
          writer.WriteTile((block_row * kBlock + r) * columns_ + c,
                           block.tiles[r * kBlock + c % kBlock]);
        }
      }
      for (int64_t c = 0; c < level1_columns && block_row < level1_rows; ++c) {
        level1.push_back(std::move(blocks[c].shrunk));
      }
      if ((block_row % 4 == 3 || block_row + 1 == block_rows_) && block_row / 4 < level2_rows) {
        for (int64_t c = 0; c < level2_columns; ++c)
          level2.push_back(EncodeWindow(band, c * kTile));
      }
      progress->Advance(std::min<int64_t>(kBlock, rows_ - block_row * kBlock) * columns_);
    }
    writer.NextLevel(options_.width / 4, options_.height / 4);
    for (size_t i = 0; i < level1.size(); ++i) writer.WriteTile(static_cast<int64_t>(i), level1[i]);
    writer.NextLevel(options_.width / 16, options_.height / 16);
    for (size_t i = 0; i < level2.size(); ++i) writer.WriteTile(static_cast<int64_t>(i), level2[i]);
    writer.Finish();
  }

  static Bytes EncodeWindow(const Image& band, int64_t x) {
    Image tile(kTile, kTile, 3);
    for (int y = 0; y < kTile; ++y) {
      std::copy_n(band.at(static_cast<int>(x), y), 3 * kTile, tile.row(y));
    }
    return core::EncodeJpeg(tile, kSlideQuality);
  }

  std::vector<Gland> GlandsAt(int64_t x, int64_t y, int64_t size) const {
    const auto um = [&](int64_t pixel) {
      return static_cast<float>(static_cast<double>(pixel) * options_.mpp);
    };
    return scene_.GlandsIn({um(x), um(y)}, {um(x + size), um(y + size)});
  }

  void MakeBlock(int64_t column, int64_t row, Block* block, Image* band) {
    Painter painter(scene_, options_.mpp);
    PaintedTile tile;
    const auto glands = GlandsAt(column * kBlockPixels, row * kBlockPixels, kBlockPixels);
    Image shrunk(kTile, kTile, 3, 255);
    for (int j = 0; j < kBlock; ++j) {
      for (int i = 0; i < kBlock; ++i) {
        Bytes& jpeg = block->tiles[j * kBlock + i];
        jpeg.clear();
        const int64_t tile_column = column * kBlock + i, tile_row = row * kBlock + j;
        if (tile_column >= columns_ || tile_row >= rows_) continue;
        painter.Paint(tile_column, tile_row, glands, &tile);
        jpeg = core::EncodeJpeg(tile.rgb, kSlideQuality);
        Shrink(tile.rgb, &shrunk, i * kTile / 4, j * kTile / 4);
        Record(tile, tile_column * kTile, tile_row * kTile);
      }
    }
    block->shrunk = core::EncodeJpeg(shrunk, kSlideQuality);
    Shrink(shrunk, band, static_cast<int>(column * kTile / 4),
           static_cast<int>(row % 4 * kTile / 4));
  }

  // The tile's share of the truth and of the map regions are chosen by. Tiles touch cells of their
  // own, so threads do not meet.
  void Record(const PaintedTile& tile, int64_t x0, int64_t y0) {
    for (int y = 0; y < kTile / kMaskDownsample; ++y) {
      const int64_t my = y0 / kMaskDownsample + y;
      if (my >= truth_.height) break;
      for (int x = 0; x < kTile / kMaskDownsample; ++x) {
        const int64_t mx = x0 / kMaskDownsample + x;
        if (mx >= truth_.width) break;
        int count = 0;
        for (int k = 0; k < 16; ++k) count += *tile.truth.at(4 * x + k % 4, 4 * y + k / 4);
        *truth_.at(static_cast<int>(mx), static_cast<int>(my)) = count >= 8;
      }
    }
    for (int y = 0; y < kTile && y0 + y < options_.height; ++y) {
      for (int x = 0; x < kTile && x0 + x < options_.width; ++x) {
        const int64_t cell =
            (y0 + y) / ContentMap::kCell * map_.columns + (x0 + x) / ContentMap::kCell;
        map_.tissue[cell] = static_cast<uint16_t>(map_.tissue[cell] + *tile.tissue.at(x, y));
        map_.gland[cell] = static_cast<uint16_t>(map_.gland[cell] + *tile.truth.at(x, y));
      }
    }
  }

  std::vector<std::string> WriteRegions(int threads) {
    const int64_t size = options_.region_size;
    const auto places =
        ChooseRegions(map_, size, options_.regions_per_slide, scene_.Stream(0, kLayerRegions));
    if (static_cast<int64_t>(places.size()) < options_.regions_per_slide) {
      throw core::DataError(
          fmt::format("slide {} has room for {} regions of {} px with glands, not for {}", stem_,
                      places.size(), size, options_.regions_per_slide),
          "ask for larger slides, smaller regions or fewer of them");
    }
    std::vector<std::string> names;
    for (size_t k = 0; k < places.size(); ++k) names.push_back(fmt::format("{}_r{}", stem_, k + 1));
    core::ParallelFor(static_cast<int64_t>(places.size()), threads, [&](int64_t k) {
      Image rgb(static_cast<int>(size), static_cast<int>(size), 3), truth(rgb.width, rgb.height, 1);
      PaintRegion(places[k], &rgb, &truth);
      WriteBytes(out_ / "regions" / "images" / (names[k] + ".jpg"),
                 core::EncodeJpeg(rgb, kRegionQuality));
      WriteBytes(out_ / "regions" / "masks" / (names[k] + ".png"), core::EncodePng(truth));
    });
    return names;
  }

  // From the scene, not from the slide's JPEG.
  void PaintRegion(const RegionPlace& place, Image* rgb, Image* truth) const {
    const int64_t size = rgb->width;
    Painter painter(scene_, options_.mpp);
    PaintedTile tile;
    const auto glands = GlandsAt(place.x, place.y, size);
    for (int64_t row = place.y / kTile; row * kTile < place.y + size; ++row) {
      for (int64_t column = place.x / kTile; column * kTile < place.x + size; ++column) {
        painter.Paint(column, row, glands, &tile);
        const int64_t x0 = std::max(place.x, column * kTile), y0 = std::max(place.y, row * kTile);
        const int64_t x1 = std::min(place.x + size, (column + 1) * kTile);
        const int64_t y1 = std::min(place.y + size, (row + 1) * kTile);
        for (int64_t y = y0; y < y1; ++y) {
          const int from_x = static_cast<int>(x0 - column * kTile);
          const int from_y = static_cast<int>(y - row * kTile);
          const int to_x = static_cast<int>(x0 - place.x), to_y = static_cast<int>(y - place.y);
          std::copy_n(tile.rgb.at(from_x, from_y), 3 * (x1 - x0), rgb->at(to_x, to_y));
          std::copy_n(tile.truth.at(from_x, from_y), x1 - x0, truth->at(to_x, to_y));
        }
      }
    }
  }

  const SynthOptions& options_;
  const fs::path& out_;
  const std::string stem_;
  const Scene scene_;
  const int64_t columns_, rows_, block_columns_, block_rows_;  // of tiles, of blocks
  Image truth_;
  ContentMap map_;
};

// Files of an earlier run that this one would not replace would be taken for part of it.
void RefuseStrangers(const fs::path& folder, const std::set<std::string>& expected) {
  if (!fs::exists(folder)) return;
  for (const fs::path& file : core::ListFiles(folder, {".tif", ".jpg", ".png"}, false)) {
    if (expected.contains(file.stem().string())) continue;
    throw core::DataError(fmt::format("{} already holds {}, which this run does not make",
                                      folder.string(), file.filename().string()),
                          "choose an empty --out folder, or remove the earlier files");
  }
}

}  // namespace

void SynthOptions::Bind(core::OptionSet& set) {
  set.Add("synth.slides", &slides, {.doc = "slides to make", .min = 1, .max = 10000});
  set.Add("synth.width", &width,
          {.doc = "width of level 0", .unit = "px", .min = 1024, .max = 65536});
  set.Add("synth.height", &height,
          {.doc = "height of level 0", .unit = "px", .min = 1024, .max = 65536});
  set.Add("synth.mpp", &mpp,
          {.doc = "scale of level 0; shapes keep their size in um",
           .unit = "um/px",
           .min = 0.1,
           .max = 4});
  set.Add(
      "synth.power", &power,
      {.doc = "objective power written to the slide (10 / mpp is usual)", .min = 1, .max = 100});
  set.Add("synth.patients", &patients,
          {.doc = "patients the slides are dealt to in turn; 0 = one a slide", .min = 0});
  set.Add("synth.regions_per_slide", &regions_per_slide,
          {.doc = "annotated regions of each slide", .min = 0, .max = 1000});
  set.Add("synth.region_size", &region_size,
          {.doc = "side of a region at level 0", .unit = "px", .min = 64, .max = 8192});
  set.Add("synth.pen", &pen, {.doc = "draw a pen mark on every third slide"});
  set.Add("synth.seed", &seed, {.doc = "of all draws", .min = 0});
  set.Add("synth.threads", &threads,
          {.doc = "threads; 0 = all cores (changes no file)", .min = 0, .max = 1024});
}

void SynthOptions::Check() const {
  if (patients > slides) {
    throw core::ConfigError(
        fmt::format("synth.patients = {} is more than synth.slides = {}", patients, slides),
        "every patient needs a slide: lower synth.patients or raise synth.slides");
  }
  if (regions_per_slide > 0 && region_size > std::min(width, height) / 2) {
    throw core::ConfigError(fmt::format("synth.region_size = {} does not fit a slide of {} x {} px",
                                        region_size, width, height),
                            "a region may be half as long as the slide's shorter edge at most");
  }
}

void MakeSlides(const SynthOptions& options, const fs::path& out) {
  options.Check();
  std::set<std::string> stems, regions;
  for (int64_t i = 0; i < options.slides; ++i) {
    stems.insert(StemOf(options, i));
    for (int64_t k = 0; k < options.regions_per_slide; ++k) {
      regions.insert(fmt::format("{}_r{}", StemOf(options, i), k + 1));
    }
  }
  RefuseStrangers(out / "slides", stems);
  RefuseStrangers(out / "masks", stems);
  RefuseStrangers(out / "regions" / "images", regions);
  RefuseStrangers(out / "regions" / "masks", regions);
  for (const char* folder : {"slides", "masks", "regions/images", "regions/masks"}) {
    core::MakeFolder(out / folder);
  }
  const int threads =
      options.threads > 0 ? static_cast<int>(options.threads) : core::AvailableCores();
  // Slides first, then blocks within a slide: fewest idle threads.
  const int outer = static_cast<int>(std::min<int64_t>(threads, options.slides));
  const int inner = std::max(1, threads / outer);
  std::vector<std::vector<std::string>> names(options.slides);
  {
    const int64_t tiles = DivideUp(options.width, kTile) * DivideUp(options.height, kTile);
    core::Progress progress("synth", options.slides * tiles, "tiles");
    core::ParallelFor(options.slides, outer, [&](int64_t i) {
      SlideMaker maker(options, i, out);
      names[i] = maker.Make(inner, &progress);
    });
  }
  std::string slides_csv = "slide,patient_id\n", regions_csv = "name,patient_id\n";
  for (int64_t i = 0; i < options.slides; ++i) {
    const std::string patient = PatientName(options, i);
    slides_csv += StemOf(options, i) + "," + patient + "\n";
    for (const std::string& name : names[i]) regions_csv += name + "," + patient + "\n";
  }
  core::WriteFileAtomic(out / "regions" / "regions.csv", regions_csv);
  core::WriteFileAtomic(out / "slides.csv", slides_csv);
}

}  // namespace eosin::tiling
