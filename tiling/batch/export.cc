// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/export.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/formats/csv.h"
#include "core/store/tile_store.h"
#include "tiling/batch/tar_writer.h"

namespace eosin::tiling {
namespace {

namespace fs = std::filesystem;

constexpr int kJpegQuality = 95;  // of tiles that the store keeps without loss

// Label names as parts of file names.
std::string Plain(const std::string& name) {
  std::string plain = name;
  for (char& c : plain) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_') c = '_';
  }
  return plain;
}

std::string TileName(const std::string& stem, const core::TileStoreReader::Point& at) {
  return fmt::format("{}_x{}_y{}", stem, at.x, at.y);
}

// The tile as "jpg" or "png": its own bytes where it is that already.
core::Bytes TileAs(const core::TileStoreReader& store, int64_t i, const std::string& extension) {
  const std::string& encoding = store.info().encoding;
  if ((extension == "jpg") == (encoding == "jpeg") && encoding != "raw") return store.ReadBytes(i);
  const core::Image tile = store.Decode(i);
  return extension == "jpg" ? core::EncodeJpeg(tile, kJpegQuality, core::Subsampling::k444)
                            : core::EncodePng(tile);
}

// Files inside a folder that is moved into place as a whole.
void WriteFile(const fs::path& path, const core::Bytes& bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (out) return;
  throw core::MachineError(
      "cannot write " + path.string() + ": " + std::strerror(errno),
      "free some space, check the rights of the folder, or write to another disk");
}

class PartFolder {
 public:
  explicit PartFolder(fs::path to) : to_(std::move(to)), part_(to_) {
    part_ += ".part";
    fs::remove_all(part_);  // of an export that was killed
    core::MakeFolder(part_);
  }
  ~PartFolder() {
    std::error_code ignored;
    fs::remove_all(part_, ignored);
  }
  PartFolder(const PartFolder&) = delete;
  PartFolder& operator=(const PartFolder&) = delete;
  const fs::path& path() const { return part_; }
  void Commit() { core::ReplaceFolder(part_, to_); }

 private:
  fs::path to_, part_;
};

void ExportPictures(const core::TileStoreReader& store, const fs::path& to, const std::string& stem,
                    const std::string& extension) {
  core::MakeFolder(to.parent_path());
  PartFolder folder(to);
  const std::vector<std::string> masks = store.mask_names();
  for (int64_t i = 0; i < store.size(); ++i) {
    core::ThrowIfInterrupted();
    if (store.status(i) == core::TileStatus::kBad) continue;
    const std::string name = TileName(stem, store.coords(i));
    WriteFile(folder.path() / (name + "." + extension), TileAs(store, i, extension));
    for (const std::string& mask : masks) {
      WriteFile(folder.path() / (name + "_" + Plain(mask) + ".png"),
                store.ReadLabelMaskBytes(mask, i));
    }
  }
  folder.Commit();
}

// "name=id" to names.
void TakeClass(const std::string& text, std::map<int64_t, std::string>* names) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) return;
  int64_t id = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + equals + 1, end, id);
  if (error == std::errc() && stop == end) (*names)[id] = text.substr(0, equals);
}

// Class names by id, from "benign=0,malign=1". A slide's class is one entry, whose name may hold
// commas.
std::map<int64_t, std::string> ClassNames(const std::string& classes) {
  std::map<int64_t, std::string> names;
  if (std::count(classes.begin(), classes.end(), '=') == 1) {
    TakeClass(classes, &names);
    return names;
  }
  for (size_t at = 0; at < classes.size();) {
    const size_t end = std::min(classes.find(',', at), classes.size());
    TakeClass(classes.substr(at, end - at), &names);
    at = end + 1;
  }
  return names;
}

struct LabelSet {
  std::string name;
  std::vector<int64_t> ids;
  std::map<int64_t, std::string> names;
};

std::string SampleJson(const core::TileStoreReader& store, int64_t i,
                       const std::vector<LabelSet>& labels) {
  const core::TileStoreInfo& info = store.info();
  nlohmann::ordered_json json;
  json["slide"] = info.slide_name;
  if (!info.patient.empty()) json["patient"] = info.patient;
  json["x"] = store.coords(i).x;
  json["y"] = store.coords(i).y;
  json["mpp"] = info.tile_mpp;
  json["size_level0"] = info.patch_size_level0;
  json["tissue"] = std::round(static_cast<double>(store.tissue(i)) * 1e4) / 1e4;
  for (const LabelSet& set : labels) {
    const int64_t id = set.ids[static_cast<size_t>(i)];
    json[set.name] = id;
    if (const auto name = set.names.find(id); name != set.names.end()) {
      json[set.name + "_name"] = name->second;
    }
  }
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void ExportWebDataset(const core::TileStoreReader& store, const fs::path& to, std::string stem) {
  core::MakeFolder(to.parent_path());
  // A sample's name ends at its first dot.
  std::replace(stem.begin(), stem.end(), '.', '_');
  std::vector<LabelSet> labels;
  for (const std::string& name : store.label_names()) {
    labels.push_back({name, store.ReadLabels(name), ClassNames(store.LabelClasses(name))});
  }
  const std::vector<std::string> masks = store.mask_names();
  const std::string extension = store.info().encoding == "jpeg" ? "jpg" : "png";
  TarWriter tar(to);
  for (int64_t i = 0; i < store.size(); ++i) {
    core::ThrowIfInterrupted();
    if (store.status(i) == core::TileStatus::kBad) continue;
    const std::string name = TileName(stem, store.coords(i)) + ".";
    tar.Add(name + extension, TileAs(store, i, extension));
    tar.Add(name + "json", SampleJson(store, i, labels));
    for (const std::string& mask : masks) {
      tar.Add(name + Plain(mask) + ".png", store.ReadLabelMaskBytes(mask, i));
    }
  }
  tar.Finish();
}

}  // namespace

const std::vector<std::string>& ExportFormats() {
  static const std::vector<std::string> kFormats = {"clam", "png", "jpeg", "webdataset"};
  return kFormats;
}

void ExportStore(const fs::path& store_path, const fs::path& out, const std::string& format) {
  const auto& known = ExportFormats();
  if (std::find(known.begin(), known.end(), format) == known.end()) {
    throw core::ConfigError("export = " + format + " is not known",
                            fmt::format("one of {}", fmt::join(known, ", ")));
  }
  const core::TileStoreReader store(store_path);
  const std::string stem = store_path.stem().string();
  if (format == "clam") {
    core::MakeFolder(out / "clam");
    core::WriteClamCoords(out / "clam" / (stem + ".h5"), store);
  } else if (format == "webdataset") {
    ExportWebDataset(store, out / "webdataset" / (stem + ".tar"), stem);
  } else {
    ExportPictures(store, out / format / stem, stem, format == "jpeg" ? "jpg" : "png");
  }
}

std::string ProcessListCsv(const std::vector<ProcessListRow>& rows) {
  // Our words in CLAM's; process says whether there is something left to do.
  const std::map<std::string, std::string> words = {
      {"done", "processed"}, {"skipped", "already_exist"}, {"failed", "failed_seg"}};
  std::string text = core::CsvRow({"slide_id", "process", "status"});
  for (const ProcessListRow& row : rows) {
    const auto word = words.find(row.status);
    const std::string& status = word == words.end() ? row.status : word->second;
    const bool done = status == "processed" || status == "already_exist";
    text += core::CsvRow({row.slide_id, done ? "0" : "1", status});
  }
  return text;
}

}  // namespace eosin::tiling
