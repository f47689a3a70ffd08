// SPDX-License-Identifier: Apache-2.0
#include "segment/data/patients.h"

#include <fmt/format.h>
#include <algorithm>
#include <cctype>
#include <vector>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/text.h"
#include "core/formats/csv.h"
#include "tiling/slides/slide_extensions.h"

namespace eosin::segment {
namespace {

namespace fs = std::filesystem;
using core::DataError;

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string Header(const std::string& cell) {
  std::string name = Lower(core::Trimmed(cell));
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
}

int Column(const core::CsvTable& table, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    for (size_t c = 0; c < table.header.size(); ++c) {
      if (Header(table.header[c]) == name) return static_cast<int>(c);
    }
  }
  return -1;
}

}  // namespace

std::string ItemStem(const std::string& name) {
  static const std::set<std::string> kOthers = {".png", ".jpg", ".jpeg", ".bmp", ".h5", ".dcm"};
  const fs::path path = fs::path(name).filename();
  const std::string extension = core::Extension(path);
  const auto& slides = tiling::SlideExtensions();
  const bool known = kOthers.contains(extension) ||
                     std::find(slides.begin(), slides.end(), extension) != slides.end();
  return known ? path.stem().string() : path.string();
}

std::string PartOf(const std::string& name) {
  const std::string lower = Lower(name);
  for (const char* part : {"train", "val", "test"}) {
    if (lower.rfind(part, 0) == 0) return part;
  }
  return "";
}

void CheckPatientIds(const std::set<std::string>& ids, const std::string& where) {
  std::map<std::string, std::string> by_lower;
  for (const std::string& id : ids) {
    const auto [place, is_new] = by_lower.try_emplace(Lower(id), id);
    if (is_new) continue;
    throw DataError(fmt::format("{} names the patients {} and {}, which differ in case alone",
                                where, place->second, id),
                    "write them alike if they are one patient; else rename one");
  }
}

PatientTable::PatientTable(const fs::path& path) : path_(path) {
  const core::CsvTable table = core::ReadCsv(path);
  const int name = Column(table, {"name", "slide", "image"});
  const int patient = Column(table, {"patient_id"});
  const int part = Column(table, {"split"});
  const int slide = Column(table, {"name"}) < 0 ? -1 : Column(table, {"slide"});
  if (name < 0 || patient < 0) {
    throw DataError(
        fmt::format("{} has no column {}", path.string(), name < 0 ? "name" : "patient_id"),
        "the table of patients needs the columns name (image without extension) or slide, and "
        "patient_id");
  }
  std::set<std::string> ids;
  for (const auto& cells : table.rows) {
    const auto cell = [&](int column) {
      return column < 0 ? "" : core::Trimmed(cells[static_cast<size_t>(column)]);
    };
    const std::string stem = ItemStem(cell(name));
    const PatientRow row{cell(patient), PartOf(cell(part)), ItemStem(cell(slide))};
    ids.insert(row.patient);
    const auto [place, is_new] = rows_.try_emplace(stem, row);
    if (!is_new && place->second.patient != row.patient) {
      throw DataError(fmt::format("{} gives image {} to patients {} and {}", path.string(), stem,
                                  place->second.patient, row.patient),
                      "one patient an image");
    }
    if (!is_new && place->second.part != row.part) {
      throw DataError(fmt::format("{} puts image {} into {} and {}", path.string(), stem,
                                  place->second.part, row.part),
                      "one split an image");
    }
  }
  CheckPatientIds(ids, path.string());
}

const PatientRow& PatientTable::Of(const std::string& name, const std::string& what) const {
  const auto row = rows_.find(name);
  if (row == rows_.end() || row->second.patient.empty()) {
    throw DataError(fmt::format("{} {} has no patient in {}", what, name, path_.string()),
                    "add a row with its name (without extension) and patient_id");
  }
  return row->second;
}

fs::path PatientTable::FindIn(const fs::path& folder) {
  std::error_code error;
  for (const char* wanted : {"grade.csv", "regions.csv", "patients.csv"}) {
    if (fs::exists(folder / wanted, error)) return folder / wanted;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      if (Lower(entry.path().filename().string()) == wanted) return entry.path();
    }
  }
  return {};
}

}  // namespace eosin::segment
