// SPDX-License-Identifier: Apache-2.0
// eosin stain: templates of a laboratory's colours, and pictures under another stain.
#include <fmt/format.h>
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <sstream>

#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "core/base/progress.h"
#include "core/base/threads.h"
#include "core/image/codec.h"
#include "core/stain/stain_shift.h"
#include "core/stain/template_fit.h"
#include "tools/command_line.h"
#include "tools/commands.h"

namespace eosin::tools {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAbout =
    "Stain statistics of your own tiles, for stain-aware pretraining, and pictures under another "
    "stain.";

constexpr const char* kFitAbout =
    "Fits a stain template (RandStainNA): how means and deviations of colours are spread over "
    "your\n"
    "tiles. Pretraining views are then moved to colours drawn from it. DATA is a folder of tile\n"
    "stores or pictures, a .txt list of them, or one file. Patients (slides without a patient) "
    "weigh\n"
    "the same. LAB comes from the stores where eosin tile measured it, without decoding a tile.";

constexpr const char* kFitExamples =
    "Examples:\n"
    "  eosin stain fit tiles --out template.json\n"
    "  eosin stain fit tiles --out template.json --space lab --components auto\n"
    "  eosin pretrain --data tiles --out runs/ssl --set view_a.randstainna_template=template.json "
    "...";

constexpr const char* kShiftAbout =
    "Writes copies of pictures under other stains: haematoxylin and eosin each scaled by 0.7 or "
    "1.3\n"
    "and shifted by -0.1 or +0.1 in natural optical density, every combination (16), the residual "
    "left\n"
    "alone. tile.png becomes tile_png_Hx0.7-0.1_Ex1.3+0.1.png and so on; files below --out are no\n"
    "input. These are the shifts that eosin eval scores encoders under.";

const char* const kColumns[] = {"mean 1", "mean 2", "mean 3", "std 1", "std 2", "std 3"};
const char* const kMeaning[] = {"L, a, b (CIE)", "hue, saturation, value (0-1)",
                                "H, E, DAB (natural optical density)"};

std::vector<core::StainSpace> ParseSpaces(const std::string& list) {
  std::vector<core::StainSpace> spaces;
  std::istringstream words(list);
  for (std::string word; std::getline(words, word, ',');) {
    int space = 0;
    while (space < core::kStainSpaces &&
           word != core::StainSpaceName(static_cast<core::StainSpace>(space))) {
      ++space;
    }
    if (space == core::kStainSpaces) {
      throw core::ConfigError("--space " + list + " names no colour space \"" + word + "\"",
                              "lab, hsv and hed, with commas between");
    }
    const auto found = static_cast<core::StainSpace>(space);
    if (std::find(spaces.begin(), spaces.end(), found) == spaces.end()) spaces.push_back(found);
  }
  if (spaces.empty()) throw core::ConfigError("--space is empty", "lab, hsv and hed");
  return spaces;
}

int ParseComponents(const std::string& text) {
  if (text == "auto") return -1;
  if (text.empty() || text.size() > 2 || text.find_first_not_of("0123456789") != std::string::npos)
    throw core::ConfigError("--components " + text + " is no number", "0 to 99, or auto");
  return std::stoi(text);
}

void PrintFit(const core::TemplateFit& fit) {
  for (size_t s = 0; s < core::kStainSpaces; ++s) {
    if (!fit.fitted.spaces[s]) continue;
    const core::StainSpaceFit& space = *fit.fitted.spaces[s];
    fmt::print("{}: {}, mean +- spread over tiles\n",
               core::StainSpaceName(static_cast<core::StainSpace>(s)), kMeaning[s]);
    for (size_t d = 0; d < 6; ++d) {
      fmt::print("  {:<7} {:>9.3f} +- {:.3f}\n", kColumns[d], space.center[d], space.spread[d]);
    }
    if (!space.mixture) continue;
    fmt::print("  mixture of {}, weights", space.mixture->weights.size());
    for (const double weight : space.mixture->weights) fmt::print(" {:.2f}", weight);
    fmt::print("\n");
  }
}

int RunFit(const std::string& data, const std::string& out,
           const core::TemplateFitOptions& options) {
  const core::TemplateFit fit = core::FitTemplate(data, options);
  if (const fs::path folder = fs::path(out).parent_path(); !folder.empty()) {
    core::MakeFolder(folder);
  }
  fit.fitted.Write(out);
  PrintFit(fit);
  fmt::print("{} of {} tiles of {} {} measured{}{}\ntemplate: {}\n", fit.fitted.tiles,
             fit.available, fit.groups, fit.groups == 1 ? "group" : "groups",
             fit.from_store ? ", LAB from the stores' columns" : "",
             fit.skipped ? fmt::format(", {} damaged ones skipped", fit.skipped) : "", out);
  return 0;
}

int RunShift(const std::string& from, const fs::path& out, int threads) {
  const std::vector<core::ShiftedPicture> pictures = core::PicturesToShift(from, out);
  const std::vector<core::StainShift> shifts = core::StandardShifts();
  core::Progress progress("shifting stains", static_cast<int64_t>(pictures.size()), "pictures");
  core::ParallelFor(static_cast<int64_t>(pictures.size()),
                    threads > 0 ? threads : core::AvailableCores(), [&](int64_t i) {
                      const core::ShiftedPicture& picture = pictures[static_cast<size_t>(i)];
                      const core::Image rgb = core::ReadRgb(picture.from);
                      core::MakeFolder(picture.to.parent_path());
                      for (const core::StainShift& shift : shifts) {
                        core::ThrowIfInterrupted();
                        const core::Bytes png = core::EncodePng(core::ApplyShift(rgb, shift));
                        core::WriteFileAtomic(
                            core::ShiftedFile(picture, shift),
                            {reinterpret_cast<const char*>(png.data()), png.size()});
                      }
                      progress.Advance();
                    });
  core::LogInfo(
      fmt::format("{} pictures, {} shifts each: {}", pictures.size(), shifts.size(), out.string()));
  return 0;
}

}  // namespace

int RunStain(int argc, char** argv) {
  CLI::App app(kAbout, "eosin stain");
  app.require_subcommand(1);

  CLI::App* fit = app.add_subcommand("fit", "fit a stain template to tiles");
  fit->description(kFitAbout);
  fit->footer(kFitExamples);
  std::string data, out, spaces = "lab,hsv,hed", components = "0";
  core::TemplateFitOptions options;
  fit->add_option("DATA", data, "tile stores or pictures")->required();
  fit->add_option("--out", out, "template to write (JSON)")->required();
  fit->add_option("--space", spaces, "colour spaces (default lab,hsv,hed)");
  fit->add_option("--components", components,
                  "also fit a Gaussian mixture of so many components to the joint statistics: a "
                  "number, or auto (Bayesian information criterion); default 0, none")
      ->type_name("N|auto");
  fit->add_option("--tiles", options.tiles, "measure at most so many (default 5000)")
      ->check(CLI::PositiveNumber);
  fit->add_option("--seed", options.seed, "which tiles are drawn (default 0)");
  fit->add_option("--threads", options.threads, "default: all cores")
      ->check(CLI::NonNegativeNumber);

  CLI::App* shift = app.add_subcommand("shift", "write pictures under other stains");
  shift->description(kShiftAbout);
  std::string from, folder;
  int threads = 0;
  shift->add_option("IMAGE", from, "a picture, or a folder of pictures")->required();
  shift->add_option("--out", folder, "folder for the copies (PNG)")->required();
  shift->add_option("--threads", threads, "default: all cores")->check(CLI::NonNegativeNumber);

  if (const auto code = Parse(app, argc, argv)) return *code;
  if (shift->parsed()) return RunShift(from, folder, threads);
  options.spaces = ParseSpaces(spaces);
  options.components = ParseComponents(components);
  return RunFit(data, out, options);
}

}  // namespace eosin::tools
