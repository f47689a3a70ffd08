// SPDX-License-Identifier: Apache-2.0
#include "core/stain/template_fit.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <sstream>
#include <utility>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "core/base/progress.h"
#include "core/base/threads.h"
#include "core/image/codec.h"
#include "core/image/picture_folder.h"
#include "core/stain/tile_stain.h"
#include "core/store/tile_store.h"

namespace eosin::core {
namespace {

// One file: a store's usable tiles, or a picture.
struct Item {
  fs::path path;
  bool is_store = false;
  std::string group;
  std::vector<int64_t> rows;  // of a store; {0} of a picture
};

bool IsStore(const fs::path& path) { return Extension(path) == ".h5"; }

// Pictures and their groups, as for training (picture_folder.h).
std::vector<Item> ListPictures(const fs::path& folder) {
  std::vector<Item> items;
  if (const std::optional<CsvTable> table = ReadPictureIndex(folder)) {
    const int group = table->Column("group");
    for (const std::vector<std::string>& row : table->rows) {
      const fs::path path = IndexedPicture(folder, *table, row);
      items.push_back(
          {path, false, group >= 0 ? row[static_cast<size_t>(group)] : path.string(), {0}});
    }
    return items;
  }
  for (const fs::path& path : ListFiles(PictureRoot(folder), PictureExtensions(), true)) {
    items.push_back({path, false, path.string(), {0}});
  }
  return items;
}

std::vector<Item> ListItems(const fs::path& data) {
  std::vector<Item> items;
  const auto add = [&](const fs::path& path) {
    if (!fs::is_regular_file(path)) {
      throw DataError("no such file: " + path.string(), "check the path");
    }
    items.push_back({path, IsStore(path), path.string(), {0}});
  };
  if (fs::is_directory(data)) {
    for (const fs::path& path : ListFiles(data, {".h5"}, true)) add(path);
    if (items.empty()) items = ListPictures(data);
  } else if (Extension(data) == ".txt") {
    std::istringstream lines(ReadFile(data));
    for (std::string line; std::getline(lines, line);) {
      const size_t begin = line.find_first_not_of(" \t\r");
      if (begin == std::string::npos || line[begin] == '#') continue;
      const size_t end = line.find_last_not_of(" \t\r");
      add((data.parent_path() / line.substr(begin, end - begin + 1)).lexically_normal());
    }
  } else {
    add(data);
  }
  for (Item& item : items) {
    if (!item.is_store) continue;
    const TileStoreReader reader(item.path);
    const TileStoreInfo& info = reader.info();
    item.group = info.patient.empty() ? item.path.stem().string() : info.patient;
    item.rows.clear();
    for (int64_t i = 0; i < reader.size(); ++i) {
      const TileStatus status = reader.status(i);
      if (status != TileStatus::kBlank && status != TileStatus::kBad) item.rows.push_back(i);
    }
  }
  return items;
}

// Keeps of each item the rows that were drawn; returns the number of groups.
int64_t Sample(std::vector<Item>* items, int64_t tiles, uint64_t seed) {
  std::map<std::string, std::vector<std::pair<size_t, int64_t>>> groups;  // item, row
  for (size_t i = 0; i < items->size(); ++i) {
    for (const int64_t row : (*items)[i].rows) groups[(*items)[i].group].emplace_back(i, row);
    (*items)[i].rows.clear();
  }
  std::vector<int64_t> sizes;
  for (const auto& [name, members] : groups) sizes.push_back(static_cast<int64_t>(members.size()));
  // Where not every group can give a tile, chance says which do.
  std::vector<size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  Shuffle(order, PhiloxStream(seed, DrawPurpose::kSplit, 0, 0));
  std::vector<int64_t> shuffled;
  for (const size_t g : order) shuffled.push_back(sizes[g]);
  const std::vector<int64_t> shares = BalancedShares(shuffled, tiles);
  std::vector<int64_t> share(sizes.size());
  for (size_t k = 0; k < order.size(); ++k) share[order[k]] = shares[k];

  uint32_t g = 0;
  for (auto& [name, members] : groups) {
    Shuffle(members, PhiloxStream(seed, DrawPurpose::kSplit, 1, g));
    for (int64_t k = 0; k < share[g]; ++k) {
      const auto& [item, row] = members[static_cast<size_t>(k)];
      (*items)[item].rows.push_back(row);
    }
    ++g;
  }
  for (Item& item : *items) std::sort(item.rows.begin(), item.rows.end());
  return static_cast<int64_t>(groups.size());
}

StainVector VectorOf(const ColorStats& stats) {
  StainVector v;
  for (size_t c = 0; c < 3; ++c) {
    v[c] = stats.mean[c];
    v[c + 3] = stats.std[c];
  }
  return v;
}

// The first of the store's columns lab_mean_l ... lab_std_b, which lie together; -1 without them.
int64_t LabColumn(const std::vector<std::string>& columns) {
  const auto found =
      std::search(columns.begin(), columns.end(), kStainColumns.begin(), kStainColumns.begin() + 6);
  return found == columns.end() ? -1 : found - columns.begin();
}

// One vector a space of a tile; nothing when it does not decode.
using Colors = std::optional<std::array<StainVector, kStainSpaces>>;

Colors MeasurePixels(const Image& rgb, const std::vector<StainSpace>& spaces) {
  std::array<StainVector, kStainSpaces> out{};
  for (const StainSpace space : spaces) {
    out[static_cast<size_t>(space)] = VectorOf(MeasureColors(rgb, space));
  }
  return out;
}

class Measurer {
 public:
  Measurer(const TemplateFitOptions& options, int64_t total)
      : options_(options),
        threads_(options.threads > 0 ? options.threads : AvailableCores()),
        progress_("measuring colours", total, "tiles") {
    for (const StainSpace space : options.spaces) {
      if (space != StainSpace::kLab) pixel_spaces_.push_back(space);
    }
    wants_lab_ = pixel_spaces_.size() < options.spaces.size();
  }

  void Store(const Item& item) {
    if (item.rows.empty()) return;
    const TileStoreReader reader(item.path);
    const std::vector<std::string> names = reader.stain_columns();
    const int64_t column = wants_lab_ ? LabColumn(names) : -1;
    const std::vector<float> stored = column >= 0 ? reader.ReadStain() : std::vector<float>();
    from_store_ = from_store_ || column >= 0;
    const std::vector<StainSpace>& spaces = column >= 0 ? pixel_spaces_ : options_.spaces;
    Add(static_cast<int64_t>(item.rows.size()), [&](int64_t i) {
      const int64_t row = item.rows[static_cast<size_t>(i)];
      Colors colors = std::array<StainVector, kStainSpaces>{};
      if (!spaces.empty()) colors = MeasurePixels(reader.Decode(row), spaces);
      if (column >= 0) {
        for (size_t d = 0; d < 6; ++d) {
          const size_t at = static_cast<size_t>(row) * names.size() + static_cast<size_t>(column);
          (*colors)[static_cast<size_t>(StainSpace::kLab)][d] = double{stored[at + d]};
        }
      }
      return colors;
    });
  }
  void Pictures(const std::vector<fs::path>& paths) {
    Add(static_cast<int64_t>(paths.size()), [&](int64_t i) {
      return MeasurePixels(ReadRgb(paths[static_cast<size_t>(i)]), options_.spaces);
    });
  }

  std::vector<StainVector> Rows(StainSpace space) const {
    std::vector<StainVector> rows;
    for (const Colors& colors : colors_) {
      if (colors) rows.push_back((*colors)[static_cast<size_t>(space)]);
    }
    return rows;
  }
  int64_t skipped() const { return skipped_; }
  bool from_store() const { return from_store_; }

 private:
  template <typename Measure>
  void Add(int64_t count, const Measure& measure) {
    const size_t first = colors_.size();
    colors_.resize(first + static_cast<size_t>(count));
    ParallelFor(count, threads_, [&](int64_t i) {
      ThrowIfInterrupted();
      try {
        colors_[first + static_cast<size_t>(i)] = measure(i);
      } catch (const InterruptedError&) {
        throw;
      } catch (const Error& error) {  // a damaged tile
        LogWarning(fmt::format("skipped: {}", error.what()));
        ++skipped_;
      }
      progress_.Advance();
    });
  }

  const TemplateFitOptions& options_;
  int threads_;
  Progress progress_;
  std::vector<StainSpace> pixel_spaces_;
  bool wants_lab_ = false, from_store_ = false;
  std::vector<Colors> colors_;
  std::atomic<int64_t> skipped_{0};
};

}  // namespace

std::vector<int64_t> BalancedShares(const std::vector<int64_t>& sizes, int64_t wanted) {
  std::vector<int64_t> shares(sizes.size(), 0);
  int64_t left = std::min(wanted, std::accumulate(sizes.begin(), sizes.end(), int64_t{0}));
  while (left > 0) {
    int64_t open = 0;
    for (size_t i = 0; i < sizes.size(); ++i) open += shares[i] < sizes[i];
    const int64_t each = std::max<int64_t>(1, left / open);
    for (size_t i = 0; i < sizes.size() && left > 0; ++i) {
      const int64_t more = std::min({each, sizes[i] - shares[i], left});
      shares[i] += more;
      left -= more;
    }
  }
  return shares;
}

TemplateFit FitTemplate(const std::filesystem::path& data, const TemplateFitOptions& options) {
  if (options.spaces.empty()) {
    throw ConfigError("no colour space to fit", "name lab, hsv or hed");
  }
  fs::path path = data.lexically_normal();
  if (!path.has_filename() && path.has_relative_path()) path = path.parent_path();
  if (!fs::exists(path)) {
    throw DataError("no such file or folder: " + path.string(),
                    "give a folder of tile stores or pictures");
  }
  std::vector<Item> items = ListItems(path);
  TemplateFit fit;
  for (const Item& item : items) fit.available += static_cast<int64_t>(item.rows.size());
  if (fit.available == 0) {
    throw DataError("no tiles or images in " + path.string(),
                    "tile slides first (eosin tile), or give a folder of .png or .jpg files");
  }
  fit.groups = Sample(&items, options.tiles, options.seed);
  int64_t sampled = 0;
  std::vector<fs::path> pictures;
  for (const Item& item : items) {
    sampled += static_cast<int64_t>(item.rows.size());
    if (!item.is_store && !item.rows.empty()) pictures.push_back(item.path);
  }
  Measurer measurer(options, sampled);
  for (const Item& item : items) {
    if (item.is_store) measurer.Store(item);
  }
  measurer.Pictures(pictures);
  fit.skipped = measurer.skipped();
  fit.from_store = measurer.from_store();
  if (fit.skipped > std::max<int64_t>(1, sampled / 100)) {
    throw DataError(fmt::format("{} of {} tiles do not decode", fit.skipped, sampled),
                    "the warnings above name them; eosin verify checks stores");
  }
  for (const StainSpace space : options.spaces) {
    fit.fitted.spaces[static_cast<size_t>(space)] =
        FitStainSpace(measurer.Rows(space), options.components, options.seed);
  }
  fit.fitted.tiles = sampled - fit.skipped;
  fit.fitted.source = path.filename().string();
  return fit;
}

}  // namespace eosin::core
