// SPDX-License-Identifier: Apache-2.0
#include "core/store/tile_store.h"

#include <cmath>

#include "core/base/error.h"
#include "core/store/schema.h"

namespace eosin::core {

double TileStoreInfo::Mpp() const { return std::sqrt(mpp_x * mpp_y); }

std::string TileStoreInfo::SlideStem() const {
  return std::filesystem::path(slide_name).stem().string();
}

void WriteClamCoords(const std::filesystem::path& path, const TileStoreReader& store) {
  const TileStoreInfo& info = store.info();
  std::vector<int64_t> coords;
  for (int64_t i = 0; i < store.size(); ++i) {
    if (store.status(i) == TileStatus::kBad) continue;
    coords.push_back(store.coords(i).x);
    coords.push_back(store.coords(i).y);
  }
  AtomicFile target(path);
  hdf5::File file = hdf5::File::Create(target.part_path());
  {
    const int64_t count = static_cast<int64_t>(coords.size() / 2);
    hdf5::Dataset dataset =
        file.CreateDataset<int64_t>("coords", coords, {count, 2}, {schema::kCoordsChunk, 2});
    const std::vector<int64_t> dims = {info.width, info.height};
    dataset.SetAttribute("patch_size", info.patch_size_level0);
    dataset.SetAttribute("patch_level", int64_t{0});
    dataset.SetAttribute("downsample", std::vector<double>{1, 1});
    dataset.SetAttribute("downsampled_level_dim", dims);
    dataset.SetAttribute("level_dim", dims);
    dataset.SetAttribute("name", info.SlideStem());
    dataset.SetAttribute("save_path", std::string("."));
  }
  file.Close();
  target.Commit();
}

}  // namespace eosin::core
