// SPDX-License-Identifier: Apache-2.0
// eosin predict: a trained run and slides to PredictSlides.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <cstdio>
#include <filesystem>

#include "core/base/log.h"
#include "core/base/progress.h"
#include "core/base/threads.h"
#include "segment/model/trained_model.h"
#include "segment/predict/find_inputs.h"
#include "segment/predict/predict_slides.h"
#include "tools/command_line.h"
#include "tools/commands.h"

namespace eosin::tools {
namespace {

constexpr const char* kAbout =
    "Classes of every pixel of whole slides (or JPEG and PNG pictures) by a model of eosin "
    "segment.\n\n"
    "  eosin predict --model runs/model --out predicted slides/\n"
    "  eosin predict --model runs/model --out predicted a.svs b.ndpi --tta --probabilities\n"
    "  eosin predict --model runs/model --out predicted --mpp 0.5 --mpp-override 0.5 regions/\n\n"
    "SLIDE is a slide, a picture, a folder of them, or a CSV with the columns slide and mpp.\n\n"
    "Below --out, for every slide: <slide>.labels.tif (pyramid with palette, OpenSlide opens it),\n"
    "<slide>.geojson (drop it onto QuPath), <slide>.overlay.png, <slide>.json; and "
    "predictions.csv\n"
    "with mm2 a class. Run the same command again after an interruption: it goes on where it was.";

void Report(const segment::PredictResult& result, const std::vector<std::string>& classes,
            bool quiet) {
  core::ClearProgressLine();
  if (result.status == "failed") {
    std::fprintf(stderr, "error: %s: %s\nhint: %s\n", result.slide.c_str(), result.reason.c_str(),
                 result.hint.c_str());
    return;
  }
  for (const std::string& warning : result.warnings) {
    core::LogWarning(result.stem + ": " + warning);
  }
  if (quiet) return;
  if (result.status == "locked") {
    core::LogWarning(result.stem + ": " + result.reason + "; left to it");
    return;
  }
  std::string areas;
  for (size_t c = 0; c < result.class_mm2.size(); ++c) {
    areas += fmt::format(", {} {:.4g} mm2", classes[c], result.class_mm2[c]);
  }
  std::printf("%s: %s, %lld x %lld px at %.4g um/px%s\n", result.stem.c_str(),
              result.status.c_str(), static_cast<long long>(result.width),
              static_cast<long long>(result.height), result.mpp, areas.c_str());
  const segment::StageSeconds& s = result.pipeline.seconds;
  if (result.status == "done") {
    std::printf(
        "  %lld of %lld windows in %.1f s: network %.1f, decode %.1f (CPU), feed %.1f, blend "
        "%.1f, write %.1f\n",
        static_cast<long long>(result.pipeline.windows_run),
        static_cast<long long>(result.pipeline.windows), s.wall, s.network, s.decode, s.feed,
        s.blend, s.write);
  }
  std::fflush(stdout);
}

}  // namespace

int RunPredictCommand(int argc, char** argv) {
  segment::PredictOptions options;
  engine::ComputeOptions compute_options;
  core::OptionSet set;
  options.Bind(set);
  compute_options.Bind(set);
  segment::PredictRun run;
  std::string model_folder, out, config;
  std::vector<std::string> paths, assignments;
  int workers = 0;

  CLI::App app(kAbout, "eosin predict");
  app.add_option("SLIDE", paths, "slides, pictures, folders, lists (CSV)")->required();
  app.add_option("--model", model_folder, "run folder of eosin segment")->required();
  app.add_option("--out", out, "folder for the results")->required();
  AddKeyFlag(app, set, "--mpp", "mpp", "scale of the label map, um/px (default: the model's)");
  AddKeyFlag(app, set, "--mpp-override", "mpp_override",
             "the slides' own scale, when their files do not say it or are wrong");
  app.add_flag("--allow-upsample", options.allow_upsample, "predict slides coarser than the model");
  AddKeyFlag(app, set, "--tissue", "tissue",
             "double-pass (default), otsu, clam, ..., a mask PNG of the whole slide (for one "
             "slide), or a folder of <slide>.png");
  app.add_flag_callback("--no-tissue", [&] { set.Set("tissue", "none"); }, "predict all of it");
  AddKeyFlag(app, set, "--window", "window",
             "side of a window, px of the label map (default: the training crops')");
  AddKeyFlag(app, set, "--overlap", "overlap", "of neighbouring windows (default 0.5)");
  AddKeyFlag(app, set, "--blend", "blend", "gaussian (default) or cosine");
  app.add_flag("--tta", options.tta, "mean over the eight flips and quarter turns");
  AddKeyFlag(app, set, "--batch", "batch", "windows a pass (default 8)");
  app.add_flag("--probabilities", options.probabilities,
               "also write <slide>.probabilities.tif, a plane a class");
  app.add_flag("--subtract-bounds", options.subtract_bounds,
               "GeoJSON relative to the scanned bounds, for slides that QuPath crops to them");
  app.add_flag("--exact-outlines", options.exact_outlines, "polygons along the pixels' own edges");
  AddKeyFlag(app, set, "--min-area-um2", "min_area_um2", "smaller regions get no polygon");
  app.add_flag_callback("--no-geojson", [&] { options.geojson = false; }, "no polygons");
  app.add_flag_callback("--no-overlay", [&] { options.overlay = false; }, "no picture");
  AddKeyFlag(app, set, "--device", "compute.device", "auto, cpu or cuda");
  AddKeyFlag(app, set, "--threads", "compute.threads", "compute threads, 0 = all cores");
  app.add_option("--workers", workers, "decoding threads (default: all cores)")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--overwrite", run.overwrite,
               "replace what was made with other settings, and other files of these names");
  app.add_option("--config", config, "TOML file with these options as keys; flags win");
  app.add_option("--set", assignments, "key=value; repeatable")->allow_extra_args(false);
  app.add_flag("--quiet", run.quiet, "errors only");
  app.footer("\nKeys for --config (TOML) and --set, with their defaults:\n" + set.Help());
  if (const auto code = Parse(app, argc, argv)) return *code;
  if (!config.empty()) {
    set.ReadToml(config);
    app.clear();
    paths.clear();
    assignments.clear();
    if (const auto code = Parse(app, argc, argv)) return *code;
  }
  for (const std::string& assignment : assignments) set.Set(assignment);
  options.Check();
  core::SetQuiet(run.quiet);
  run.threads = workers > 0 ? workers : core::AvailableCores();

  const auto slides = segment::FindSlidesAndPictures(paths, out);
  const engine::Compute compute = engine::ResolveCompute(compute_options);
  segment::TrainedModel model(model_folder, compute);
  core::LogInfo("predicting on " + compute.Describe());
  segment::ModelFacts facts;
  facts.classes = model.options().data.classes;
  facts.background = model.options().data.background;
  facts.window = static_cast<int>(options.window > 0 ? options.window : model.options().crop);
  facts.mpp = model.options().data.ReadMpp();
  facts.hash = model.hash();
  facts.device = compute.device.is_cuda() ? "cuda" : "cpu";
  facts.precision = compute.bf16 ? "bf16" : "fp32";
  facts.tf32 = compute.tf32;
  facts.threads = compute.device.is_cuda() ? 0 : compute.threads;
  const segment::Network network = [&](const uint8_t* images, int64_t count,
                                       uint16_t* probabilities) {
    model.Predict(images, count, facts.window, segment::kOneProbability, probabilities);
  };
  int64_t failed = 0;
  std::vector<std::string> locked;
  run.on_slide = [&](const segment::PredictResult& result) {
    Report(result, facts.classes, run.quiet);
    failed += result.status == "failed";
    if (result.status == "locked") locked.push_back(result.stem);
  };
  const auto results = segment::PredictSlides(slides, facts, network, options, out, run);
  if (!run.quiet) {
    const std::string left = locked.empty() ? ""
                                            : fmt::format(", {} left to another process ({})",
                                                          locked.size(), fmt::join(locked, ", "));
    std::printf("%zu slides, %lld failed%s; see %s\n", results.size(),
                static_cast<long long>(failed), left.c_str(),
                (std::filesystem::path(out) / "predictions.csv").c_str());
  }
  return failed > 0 ? static_cast<int>(core::ExitCode::kBadInput) : 0;
}

}  // namespace eosin::tools
