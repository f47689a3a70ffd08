// SPDX-License-Identifier: Apache-2.0
// A slide without a file: pixels by a formula, stored tiles of any size, tiles that are bad, and a
// count of how often each was decoded.
#pragma once

#include <atomic>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/image/codec.h"
#include "tiling/slides/slide.h"

namespace eosin::testing {

class FakeSlide : public tiling::Slide {
 public:
  // Value of a channel of a level's pixel; also asked beyond the level's edge.
  using Formula = std::function<uint8_t(int level, int64_t x, int64_t y, int channel)>;

  // Different at every pixel, level and channel; nothing like it beyond the edge.
  static uint8_t Hash(int level, int64_t x, int64_t y, int channel) {
    uint64_t h = static_cast<uint64_t>(x) * 0x9E3779B97F4A7C15u ^
                 static_cast<uint64_t>(y) * 0xC2B2AE3D27D4EB4Fu ^
                 static_cast<uint64_t>(level * 3 + channel + 1) * 0x165667B19E3779F9u;
    h ^= h >> 29;
    h *= 0xBF58476D1CE4E5B9u;
    return static_cast<uint8_t>(h >> 56);
  }
  // Waves with a little noise, as tissue compresses.
  static uint8_t Tissue(int level, int64_t x, int64_t y, int channel) {
    const double wave = std::sin(static_cast<double>(x) / 9) * std::cos(static_cast<double>(y) / 7);
    return static_cast<uint8_t>(150 + 20 * channel + 50 * wave + Hash(level, x, y, channel) % 16);
  }

  FakeSlide(std::vector<tiling::SlideLevel> levels, double mpp, Formula formula = Hash)
      : formula_(std::move(formula)) {
    path_ = "fake.svs";
    reader_ = "fake";
    vendor_ = "fake";
    geometry_.width = levels[0].width;
    geometry_.height = levels[0].height;
    geometry_.bounds = {0, 0, levels[0].width, levels[0].height};
    geometry_.levels = std::move(levels);
    geometry_.mpp = {mpp, mpp, "test", ""};
    for (const tiling::SlideLevel& level : geometry_.levels) {
      decoded_.emplace_back(static_cast<size_t>(level.tile_count()));
      bad_.emplace_back();
    }
  }

  void SetBad(int level, int64_t index) { bad_[static_cast<size_t>(level)].insert(index); }
  bool IsBad(int level, int64_t index) const {
    return bad_[static_cast<size_t>(level)].count(index) > 0;
  }
  int Decoded(int level, int64_t index) const {
    return decoded_[static_cast<size_t>(level)][static_cast<size_t>(index)];
  }
  uint8_t Pixel(int level, int64_t x, int64_t y, int c) const { return formula_(level, x, y, c); }

  // The whole stored tile, at a part of its size by means, as decoders give it.
  core::Image Tile(int index_level, int64_t index, int shrink) const {
    const tiling::SlideLevel& level = geometry_.levels[static_cast<size_t>(index_level)];
    const int64_t left = index % level.columns() * level.tile_width;
    const int64_t top = index / level.columns() * level.tile_height;
    core::Image tile(level.tile_width / shrink, level.tile_height / shrink, 3);
    for (int y = 0; y < tile.height; ++y) {
      for (int x = 0; x < tile.width; ++x) {
        for (int c = 0; c < 3; ++c) {
          int sum = 0;
          for (int v = 0; v < shrink; ++v) {
            for (int u = 0; u < shrink; ++u) {
              sum += Stored(level, index_level, left + x * shrink + u, top + y * shrink + v, c);
            }
          }
          tile.at(x, y)[c] = static_cast<uint8_t>((sum + shrink * shrink / 2) / (shrink * shrink));
        }
      }
    }
    return tile;
  }

  std::unique_ptr<tiling::TileDecoder> NewDecoder() const override {
    return std::make_unique<Decoder>(*this);
  }
  bool StoresJpeg(int level) const override { return this->level(level).jpeg_tiles; }
  int64_t StoredBytes(int level, int64_t index) const override {
    if (!StoresJpeg(level)) return 0;
    return static_cast<int64_t>(Jpeg(level, index).size()) - kTables;
  }
  bool AppendJpeg(int level, int64_t index, core::Bytes* out, std::string* error) const override {
    if (IsBad(level, index)) {
      *error = Reason(index);
      out->push_back(0xFF);  // what was written before the damage was met
      return false;
    }
    const core::Bytes jpeg = Jpeg(level, index);
    out->insert(out->end(), jpeg.begin(), jpeg.end());
    return true;
  }
  std::vector<std::string> associated_names() const override { return {}; }
  core::Image ReadAssociated(const std::string& name) const override {
    throw core::SlideError("no picture " + name, "none");
  }
  static std::string Reason(int64_t index) { return "tile " + std::to_string(index) + " is bad"; }

 private:
  static constexpr int64_t kTables = 300;  // as if the tables were stored once a slide

  class Decoder : public tiling::TileDecoder {
   public:
    explicit Decoder(const FakeSlide& slide) : slide_(slide) {}
    bool Decode(int level, int64_t index, int shrink, uint8_t* rgb, ptrdiff_t stride,
                std::string* error) override {
      ++slide_.decoded_[static_cast<size_t>(level)][static_cast<size_t>(index)];
      if (slide_.IsBad(level, index)) {
        if (error) *error = Reason(index);
        return false;
      }
      const core::Image tile = slide_.Tile(level, index, shrink);
      for (int y = 0; y < tile.height; ++y) {
        std::copy_n(tile.row(y), tile.stride(), rgb + y * stride);
      }
      return true;
    }

   private:
    const FakeSlide& slide_;
  };

  int Stored(const tiling::SlideLevel& level, int l, int64_t x, int64_t y, int c) const {
    const bool inside = x < level.width && y < level.height;
    return inside ? formula_(l, x, y, c) : ((x + y) % 2 ? 255 : 0);
  }
  // A hash does not care for JPEG; tiles are encoded once.
  core::Bytes Jpeg(int level, int64_t index) const {
    std::lock_guard lock(mutex_);
    core::Bytes& jpeg = jpegs_[{level, index}];
    if (jpeg.empty()) jpeg = core::EncodeJpeg(Tile(level, index, 1), 85);
    return jpeg;
  }

  Formula formula_;
  mutable std::vector<std::vector<std::atomic<int>>> decoded_;
  std::vector<std::set<int64_t>> bad_;
  mutable std::mutex mutex_;
  mutable std::map<std::pair<int, int64_t>, core::Bytes> jpegs_;
};

}  // namespace eosin::testing
