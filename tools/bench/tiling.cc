// SPDX-License-Identifier: Apache-2.0
// Measures tiling, one side of one case a run; tools/bench/tiling.py runs them in turns and prints
// the ratios.
#include <CLI/CLI.hpp>

#include "core/base/error.h"
#include "tools/bench/tiling_modes.h"
#include "tools/main.h"

namespace eosin::bench {
namespace {

int Main(int argc, char** argv) {
  CLI::App app("Tiling, measured: one JSON line a run. Cases and modes: tools/bench/tiling_*.h");
  app.require_subcommand(1);
  MadeSlide made;
  std::string subsampling = "420", slide, case_name, work, folder = ".", store;
  int threads = 1;

  auto* make = app.add_subcommand("make", "a dense slide to measure on, from a real one");
  auto* sparse = app.add_subcommand("make-sparse", "a large slide with little tissue");
  for (auto* command : {make, sparse}) {
    command->add_option("SOURCE", made.source, "a slide with tissue and glass")->required();
    command->add_option("OUT", made.out, "the SVS to write")->required();
    command->add_option("--size", made.size, "pixels a side")->check(CLI::Range(256, 2'000'000));
    command->add_option("--tile", made.tile)->check(CLI::Range(16, 1024));
    command->add_option("--quality", made.quality)->check(CLI::Range(1, 100));
    command->add_option("--subsampling", subsampling)->check(CLI::IsMember({"420", "444"}));
    command->add_option("--seed", made.seed);
  }
  sparse->add_option("--tiles", made.tissue_tiles, "about so many tiles with tissue");

  auto* limit = app.add_subcommand("limit", "libjpeg-turbo alone: copy, decode, patches");
  auto* openslide = app.add_subcommand("openslide", "OpenSlide patch by patch: read, h5");
  auto* eosin = app.add_subcommand("eosin", "eosin in this process: read, own, scored");
  for (auto* command : {limit, openslide, eosin}) {
    command->add_option("SLIDE", slide)->required();
    command->add_option("CASE", case_name, "a, b, c, d or w")->required();
    command->add_option("MODE", work)->required();
    command->add_option("WORKERS", threads)->check(CLI::Range(1, 256));
    command->add_option("FOLDER", folder, "for what is written");
  }
  auto* bytes = app.add_subcommand("bytes", "a pass-through store against the slide's own tiles");
  bytes->add_option("SLIDE", slide)->required();
  bytes->add_option("STORE", store)->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(core::ExitCode::kUsage);
  }

  made.subsampling = subsampling == "444" ? core::Subsampling::k444 : core::Subsampling::k420;
  if (make->parsed()) return MakeDenseSlide(made), 0;
  if (sparse->parsed()) return MakeSparseSlide(made), 0;
  if (bytes->parsed()) return PrintStoreBytes(slide, store);
  const Case asked = ReadCase(slide, case_name);
  if (limit->parsed()) return RunLimit(asked, work, folder);
  if (openslide->parsed()) return RunOpenSlide(asked, work, folder);
  return RunEosin(asked, work, threads, folder);
}

}  // namespace
}  // namespace eosin::bench

int main(int argc, char** argv) {
  return eosin::tools::GuardedMain([&] { return eosin::bench::Main(argc, argv); });
}
