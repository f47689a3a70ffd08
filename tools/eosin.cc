// SPDX-License-Identifier: Apache-2.0
// The program `eosin`: finds the subcommand and runs it. Those that need tensors live in
// `eosin-torch` beside it, so that everything else starts without loading LibTorch.
#include <unistd.h>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/config/option_set.h"
#include "tools/commands.h"
#include "tools/main.h"
#include "tools/torch_environment.h"

namespace eosin::tools {
namespace {

struct Command {
  const char* name;
  int (*run)(int, char**);  // null: in eosin-torch
  const char* summary;
};

#ifndef EOSIN_WITH_SLIDES
int WithoutSlides(int, char** argv) {
  throw core::MachineError(
      std::string("this eosin was built without slides, so there is no eosin ") + argv[0],
      "build with -DEOSIN_WITH_SLIDES=ON (needs OpenSlide and OpenCV)");
}
#endif

constexpr Command kCommands[] = {
#ifdef EOSIN_WITH_SLIDES
    {"tile", RunTile, "cut whole-slide images into tile stores (HDF5)"},
    {"verify", RunVerify,
     "check tile stores: hashes, settings, and tiles made anew from the slide"},
    {"synth", RunSynth, "make synthetic H&E slides with gland masks"},
#else
    {"tile", WithoutSlides, "(not in this build)"},
    {"verify", WithoutSlides, "(not in this build)"},
    {"synth", WithoutSlides, "(not in this build)"},
#endif
    {"pretrain", nullptr, "learn an encoder from unlabelled tiles (SimCLR, BYOL)"},
    {"eval", nullptr, "what encoders are worth on labelled images, with intervals"},
    {"segment", nullptr, "train and score one DeepLabV3 on images and masks"},
#ifdef EOSIN_WITH_SLIDES
    {"predict", nullptr, "classes of every pixel of whole slides: label maps, GeoJSON, areas"},
#else
    {"predict", WithoutSlides, "(not in this build)"},
#endif
    {"study", nullptr, "random, ImageNet and self-supervised starts compared, with intervals"},
    {"bench", nullptr, "augmentation and batch-size study on CIFAR-10, STL-10; throughput"},
    {"stain", RunStain, "stain templates of your own tiles, and pictures under another stain"},
    {"inspect", RunInspect, "what is in a slide, tile store, weights file or run folder"},
    {"doctor", RunDoctor, "versions, devices, threads and features of this installation"},
};

void PrintHelp() {
  std::puts(
      "eosin: from whole-slide images and a few annotated regions to a segmentation model,\n"
      "and a fair answer to what the pretraining was worth.\n\n"
      "usage: eosin COMMAND [options]      eosin COMMAND --help explains each\n");
  for (const Command& command : kCommands)
    std::printf("  %-9s %s\n", command.name, command.summary);
  std::puts(
      "\nA first walk:\n"
      "  eosin synth --out demo                                  made slides, masks, regions\n"
      "  eosin tile demo/slides --out demo/tiles --mpp 1 --size 128\n"
      "  eosin pretrain --data demo/tiles --out demo/ssl --arch resnet18 --size 64 --epochs 2\n"
      "  eosin segment --data demo/regions --init demo/ssl/encoder.pth --out demo/model\n"
      "  eosin predict --model demo/model --mpp 1 --out demo/predicted demo/slides\n\n"
      "Exit codes: 0 ok, 1 an input was bad, 2 usage, 3 the machine (space, rights, GPU),\n"
      "130 interrupted (run the same command again to go on).");
}

int RunTorch(const std::filesystem::path& self, int argc, char** argv) {
  const std::filesystem::path program = self.parent_path() / "eosin-torch";
  if (!std::filesystem::exists(program)) {
    throw core::MachineError(
        std::string("this eosin was built without LibTorch, so there is no eosin ") + argv[0],
        "run tools/setup and build the release preset");
  }
  SetTorchEnvironment();
  std::vector<char*> arguments = {const_cast<char*>(program.c_str())};
  arguments.insert(arguments.end(), argv, argv + argc);
  arguments.push_back(nullptr);
  execv(program.c_str(), arguments.data());
  throw core::MachineError("cannot run " + program.string(), "is it executable?");
}

int Main(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "--help";
  if (name == "--help" || name == "-h" || name == "help") {
    PrintHelp();
    return argc > 1 ? 0 : static_cast<int>(core::ExitCode::kUsage);
  }
  if (name == "--version") {
    std::puts("eosin " EOSIN_VERSION);
    return 0;
  }
  std::vector<std::string> names;
  for (const Command& command : kCommands) {
    names.push_back(command.name);
    if (name != command.name) continue;
    if (command.run) return command.run(argc - 1, argv + 1);
    return RunTorch(std::filesystem::canonical("/proc/self/exe"), argc - 1, argv + 1);
  }
  const std::string nearest = core::NearestWord(std::string(name), names);
  throw core::ConfigError(
      "unknown command " + std::string(name),
      nearest.empty() ? "eosin --help lists the commands" : "did you mean eosin " + nearest + "?");
}

}  // namespace
}  // namespace eosin::tools

int main(int argc, char** argv) {
  return eosin::tools::GuardedMain([&] { return eosin::tools::Main(argc, argv); });
}
