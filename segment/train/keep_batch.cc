// SPDX-License-Identifier: Apache-2.0
#include "segment/train/keep_batch.h"

#include <fmt/format.h>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/image/codec.h"

namespace eosin::segment {
namespace {

void WriteCrop(const std::filesystem::path& path, const uint8_t* bytes, int side, int channels) {
  core::Image image(side, side, channels);
  std::copy_n(bytes, image.pixels.size(), image.pixels.data());
  const core::Bytes png = core::EncodePng(image);
  core::WriteFileAtomic(path, {reinterpret_cast<const char*>(png.data()), png.size()});
}

}  // namespace

void KeepBatch(const std::filesystem::path& folder, const CropBatch& batch, const MaskDataset& data,
               const SegmentOptions& options, double loss, double rate) {
  std::error_code ignored;  // of an earlier failure
  std::filesystem::remove_all(folder, ignored);
  core::MakeFolder(folder);
  const auto pixels = static_cast<size_t>(options.crop * options.crop);
  const int side = static_cast<int>(options.crop);
  nlohmann::ordered_json images = nlohmann::ordered_json::array();
  for (size_t slot = 0; slot < batch.indices.size(); ++slot) {
    const std::string& name = data.item(batch.indices[slot]).name;
    const std::string file = fmt::format("{:03}-{}", slot, name);
    WriteCrop(folder / (file + ".png"), &batch.images[slot * pixels * 3], side, 3);
    WriteCrop(folder / (file + "-mask.png"), &batch.masks[slot * pixels], side, 1);
    images.push_back(name);
  }
  const nlohmann::ordered_json facts = {
      {"step", batch.step}, {"loss", fmt::format("{}", loss)}, {"rate", rate}, {"images", images}};
  core::WriteFileAtomic(folder / "batch.json", facts.dump(2) + "\n");
}

}  // namespace eosin::segment
