// SPDX-License-Identifier: Apache-2.0
// Noise images by index, for tests of the loader; some cannot be read.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "engine/data/image_source.h"

namespace eosin::engine::testing {

class FakeSource : public ImageSource {
 public:
  explicit FakeSource(int64_t size, std::set<int64_t> bad = {})
      : size_(size), bad_(std::move(bad)) {}
  int64_t size() const override { return size_; }
  core::Image Read(int64_t index) const override {
    ++reads;
    if (crash_at == index) throw std::runtime_error("the decoder broke");
    if (bad_.count(index)) throw core::DataError("damaged " + name(index), "replace it");
    if (index % 7 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
    return Picture(index);
  }
  // What Read gives of a sound image.
  core::Image Picture(int64_t index) const {
    core::Image image(uniform ? 24 : 24 + static_cast<int>(index % 5), 20, 3);
    core::PhiloxStream draw(9, core::DrawPurpose::kTest, 0, static_cast<uint32_t>(index));
    for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(draw.Below(256));
    return image;
  }
  std::string name(int64_t index) const override { return "image " + std::to_string(index); }
  std::string group(int64_t index) const override { return std::to_string(index / 10); }
  int64_t label(int64_t index) const override { return index % 3; }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::pair<int, int> uniform_size() const override {
    return uniform ? std::pair<int, int>{24, 20} : std::pair<int, int>{0, 0};
  }
  std::optional<core::StainRow> stain(int64_t index) const override {
    return stain_of ? stain_of(index) : std::nullopt;
  }
  std::optional<TilePlace> place(int64_t index) const override {
    return place_of ? place_of(index) : std::nullopt;
  }

  bool uniform = false;
  std::function<std::optional<core::StainRow>(int64_t)> stain_of;
  std::function<std::optional<TilePlace>(int64_t)> place_of;
  mutable std::atomic<int64_t> reads{0};
  std::atomic<int64_t> crash_at{-1};

 private:
  int64_t size_;
  std::set<int64_t> bad_;
  std::vector<std::string> classes_ = {"a", "b", "c"};
};

}  // namespace eosin::engine::testing
