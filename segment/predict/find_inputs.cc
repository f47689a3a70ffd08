// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/find_inputs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/image/picture_folder.h"
#include "segment/predict/predicted_files.h"
#include "tiling/slides/slide.h"

namespace eosin::segment {
namespace {

namespace fs = std::filesystem;

bool LiesBelow(const fs::path& path, const fs::path& folder) {
  const fs::path relative = path.lexically_relative(folder);
  return !relative.empty() && *relative.begin() != "..";
}

std::vector<fs::path> Search(const fs::path& folder, const fs::path& out) {
  std::vector<std::string> known = tiling::SlideExtensions();
  known.insert(known.end(), core::PictureExtensions().begin(), core::PictureExtensions().end());
  const fs::path root = core::PictureRoot(folder);
  const fs::path real_out = fs::weakly_canonical(out);
  const bool inside = !out.empty() && real_out != fs::weakly_canonical(root) &&
                      LiesBelow(real_out, fs::weakly_canonical(root));
  std::vector<fs::path> files = core::ListFiles(root, known, true);
  std::erase_if(files, [&](const fs::path& file) {
    return (inside && LiesBelow(fs::weakly_canonical(file), real_out)) || IsPredictedFile(file);
  });
  if (!files.empty()) return files;
  throw core::DataError(
      "no slide and no picture in folder " + folder.string(),
      fmt::format("they end in {}; give other files by name", fmt::join(known, " ")));
}

}  // namespace

std::vector<tiling::SlideEntry> FindSlidesAndPictures(const std::vector<std::string>& paths,
                                                      const fs::path& out) {
  std::map<fs::path, fs::path> files;  // as given, by what it really is
  std::vector<tiling::SlideEntry> listed;
  for (const std::string& path : paths) {
    if (!fs::exists(path)) {
      throw core::DataError("no such slide, picture or folder: " + path, "check the path");
    }
    if (fs::is_directory(path)) {
      for (const fs::path& file : Search(path, out)) {
        files.emplace(fs::weakly_canonical(file), file);
      }
    } else if (core::Extension(path) == ".csv") {
      std::vector<tiling::SlideEntry> rows = tiling::ReadSlideList(path, {});
      if (rows.empty()) {
        throw core::DataError("the list " + path + " names no slide",
                              "below its header it holds a row a slide");
      }
      std::move(rows.begin(), rows.end(), std::back_inserter(listed));
    } else {
      files.emplace(fs::weakly_canonical(path), path);
    }
  }
  std::vector<tiling::SlideEntry> entries(files.size());
  std::transform(files.begin(), files.end(), entries.begin(), [](const auto& file) {
    tiling::SlideEntry entry;
    entry.slide = file.second;
    return entry;
  });
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.slide < b.slide; });
  entries.insert(entries.begin(), listed.begin(), listed.end());
  std::map<std::string, fs::path> stems;
  for (const tiling::SlideEntry& entry : entries) {
    const auto [other, fresh] = stems.emplace(entry.Stem(), entry.slide);
    if (fresh) continue;
    throw core::DataError(fmt::format("{} and {} would have the same output names",
                                      other->second.string(), entry.slide.string()),
                          "predict them into folders of their own (--out), or rename one");
  }
  return entries;
}

}  // namespace eosin::segment
