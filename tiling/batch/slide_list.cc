// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/slide_list.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/text.h"
#include "core/formats/csv.h"
#include "tiling/annotations/annotation_text.h"
#include "tiling/slides/slide.h"

namespace eosin::tiling {
namespace {

constexpr size_t kListCap = size_t{64} << 20;

enum Meaning { kSlide, kMpp, kAnnotation, kClass, kPatient, kProcess, kMeanings };

// The names a column may have; the first is the one that messages use.
const std::array<std::vector<std::string>, kMeanings> kNames = {{
    {"slide", "slide_id", "wsi", "filename"},
    {"mpp"},
    {"annotation"},
    {"class", "label"},
    {"patient", "patient_id", "case_id"},
    {"process"},
}};

// Other tools' words for the scale: to ignore them would be to tile at another scale.
const std::vector<std::string> kScaleWords = {"mpp_x", "mpp_y", "spacing_at_level_0", "spacing",
                                              "microns_per_pixel"};

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Changed, added, missing and swapped neighbouring letters.
size_t Slips(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min(
          {d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1] ? 1 : 0)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

// The known name that an unknown one was probably meant to be. Short names stand for themselves
// (CLAM's `close` is no `class`).
std::string MeantName(const std::string& name) {
  if (std::find(kScaleWords.begin(), kScaleWords.end(), name) != kScaleWords.end()) return "mpp";
  if (name.size() > 32) return {};
  for (const auto& names : kNames) {
    for (const std::string& known : names) {
      // Another letter in a short word is another word: `map` is no mpp, `glass` no class.
      if (known.size() < 6 && name.size() == known.size() &&
          name.find_first_not_of(known) != std::string::npos) {
        continue;
      }
      if (Slips(name, known) <= (known.size() >= 8 ? 2U : 1U)) return known;
    }
  }
  return {};
}

// Column of each meaning, -1 for none.
std::array<int, kMeanings> FindColumns(const core::CsvTable& table, const std::string& source) {
  std::array<int, kMeanings> columns;
  columns.fill(-1);
  for (size_t i = 0; i < table.header.size(); ++i) {
    const std::string name = Lower(core::Trimmed(table.header[i]));
    const auto known = std::find_if(kNames.begin(), kNames.end(), [&](const auto& names) {
      return std::find(names.begin(), names.end(), name) != names.end();
    });
    if (known == kNames.end()) {
      const std::string meant = MeantName(name);
      if (meant.empty()) continue;
      throw core::DataError(fmt::format("{} line 1: unknown column {}", source, table.header[i]),
                            fmt::format("did you mean {}?", meant));
    }
    int& column = columns[static_cast<size_t>(known - kNames.begin())];
    if (column >= 0) {
      throw core::DataError(
          fmt::format("{} line 1: the columns {} and {} both give the {}", source,
                      table.header[static_cast<size_t>(column)], table.header[i], known->front()),
          "keep one of them under this name");
    }
    column = static_cast<int>(i);
  }
  if (columns[kSlide] < 0) {
    const bool separator =
        table.header.size() == 1 && table.header[0].find_first_of(";\t") != std::string::npos;
    throw core::DataError(
        fmt::format("{} line 1: no column named slide, slide_id, wsi or filename", source),
        separator ? "separate the columns by commas" : "the first line names the columns");
  }
  return columns;
}

// Slides of the folders by file name and by stem.
class SlideIndex {
 public:
  explicit SlideIndex(const std::vector<fs::path>& folders) : folders_(folders) {
    for (const fs::path& folder : folders) {
      if (!fs::is_directory(folder)) {
        Add(folder);
        continue;
      }
      for (const fs::path& file : core::ListFiles(folder, SlideExtensions(), true)) Add(file);
    }
  }

  // Every slide that the id can mean.
  std::vector<fs::path> Find(const std::string& id) const {
    const fs::path path = id;
    std::error_code ignored;
    for (const fs::path& folder : folders_) {
      if (path.has_parent_path() && fs::is_regular_file(folder / path, ignored)) {
        return {folder / path};
      }
    }
    const auto found = slides_.find(id);
    if (found == slides_.end()) return {};
    return {found->second.begin(), found->second.end()};
  }

 private:
  void Add(const fs::path& file) {
    slides_[file.filename().string()].insert(file);
    slides_[file.stem().string()].insert(file);
  }

  const std::vector<fs::path>& folders_;
  std::map<std::string, std::set<fs::path>> slides_;
};

class ListReader {
 public:
  ListReader(const fs::path& csv, const std::vector<fs::path>& folders)
      : csv_(csv),
        folders_(folders),
        table_(core::ReadCsv(csv, kListCap)),
        columns_(FindColumns(table_, csv.string())),
        index_(folders) {}

  std::vector<SlideEntry> Read() {
    std::vector<SlideEntry> entries;
    std::map<std::string, size_t> lines;  // by stem
    for (row_ = 0; row_ < table_.rows.size(); ++row_) {
      const auto& cells = table_.rows[row_];
      if (std::all_of(cells.begin(), cells.end(),
                      [](const auto& c) { return core::Trimmed(c).empty(); })) {
        continue;  // what spreadsheets leave below the table
      }
      if (!Process()) continue;  // its slide need not be there
      SlideEntry entry = Entry();
      const auto [first, fresh] = lines.emplace(entry.Stem(), Line());
      if (!fresh) {
        throw core::DataError(
            fmt::format("{} lines {} and {} would both become {}.h5", csv_.string(), first->second,
                        Line(), entry.Stem()),
            "list each slide once; slides of one name need lists and --out folders of their own");
      }
      entries.push_back(std::move(entry));
    }
    return entries;
  }

 private:
  size_t Line() const { return table_.lines[row_]; }

  std::string Cell(Meaning meaning) const {
    const int column = columns_[meaning];
    return column < 0 ? "" : core::Trimmed(table_.rows[row_][static_cast<size_t>(column)]);
  }

  // A cell that ends up in the store.
  std::string Text(Meaning meaning) const {
    std::string cell = Cell(meaning);
    if (!IsUtf8(cell)) {
      Fail("the " + kNames[meaning].front() + " is not Unicode text",
           "save the list as UTF-8 (in a spreadsheet: CSV UTF-8)");
    }
    return cell;
  }

  [[noreturn]] void Fail(const std::string& what, const std::string& hint) const {
    throw core::DataError(fmt::format("{} line {}: {}", csv_.string(), Line(), what), hint);
  }

  // A path of the list, made relative to its folder; refuses what no path can be.
  fs::path PathOf(const std::string& cell) const {
    if (cell.size() > 4096 || std::any_of(cell.begin(), cell.end(),
                                          [](unsigned char c) { return c < 0x20 || c == 0x7F; })) {
      Fail("this is no path", "write file names in plain text");
    }
    return csv_.parent_path() / cell;
  }

  SlideEntry Entry() const {
    SlideEntry entry;
    entry.slide = FindSlide(Cell(kSlide));
    entry.mpp = Mpp(Cell(kMpp));
    const std::string annotation = Cell(kAnnotation);
    if (!annotation.empty()) {
      entry.annotation = PathOf(annotation);
      std::error_code ignored;
      if (!fs::is_regular_file(entry.annotation, ignored)) {
        Fail("there is no annotation file " + annotation,
             "paths in the list are relative to the folder of the list");
      }
    }
    entry.class_name = Text(kClass);
    entry.patient = Text(kPatient);
    return entry;
  }

  fs::path FindSlide(const std::string& cell) const {
    if (cell.empty()) Fail("the slide is empty", "every row names a slide");
    const fs::path beside = PathOf(cell);
    std::error_code ignored;
    if (fs::is_regular_file(beside, ignored)) return beside;
    const std::vector<fs::path> found = index_.Find(cell);
    if (found.size() == 1) return found[0];
    if (found.size() > 1) {
      Fail(fmt::format("{} can be {} or {}", cell, found[0].string(), found[1].string()),
           "write more of the path");
    }
    std::vector<std::string> searched = {csv_.parent_path().empty() ? std::string(".")
                                                                    : csv_.parent_path().string()};
    for (const fs::path& folder : folders_) searched.push_back(folder.string());
    Fail(fmt::format("there is no slide {} in {}", cell, fmt::join(searched, ", ")),
         "give paths relative to the list, or name the folder of the slides on the command line");
  }

  double Mpp(const std::string& cell) const {
    if (cell.empty()) return 0;
    double mpp = 0;
    const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), mpp);
    if (error != std::errc() || end != cell.data() + cell.size() || !(mpp >= 0.01 && mpp <= 100)) {
      Fail("mpp is " + cell,
           "microns per pixel at full size, a number from 0.01 to 100 with a decimal point; empty: "
           "the slide's own");
    }
    return mpp;
  }

  bool Process() const {
    const std::string cell = Lower(Cell(kProcess));
    // pandas writes a column of integers with gaps as 1.0.
    if (cell.empty() || cell == "1" || cell == "1.0" || cell == "true") return true;
    if (cell == "0" || cell == "0.0" || cell == "false") return false;
    Fail("process is " + cell, "1 (or empty) takes the slide, 0 leaves it out");
  }

  const fs::path& csv_;
  const std::vector<fs::path>& folders_;
  const core::CsvTable table_;
  const std::array<int, kMeanings> columns_;
  const SlideIndex index_;
  size_t row_ = 0;
};

}  // namespace

std::vector<SlideEntry> FindSlides(const std::vector<fs::path>& paths) {
  std::map<fs::path, fs::path> slides;  // as given, by what it really is
  for (const fs::path& path : paths) {
    if (!fs::exists(path)) {
      throw core::DataError("no such slide or folder: " + path.string(), "check the path");
    }
    if (!fs::is_directory(path)) {
      slides.emplace(fs::weakly_canonical(path), path);
      continue;
    }
    const std::vector<fs::path> found = core::ListFiles(path, SlideExtensions(), true);
    if (found.empty()) {
      throw core::DataError("no slide in folder " + path.string(),
                            fmt::format("slides end in {}; give other files by name",
                                        fmt::join(SlideExtensions(), " ")));
    }
    for (const fs::path& file : found) slides.emplace(fs::weakly_canonical(file), file);
  }
  std::vector<SlideEntry> entries;
  for (const auto& [real, path] : slides) {
    entries.emplace_back();
    entries.back().slide = path;
  }
  std::sort(entries.begin(), entries.end(),
            [](const SlideEntry& a, const SlideEntry& b) { return a.slide < b.slide; });
  std::map<std::string, fs::path> stems;
  for (const SlideEntry& entry : entries) {
    const auto [other, fresh] = stems.emplace(entry.Stem(), entry.slide);
    if (fresh) continue;
    throw core::DataError(fmt::format("{} and {} would both become {}.h5", other->second.string(),
                                      entry.slide.string(), other->first),
                          "tile them into folders of their own (--out), or rename one");
  }
  return entries;
}

std::vector<SlideEntry> ReadSlideList(const fs::path& csv, const std::vector<fs::path>& folders) {
  return ListReader(csv, folders).Read();
}

std::vector<SlideEntry> TakeShard(const std::vector<SlideEntry>& entries, int i, int n) {
  if (n < 1 || i < 1 || i > n) {
    throw core::ConfigError(fmt::format("shard {}/{} does not exist", i, n),
                            "shards are 1/n to n/n, e.g. --shard 2/8");
  }
  std::vector<SlideEntry> mine;
  for (size_t k = static_cast<size_t>(i - 1); k < entries.size(); k += static_cast<size_t>(n)) {
    mine.push_back(entries[k]);
  }
  return mine;
}

}  // namespace eosin::tiling
