// SPDX-License-Identifier: Apache-2.0
#include "eval/study/features.h"

#include <ATen/ops/from_blob.h>
#include <memory>
#include <optional>
#include <vector>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/store/hdf5.h"

namespace eosin::eval {
namespace {

namespace fs = std::filesystem;
namespace hdf5 = core::hdf5;

constexpr const char* kFormat = "eosin-embeddings";

std::optional<at::Tensor> Load(const fs::path& path, const FeatureKey& key, int64_t rows) {
  if (!fs::exists(path)) return std::nullopt;
  try {
    const hdf5::File file = hdf5::File::Open(path);
    if (file.GetString("format") != kFormat || file.GetString("fingerprint") != key.fingerprint ||
        file.GetString("images") != key.images || file.GetString("settings") != key.settings) {
      return std::nullopt;
    }
    const hdf5::Dataset dataset = file.OpenDataset("features");
    if (dataset.shape().size() != 2 || dataset.shape()[0] != rows) return std::nullopt;
    // The tensor takes the values over: features of a million images are held once.
    const auto values = std::make_shared<std::vector<float>>(dataset.Read<float>());
    return at::from_blob(values->data(), dataset.shape(), [values](void*) {}, at::kFloat);
  } catch (const core::StoreError&) {
    return std::nullopt;
  }
}

void Store(const fs::path& path, const FeatureKey& key, const ImageSet& images,
           const at::Tensor& features) {
  const at::Tensor rows = features.contiguous();
  core::AtomicFile out(path);
  hdf5::File file = hdf5::File::Create(out.part_path());
  file.SetAttribute("format", std::string(kFormat));
  file.SetAttribute("encoder", key.encoder);
  file.SetAttribute("fingerprint", key.fingerprint);
  file.SetAttribute("images", key.images);
  file.SetAttribute("settings", key.settings);
  file.CreateDataset("features", rows.const_data_ptr<float>(), {rows.size(0), rows.size(1)})
      .Close();
  file.CreateDataset("labels", images.labels, {images.size()}).Close();
  file.Close();
  out.Commit();
}

}  // namespace

std::string FileName(const std::string& name) {
  std::string safe;
  for (const char c : name) {
    const bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '-' || c == '_';
    safe += kept ? c : '_';
  }
  // Neither hidden nor a way out of the folder.
  return safe.empty() || safe[0] == '.' ? "_" + safe : safe;
}

at::Tensor FeatureCache::Get(const FeatureKey& key, const ImageSet& images,
                             const std::function<at::Tensor()>& make) const {
  const fs::path folder = folder_ / FileName(key.encoder);
  const fs::path path = folder / (FileName(key.set) + ".h5");
  if (auto found = Load(path, key, images.size())) {
    ++reused_;
    return *found;
  }
  const at::Tensor features = make();
  core::MakeFolder(folder);
  Store(path, key, images, features);
  return features;
}

}  // namespace eosin::eval
