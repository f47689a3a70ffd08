// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/labels.h"

#include <fmt/format.h>
#include <algorithm>
#include <optional>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/lock.h"
#include "core/base/threads.h"
#include "core/formats/csv.h"

namespace eosin::tiling {
namespace {

namespace fs = std::filesystem;

using Ids = std::map<std::string, int>;

constexpr const char* kRegion = "region";
constexpr const char* kSlide = "slide";
const std::vector<std::string> kHeader = {"of", "name", "id"};

// classes.csv by its first column.
std::map<std::string, Ids> ReadIds(const fs::path& path) {
  std::map<std::string, Ids> ids;
  if (!fs::exists(path)) return ids;
  const core::CsvTable table = core::ReadCsv(path);
  const char* hint =
      "the ids of classes in these stores are kept there: mend it, or choose another --out";
  if (table.header != kHeader) throw core::DataError(path.string() + " has other columns", hint);
  for (const auto& row : table.rows) {
    const bool known = row[0] == kRegion || row[0] == kSlide;
    const bool number = !row[2].empty() && row[2].size() < 8 &&
                        row[2].find_first_not_of("0123456789") == std::string::npos;
    if (!known || !number) {
      throw core::DataError(
          fmt::format("{} has a line {},{},{}", path.string(), row[0], row[1], row[2]), hint);
    }
    ids[row[0]][row[1]] = std::stoi(row[2]);
  }
  return ids;
}

// Names without an id get the next ones, alphabetically.
void GiveIds(const std::set<std::string>& names, int first, Ids* ids) {
  int next = first;
  for (const auto& [name, id] : *ids) next = std::max(next, id + 1);
  for (const std::string& name : names) {
    if (ids->emplace(name, next).second) ++next;
  }
}

}  // namespace

BatchClasses::BatchClasses(const std::vector<SlideEntry>& slides, const std::string& given,
                           const fs::path& out, bool write, int threads)
    : given_(!given.empty()) {
  std::set<std::string> regions, classes;
  for (const SlideEntry& slide : slides) {
    if (!slide.class_name.empty()) classes.insert(slide.class_name);
  }
  if (given_) {
    map_ = ClassMap::Parse(given);
  } else {
    std::vector<std::set<std::string>> found(slides.size());
    core::ParallelFor(static_cast<int64_t>(slides.size()), threads, [&](int64_t i) {
      const fs::path& path = slides[static_cast<size_t>(i)].annotation;
      if (path.empty()) return;
      try {
        for (const Annotation& annotation : ReadAnnotations(path).annotations) {
          found[static_cast<size_t>(i)].insert(annotation.class_of.empty() ? kUnclassified
                                                                           : annotation.class_of);
        }
      } catch (const core::Error&) {  // the slide's own failure, with this reason, when it is made
      }
    });
    for (size_t i = 0; i < slides.size(); ++i) {
      if (found[i].empty()) continue;
      regions.insert(found[i].begin(), found[i].end());
      names_[slides[i].Stem()].assign(found[i].begin(), found[i].end());
    }
  }
  if (regions.empty() && classes.empty()) return;

  const fs::path path = out / "classes.csv";
  std::optional<core::FileLock> lock;
  if (write) lock.emplace(core::FileLock::Wait(out / ".classes.lock"));
  std::map<std::string, Ids> ids = ReadIds(path);
  const std::map<std::string, Ids> before = ids;
  GiveIds(regions, 1, &ids[kRegion]);
  GiveIds(classes, 0, &ids[kSlide]);
  for (const std::string& name : regions) {
    const int id = ids[kRegion][name];
    if (id >= kIgnoreLabel) {
      throw core::ConfigError(
          fmt::format("the annotations name more than {} classes", kIgnoreLabel - 1),
          "say with --classes which of them matter, e.g. --classes tumor=1,stroma=2");
    }
    map_.entries[name] = {ClassMap::Role::kClass, static_cast<uint8_t>(id)};
  }
  slide_ids_ = ids[kSlide];
  std::erase_if(ids, [](const auto& kind) { return kind.second.empty(); });
  if (!write || ids == before) return;
  std::string text = core::CsvRow(kHeader);
  for (const auto& [kind, of] : ids) {
    for (const auto& [name, id] : of) text += core::CsvRow({kind, name, std::to_string(id)});
  }
  core::WriteFileAtomic(path, text);
}

ClassMap BatchClasses::RegionsOf(const SlideEntry& slide) const {
  if (given_) return map_;
  ClassMap own;
  const auto names = names_.find(slide.Stem());
  if (names == names_.end()) return own;
  for (const std::string& name : names->second) own.entries[name] = map_.entries.at(name);
  return own;
}

int AttachAnnotations(const fs::path& path, std::vector<SlideEntry>* slides) {
  if (!fs::exists(path)) {
    throw core::DataError("no such file or folder: " + path.string(),
                          "--annotations takes a file, or a folder of <slide name>.geojson, .json "
                          "or .xml");
  }
  int without = 0;
  if (!fs::is_directory(path)) {
    if (slides->size() != 1) {
      throw core::ConfigError(
          fmt::format("one annotation file, {}, for {} slides", path.string(), slides->size()),
          "give a folder of <slide name>.geojson, .json or .xml, or a column in --list");
    }
    slides->front().annotation = path;
    return 0;
  }
  for (SlideEntry& slide : *slides) {
    if (!slide.annotation.empty()) continue;
    for (const char* extension : {".geojson", ".json", ".xml"}) {
      const fs::path candidate = path / (slide.Stem() + extension);
      if (!fs::exists(candidate)) continue;
      slide.annotation = candidate;
      break;
    }
    without += slide.annotation.empty();
  }
  if (without == static_cast<int>(slides->size())) {
    throw core::DataError("no annotation file of these slides in " + path.string(),
                          "name them <slide name>.geojson, .json or .xml");
  }
  return without;
}

}  // namespace eosin::tiling
