// SPDX-License-Identifier: Apache-2.0
#include "engine/data/store_source.h"

#include <algorithm>
#include <array>
#include <mutex>

#include "core/base/error.h"
#include "core/image/picture_folder.h"
#include "core/store/tile_store.h"

namespace eosin::engine {
namespace {

namespace fs = std::filesystem;

struct Store {
  fs::path path;
  std::string name, group;
  int64_t first = 0;  // index of its first tile in the source
  int64_t count = 0;
  std::vector<int32_t> rows;          // of the kept tiles; empty when all are kept
  std::vector<int64_t> labels;        // a tile; or one for all
  int tile_size = 0;                  // px
  double stride = 0;                  // level-0 pixels; 0 unknown
  bool stain_read = false;            // stain is filled on the first question
  std::vector<core::StainRow> stain;  // a row of the store; empty without
  std::shared_ptr<core::TileStoreReader> reader;
  uint64_t used = 0;
};

class StoreSource : public ImageSource {
 public:
  StoreSource(std::vector<fs::path> paths, const fs::path& root) {
    std::vector<int64_t> folder_labels;
    LabelByFolder(paths, root, &classes_, &folder_labels);
    for (size_t i = 0; i < paths.size(); ++i) {
      Store store;
      store.path = paths[i];
      store.name = core::PathBelow(paths[i], root).string();
      store.group = paths[i].stem().string();
      if (!folder_labels.empty()) store.labels = {folder_labels[i]};
      stores_.push_back(std::move(store));
    }
    const bool tile_labels = folder_labels.empty() && HaveTileLabels();
    for (Store& store : stores_) ReadIndex(store, tile_labels);
    for (size_t c = 0; tile_labels && c < class_count_; ++c) classes_.push_back(std::to_string(c));
  }

  int64_t size() const override { return size_; }
  const std::vector<std::string>& classes() const override { return classes_; }

  core::Image Read(int64_t index) const override {
    Store& store = Find(index);
    return Reader(store)->Decode(Row(store, index));
  }
  std::string name(int64_t index) const override {
    const Store& store = Find(index);
    return store.name + "#" + std::to_string(Row(store, index));
  }
  std::string group(int64_t index) const override { return Find(index).group; }
  bool has_groups() const override { return true; }
  int64_t label(int64_t index) const override {
    const Store& store = Find(index);
    if (store.labels.empty()) return -1;
    if (store.labels.size() == 1) return store.labels[0];
    return store.labels[static_cast<size_t>(Row(store, index))];
  }
  std::pair<int, int> uniform_size() const override { return uniform_size_; }

  std::optional<core::StainRow> stain(int64_t index) const override {
    Store& store = Find(index);
    std::unique_lock lock(mutex_);
    if (!store.stain_read) {
      lock.unlock();
      std::vector<core::StainRow> rows = ReadStain(*Reader(store));
      lock.lock();
      if (!store.stain_read) store.stain = std::move(rows);
      store.stain_read = true;
    }
    if (store.stain.empty()) return std::nullopt;
    return store.stain.at(static_cast<size_t>(Row(store, index)));
  }
  std::optional<TilePlace> place(int64_t index) const override {
    Store& store = Find(index);
    if (!(store.stride > 0)) return std::nullopt;
    const auto corner = Reader(store)->coords(Row(store, index));
    return TilePlace{.slide = &store - stores_.data(),
                     .x = static_cast<double>(corner.x) / store.stride,
                     .y = static_cast<double>(corner.y) / store.stride};
  }

 private:
  Store& Find(int64_t index) const {
    const auto after = std::upper_bound(stores_.begin(), stores_.end(), index,
                                        [](int64_t i, const Store& s) { return i < s.first; });
    return *std::prev(after);
  }
  static int64_t Row(const Store& store, int64_t index) {
    const int64_t i = index - store.first;
    return store.rows.empty() ? i : store.rows[static_cast<size_t>(i)];
  }

  std::shared_ptr<core::TileStoreReader> Reader(Store& store) const {
    std::lock_guard lock(mutex_);
    store.used = ++clock_;
    if (!store.reader) {
      if (open_ == kMaxOpenStores) CloseOldest();
      store.reader = std::make_shared<core::TileStoreReader>(store.path);
      ++open_;
    }
    return store.reader;
  }
  void CloseOldest() const {
    Store* oldest = nullptr;
    for (Store& store : stores_) {
      if (store.reader && (!oldest || store.used < oldest->used)) oldest = &store;
    }
    oldest->reader.reset();  // readers in use live on until their Decode ends
    --open_;
  }

  // Columns by name; nothing unless all are there.
  static std::vector<core::StainRow> ReadStain(const core::TileStoreReader& reader) {
    const std::vector<std::string> columns = reader.stain_columns();
    std::array<size_t, core::kStainColumns.size()> from{};
    for (size_t c = 0; c < from.size(); ++c) {
      const auto found = std::find(columns.begin(), columns.end(), core::kStainColumns[c]);
      if (found == columns.end()) return {};
      from[c] = static_cast<size_t>(found - columns.begin());
    }
    const std::vector<float> values = reader.ReadStain();
    std::vector<core::StainRow> rows(static_cast<size_t>(reader.size()));
    for (size_t r = 0; r < rows.size(); ++r) {
      for (size_t c = 0; c < from.size(); ++c) rows[r][c] = values[r * columns.size() + from[c]];
    }
    return rows;
  }

  bool HaveTileLabels() {
    for (Store& store : stores_) {
      const std::vector<std::string> names = Reader(store)->label_names();
      if (names.size() != 1) return false;
      if (label_name_.empty()) label_name_ = names[0];
      if (names[0] != label_name_) return false;
    }
    return !label_name_.empty();
  }

  void ReadIndex(Store& store, bool tile_labels) {
    const auto reader = Reader(store);
    const core::TileStoreInfo& info = reader->info();
    if (!info.patient.empty()) store.group = info.patient;
    store.tile_size = static_cast<int>(info.tile_size);
    store.stride = static_cast<double>(info.stride) * info.downsample;
    bool all = true;
    for (int64_t i = 0; i < reader->size(); ++i) {
      const core::TileStatus status = reader->status(i);
      if (status == core::TileStatus::kBlank || status == core::TileStatus::kBad) {
        all = false;
      } else {
        store.rows.push_back(static_cast<int32_t>(i));
      }
    }
    store.first = size_;
    store.count = static_cast<int64_t>(store.rows.size());
    if (all) std::vector<int32_t>().swap(store.rows);
    size_ += store.count;
    if (store.count > 0) NoteSize(store.tile_size);
    if (!tile_labels) return;
    store.labels = reader->ReadLabels(label_name_);
    if (store.labels.size() == 1) store.labels.push_back(-1);  // one label would stand for all
    for (const int64_t label : store.labels) {
      class_count_ = std::max(class_count_, static_cast<size_t>(std::max<int64_t>(label, -1) + 1));
    }
  }

  void NoteSize(int side) {
    if (!size_seen_) uniform_size_ = {side, side};
    if (uniform_size_.first != side) uniform_size_ = {0, 0};
    size_seen_ = true;
  }

  mutable std::mutex mutex_;  // readers, used, stain_read, stain, open_, clock_
  mutable std::vector<Store> stores_;
  mutable int open_ = 0;
  mutable uint64_t clock_ = 0;
  std::vector<std::string> classes_;
  std::string label_name_;
  size_t class_count_ = 0;
  int64_t size_ = 0;
  bool size_seen_ = false;
  std::pair<int, int> uniform_size_{0, 0};
};

}  // namespace

std::unique_ptr<ImageSource> MakeStoreSource(std::vector<fs::path> stores, const fs::path& root) {
  return std::make_unique<StoreSource>(std::move(stores), root);
}

void LabelByFolder(const std::vector<fs::path>& paths, const fs::path& root,
                   std::vector<std::string>* classes, std::vector<int64_t>* labels) {
  std::vector<std::string> folders;
  for (const fs::path& path : paths) {
    const fs::path relative = core::PathBelow(path, root);
    if (std::distance(relative.begin(), relative.end()) < 2) return;
    if (relative.is_absolute() || *relative.begin() == "..") return;  // not below root
    folders.push_back(relative.begin()->string());
  }
  std::vector<std::string> distinct = folders;
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  if (distinct.size() < 2) return;
  for (const std::string& folder : folders) {
    labels->push_back(std::lower_bound(distinct.begin(), distinct.end(), folder) -
                      distinct.begin());
  }
  *classes = std::move(distinct);
}

}  // namespace eosin::engine
