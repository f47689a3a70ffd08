// SPDX-License-Identifier: Apache-2.0
// eosin tile: slides to tile stores.
#include <fmt/format.h>
#include <cstdio>
#include <filesystem>

#include "core/base/files.h"
#include "core/base/log.h"
#include "tiling/batch/batch.h"
#include "tools/command_line.h"
#include "tools/commands.h"

namespace eosin::tools {
namespace {

constexpr const char* kAbout =
    "Cuts whole-slide images into tile stores: one HDF5 file a slide, <out>/<slide>.h5, beside it "
    "a\n"
    "picture <slide>.preview.jpg (green: tissue, blue: tiles kept, grey: left out) and tiles.csv "
    "with\n"
    "one row a slide. Slides are all that OpenSlide reads: SVS, TIFF, NDPI, MRXS, SCN, BIF, ...\n"
    "Folders are searched through. A slide that is done already is skipped; run the same command\n"
    "again after an interruption.";

constexpr const char* kExamples =
    "Examples:\n"
    "  eosin tile slides/ --out tiles --mpp 0.5                     256 px tiles of tissue, 20x\n"
    "  eosin tile a.svs --out tiles --mpp 1 --size 224 --stride 112   half overlapping\n"
    "  eosin tile a.svs --out tiles --dry-run                       how many, how large; writes "
    "nothing\n"
    "  eosin tile tcga.svs --out tiles --mpp-override 0.25          a slide that lost its scale\n"
    "\n"
    "Scale is in microns per pixel, never a rounded magnification: where a level of the slide "
    "lies\n"
    "within 1 % of --mpp its pixels are taken as they are, otherwise tiles are resampled from the\n"
    "next finer level. The grid starts at 0,0 (or at the scanner's bounds); coordinates are "
    "level-0\n"
    "pixels. CLAM, TRIDENT and h5py read the stores as they are.\n"
    "\n"
    "Exit codes: 0 all slides done; 1 a slide failed (the others are done; tiles.csv says why);\n"
    "2 usage; 3 no space or no permission; 130 interrupted.";

std::string Size(int64_t bytes) {
  const double value = static_cast<double>(bytes);
  return value < 1e9 ? fmt::format("{:.1f} MB", value / 1e6)
                     : fmt::format("{:.2f} GB", value / 1e9);
}

void Report(const tiling::SlideResult& result, bool quiet) {
  if (result.status == "failed") {
    const bool named = result.reason.find(result.stem) != std::string::npos;
    std::fprintf(stderr, "error: %s%s%s\nhint: %s\n", named ? "" : result.slide.c_str(),
                 named ? "" : ": ", result.reason.c_str(), result.hint.c_str());
  } else if (result.status == "planned") {
    std::printf("%s: %s\n", result.slide.c_str(), result.plan.c_str());
  } else if (!quiet) {
    std::printf("%s: %s, %lld tiles at %.4g um/px, %s%s%s\n", result.stem.c_str(),
                result.status.c_str(), static_cast<long long>(result.tiles), result.tile_mpp,
                Size(result.bytes).c_str(), result.bad > 0 ? "; " : "",
                result.bad > 0 ? result.reason.c_str() : "");
  }
  std::fflush(stdout);
}

}  // namespace

int RunTile(int argc, char** argv) {
  tiling::TileOptions options;
  core::OptionSet set;
  options.Bind(set);
  tiling::BatchOptions batch;
  std::vector<std::string> paths, rois;
  std::vector<std::string> assignments;
  std::string out, config, clam;

  CLI::App app(kAbout, "eosin tile");
  app.footer(kExamples);
  app.add_option("SLIDE_OR_FOLDER", paths, "slides, or folders of slides")->required();
  app.add_option("--out", out, "folder for the stores")->required();
  AddKeyFlag(app, set, "--mpp", "mpp", "scale of the tiles in um per pixel (default 0.5)");
  AddKeyFlag(app, set, "--magnification", "magnification",
             "the same as 10 / mpp in true microns: 20 means 0.5 um per pixel");
  AddKeyFlag(app, set, "--size", "size", "side of a tile in its own pixels (default 256)");
  AddKeyFlag(app, set, "--stride", "stride",
             "distance of tiles in their own pixels (default: the size)");
  AddKeyFlag(app, set, "--tissue", "tissue",
             "otsu (default), none, a mask PNG of the whole slide (nonzero = tissue), or a folder "
             "of such masks named <slide>.png");
  AddKeyFlag(app, set, "--min-tissue", "min_tissue",
             "least tissue share of a tile, 0 to 1 (default 0.5)");
  app.add_option("--roi", rois,
                 "x,y,width,height in level-0 pixels: only tiles wholly inside; repeatable")
      ->allow_extra_args(false)
      ->type_name("X,Y,W,H");
  AddKeyFlag(app, set, "--encoding", "encoding", "jpeg (default), png (lossless) or raw");
  AddKeyFlag(app, set, "--quality", "quality", "of JPEG, 1 to 100 (default 90)");
  AddKeyFlag(app, set, "--mpp-override", "mpp_override",
             "the slide's own scale at full size, when the file does not say it or is wrong");
  app.add_flag("--allow-upsample", options.allow_upsample,
               "allow tiles finer than the slide by more than 5 %");
  app.add_option("--config", config, "TOML file with these options as keys (min_tissue = 0.5)");
  app.add_option("--set", assignments, "key=value; repeatable")->allow_extra_args(false);
  app.add_option("--export", clam,
                 "clam: also <out>/clam/<slide>.h5, coordinates in CLAM's own layout at level 0")
      ->type_name("clam");
  app.add_option("--threads", batch.threads, "decoder threads (default: all cores)")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--overwrite", batch.overwrite,
               "replace stores that were made with other settings or from another slide");
  app.add_flag("--dry-run", batch.dry_run, "print each slide's plan, write nothing");
  app.add_flag("--quiet", batch.quiet, "errors only");
  if (const auto code = Parse(app, argc, argv)) return *code;

  // Flags win over the config file, whatever their order.
  if (!config.empty()) {
    set.ReadToml(config);
    app.clear();
    rois.clear();
    assignments.clear();
    paths.clear();
    if (const auto code = Parse(app, argc, argv)) return *code;
  }
  if (!rois.empty()) {
    std::string joined;
    for (const std::string& roi : rois) joined += (joined.empty() ? "" : ",") + roi;
    set.Set("roi", joined);
  }
  for (const std::string& assignment : assignments) set.Set(assignment);
  if (!clam.empty() && clam != "clam") {
    throw core::ConfigError("--export " + clam + " is not known", "the only export is clam");
  }
  options.Check();

  core::SetQuiet(batch.quiet);
  int64_t tiles = 0, bytes = 0, failed = 0, skipped = 0;
  batch.export_clam = !clam.empty();
  batch.on_slide = [&](const tiling::SlideResult& result) {
    Report(result, batch.quiet);
    tiles += result.tiles;
    bytes += result.bytes;
    failed += result.status == "failed";
    skipped += result.status == "skipped";
  };
  const std::vector<std::filesystem::path> given(paths.begin(), paths.end());
  const auto slides = tiling::FindSlides(given);
  const auto results = tiling::TileSlides(slides, options, out, batch);
  if (batch.dry_run) {
    std::printf("%zu slides, %lld tiles, about %s; nothing was written\n", results.size(),
                static_cast<long long>(tiles), Size(bytes).c_str());
  } else if (!batch.quiet) {
    std::printf("%zu slides: %lld done, %lld skipped, %lld failed; %lld tiles, %s; see %s\n",
                results.size(), static_cast<long long>(results.size()) - failed - skipped,
                static_cast<long long>(skipped), static_cast<long long>(failed),
                static_cast<long long>(tiles), Size(bytes).c_str(),
                (std::filesystem::path(out) / "tiles.csv").c_str());
  }
  return failed > 0 ? static_cast<int>(core::ExitCode::kBadInput) : 0;
}

}  // namespace eosin::tools
