// SPDX-License-Identifier: Apache-2.0
// eosin synth: made H&E slides with gland masks.
#include <cstdio>
#include <filesystem>

#include "tiling/synth/synth.h"
#include "tools/command_line.h"
#include "tools/commands.h"

namespace eosin::tools {
namespace {

constexpr const char* kAbout =
    "Makes synthetic H&E slides with exact gland masks: glands with epithelium and lumen, stroma,\n"
    "nuclei, stain that varies between slides, background, tears, a pen mark on every third "
    "slide.\n"
    "For trying a pipeline before any data has arrived. They are not tissue: no score on them "
    "says\n"
    "anything about tissue.";

constexpr const char* kExamples =
    "Writes below --out:\n"
    "  slides/<patient>-<slide>.tif   tiled JPEG pyramid; OpenSlide opens it as Aperio with mpp\n"
    "  masks/<patient>-<slide>.png    truth of the whole slide, 1 pixel = 4 x 4 of level 0\n"
    "  regions/images, regions/masks  annotated regions at level 0 and their truth\n"
    "  regions/regions.csv            name,patient_id\n"
    "  slides.csv                     slide,patient_id\n"
    "Masks: 0 outside glands, 1 gland (epithelium and lumen).\n"
    "\n"
    "Examples:\n"
    "  eosin synth --out demo\n"
    "  eosin synth --out demo --slides 12 --patients 4 --width 8192 --height 6144 --seed 7\n"
    "  eosin tile demo/slides --out demo/tiles --mpp 1       go on with the slides\n"
    "  eosin segment --data demo/regions --out demo/model    and with the regions\n"
    "\n"
    "The same options give the same bytes, whatever --threads.";

}  // namespace

int RunSynth(int argc, char** argv) {
  tiling::SynthOptions options;
  core::OptionSet set;
  options.Bind(set);
  std::string out, config;
  std::vector<std::string> assignments;

  CLI::App app(kAbout, "eosin synth");
  app.footer(kExamples);
  app.add_option("--out", out, "folder for the slides")->required();
  AddKeyFlag(app, set, "--slides", "synth.slides", "slides to make (default 6)");
  AddKeyFlag(app, set, "--patients", "synth.patients",
             "patients the slides are dealt to in turn (default: one a slide)");
  AddKeyFlag(app, set, "--width", "synth.width",
             "of level 0 in pixels, 1024 to 65536 (default 4096)");
  AddKeyFlag(app, set, "--height", "synth.height",
             "of level 0 in pixels, 1024 to 65536 (default 4096)");
  AddKeyFlag(app, set, "--mpp", "synth.mpp", "um per pixel of level 0 (default 0.5)");
  AddKeyFlag(app, set, "--power", "synth.power", "objective power in the file (default 20)");
  AddKeyFlag(app, set, "--regions", "synth.regions_per_slide",
             "annotated regions a slide (default 4)");
  AddKeyFlag(app, set, "--region-size", "synth.region_size",
             "side of a region in pixels of level 0 (default 512)");
  app.add_flag_callback("--no-pen", [&] { options.pen = false; }, "no pen marks");
  AddKeyFlag(app, set, "--seed", "synth.seed", "of all draws (default 0)");
  AddKeyFlag(app, set, "--threads", "synth.threads", "default: all cores");
  app.add_option("--config", config, "TOML file with these options as keys (synth.slides = 6)");
  app.add_option("--set", assignments, "key=value; repeatable")->allow_extra_args(false);
  if (const auto code = Parse(app, argc, argv)) return *code;
  if (!config.empty()) {
    // Flags win over the file, whatever their order.
    set.ReadToml(config);
    app.clear();
    assignments.clear();
    if (const auto code = Parse(app, argc, argv)) return *code;
  }
  for (const std::string& assignment : assignments) set.Set(assignment);
  options.Check();

  tiling::MakeSlides(options, out);
  std::printf("%lld slides of %lld x %lld px at %g um/px and %lld regions in %s\n",
              static_cast<long long>(options.slides), static_cast<long long>(options.width),
              static_cast<long long>(options.height), options.mpp,
              static_cast<long long>(options.slides * options.regions_per_slide), out.c_str());
  return 0;
}

}  // namespace eosin::tools
