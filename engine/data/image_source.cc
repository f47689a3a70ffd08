// SPDX-License-Identifier: Apache-2.0
#include "engine/data/image_source.h"

#include <fmt/format.h>
#include <algorithm>
#include <fstream>
#include <mutex>
#include <numeric>
#include <sstream>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/formats/csv.h"
#include "core/image/codec.h"
#include "core/image/picture_folder.h"
#include "engine/data/binary_sets.h"
#include "engine/data/store_source.h"

namespace eosin::engine {
namespace {

namespace fs = std::filesystem;

bool IsPicture(const fs::path& path) {
  const std::string extension = core::Extension(path);
  return std::ranges::count(core::PictureExtensions(), extension) > 0;
}
bool IsStore(const fs::path& path) { return core::Extension(path) == ".h5"; }

// Width and height from the file's first bytes, or from all of it where a long EXIF block hides
// them; {0, 0} when it does not say.
std::pair<int, int> HeaderSize(const fs::path& path) {
  for (const size_t limit : {size_t{4096}, size_t{1} << 40}) {
    std::ifstream file(path, std::ios::binary);
    std::vector<uint8_t> bytes;
    for (size_t step = 4096; file && bytes.size() < limit; step = 1 << 20) {
      const size_t had = bytes.size();
      bytes.resize(had + step);
      file.read(reinterpret_cast<char*>(bytes.data() + had), static_cast<std::streamsize>(step));
      bytes.resize(had + static_cast<size_t>(file.gcount()));
    }
    try {
      std::pair<int, int> size{0, 0};
      core::ImageSize(bytes, path.string(), &size.first, &size.second);
      return size;
    } catch (const core::DataError&) {
    }
  }
  return {0, 0};
}

std::pair<int, int> CommonSize(const std::vector<fs::path>& paths) {
  std::pair<int, int> common{0, 0};
  for (const fs::path& path : paths) {
    const std::pair<int, int> size = HeaderSize(path);
    if (size.first == 0 || size == common) continue;
    if (common.first != 0) return {0, 0};
    common = size;
  }
  return common;
}

class PictureSource : public ImageSource {
 public:
  PictureSource(std::vector<fs::path> paths, fs::path root)
      : paths_(std::move(paths)), root_(std::move(root)) {
    LabelByFolder(paths_, root_, &classes_, &labels_);
  }
  PictureSource(std::vector<fs::path> paths, fs::path root, std::vector<std::string> classes,
                std::vector<int64_t> labels, std::vector<std::string> groups,
                std::vector<std::string> splits)
      : paths_(std::move(paths)),
        root_(std::move(root)),
        classes_(std::move(classes)),
        labels_(std::move(labels)),
        groups_(std::move(groups)),
        splits_(std::move(splits)) {}

  int64_t size() const override { return static_cast<int64_t>(paths_.size()); }
  core::Image Read(int64_t index) const override { return core::ReadRgb(At(index)); }
  std::string name(int64_t index) const override {
    return core::PathBelow(At(index), root_).string();
  }
  std::string group(int64_t index) const override {
    return groups_.empty() ? At(index).stem().string() : groups_[static_cast<size_t>(index)];
  }
  bool has_groups() const override { return !groups_.empty(); }
  int64_t label(int64_t index) const override {
    return labels_.empty() ? -1 : labels_[static_cast<size_t>(index)];
  }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string split(int64_t index) const override {
    return splits_.empty() ? "" : splits_[static_cast<size_t>(index)];
  }
  // From the pictures' headers, on the first question; pictures that say nothing are left out.
  std::pair<int, int> uniform_size() const override {
    std::call_once(size_once_, [this] { uniform_size_ = CommonSize(paths_); });
    return uniform_size_;
  }

 private:
  const fs::path& At(int64_t index) const { return paths_.at(static_cast<size_t>(index)); }

  std::vector<fs::path> paths_;
  fs::path root_;
  std::vector<std::string> classes_;
  std::vector<int64_t> labels_;
  std::vector<std::string> groups_, splits_;
  mutable std::once_flag size_once_;
  mutable std::pair<int, int> uniform_size_{0, 0};
};

class SelectedSource : public ImageSource {
 public:
  SelectedSource(std::unique_ptr<ImageSource> source, std::vector<int64_t> indices)
      : source_(std::move(source)), indices_(std::move(indices)) {}
  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  core::Image Read(int64_t index) const override { return source_->Read(At(index)); }
  std::string name(int64_t index) const override { return source_->name(At(index)); }
  std::string group(int64_t index) const override { return source_->group(At(index)); }
  bool has_groups() const override { return source_->has_groups(); }
  int64_t label(int64_t index) const override { return source_->label(At(index)); }
  const std::vector<std::string>& classes() const override { return source_->classes(); }
  std::pair<int, int> uniform_size() const override { return source_->uniform_size(); }
  std::optional<core::StainRow> stain(int64_t index) const override {
    return source_->stain(At(index));
  }
  std::optional<TilePlace> place(int64_t index) const override { return source_->place(At(index)); }
  std::string split(int64_t index) const override { return source_->split(At(index)); }
  std::vector<double> part_weights() const override { return source_->part_weights(); }
  int64_t part(int64_t index) const override { return source_->part(At(index)); }

 private:
  int64_t At(int64_t index) const { return indices_.at(static_cast<size_t>(index)); }
  std::unique_ptr<ImageSource> source_;
  std::vector<int64_t> indices_;
};

// An index.csv of pictures: columns file, and optionally class, group and split.
std::unique_ptr<ImageSource> OpenIndexed(const fs::path& folder, const core::CsvTable& table) {
  const int kind = table.Column("class"), group = table.Column("group"),
            split = table.Column("split");
  std::vector<std::string> classes, groups, splits;
  std::vector<int64_t> labels;
  std::vector<fs::path> paths;
  for (const auto& row : table.rows) {
    if (kind >= 0) classes.push_back(row[kind]);
  }
  std::sort(classes.begin(), classes.end());
  classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  for (const auto& row : table.rows) {
    paths.push_back(core::IndexedPicture(folder, table, row));
    if (kind >= 0) {
      labels.push_back(std::lower_bound(classes.begin(), classes.end(), row[kind]) -
                       classes.begin());
    }
    if (group >= 0) groups.push_back(row[group]);
    if (split >= 0) splits.push_back(row[split]);
  }
  return std::make_unique<PictureSource>(std::move(paths), folder, std::move(classes),
                                         std::move(labels), std::move(groups), std::move(splits));
}

// A split that nobody reads would let test slides into training.
void RefuseSplitOfStores(const fs::path& folder) {
  const fs::path index = folder / "index.csv";
  if (!fs::is_regular_file(index) || core::ReadCsv(index).Column("split") < 0) return;
  throw core::DataError(
      index.string() + " has a column `split`, but the folder holds tile stores, which take none",
      "put the slides of each part into a folder or a .txt list of its own, and remove the column");
}

std::unique_ptr<ImageSource> OpenFolder(const fs::path& folder) {
  const fs::path binary = FindBinarySet(folder);
  if (!binary.empty()) return OpenBinaryFolder(binary);
  std::vector<fs::path> stores = core::ListFiles(folder, {".h5"}, true);
  if (!stores.empty()) {
    RefuseSplitOfStores(folder);
    return MakeStoreSource(std::move(stores), folder);
  }
  if (const auto table = core::ReadPictureIndex(folder)) return OpenIndexed(folder, *table);
  const fs::path root = core::PictureRoot(folder);
  return std::make_unique<PictureSource>(core::ListFiles(root, core::PictureExtensions(), true),
                                         root);
}

std::unique_ptr<ImageSource> OpenPaths(std::vector<fs::path> paths, const fs::path& root,
                                       const std::string& source) {
  struct Kind {
    bool (*matches)(const fs::path&);
    const char* name;
  };
  static constexpr Kind kKinds[] = {{IsStore, "tile store"},
                                    {IsBinarySet, "CIFAR-10 or STL-10 file"},
                                    {IsPicture, "PNG or JPEG picture"}};
  const Kind* kind = &kKinds[2];
  for (const Kind& candidate : kKinds) {
    if (!paths.empty() && candidate.matches(paths[0])) kind = &candidate;
  }
  for (const fs::path& path : paths) {
    if (!fs::is_regular_file(path)) {
      throw core::DataError(fmt::format("{} names {}, which does not exist", source, path.string()),
                            "paths in a list are relative to the list's folder, or absolute");
    }
    if (!kind->matches(path)) {
      throw core::DataError(fmt::format("{} is not a {}", path.string(), kind->name),
                            "a list holds either tile stores (.h5), pictures (.png, .jpg, .jpeg) "
                            "or CIFAR-10 and STL-10 files (.bin)");
    }
  }
  if (kind == &kKinds[0]) return MakeStoreSource(std::move(paths), root);
  if (kind == &kKinds[1]) return OpenBinaryFiles(paths, root);
  return std::make_unique<PictureSource>(std::move(paths), root);
}

std::vector<fs::path> ReadList(const fs::path& list) {
  std::vector<fs::path> paths;
  std::istringstream lines(core::ReadFile(list));
  for (std::string line; std::getline(lines, line);) {
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos || line[begin] == '#') continue;
    const size_t end = line.find_last_not_of(" \t\r");
    paths.push_back((list.parent_path() / line.substr(begin, end - begin + 1)).lexically_normal());
  }
  return paths;
}

}  // namespace

std::unique_ptr<ImageSource> OpenImageSource(const fs::path& given) {
  // "tiles/" and "tiles" name the same folder; relative names need the one without the slash.
  fs::path path = given.lexically_normal();
  if (!path.has_filename() && path.has_relative_path()) path = path.parent_path();
  std::unique_ptr<ImageSource> source;
  if (fs::is_directory(path)) {
    source = OpenFolder(path);
  } else if (!fs::exists(path)) {
    throw core::DataError("no such file or folder: " + path.string(),
                          "give a folder of tile stores or pictures");
  } else if (core::Extension(path) == ".txt") {
    source = OpenPaths(ReadList(path), path.parent_path(), path.string());
  } else {
    source = OpenPaths({path}, path.parent_path(), path.string());
  }
  if (source->size() == 0) {
    throw core::DataError("no tiles or images in " + path.string(),
                          "tile slides first (eosin tile), or give a folder of .png or .jpg files");
  }
  return source;
}

std::unique_ptr<ImageSource> FilterGroups(std::unique_ptr<ImageSource> source,
                                          const std::function<bool(const std::string&)>& keep) {
  std::vector<int64_t> kept;
  for (int64_t i = 0; i < source->size(); ++i) {
    if (keep(source->group(i))) kept.push_back(i);
  }
  return SelectImages(std::move(source), std::move(kept));
}

std::unique_ptr<ImageSource> FilterSplit(std::unique_ptr<ImageSource> source,
                                         const std::string& split, const std::string& path) {
  std::vector<int64_t> kept;
  std::vector<bool> served(source->part_weights().size());
  for (int64_t i = 0; i < source->size(); ++i) {
    if (source->split(i) != split) continue;
    kept.push_back(i);
    served[static_cast<size_t>(source->part(i))] = true;
  }
  if (!std::all_of(served.begin(), served.end(), [](bool any) { return any; })) {
    throw core::DataError(fmt::format("no image of {} is of the split \"{}\"", path, split),
                          "the column `split` of the folder's index.csv names it");
  }
  return SelectImages(std::move(source), std::move(kept));
}

std::unique_ptr<ImageSource> SelectImages(std::unique_ptr<ImageSource> source,
                                          std::vector<int64_t> indices) {
  return std::make_unique<SelectedSource>(std::move(source), std::move(indices));
}

}  // namespace eosin::engine
