// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/label_tiff.h"

#include <fmt/format.h>
#include <algorithm>
#include <cstring>
#include <fstream>

#include "core/base/error.h"
#include "segment/predict/tiff_file.h"

namespace eosin::segment {
namespace {

int64_t TilesAcross(int64_t width) { return (width + kBlock - 1) / kBlock; }

// The tile from column `column` on of `rows` rows of `width` pixels; `fill` beyond them.
void CutTile(const uint8_t* pixels, int64_t width, int64_t rows, int64_t column, uint8_t fill,
             uint8_t* tile) {
  const int64_t left = column * kBlock, count = std::min<int64_t>(kBlock, width - left);
  for (int64_t y = 0; y < kBlock; ++y, tile += kBlock) {
    const int64_t have = y < rows ? count : 0;
    if (have > 0) std::memcpy(tile, pixels + y * width + left, static_cast<size_t>(have));
    std::memset(tile + have, fill, static_cast<size_t>(kBlock - have));
  }
}

uint8_t Commonest(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  if (a == b || a == c || a == d) return a;
  if (b == c || b == d) return b;
  return c == d ? c : a;
}

std::string Describe(const std::vector<ClassStyle>& classes, const char* what) {
  std::string text = fmt::format("eosin {};", what);
  for (size_t i = 0; i < classes.size(); ++i) {
    text += fmt::format("{} {}={}", i > 0 ? "," : "", i, classes[i].name);
  }
  return text;
}

}  // namespace

struct LabelTiff::Level {
  int64_t width, height;
  std::vector<uint8_t> rows;  // up to kBlock of them
  int64_t count = 0;          // rows held
  int64_t done = 0;           // rows written
  std::vector<uint8_t> odd;   // a row that waits for its neighbour, for the next level
  // Of levels above 0: compressed tiles in a file until their directory is begun.
  std::filesystem::path spill;
  std::fstream file;
  std::vector<uint32_t> sizes;
};

struct LabelTiff::State {
  explicit State(const std::filesystem::path& path) : out(path) {}
  TiffFile out;
  RasterInfo raster;
  std::vector<ClassStyle> classes;
  std::vector<Level> levels;
  TileDeflater deflater;
  std::vector<uint8_t> tile = std::vector<uint8_t>(size_t{kBlock} * kBlock);

  void BeginDirectory(const Level& level, bool first) {
    const double scale = static_cast<double>(raster.width) / static_cast<double>(level.width);
    out.SetLayout(level.width, level.height, raster.mpp * scale, 1, Describe(classes, "label map"));
    uint16_t red[256], green[256], blue[256];
    for (size_t i = 0; i < 256; ++i) {
      const Rgb colour = i < classes.size() ? classes[i].colour : kNotPredictedColour;
      red[i] = static_cast<uint16_t>(colour[0] * 257);
      green[i] = static_cast<uint16_t>(colour[1] * 257);
      blue[i] = static_cast<uint16_t>(colour[2] * 257);
    }
    if (!TIFFSetField(out.tiff(), TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_PALETTE) ||
        !TIFFSetField(out.tiff(), TIFFTAG_COLORMAP, red, green, blue) ||
        !TIFFSetField(out.tiff(), TIFFTAG_SUBFILETYPE, first ? 0 : FILETYPE_REDUCEDIMAGE)) {
      out.Fail();
    }
  }
};

LabelTiff::LabelTiff(const std::filesystem::path& path, const std::filesystem::path& folder,
                     const RasterInfo& raster, const std::vector<ClassStyle>& classes)
    : state_(std::make_unique<State>(path)) {
  state_->raster = raster;
  state_->classes = classes;
  int64_t width = raster.width, height = raster.height;
  do {
    Level& level = state_->levels.emplace_back();
    level.width = width;
    level.height = height;
    level.rows.resize(static_cast<size_t>(width * kBlock));
    if (state_->levels.size() > 1) {
      level.spill = folder / fmt::format("level-{}", state_->levels.size() - 1);
      level.file.open(level.spill,
                      std::ios::in | std::ios::out | std::ios::trunc | std::ios::binary);
      if (!level.file) {
        throw core::MachineError("cannot write " + level.spill.string(),
                                 "check the free space and the rights of the folder");
      }
    }
    width /= 2;
    height /= 2;
  } while (width >= kBlock && height >= kBlock);
  state_->BeginDirectory(state_->levels.front(), true);
}

LabelTiff::~LabelTiff() = default;

void LabelTiff::Take(const Band& band) { AddRows(0, band.labels.data(), band.rows); }

void LabelTiff::AddRows(size_t index, const uint8_t* rows, int64_t count) {
  Level& level = state_->levels[index];
  const auto width = static_cast<size_t>(level.width);
  std::vector<uint8_t> halved;
  for (int64_t y = 0; y < count && level.done + level.count < level.height; ++y, rows += width) {
    std::memcpy(level.rows.data() + static_cast<size_t>(level.count) * width, rows, width);
    ++level.count;
    if (index + 1 < state_->levels.size()) {
      if (level.odd.empty()) {
        level.odd.assign(rows, rows + width);
      } else {
        halved.resize(static_cast<size_t>(state_->levels[index + 1].width));
        for (size_t x = 0; x < halved.size(); ++x) {
          halved[x] =
              Commonest(level.odd[2 * x], level.odd[2 * x + 1], rows[2 * x], rows[2 * x + 1]);
        }
        level.odd.clear();
        AddRows(index + 1, halved.data(), 1);
      }
    }
    if (level.count == kBlock || level.done + level.count == level.height) FlushTiles(index);
  }
}

void LabelTiff::FlushTiles(size_t index) {
  Level& level = state_->levels[index];
  const int64_t across = TilesAcross(level.width);
  for (int64_t column = 0; column < across; ++column) {
    CutTile(level.rows.data(), level.width, level.count, column, kNotPredicted,
            state_->tile.data());
    const std::vector<uint8_t>& bytes = state_->deflater.Compress(state_->tile.data());
    if (index == 0) {
      state_->out.WriteTile(level.done / kBlock * across + column, bytes);
      continue;
    }
    level.sizes.push_back(static_cast<uint32_t>(bytes.size()));
    level.file.write(reinterpret_cast<const char*>(bytes.data()),
                     static_cast<std::streamsize>(bytes.size()));
  }
  if (index > 0 && !level.file.flush()) {
    throw core::MachineError("cannot write " + level.spill.string() + ": is the disk full?",
                             "check the free space of the folder");
  }
  level.done += level.count;
  level.count = 0;
}

void LabelTiff::Finish() {
  state_->out.EndDirectory();
  std::vector<uint8_t> bytes;
  for (size_t i = 1; i < state_->levels.size(); ++i) {
    Level& level = state_->levels[i];
    state_->BeginDirectory(level, false);
    level.file.seekg(0);
    for (size_t tile = 0; tile < level.sizes.size(); ++tile) {
      bytes.resize(level.sizes[tile]);
      if (!level.file.read(reinterpret_cast<char*>(bytes.data()),
                           static_cast<std::streamsize>(bytes.size()))) {
        throw core::MachineError("cannot read " + level.spill.string() + " back",
                                 "the disk lost what was written; run the same command again");
      }
      state_->out.WriteTile(static_cast<int64_t>(tile), bytes);
    }
    state_->out.EndDirectory();
    level.file.close();
    std::error_code ignored;
    std::filesystem::remove(level.spill, ignored);
  }
  state_->out.Commit();
}

struct ProbabilityTiff::State {
  explicit State(const std::filesystem::path& path) : out(path) {}
  TiffFile out;
  RasterInfo raster;
  size_t classes = 0;
  std::vector<std::vector<uint8_t>> rows;  // of each class, up to kBlock
  int64_t count = 0, done = 0;
  TileDeflater deflater;
  std::vector<uint8_t> tile = std::vector<uint8_t>(size_t{kBlock} * kBlock);
};

ProbabilityTiff::ProbabilityTiff(const std::filesystem::path& path, const RasterInfo& raster,
                                 const std::vector<ClassStyle>& classes)
    : state_(std::make_unique<State>(path)) {
  state_->raster = raster;
  state_->classes = classes.size();
  state_->rows.assign(classes.size(),
                      std::vector<uint8_t>(static_cast<size_t>(raster.width * kBlock)));
  TiffFile& out = state_->out;
  out.SetLayout(raster.width, raster.height, raster.mpp, static_cast<int>(classes.size()),
                Describe(classes, "probability map"));
  const std::vector<uint16_t> extra(classes.size() - 1, EXTRASAMPLE_UNSPECIFIED);
  if (!TIFFSetField(out.tiff(), TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK) ||
      (!extra.empty() && !TIFFSetField(out.tiff(), TIFFTAG_EXTRASAMPLES,
                                       static_cast<int>(extra.size()), extra.data()))) {
    out.Fail();
  }
}

ProbabilityTiff::~ProbabilityTiff() = default;

void ProbabilityTiff::Take(const Band& band) {
  const auto width = static_cast<size_t>(band.width);
  for (int64_t y = 0; y < band.rows; ++y) {
    for (size_t c = 0; c < state_->classes; ++c) {
      const size_t from = (c * static_cast<size_t>(band.rows) + static_cast<size_t>(y)) * width;
      std::memcpy(state_->rows[c].data() + static_cast<size_t>(state_->count) * width,
                  band.probabilities.data() + from, width);
    }
    ++state_->count;
    if (state_->count == kBlock || state_->done + state_->count == state_->raster.height) {
      FlushTiles();
    }
  }
}

void ProbabilityTiff::FlushTiles() {
  const int64_t across = TilesAcross(state_->raster.width);
  const int64_t plane = across * TilesAcross(state_->raster.height);
  for (size_t c = 0; c < state_->classes; ++c) {
    for (int64_t column = 0; column < across; ++column) {
      CutTile(state_->rows[c].data(), state_->raster.width, state_->count, column, 0,
              state_->tile.data());
      state_->out.WriteTile(
          static_cast<int64_t>(c) * plane + state_->done / kBlock * across + column,
          state_->deflater.Compress(state_->tile.data()));
    }
  }
  state_->done += state_->count;
  state_->count = 0;
}

void ProbabilityTiff::Finish() {
  state_->out.EndDirectory();
  state_->out.Commit();
}

}  // namespace eosin::segment
