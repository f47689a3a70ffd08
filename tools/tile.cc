// SPDX-License-Identifier: Apache-2.0
// eosin tile: slides to tile stores.
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/progress.h"
#include "core/base/words.h"
#include "tiling/batch/batch.h"
#include "tiling/batch/export.h"
#include "tiling/batch/labels.h"
#include "tools/command_line.h"
#include "tools/commands.h"

namespace eosin::tools {
namespace {

constexpr const char* kAbout =
    "Cuts whole-slide images into tile stores: one HDF5 file a slide, <out>/<slide>.h5.\n"
    "\n"
    "Beside the stores: <slide>.preview.jpg (green: tissue, blue: tiles kept, other colours: left\n"
    "out, by reason), tiles.csv with a row a slide, report.html, CLAM's process_list_autogen.csv,\n"
    "and failed.csv, a list of what failed, to be given to --list again.\n"
    "\n"
    "Folders are searched through. A slide that is done already is skipped: run the same command\n"
    "again after an interruption. Several processes may work on one --out.";

constexpr const char* kExamples =
    "Examples:\n"
    "  eosin tile slides/ --out tiles --mpp 0.5                      256 px tiles of tissue\n"
    "  eosin tile slides/ --out tiles --mpp 0.5 --align tiles        the slides' own JPEG tiles,\n"
    "                                                                copied: fastest, no loss\n"
    "  eosin tile a.svs --out tiles --mpp 1 --size 224 --stride 112  half overlapping\n"
    "  eosin tile a.svs --out tiles --dry-run                        how many, how large, how "
    "long\n"
    "  eosin tile slides/ --out tiles --annotations qupath/ --classes "
    "tumor=1,stroma=2,pen=exclude\n"
    "  eosin tile --list cohort.csv slides/ --out tiles --shard 3/8  for cluster arrays\n"
    "  eosin tile tcga.svs --out tiles --mpp-override 0.25           a slide that lost its scale\n"
    "\n"
    "Scale is in microns per pixel, never a rounded magnification: where a level of the slide "
    "lies\n"
    "within 1 % of --mpp its pixels are taken as they are, otherwise tiles are resampled from the\n"
    "next finer level. The grid starts at 0,0 (or at the scanner's bounds); coordinates are "
    "level-0\n"
    "pixels. CLAM, TRIDENT and h5py read the stores as they are.\n"
    "\n"
    "The CSV of --list has a header: slide (or CLAM's slide_id, TRIDENT's wsi), and any of mpp,\n"
    "annotation, class, patient, process. Paths are relative to the CSV; bare names are looked for "
    "in\n"
    "the folders on the command line.\n"
    "\n"
    "Exit codes: 0 all slides done; 1 a slide failed (the others are done; tiles.csv says why);\n"
    "2 usage; 3 no space or no permission; 130 interrupted.";

void Report(const tiling::SlideResult& result, bool quiet) {
  core::ClearProgressLine();
  if (result.status == "failed") {
    const bool named = result.reason.find(result.stem) != std::string::npos;
    std::fprintf(stderr, "error: %s%s%s\nhint: %s\n", named ? "" : result.slide.c_str(),
                 named ? "" : ": ", result.reason.c_str(), result.hint.c_str());
    return;
  }
  for (const std::string& warning : result.warnings) {
    core::LogWarning(result.stem + ": " + warning);
  }
  if (result.status == "planned") {
    std::printf("%s: %s; about %s, %.3g s\n", result.slide.c_str(), result.plan.c_str(),
                core::ByteWords(result.bytes).c_str(), result.seconds);
  } else if (!quiet) {
    std::printf("%s: %s, %lld tiles at %.4g um/px, %s%s%s\n", result.stem.c_str(),
                result.status.c_str(), static_cast<long long>(result.tiles), result.tile_mpp,
                core::ByteWords(result.bytes).c_str(), result.bad > 0 ? "; " : "",
                result.bad > 0 ? result.reason.c_str() : "");
  }
  std::fflush(stdout);
}

// "4G": a number of bytes, with K, M, G or T for powers of 1024.
int64_t ParseBytes(const std::string& text) {
  size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
  }
  const std::string units = "KMGT";
  std::string unit = text.substr(used);
  if (unit.size() > 1 && (unit.back() == 'B' || unit.back() == 'b')) unit.pop_back();
  const size_t power =
      unit.size() == 1 ? units.find(static_cast<char>(std::toupper(unit[0]))) : std::string::npos;
  if (power != std::string::npos) value *= std::pow(1024, power + 1);
  const bool known = unit.empty() || power != std::string::npos;
  if (used == 0 || !known || !(value >= 1 << 20) || value > 1e18) {
    throw core::ConfigError("--memory " + text + " is no amount of memory",
                            "write it as 4G or 512M, at least 1M");
  }
  return static_cast<int64_t>(value);
}

// "3/8"
void ParseShard(const std::string& text, tiling::BatchOptions* batch) {
  int used = 0;
  const bool read = std::sscanf(text.c_str(), "%d/%d%n", &batch->shard, &batch->shards, &used) == 2;
  if (!read || used != static_cast<int>(text.size()) || batch->shards < 1 || batch->shard < 1 ||
      batch->shard > batch->shards) {
    throw core::ConfigError("--shard " + text + " is no share of a list",
                            "write I/N with I from 1 to N, e.g. --shard 3/8");
  }
}

void CheckExports(const std::vector<std::string>& exports) {
  const auto& known = tiling::ExportFormats();
  for (const std::string& format : exports) {
    if (std::find(known.begin(), known.end(), format) != known.end()) continue;
    const std::string nearest = core::NearestWord(format, known);
    throw core::ConfigError(
        "--export " + format + " is not known",
        nearest.empty() ? fmt::format("one or more of {}, by commas", fmt::join(known, ", "))
                        : "did you mean " + nearest + "?");
  }
}

struct Arguments {
  std::vector<std::string> paths, rois, assignments, exports;
  std::string out, list, annotations, config, memory, shard;

  void Clear() {
    for (auto* values : {&paths, &rois, &assignments, &exports}) values->clear();
  }
};

// Puts the options added in its lifetime under one heading of --help.
class Section {
 public:
  Section(CLI::App& app, std::string title)
      : app_(app), title_(std::move(title)), before_(app.get_options().size()) {}
  ~Section() {
    const auto options = app_.get_options();
    for (size_t i = before_; i < options.size(); ++i) options[i]->group(title_);
  }

 private:
  CLI::App& app_;
  std::string title_;
  size_t before_;
};

void AddGridFlags(CLI::App& app, core::OptionSet& set, tiling::TileOptions& options,
                  Arguments& arguments) {
  const Section section(app, "Scale and grid");
  AddKeyFlag(app, set, "--mpp", "mpp", "scale of the tiles in um per pixel (default 0.5)");
  AddKeyFlag(app, set, "--magnification", "magnification",
             "the same as 10 / mpp in true microns: 20 means 0.5 um per pixel");
  AddKeyFlag(app, set, "--size", "size", "side of a tile in its own pixels (default 256)");
  AddKeyFlag(app, set, "--stride", "stride",
             "distance of tiles in their own pixels (default: the size)");
  AddKeyFlag(
      app, set, "--align", "align",
      "tiles: size, stride and level (nearest to --mpp, within 5 %) are the slide's own, and "
      "its compressed JPEG tiles are copied; none (default)");
  AddKeyFlag(app, set, "--mpp-override", "mpp_override",
             "the slide's own scale at full size, when the file does not say it or is wrong");
  app.add_flag("--allow-upsample", options.allow_upsample,
               "allow tiles finer than the slide by more than 5 %");
  app.add_option("--roi", arguments.rois,
                 "x,y,width,height in level-0 pixels: only tiles wholly inside; repeatable")
      ->allow_extra_args(false)
      ->type_name("X,Y,W,H");
}

void AddTissueFlags(CLI::App& app, core::OptionSet& set) {
  const Section section(app, "Tissue and quality");
  AddKeyFlag(
      app, set, "--tissue", "tissue",
      "double-pass (default), otsu, clam, clam-biopsy, clam-resection, clam-tcga, none, or a "
      "mask PNG of the whole slide (nonzero = tissue), or a folder of masks named "
      "<slide>.png");
  AddKeyFlag(app, set, "--min-tissue", "min_tissue",
             "least tissue share of a tile, 0 to 1 (default 0.5)");
  AddKeyFlag(app, set, "--tissue-mpp", "tissue_mpp",
             "scale the mask is made at, um per pixel (default 8)");
  AddKeyFlag(app, set, "--min-tissue-um2", "min_tissue_um2",
             "smaller specks are dropped, um2 (default 5000)");
  AddKeyFlag(app, set, "--min-hole-um2", "min_hole_um2",
             "smaller holes are filled, um2 (default 20000)");
  app.add_flag_callback(
      "--keep-pen", [&set] { set.Set("remove_pen", "false"); },
      "do not take pen marks out of the tissue");
  app.add_option_function<std::string>(
      "--quality",
      [&set](const std::string& value) {
        if (!value.empty() && value.find_first_not_of("0123456789") == std::string::npos) {
          throw core::ConfigError("--quality " + value + " is no longer the quality of JPEG",
                                  "write --jpeg-quality " + value);
        }
        set.Set("quality", value);
      },
      "scores (default): blur, pen, white, black and fold a tile, 0 to 1; none");
  AddKeyFlag(app, set, "--stain", "stain",
             "statistics (default): colour and stain statistics a tile; none");
  for (const char* name : tiling::kQualityNames) {
    AddKeyFlag(app, set, std::string("--max-") + name, std::string("reject.") + name,
               fmt::format("leave out tiles whose {} score is larger (default 1: none)", name));
  }
}

void AddOutputFlags(CLI::App& app, core::OptionSet& set, Arguments& arguments) {
  const Section section(app, "Annotations and output");
  app.add_option("--annotations", arguments.annotations,
                 "QuPath GeoJSON, ASAP XML or ImageScope XML of the slide, or a folder of "
                 "<slide>.geojson, .json or .xml: a mask a tile in labels/annotation");
  AddKeyFlag(app, set, "--classes", "classes",
             "what annotated classes become: an id, ignore, include or exclude "
             "(tumor=1,artefact=ignore,pen=exclude); default: all names of the batch, from 1");
  AddKeyFlag(app, set, "--encoding", "encoding", "jpeg (default), png (lossless) or raw");
  AddKeyFlag(app, set, "--jpeg-quality", "jpeg_quality",
             "of tiles that are encoded, 1 to 100 (default 90)");
  app.add_option("--export", arguments.exports,
                 "also write clam, png, jpeg or webdataset below --out; repeatable, or by commas")
      ->delimiter(',')
      ->allow_extra_args(false);
}

void AddRunFlags(CLI::App& app, tiling::BatchOptions& batch, Arguments& arguments) {
  const Section section(app, "Running");
  app.add_option("--list", arguments.list,
                 "CSV of slides with mpp, annotation, class and patient (see below)");
  app.add_option("--shard", arguments.shard,
                 "I/N: every N-th slide from the I-th, for cluster arrays; shards may share --out");
  app.add_option("--jobs", batch.jobs, "slides at a time (default: as many as threads)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--threads", batch.threads, "over all slides (default: all cores)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--memory", arguments.memory,
                 "for pixels in flight over all slides, 4G (default: half of what is free)");
  app.add_flag("--overwrite", batch.overwrite,
               "replace stores that were made with other settings or from another slide");
  app.add_flag("--dry-run", batch.dry_run,
               "print each slide's plan with its bytes and seconds, write nothing");
  app.add_option("--config", arguments.config,
                 "TOML file with these options as keys (min_tissue = 0.5); flags win");
  app.add_option("--set", arguments.assignments, "key=value; repeatable")->allow_extra_args(false);
  app.add_flag("--quiet", batch.quiet, "errors only");
}

std::vector<tiling::SlideEntry> Slides(const Arguments& arguments, bool quiet) {
  const std::vector<std::filesystem::path> paths(arguments.paths.begin(), arguments.paths.end());
  if (paths.empty() && arguments.list.empty()) {
    throw core::ConfigError("no slides are given", "name slides, folders of slides, or --list CSV");
  }
  auto slides = arguments.list.empty() ? tiling::FindSlides(paths)
                                       : tiling::ReadSlideList(arguments.list, paths);
  if (!arguments.annotations.empty()) {
    const int without = tiling::AttachAnnotations(arguments.annotations, &slides);
    if (without > 0 && !quiet) {
      core::LogInfo(fmt::format("{} of {} slides have no annotation file", without, slides.size()));
    }
  }
  return slides;
}

}  // namespace

int RunTile(int argc, char** argv) {
  tiling::TileOptions options;
  core::OptionSet set;
  options.Bind(set);
  tiling::BatchOptions batch;
  Arguments arguments;

  CLI::App app(kAbout, "eosin tile");
  app.footer(kExamples);
  app.add_option("SLIDE_OR_FOLDER", arguments.paths, "slides, or folders of slides");
  app.add_option("--out", arguments.out, "folder for the stores")->required();
  AddGridFlags(app, set, options, arguments);
  AddTissueFlags(app, set);
  AddOutputFlags(app, set, arguments);
  AddRunFlags(app, batch, arguments);
  if (const auto code = Parse(app, argc, argv)) return *code;

  // Flags win over the config file, whatever their order.
  if (!arguments.config.empty()) {
    set.ReadToml(arguments.config);
    app.clear();
    arguments.Clear();
    if (const auto code = Parse(app, argc, argv)) return *code;
  }
  if (!arguments.rois.empty()) set.Set("roi", fmt::format("{}", fmt::join(arguments.rois, ",")));
  for (const std::string& assignment : arguments.assignments) set.Set(assignment);
  if (!arguments.shard.empty()) ParseShard(arguments.shard, &batch);
  if (!arguments.memory.empty()) batch.memory = ParseBytes(arguments.memory);
  CheckExports(arguments.exports);
  batch.exports = arguments.exports;
  options.Check();

  core::SetQuiet(batch.quiet);
  int64_t tiles = 0, bytes = 0, failed = 0, skipped = 0;
  batch.on_slide = [&](const tiling::SlideResult& result) {
    Report(result, batch.quiet);
    tiles += result.tiles;
    bytes += result.bytes;
    failed += result.status == "failed";
    skipped += result.status == "skipped";
  };
  const auto results =
      tiling::TileSlides(Slides(arguments, batch.quiet), options, arguments.out, batch);
  if (batch.dry_run) {
    std::printf("%zu slides, %lld tiles, about %s; nothing was written\n", results.size(),
                static_cast<long long>(tiles), core::ByteWords(bytes).c_str());
  } else if (!batch.quiet) {
    std::printf("%zu slides: %lld done, %lld skipped, %lld failed; %lld tiles, %s; see %s\n",
                results.size(), static_cast<long long>(results.size()) - failed - skipped,
                static_cast<long long>(skipped), static_cast<long long>(failed),
                static_cast<long long>(tiles), core::ByteWords(bytes).c_str(),
                (std::filesystem::path(arguments.out) / "tiles.csv").c_str());
  }
  return failed > 0 ? static_cast<int>(core::ExitCode::kBadInput) : 0;
}

}  // namespace eosin::tools
