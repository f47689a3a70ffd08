// SPDX-License-Identifier: Apache-2.0
#include "core/formats/csv.h"

#include <fmt/format.h>
#include <algorithm>

#include "core/base/error.h"
#include "core/base/files.h"

namespace eosin::core {
namespace {

constexpr size_t kMostColumns = 10000;  // a file of commas alone must not become memory

// Splits text into rows of cells.
class CsvParser {
 public:
  CsvParser(std::string_view text, const std::string& source) : text_(text), source_(source) {}

  bool AtEnd() const { return at_ >= text_.size(); }
  size_t line() const { return line_; }

  std::vector<std::string> Row() {
    std::vector<std::string> cells;
    while (true) {
      cells.push_back(Cell());
      if (AtEnd()) return cells;
      const char c = text_[at_++];
      if (c == ',' && cells.size() < kMostColumns) continue;
      if (c == ',') Fail(fmt::format("more than {} columns", kMostColumns));
      if (c == '\r') {
        if (AtEnd() || text_[at_] != '\n') Fail("a carriage return without a line feed");
        ++at_;
      }
      ++line_;
      return cells;
    }
  }

  [[noreturn]] void Fail(const std::string& what) const {
    throw DataError(fmt::format("{} line {}: {}", source_, line_, what),
                    "the file must be comma-separated with a header row; quote cells that hold "
                    "commas, quotes or line breaks");
  }

 private:
  std::string Cell() {
    std::string cell;
    if (AtEnd() || text_[at_] != '"') {
      const size_t end = std::min(text_.find_first_of(",\r\n", at_), text_.size());
      cell = text_.substr(at_, end - at_);
      if (cell.find('"') != std::string::npos) Fail("a quote inside a cell that is not quoted");
      at_ = end;
      return cell;
    }
    ++at_;
    while (true) {
      const size_t quote = text_.find('"', at_);
      if (quote == std::string_view::npos) Fail("a quoted cell without its closing quote");
      cell += text_.substr(at_, quote - at_);
      at_ = quote + 1;
      if (AtEnd() || text_[at_] != '"') break;
      cell += '"';
      ++at_;
    }
    if (!AtEnd() && text_[at_] != ',' && text_[at_] != '\r' && text_[at_] != '\n') {
      Fail("text after a closing quote");
    }
    line_ += static_cast<size_t>(std::count(cell.begin(), cell.end(), '\n'));
    return cell;
  }

  std::string_view text_;
  const std::string& source_;
  size_t at_ = 0, line_ = 1;
};

}  // namespace

int CsvTable::Column(std::string_view name) const {
  const auto at = std::find(header.begin(), header.end(), name);
  return at == header.end() ? -1 : static_cast<int>(at - header.begin());
}

CsvTable ParseCsv(std::string_view text, const std::string& source) {
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
  CsvParser parser(text, source);
  CsvTable table;
  if (parser.AtEnd()) parser.Fail("the file is empty");
  table.header = parser.Row();
  while (!parser.AtEnd()) {
    const size_t line = parser.line();
    std::vector<std::string> row = parser.Row();
    if (row.size() != table.header.size()) {
      throw DataError(fmt::format("{} line {}: {} cells where the header has {}", source, line,
                                  row.size(), table.header.size()),
                      "every row needs as many cells as the header");
    }
    table.rows.push_back(std::move(row));
    table.lines.push_back(line);
  }
  return table;
}

CsvTable ReadCsv(const std::filesystem::path& path, size_t size_cap) {
  std::error_code ignored;
  const auto size = std::filesystem::file_size(path, ignored);
  if (!ignored && size > size_cap) {
    throw DataError(fmt::format("{} has {} bytes, more than the {} a table may have", path.string(),
                                size, size_cap),
                    "is this the right file? Split it otherwise");
  }
  return ParseCsv(ReadFile(path), path.string());
}

std::string CsvRow(const std::vector<std::string>& cells) {
  std::string row;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) row += ',';
    if (cells[i].find_first_of(",\"\r\n") == std::string::npos) {
      row += cells[i];
      continue;
    }
    row += '"';
    for (const char c : cells[i]) {
      if (c == '"') row += '"';
      row += c;
    }
    row += '"';
  }
  // A row of one empty cell must not look like an empty line.
  if (row.empty() && cells.size() == 1) row = "\"\"";
  return row + "\n";
}

}  // namespace eosin::core
