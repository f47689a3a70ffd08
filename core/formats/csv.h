// SPDX-License-Identifier: Apache-2.0
// Comma-separated values as RFC 4180 defines them: a header row, quotes around cells that need
// them, a doubled quote inside quotes. Read strictly: every row has the header's number of cells,
// text after a closing quote is an error, files above the size cap are refused. A UTF-8 byte order
// mark is skipped; lines may end in LF or CRLF; a last line without an end counts.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace eosin::core {

struct CsvTable {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;  // each of header.size() cells
  std::vector<size_t> lines;                   // of the text, from 1, that each row begins in

  // Index of a column, or -1.
  int Column(std::string_view name) const;
};

// `source` names the text in messages. Throws DataError with the line.
CsvTable ParseCsv(std::string_view text, const std::string& source);

inline constexpr size_t kCsvSizeCap = size_t{256} << 20;
CsvTable ReadCsv(const std::filesystem::path& path, size_t size_cap = kCsvSizeCap);

// One row, cells quoted where needed, ended by LF.
std::string CsvRow(const std::vector<std::string>& cells);

}  // namespace eosin::core
