// SPDX-License-Identifier: Apache-2.0
// eosin verify: are tile stores what they say they are?
#include <fmt/format.h>
#include <cstdio>
#include <filesystem>

#include "core/base/files.h"
#include "tiling/batch/verify.h"
#include "tools/command_line.h"
#include "tools/commands.h"

namespace eosin::tools {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAbout =
    "Checks that tile stores are what they say they are. Of a store alone: the hash of every "
    "dataset\n"
    "and of the attributes, that every tile and mask decodes, that attributes and columns follow\n"
    "from the stored settings, that coordinates lie on the grid. With its slide (--slides): that "
    "it\n"
    "is the slide the store was made from, that the plan made anew from the settings has the same\n"
    "tiles, and that tiles made anew have the same bytes, scores and masks. Reads only.";

constexpr const char* kExamples =
    "Examples:\n"
    "  eosin verify tiles/                                    after a copy, or before an archive\n"
    "  eosin verify tiles/a.h5 --slides slides/               can the store be made again?\n"
    "  eosin verify tiles/a.h5 --slides a.svs --tiles all     every tile\n"
    "  eosin verify tiles/ --slides slides/ --mask masks/ --annotations geojson/\n"
    "\n"
    "Hashes are XXH3-128: they find accidents (a flipped bit, a file cut short, an attribute "
    "edited),\n"
    "not forgeries. Tiles are made anew in a temporary folder (TMPDIR).\n"
    "\n"
    "Exit codes: 0 all is as it says; 1 problems were found, or a file is no tile store; 2 usage;\n"
    "3 the machine; 130 interrupted.";

std::vector<fs::path> FindStores(const std::vector<std::string>& paths) {
  std::vector<fs::path> stores;
  for (const std::string& path : paths) {
    if (!fs::exists(path)) throw core::DataError("there is no " + path, "check the path");
    if (!fs::is_directory(path)) {
      stores.emplace_back(path);
      continue;
    }
    const std::vector<fs::path> found = core::ListFiles(path, {".h5"}, false);
    if (found.empty()) {
      throw core::DataError("no tile store in folder " + path, "stores are <slide>.h5");
    }
    stores.insert(stores.end(), found.begin(), found.end());
  }
  return stores;
}

// True when the store is what it says.
bool Verify(const fs::path& store, const tiling::VerifyOptions& options, bool quiet) {
  tiling::VerifyReport report;
  try {
    report = tiling::VerifyStore(store, options);
  } catch (const core::StoreError& error) {
    report.problems.push_back(error.what());
  }
  const bool good = report.problems.empty();
  if (!quiet || !good) fmt::print("{}: {}\n", store.string(), good ? "ok" : "PROBLEMS");
  if (!quiet) {
    for (const std::string& line : report.checked) fmt::print("  ok       {}\n", line);
    for (const std::string& line : report.skipped) fmt::print("  skipped  {}\n", line);
  }
  for (const std::string& line : report.problems) fmt::print("  problem  {}\n", line);
  std::fflush(stdout);
  return good;
}

}  // namespace

int RunVerify(int argc, char** argv) {
  CLI::App app(kAbout, "eosin verify");
  app.footer(kExamples);
  std::vector<std::string> paths;
  std::string tiles = "64";
  tiling::VerifyOptions options;
  bool quiet = false;
  app.add_option("STORE", paths, "stores, or folders of stores")->required();
  app.add_option("--slides", options.slide, "the slide, or a folder that holds the slides");
  app.add_option("--mask", options.mask,
                 "for stores made with a tissue mask: it, or the folder of <slide>.png");
  app.add_option("--annotations", options.annotation,
                 "for stores made with annotations: the file, or the folder of <slide>.geojson, "
                 ".json or .xml");
  app.add_option("--tiles", tiles,
                 "how many tiles to make anew from the slide, evenly spread, or all (default 64)")
      ->type_name("N|all");
  app.add_option("--threads", options.threads, "default: all cores")->check(CLI::NonNegativeNumber);
  app.add_flag("--quiet", quiet, "problems only");
  if (const auto code = Parse(app, argc, argv)) return *code;
  if (tiles == "all") {
    options.tiles = 0;
  } else if (tiles.empty() || tiles.size() > 9 ||
             tiles.find_first_not_of("0123456789") != std::string::npos || std::stol(tiles) < 1) {
    throw core::ConfigError("--tiles " + tiles + " is no number of tiles",
                            "a number from 1 on, or all");
  } else {
    options.tiles = std::stol(tiles);
  }
  size_t good = 0;
  const std::vector<fs::path> stores = FindStores(paths);
  for (const fs::path& store : stores) good += Verify(store, options, quiet);
  if (stores.size() > 1) {
    fmt::print("{} stores: {} ok, {} with problems\n", stores.size(), good, stores.size() - good);
  }
  return good == stores.size() ? 0 : static_cast<int>(core::ExitCode::kBadInput);
}

}  // namespace eosin::tools
