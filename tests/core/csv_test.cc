// SPDX-License-Identifier: Apache-2.0
#include "core/formats/csv.h"

#include "core/base/files.h"
#include "core/base/philox.h"
#include "tests/testing.h"

namespace eosin::core {
namespace {

using ::testing::ElementsAre;
constexpr ExitCode kBad = ExitCode::kBadInput;

TEST(CsvTest, ReadsQuotesCrLfAndAMissingLastLineEnd) {
  const CsvTable table =
      ParseCsv("\xEF\xBB\xBFname,note\r\na,\"x, \"\"y\"\"\nz\"\r\n,last", "t.csv");
  EXPECT_THAT(table.header, ElementsAre("name", "note"));
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_THAT(table.rows[0], ElementsAre("a", "x, \"y\"\nz"));
  EXPECT_THAT(table.rows[1], ElementsAre("", "last"));
  EXPECT_EQ(table.Column("note"), 1);
  EXPECT_EQ(table.Column("other"), -1);
}

TEST(CsvTest, RefusesWhatIsNotCsvAndNamesTheLine) {
  testing::ExpectError([] { ParseCsv("", "t.csv"); }, kBad, "empty");
  testing::ExpectError([] { ParseCsv("a,b\n1,2\n3\n", "t.csv"); }, kBad, "line 3: 1 cells");
  testing::ExpectError([] { ParseCsv("a\n\"x\"y\n", "t.csv"); }, kBad, "after a closing quote");
  testing::ExpectError([] { ParseCsv("a\n\"x\n", "t.csv"); }, kBad, "closing quote");
  testing::ExpectError([] { ParseCsv("a\nx\"y\n", "t.csv"); }, kBad, "quote inside");
  testing::ExpectError([] { ParseCsv("a\rb\n", "t.csv"); }, kBad, "carriage return");
  // The line count includes line breaks inside quotes.
  testing::ExpectError([] { ParseCsv("a,b\n\"1\n2\",3\n4\n", "t.csv"); }, kBad, "line 4");
}

TEST(CsvTest, RefusesAFileAboveTheCap) {
  testing::TempFolder folder;
  WriteFileAtomic(folder / "t.csv", "a,b\n1,2\n");
  EXPECT_EQ(ReadCsv(folder / "t.csv", 8).rows.size(), 1u);
  testing::ExpectError([&] { ReadCsv(folder / "t.csv", 7); }, kBad, "8 bytes");
  testing::ExpectError([&] { ReadCsv(folder / "none.csv"); }, kBad, "cannot read");
}

TEST(CsvTest, RowsQuoteOnlyWhatNeedsIt) {
  EXPECT_EQ(CsvRow({"a b", "1,5", "say \"x\"", ""}), "a b,\"1,5\",\"say \"\"x\"\"\",\n");
  EXPECT_EQ(CsvRow({""}), "\"\"\n");
}

TEST(CsvTest, WhatIsWrittenReadsBack) {
  const std::string alphabet = "ab,\"\n\r x";
  for (uint32_t seed = 0; seed < 200; ++seed) {
    PhiloxStream draw(7, DrawPurpose::kTest, 0, seed);
    std::vector<std::vector<std::string>> rows(1 + draw.Below(4));
    const uint32_t columns = 1 + draw.Below(4);
    std::string text;
    for (auto& row : rows) {
      row.resize(columns);
      for (auto& cell : row) {
        for (uint32_t n = draw.Below(6); n > 0; --n) {
          cell += alphabet[draw.Below(static_cast<uint32_t>(alphabet.size()))];
        }
      }
      text += CsvRow(row);
    }
    const CsvTable table = ParseCsv(text, "t.csv");
    EXPECT_EQ(table.header, rows[0]) << text;
    rows.erase(rows.begin());
    EXPECT_EQ(table.rows, rows) << text;
  }
}

}  // namespace
}  // namespace eosin::core
