// SPDX-License-Identifier: Apache-2.0
#include "pretrain/bench/plan.h"

#include <fmt/format.h>
#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "core/base/files.h"
#include "engine/data/binary_sets.h"
#include "pretrain/registry.h"

namespace eosin::pretrain {
namespace {

namespace fs = std::filesystem;

// <method>-cifar or <method>-stl10, most often another name of a published preset.
std::string PresetOf(const BenchOptions& options, const std::string& method) {
  const std::string name = method + (options.set == "stl10" ? "-stl10" : "-cifar");
  for (const MethodPreset& preset : FindMethod(method).presets) {
    const auto& aliases = preset.aliases;
    if (preset.name == name || std::find(aliases.begin(), aliases.end(), name) != aliases.end()) {
      return name;
    }
  }
  throw core::ConfigError(
      fmt::format("there is no preset {} to run {} on {} with", name, method, options.set),
      "leave it out of bench.methods, or register such a preset with the method");
}

PretrainOptions CellOptions(const BenchOptions& options, const BenchCell& cell) {
  const bool stl = options.set == "stl10";
  PretrainOptions o = Preset(PresetOf(options, cell.method));
  o.arch = cell.arch;
  o.stem = stl ? "imagenet" : "cifar";
  o.width = options.width;
  o.epochs = options.epochs;
  o.batch = cell.batch;
  o.seed_value = cell.seed;
  o.size = options.size();
  o.view_a = o.view_b = engine::ViewRecipe::Preset(cell.augment);
  o.view_a.size = o.view_b.size = o.size;
  o.knn_every = std::max<int64_t>(1, options.epochs / 10);
  o.workers = options.workers;
  o.compute = options.compute;
  o.data = options.data;
  for (const std::string& item : options.assign) {
    const size_t at = item.find('=');
    o.Set(item.substr(0, at), item.substr(at + 1));
  }
  o.Resolve();
  o.Check();
  return o;
}

// Of all indices below n, `count` drawn once for all cells, in order; all when count is 0.
std::vector<int64_t> Draw(int64_t n, int64_t count) {
  std::vector<int64_t> indices(static_cast<size_t>(n));
  std::iota(indices.begin(), indices.end(), int64_t{0});
  if (count == 0 || count >= n) return indices;
  core::Shuffle(indices, core::PhiloxStream(0, core::DrawPurpose::kSplit, 2, 0));
  indices.resize(static_cast<size_t>(count));
  std::sort(indices.begin(), indices.end());
  return indices;
}

std::unique_ptr<engine::ImageSource> Open(const std::vector<fs::path>& files, int64_t count) {
  auto source = engine::OpenBinaryFiles(files, files.at(0).parent_path());
  const int64_t n = source->size();
  if (count == 0 || count >= n) return source;
  return engine::SelectImages(std::move(source), Draw(n, count));
}

std::unique_ptr<engine::ImageSource> OpenFirst(const fs::path& file, int64_t count) {
  auto source = engine::OpenBinaryFiles({file}, file.parent_path());
  const int64_t n = source->size();
  if (count == 0 || count >= n) return source;
  std::vector<int64_t> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), int64_t{0});
  return engine::SelectImages(std::move(source), std::move(indices));
}

std::string Count(const engine::ImageSource& source) {
  return fmt::format("{} images", source.size());
}

fs::path TestFile(const BenchOptions& options, const fs::path& folder) {
  if (!options.test.empty()) {
    const fs::path given = options.test;
    if (fs::is_regular_file(given)) return given;
    if (fs::is_regular_file(folder / given)) return folder / given;
    throw core::DataError("there is no test file " + options.test, "check bench.test");
  }
  for (const char* name : {"test_batch.bin", "test_first_1000.bin"}) {
    if (fs::is_regular_file(folder / name)) return folder / name;
  }
  throw core::DataError("there is no test file in " + folder.string(),
                        "put test_batch.bin there, name one with --test, or --protocols holdout");
}

BenchData OpenCifar10(const BenchOptions& options, const std::string& protocol,
                      const fs::path& folder) {
  std::vector<fs::path> batches;
  for (const fs::path& file : core::ListFiles(folder, {".bin"}, false)) {
    if (file.filename().string().rfind("data_batch_", 0) == 0) batches.push_back(file);
  }
  std::string names = "all training batches";
  BenchData data;
  if (protocol == "holdout") {
    if (batches.size() < 2) {
      throw core::DataError(folder.string() + " has no two training batches to hold one out",
                            "data_batch_1.bin to data_batch_5.bin, or --protocols test");
    }
    data.test = OpenFirst(batches.back(), options.test_images);
    data.test_name = batches.back().filename().string();
    names = fmt::format("all training batches but {}", data.test_name);
    batches.pop_back();
  } else {
    if (batches.empty()) {
      throw core::DataError("there are no training batches in " + folder.string(),
                            "data_batch_1.bin to data_batch_5.bin");
    }
    const fs::path file = TestFile(options, folder);
    data.test = OpenFirst(file, options.test_images);
    data.test_name = file.filename().string();
  }
  data.learn = Open(batches, options.images);
  data.bank = Open(batches, options.images);
  data.learn_name = fmt::format("{}, {}", names, Count(*data.learn));
  data.test_name += ", " + Count(*data.test);
  return data;
}

BenchData OpenStl10(const BenchOptions& options, const fs::path& folder) {
  const fs::path train = folder / "train_X.bin", unlabelled = folder / "unlabeled_X.bin",
                 test = folder / "test_X.bin";
  for (const fs::path& file : {train, test}) {
    if (!fs::is_regular_file(file)) {
      throw core::DataError("there is no " + file.string(),
                            "unpack stl10_binary.tar.gz: train, test and unlabeled_X.bin");
    }
  }
  std::vector<fs::path> learn = {train};
  if (fs::is_regular_file(unlabelled)) learn.push_back(unlabelled);
  BenchData data;
  data.learn = Open(learn, options.images);
  data.bank = Open({train}, 0);
  data.test = OpenFirst(test, options.test_images);
  data.folds = engine::ReadStl10Folds(folder / "fold_indices.txt", data.bank->size());
  data.learn_name = fmt::format("train{} images, {}", learn.size() > 1 ? " and unlabeled" : "",
                                Count(*data.learn));
  data.test_name = fmt::format("test_X.bin, {}", Count(*data.test));
  return data;
}

}  // namespace

bool BenchCell::SameSetting(const BenchCell& other) const {
  return method == other.method && augment == other.augment && arch == other.arch &&
         protocol == other.protocol && batch == other.batch;
}

std::vector<BenchCell> PlanCells(const BenchOptions& options) {
  options.Check();
  std::vector<BenchCell> cells;
  const auto add = [&](BenchCell cell) {
    cell.name = fmt::format("{}-{}-b{}-{}-s{}", cell.method, cell.augment, cell.batch,
                            cell.protocol, cell.seed);
    if (options.set == "stl10") cell.name = cell.arch + "-" + cell.name;
    const auto same = [&](const BenchCell& c) { return c.name == cell.name; };
    if (std::any_of(cells.begin(), cells.end(), same)) return;
    cell.pretrain = CellOptions(options, cell);
    cells.push_back(std::move(cell));
  };
  for (int64_t s = 0; s < options.seeds; ++s) {
    for (const std::string& protocol : options.protocols) {
      for (const std::string& arch : options.archs) {
        for (const std::string& method : options.methods) {
          BenchCell cell;
          cell.method = method;
          cell.arch = arch;
          cell.protocol = protocol;
          cell.seed = options.first_seed + s;
          for (const std::string& augment : options.augment) {
            cell.augment = augment;
            cell.batch = options.study_batch;
            add(cell);
            for (const double batch : options.batches) {
              cell.batch = static_cast<int64_t>(batch);
              if (options.full_cross) add(cell);
            }
          }
          cell.augment = options.study_augment;
          for (const double batch : options.batches) {
            cell.batch = static_cast<int64_t>(batch);
            add(cell);
          }
        }
      }
    }
  }
  return cells;
}

BenchData OpenBenchData(const BenchOptions& options, const std::string& protocol) {
  if (!fs::is_directory(options.data)) {
    throw core::DataError("there is no folder " + options.data,
                          "give the folder of the set's original binary files");
  }
  const fs::path found = engine::FindBinarySet(options.data);
  const fs::path folder = found.empty() ? fs::path(options.data) : found;
  return options.set == "stl10" ? OpenStl10(options, folder)
                                : OpenCifar10(options, protocol, folder);
}

}  // namespace eosin::pretrain
