// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "core/base/philox.h"
#include "pretrain/bench/throughput.h"

namespace eosin::pretrain {
namespace {

constexpr int64_t kPictures = 64;

class NoiseSource : public engine::ImageSource {
 public:
  NoiseSource(int64_t count, int size) : count_(count), size_(size) {
    for (int64_t i = 0; i < std::min(count, kPictures); ++i) {
      core::Image image(size, size, 3);
      core::PhiloxStream draw(1, core::DrawPurpose::kTest, 0, static_cast<uint32_t>(i));
      for (size_t at = 0; at < image.pixels.size(); at += 4) {
        const uint32_t word = draw.Next();
        for (size_t k = 0; k < 4 && at + k < image.pixels.size(); ++k) {
          image.pixels[at + k] = static_cast<uint8_t>(word >> (8 * k));
        }
      }
      pictures_.push_back(std::move(image));
    }
  }
  int64_t size() const override { return count_; }
  core::Image Read(int64_t index) const override {
    return pictures_[static_cast<size_t>(index % kPictures)];
  }
  std::string name(int64_t index) const override { return "made#" + std::to_string(index); }
  std::string group(int64_t index) const override { return name(index); }
  int64_t label(int64_t) const override { return -1; }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::pair<int, int> uniform_size() const override { return {size_, size_}; }

 private:
  const int64_t count_;
  const int size_;
  std::vector<core::Image> pictures_;
  const std::vector<std::string> classes_;
};

}  // namespace

std::unique_ptr<engine::ImageSource> MakeNoiseSource(int64_t count, int size) {
  return std::make_unique<NoiseSource>(count, size);
}

}  // namespace eosin::pretrain
