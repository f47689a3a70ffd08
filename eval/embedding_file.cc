// SPDX-License-Identifier: Apache-2.0
#include "eval/embedding_file.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/store/hdf5.h"
#include "core/store/schema.h"
#include "eval/analysis/distance.h"

namespace eosin::eval {
namespace {

namespace fs = std::filesystem;
namespace hdf5 = core::hdf5;

constexpr const char* kFormat = "eosin-features";

void CheckCount(const at::Tensor& features, size_t count) {
  CheckRows(features);
  if (features.size(0) != static_cast<int64_t>(count)) {
    throw core::DataError(fmt::format("{} rows of features for {} images", features.size(0), count),
                          "embed exactly the images that are written");
  }
}

// To be gone before the file closes.
hdf5::Dataset WriteFeatures(hdf5::File* file, const at::Tensor& features, const std::string& name,
                            const EmbeddingMaker& maker) {
  file->SetAttribute("format", std::string(kFormat));
  file->SetAttribute("version", int64_t{1});
  const at::Tensor values = features.detach().to(at::kFloat).cpu().contiguous();
  hdf5::Dataset dataset = file->CreateDataset("features", values.const_data_ptr<float>(),
                                              {values.size(0), values.size(1)});
  dataset.SetAttribute("name", name);
  dataset.SetAttribute("savetodir", std::string("."));
  dataset.SetAttribute("encoder", maker.encoder);
  dataset.SetAttribute("fingerprint", maker.fingerprint);
  dataset.SetAttribute("input_size", maker.input_size);
  const auto& normalization = maker.normalization;
  dataset.SetAttribute("mean",
                       std::vector<double>(normalization.mean.begin(), normalization.mean.end()));
  dataset.SetAttribute("std",
                       std::vector<double>(normalization.std.begin(), normalization.std.end()));
  return dataset;
}

void CopyAttributes(const hdf5::Dataset& from, hdf5::Dataset* to) {
  for (const std::string& name : from.AttributeNames()) {
    if (name == core::schema::kHash) continue;  // of the store's rows, not of these
    switch (from.AttributeBytes(name).front()) {
      case 's':
        to->SetAttribute(name, from.GetString(name));
        break;
      case 'i': {
        const std::vector<int64_t> values = from.GetInt64s(name);
        values.size() == 1 ? to->SetAttribute(name, values[0]) : to->SetAttribute(name, values);
        break;
      }
      default: {
        const std::vector<double> values = from.GetDoubles(name);
        values.size() == 1 ? to->SetAttribute(name, values[0]) : to->SetAttribute(name, values);
      }
    }
  }
}

// "slides/a.h5#12" -> {"slides/a.h5", 12}; row -1 for anything else.
std::pair<std::string, int64_t> StoreAndRow(const std::string& name) {
  const size_t hash = name.rfind('#');
  if (hash == std::string::npos || !name.substr(0, hash).ends_with(".h5")) return {name, -1};
  int64_t row = -1;
  const auto [end, error] = std::from_chars(name.data() + hash + 1, name.data() + name.size(), row);
  if (error != std::errc() || end != name.data() + name.size()) return {name, -1};
  return {name.substr(0, hash), row};
}

fs::path FindStore(const fs::path& data, const std::string& name) {
  for (const fs::path& path : {data / name, data.parent_path() / name, data, fs::path(name)}) {
    if (fs::is_regular_file(path) && path.filename() == fs::path(name).filename()) return path;
  }
  throw core::DataError(fmt::format("the tile store {} is not below {}", name, data.string()),
                        "embed from the folder of tile stores itself");
}

// Takes the values over.
at::Tensor Rows(std::vector<float> values, const std::vector<int64_t>& shape) {
  const auto kept = std::make_shared<std::vector<float>>(std::move(values));
  return at::from_blob(kept->data(), shape, [kept](void*) {}, at::kFloat);
}

}  // namespace

bool WriteSlideEmbedding(const fs::path& path, const core::TileStoreReader& store,
                         const std::vector<int64_t>& rows, const at::Tensor& features,
                         const EmbeddingMaker& maker) {
  CheckCount(features, rows.size());
  std::vector<int64_t> coords;
  for (const int64_t row : rows) {
    if (row < 0 || row >= store.size()) {
      throw core::DataError(fmt::format("{} has no tile {}", store.path().string(), row),
                            "embed the tiles of this store");
    }
    coords.push_back(store.coords(row).x);
    coords.push_back(store.coords(row).y);
  }
  const std::set<int64_t> written(rows.begin(), rows.end());
  int64_t usable = 0;
  bool whole = true;
  for (int64_t i = 0; i < store.size(); ++i) {
    const core::TileStatus status = store.status(i);
    if (status == core::TileStatus::kBlank || status == core::TileStatus::kBad) continue;
    ++usable;
    whole = whole && written.count(i) != 0;
  }
  core::AtomicFile target(path);
  hdf5::File file = hdf5::File::Create(target.part_path());
  {
    hdf5::Dataset dataset = WriteFeatures(&file, features, store.info().SlideStem(), maker);
    dataset.SetAttribute("tiles_written", static_cast<int64_t>(rows.size()));
    dataset.SetAttribute("tiles_in_store", usable);
  }
  {
    const hdf5::File from = hdf5::File::Open(store.path());
    hdf5::Dataset written =
        file.CreateDataset("coords", coords, {static_cast<int64_t>(rows.size()), 2});
    CopyAttributes(from.OpenDataset("coords"), &written);
  }
  file.Close();
  target.Commit();
  return whole;
}

void WriteImageEmbedding(const fs::path& path, const engine::ImageSource& source,
                         const std::vector<int64_t>& indices, const at::Tensor& features,
                         const EmbeddingMaker& maker) {
  CheckCount(features, indices.size());
  std::vector<std::string> names, groups;
  std::vector<int64_t> labels;
  for (const int64_t i : indices) {
    names.push_back(source.name(i));
    groups.push_back(source.group(i));
    labels.push_back(source.label(i));
  }
  core::AtomicFile target(path);
  hdf5::File file = hdf5::File::Create(target.part_path());
  WriteFeatures(&file, features, path.stem().string(), maker);
  file.CreateStrings("names", names);
  file.CreateStrings("groups", groups);
  if (!source.classes().empty()) {
    file.CreateDataset("labels", labels, {static_cast<int64_t>(labels.size())});
    file.CreateStrings("classes", source.classes());
  }
  file.Close();
  target.Commit();
}

std::vector<fs::path> WriteEmbeddings(const fs::path& folder, const fs::path& data,
                                      const engine::ImageSource& source,
                                      const std::vector<int64_t>& indices,
                                      const at::Tensor& features, const EmbeddingMaker& maker,
                                      int64_t* incomplete) {
  CheckCount(features, indices.size());
  if (incomplete) *incomplete = 0;
  struct Slide {
    std::vector<int64_t> rows, places;  // in the store, and in `features`
  };
  std::map<std::string, Slide> slides;
  bool tiles = !indices.empty();
  for (size_t i = 0; tiles && i < indices.size(); ++i) {
    const auto [store, row] = StoreAndRow(source.name(indices[i]));
    tiles = row >= 0;
    slides[store].rows.push_back(row);
    slides[store].places.push_back(static_cast<int64_t>(i));
  }
  core::MakeFolder(folder);
  if (!tiles) {
    WriteImageEmbedding(folder / "embedding.h5", source, indices, features, maker);
    return {folder / "embedding.h5"};
  }
  std::set<std::string> stems;
  for (const auto& [name, slide] : slides) stems.insert(fs::path(name).filename().string());
  const bool flat = stems.size() == slides.size();
  std::vector<fs::path> files;
  for (const auto& [name, slide] : slides) {
    const core::TileStoreReader store(FindStore(data, name));
    // A store outside the data's folder has no place below ours but its name.
    const bool inside = !fs::path(name).is_absolute() && *fs::path(name).begin() != "..";
    const fs::path file = folder / (flat || !inside ? fs::path(name).filename() : fs::path(name));
    if (std::find(files.begin(), files.end(), file) != files.end()) {
      throw core::DataError(fmt::format("two tile stores are called {}", file.filename().string()),
                            "rename one of them");
    }
    core::MakeFolder(file.parent_path());
    const bool whole =
        WriteSlideEmbedding(file, store, slide.rows,
                            features.index_select(0, at::tensor(slide.places, at::kLong)), maker);
    if (incomplete && !whole) ++*incomplete;
    files.push_back(file);
  }
  return files;
}

Embedding ReadEmbedding(const fs::path& path) {
  const hdf5::File file = hdf5::File::Open(path);
  const auto refuse = [&](const std::string& why) {
    throw core::StoreError(fmt::format("{} is no file of features: {}", path.string(), why),
                           "give a file written by eosin eval, CLAM or TRIDENT");
  };
  if (!file.IsDataset("features")) refuse("it has no dataset `features`");
  const hdf5::Dataset features = file.OpenDataset("features");
  if (features.shape().size() != 2) refuse("`features` is not (N, D)");
  Embedding embedding;
  const int64_t count = features.shape()[0];
  embedding.features = Rows(features.Read<float>(), features.shape());
  if (file.IsDataset("coords")) {
    const hdf5::Dataset coords = file.OpenDataset("coords");
    if (coords.shape() != std::vector<int64_t>{count, 2}) refuse("`coords` is not (N, 2)");
    embedding.coords = at::tensor(coords.Read<int64_t>(), at::kLong).view({count, 2});
  }
  if (file.IsDataset("labels")) {
    const hdf5::Dataset labels = file.OpenDataset("labels");
    if (labels.shape() != std::vector<int64_t>{count}) refuse("`labels` is not (N)");
    embedding.labels = at::tensor(labels.Read<int64_t>(), at::kLong);
  }
  const auto strings = [&](const std::string& name, std::vector<std::string>* values) {
    if (file.IsDataset(name)) *values = file.OpenDataset(name).ReadStrings();
  };
  strings("names", &embedding.names);
  strings("groups", &embedding.groups);
  strings("classes", &embedding.classes);
  for (const auto* values : {&embedding.names, &embedding.groups}) {
    if (!values->empty() && static_cast<int64_t>(values->size()) != count) {
      refuse("`names` or `groups` has another length than `features`");
    }
  }
  EmbeddingMaker& maker = embedding.maker;
  if (features.HasAttribute("encoder")) maker.encoder = features.GetString("encoder");
  if (features.HasAttribute("fingerprint")) maker.fingerprint = features.GetString("fingerprint");
  if (features.HasAttribute("input_size")) maker.input_size = features.GetInt64("input_size");
  if (features.HasAttribute("mean") && features.HasAttribute("std")) {
    const std::vector<double> mean = features.GetDoubles("mean"), std = features.GetDoubles("std");
    if (mean.size() != 3 || std.size() != 3) refuse("its normalisation is not of three channels");
    std::copy(mean.begin(), mean.end(), maker.normalization.mean.begin());
    std::copy(std.begin(), std.end(), maker.normalization.std.begin());
  }
  return embedding;
}

}  // namespace eosin::eval
