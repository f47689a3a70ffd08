// SPDX-License-Identifier: Apache-2.0
// The program `eosin-torch`: the subcommands that need tensors. Run by `eosin`, not by hand.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <torch/version.h>
#include <cstdio>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "tools/commands.h"
#include "tools/main.h"

#ifdef EOSIN_WITH_CUDA
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace eosin::tools {

int RunTorchDoctor(int, char**) {
  std::printf("LibTorch          %s, %d threads\n", TORCH_VERSION, at::get_num_threads());
#ifdef EOSIN_WITH_CUDA
  std::printf("CUDA              built in, %zu device(s)\n",
              static_cast<size_t>(c10::cuda::device_count()));
#else
  std::printf("CUDA              not in this build (tools/setup --cuda, preset cuda)\n");
#endif
  return 0;
}

namespace {

int Main(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  try {
    if (name == "pretrain") return RunPretrainCommand(argc - 1, argv + 1);
    if (name == "eval") return RunEvalCommand(argc - 1, argv + 1);
    if (name == "segment") return RunSegmentCommand(argc - 1, argv + 1);
    if (name == "study") return RunStudyCommand(argc - 1, argv + 1);
#ifdef EOSIN_WITH_SLIDES
    if (name == "predict") return RunPredictCommand(argc - 1, argv + 1);
#endif
    if (name == "bench") return RunBenchCommand(argc - 1, argv + 1);
    if (name == "doctor") return RunTorchDoctor(argc - 1, argv + 1);
  } catch (const c10::OutOfMemoryError& error) {
    throw core::MachineError(error.what_without_backtrace(), "use a smaller batch or size");
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    throw core::DataError("LibTorch: " + message.substr(0, message.find('\n')),
                          "if the input looks right, please report this with the command line");
  }
  throw core::ConfigError("eosin-torch is run by eosin, not by hand", "see eosin --help");
}

}  // namespace
}  // namespace eosin::tools

int main(int argc, char** argv) {
  return eosin::tools::GuardedMain([&] { return eosin::tools::Main(argc, argv); });
}
