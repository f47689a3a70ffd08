// SPDX-License-Identifier: Apache-2.0
// Which pictures a folder means, for everything that takes one (training, stain templates): those
// that index.csv names, else those of images/ where masks/ lies beside it, else all below it; and
// what they are called.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/formats/csv.h"

namespace eosin::core {

inline const std::vector<std::string>& PictureExtensions() {
  static const std::vector<std::string> kExtensions = {".png", ".jpg", ".jpeg"};
  return kExtensions;
}

// The folder's index.csv, where it names at least one picture (column `file`).
inline std::optional<CsvTable> ReadPictureIndex(const std::filesystem::path& folder) {
  const std::filesystem::path index = folder / "index.csv";
  if (!std::filesystem::is_regular_file(index)) return std::nullopt;
  CsvTable table = ReadCsv(index);
  if (table.Column("file") < 0 || table.rows.empty()) return std::nullopt;
  return table;
}

// The picture of one row: below the folder, or below the subfolder named by column `class`.
// DataError when there is none.
inline std::filesystem::path IndexedPicture(const std::filesystem::path& folder,
                                            const CsvTable& table,
                                            const std::vector<std::string>& row) {
  const std::string& file = row[static_cast<size_t>(table.Column("file"))];
  const int kind = table.Column("class");
  std::filesystem::path path = folder / file;
  if (kind >= 0 && !std::filesystem::exists(path)) {
    path = folder / row[static_cast<size_t>(kind)] / file;
  }
  if (std::filesystem::exists(path)) return path;
  throw DataError(
      (folder / "index.csv").string() + " names " + file + ", which does not exist",
      "column `file` holds paths below the folder, or below the subfolder named by `class`");
}

// Where pictures without an index lie. The masks of a segmentation set are none to learn from.
inline std::filesystem::path PictureRoot(const std::filesystem::path& folder) {
  const bool paired = std::filesystem::is_directory(folder / "images") &&
                      std::filesystem::is_directory(folder / "masks");
  return paired ? folder / "images" : folder;
}

// The path relative to root, also where only one of them is absolute; the path itself where there
// is no way from root to it.
inline std::filesystem::path PathBelow(const std::filesystem::path& path,
                                       const std::filesystem::path& root) {
  std::filesystem::path relative = path.lexically_relative(root);
  if (relative.empty()) {
    const auto whole = [](const std::filesystem::path& p) {
      return std::filesystem::absolute(p.empty() ? "." : p).lexically_normal();
    };
    relative = whole(path).lexically_relative(whole(root));
  }
  return relative.empty() ? path : relative;
}

}  // namespace eosin::core
