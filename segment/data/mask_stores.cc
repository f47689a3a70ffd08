// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/text.h"
#include "core/store/tile_store.h"
#include "segment/data/mask_source.h"
#include "segment/data/patients.h"

namespace eosin::segment {
namespace {

using core::DataError;

// Open files are kept, but not one for each of thousands of slides.
constexpr size_t kMostOpen = 64;

// Class names by id from the tiler's map, "stroma=2,tumor=1,pen=exclude"; names that share an id
// are joined. Names in quotes (they hold commas) are left to the user: nothing then.
std::optional<std::map<int, std::string>> ClassNames(const std::string& text) {
  std::map<int, std::string> names;
  if (text.find('"') != std::string::npos) return std::nullopt;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string entry = text.substr(begin, end - begin);
    begin = end + 1;
    const size_t equals = entry.rfind('=');
    if (equals == std::string::npos) return std::nullopt;
    const std::string value = entry.substr(equals + 1);
    if (value.empty() || value.size() > 3 ||
        value.find_first_not_of("0123456789") != std::string::npos) {
      continue;  // background, ignore, include, exclude
    }
    std::string& name = names[std::stoi(value)];
    name += (name.empty() ? "" : "/") + entry.substr(0, equals);
  }
  return names;
}

class MaskStores : public MaskSource {
 public:
  explicit MaskStores(const MaskDataOptions& options) : labels_(options.labels) {
    const fs::path root = options.data;
    std::vector<fs::path> paths = {root};
    if (fs::is_directory(root)) paths = core::ListFiles(root, {".h5"}, true);
    std::optional<PatientTable> table;
    if (!options.groups.empty() && options.groups != "image" && options.groups != "slide") {
      table.emplace(options.groups);
    }
    std::map<std::string, fs::path> slides;
    for (const fs::path& path : paths) {
      const std::string stem = path.stem().string();
      const auto [place, is_new] = slides.try_emplace(stem, path);
      if (!is_new) {
        throw DataError(fmt::format("two stores have the same name: {} and {}",
                                    place->second.string(), path.string()),
                        "tiles are named after their store: rename one");
      }
      AddStore(options, path, stem, table);
    }
    std::set<std::string> patients;
    for (const MaskItem& item : items_) patients.insert(item.patient);
    if (options.groups.empty()) CheckPatientIds(patients, root.string());
    if (items_.empty()) {
      throw DataError(fmt::format("the stores of {} hold no usable tile", root.string()),
                      "see eosin inspect on them");
    }
  }

  RawMask Read(int64_t index) const override {
    const Place& place = places_[static_cast<size_t>(index)];
    const auto store = Reader(place.store);
    const core::Image mask = store->ReadLabelMask(labels_, place.row);
    return {store->Decode(place.row),
            {mask.width, mask.height, {mask.pixels.begin(), mask.pixels.end()}}};
  }

  MaskHashes Hash(int64_t index) const override {
    const Place& place = places_[static_cast<size_t>(index)];
    const auto store = Reader(place.store);
    const auto hash = [](const core::Bytes& bytes) {
      return core::Sha256Hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    };
    return {hash(store->ReadBytes(place.row)), hash(store->ReadLabelMaskBytes(labels_, place.row))};
  }

 private:
  struct Place {
    size_t store = 0;
    int64_t row = 0;
  };
  struct Store {
    fs::path path;
    std::shared_ptr<core::TileStoreReader> reader;
    uint64_t used = 0;
  };

  void AddStore(const MaskDataOptions& options, const fs::path& path, const std::string& stem,
                const std::optional<PatientTable>& table) {
    stores_.push_back({path, nullptr, 0});
    const size_t number = stores_.size() - 1;
    const auto store = Reader(number);
    CheckLabels(options, *store);
    CheckScale(*store);
    const std::string patient = PatientOf(options, *store, stem, table);
    std::string part = table ? table->Of(stem, "slide").part : "";
    if (part.empty()) part = PartOf(stem);
    for (int64_t row = 0; row < store->size(); ++row) {
      const core::TileStatus status = store->status(row);
      if (status == core::TileStatus::kBlank || status == core::TileStatus::kBad) continue;
      const std::string name = fmt::format("{}#{}", stem, row);
      items_.push_back({name, patient.empty() ? name : patient, path, path, stem, part});
      places_.push_back({number, row});
    }
  }

  static std::string PatientOf(const MaskDataOptions& options, const core::TileStoreReader& store,
                               const std::string& stem, const std::optional<PatientTable>& table) {
    if (options.groups == "image") return "";  // each tile by its own name
    if (options.groups == "slide") return stem;
    if (table) return table->Of(stem, "slide").patient;
    const std::string patient = core::Trimmed(store.info().patient);
    if (!patient.empty()) return patient;
    throw DataError(fmt::format("slide {} has no patient in its store", stem),
                    "give groups = FILE.csv with columns slide and patient_id (eosin tile takes "
                    "them too), or groups = slide if every slide is of another patient");
  }

  void CheckLabels(const MaskDataOptions& options, const core::TileStoreReader& store) const {
    const auto names = store.mask_names();
    if (std::find(names.begin(), names.end(), labels_) == names.end()) {
      throw DataError(fmt::format("{} has no masks labels/{}", store.path().string(), labels_),
                      names.empty()
                          ? "cut its tiles with annotations: eosin tile --annotations"
                          : fmt::format("mask.labels may be {}", fmt::join(names, " or ")));
    }
    if (options.rule == "instances") {
      throw DataError("mask.rule = instances, but tile stores hold class ids",
                      "use mask.rule = classes, or map");
    }
    if (options.rule != "classes") return;
    const auto ids = ClassNames(store.LabelClasses(labels_));
    if (!ids || ids->empty()) return;
    const auto& classes = options.classes;
    std::vector<std::string> wanted = {classes.empty() ? "background" : classes.front()};
    wanted.resize(static_cast<size_t>(ids->rbegin()->first) + 1);
    bool same = wanted.size() <= classes.size();
    for (size_t c = 1; c < wanted.size(); ++c) {
      const auto name = ids->find(static_cast<int>(c));
      wanted[c] = name == ids->end() ? fmt::format("class {}", c) : name->second;
      same = same && (name == ids->end() || classes[c] == wanted[c]);
    }
    if (same) return;
    throw DataError(
        fmt::format("{} was labelled with {}, but mask.classes is {}", store.path().string(),
                    store.LabelClasses(labels_), fmt::join(classes, ", ")),
        fmt::format("set mask.classes = [\"{}\"]", fmt::join(wanted, "\", \"")));
  }

  void CheckScale(const core::TileStoreReader& store) {
    const double mpp = store.info().tile_mpp;
    if (mpp_ == 0) mpp_ = mpp;
    if (std::abs(mpp - mpp_) <= 0.01 * mpp_) return;
    throw DataError(fmt::format("tiles of {} have {:g} um/px, those of {} {:g}",
                                store.path().string(), mpp, stores_.front().path.string(), mpp_),
                    "cut all slides at one scale: eosin tile --mpp");
  }

  std::shared_ptr<core::TileStoreReader> Reader(size_t number) const {
    std::lock_guard lock(mutex_);
    Store& store = stores_[number];
    store.used = ++clock_;
    if (!store.reader) {
      if (open_ >= kMostOpen) {
        Store* oldest = nullptr;
        for (Store& other : stores_) {
          if (other.reader && (!oldest || other.used < oldest->used)) oldest = &other;
        }
        oldest->reader.reset();  // reads that are under way keep it until they end
        --open_;
      }
      store.reader = std::make_shared<core::TileStoreReader>(store.path);
      ++open_;
    }
    return store.reader;
  }

  const std::string labels_;
  std::vector<Place> places_;
  mutable std::mutex mutex_;
  mutable std::vector<Store> stores_;
  mutable uint64_t clock_ = 0;
  mutable size_t open_ = 0;
};

}  // namespace

std::unique_ptr<MaskSource> OpenMaskStores(const MaskDataOptions& options) {
  return std::make_unique<MaskStores>(options);
}

bool IsStoreData(const MaskDataOptions& options) {
  if (options.data.empty() || !options.images.empty() || !options.masks.empty()) return false;
  const fs::path root = options.data;
  if (core::Extension(root) == ".h5") return true;
  std::error_code error;
  if (!fs::is_directory(root, error) || fs::is_directory(root / "images", error)) return false;
  return !core::ListFiles(root, {".h5"}, true).empty();
}

std::unique_ptr<MaskSource> OpenMaskSource(const MaskDataOptions& options) {
  return IsStoreData(options) ? OpenMaskStores(options) : OpenMaskFolder(options);
}

void ResolveScale(MaskDataOptions* options) {
  if (!IsStoreData(*options)) return;
  const double mpp = OpenMaskStores(*options)->mpp();
  if (options->mpp == 0) options->mpp = mpp;
  if (mpp > 0 && std::abs(options->mpp - mpp) > 0.01 * mpp) {
    throw DataError(fmt::format("input.mpp = {:g}, but the tiles of {} have {:g} um/px",
                                options->mpp, options->data, mpp),
                    "leave input.mpp out: the stores know it");
  }
}

}  // namespace eosin::segment
