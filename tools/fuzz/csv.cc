// SPDX-License-Identifier: Apache-2.0
// CSV: what is read and written again reads the same.
#include "core/formats/csv.h"

#include "tools/fuzz/fuzz.h"

using namespace eosin;

EOSIN_FUZZ_TARGET(data, size) {
  fuzz::Refusable([&] {
    const core::CsvTable table = core::ParseCsv(fuzz::Text(data, size), "input");
    // A mark first: a header that begins with one would lose it.
    std::string text = "\xEF\xBB\xBF" + core::CsvRow(table.header);
    for (const auto& row : table.rows) {
      fuzz::Require(row.size() == table.header.size());
      text += core::CsvRow(row);
    }
    const core::CsvTable again = core::ParseCsv(text, "again");
    fuzz::Require(again.header == table.header && again.rows == table.rows);
  });
  return 0;
}
