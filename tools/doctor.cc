// SPDX-License-Identifier: Apache-2.0
// eosin doctor: what this installation is made of and what the machine offers. The page about
// LibTorch and devices is printed by eosin-torch, so that this program need not load it.
#include <fmt/format.h>
#include <hdf5.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/base/files.h"
#include "core/base/threads.h"
#include "core/image/codec.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#ifdef EOSIN_WITH_SLIDES
#include <opencv2/core/version.hpp>
#include "tiling/slides/openslide_slide.h"
#endif

namespace eosin::tools {
namespace {

namespace fs = std::filesystem;

void Fact(const char* name, const std::string& value) { fmt::print("{:<18}{}\n", name, value); }

std::string Gigabytes(int64_t bytes) {
  return fmt::format("{:.1f} GB", static_cast<double>(bytes) / 1e9);
}

// "key : value" lines of a file under /proc; empty when there is none.
std::string ProcValue(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, key.size(), key) != 0) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t start = line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? "" : line.substr(start);
  }
  return "";
}

int64_t MemoryKb(const char* key) {
  const std::string value = ProcValue("/proc/meminfo", key);
  return value.empty() ? 0 : std::atoll(value.c_str());
}

std::string CpuFlags() {
  const std::string flags = " " + ProcValue("/proc/cpuinfo", "flags") + " ";
  std::string found;
  for (const char* flag : {"avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16"}) {
    if (flags.find(std::string(" ") + flag + " ") != std::string::npos) {
      found += (found.empty() ? "" : " ") + std::string(flag);
    }
  }
  return found.empty() ? "none of avx2, avx512f, avx512_bf16, amx" : found;
}

std::string Hdf5Version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  hbool_t safe = 0;
  H5is_library_threadsafe(&safe);
  return fmt::format("{}.{}.{}{}", major, minor, release, safe ? ", thread-safe" : "");
}

// The JPEG library does not tell its version: show that it works instead.
std::string JpegCheck() {
  core::Image image(64, 64, 3, 128);
  const auto bytes = core::EncodeJpeg(image, 90);
  const core::Image back = core::DecodeRgb(bytes, "the doctor's picture");
  return back.width == 64 && std::abs(back.pixels[0] - 128) <= 2 ? "encodes and decodes"
                                                                 : "gives wrong pixels";
}

// Runs `eosin-torch doctor` and waits; its output follows ours.
int RunTorchPage(const fs::path& program) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child < 0) throw core::MachineError("cannot start another process", "too many are running");
  if (child == 0) {
    std::string name = program.string(), command = "doctor";
    char* arguments[] = {name.data(), command.data(), nullptr};
    execv(program.c_str(), arguments);
    _exit(127);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno == EINTR) continue;
    throw core::MachineError(fmt::format("cannot wait for eosin-torch: {}", std::strerror(errno)),
                             "run `eosin-torch doctor` by itself");
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

int RunDoctor(int argc, char** argv) {
  CLI::App app(
      "Prints versions, cores, memory, disk, CPU features and devices of this installation.",
      "eosin doctor");
  if (const auto code = Parse(app, argc, argv)) return *code;

  const fs::path self = fs::canonical("/proc/self/exe");
  Fact("eosin", std::string(EOSIN_VERSION) + ", " + self.string());
  Fact("compiler", __VERSION__);
#ifdef EOSIN_WITH_SLIDES
  Fact("OpenSlide", tiling::OpenSlideVersion());
  Fact("OpenCV", CV_VERSION);
#else
  Fact("OpenSlide", "not in this build (EOSIN_WITH_SLIDES is off): no eosin tile, no eosin synth");
#endif
  Fact("HDF5", Hdf5Version());
  Fact("TurboJPEG", JpegCheck());
  const std::string model = ProcValue("/proc/cpuinfo", "model name");
  Fact("CPU", model.empty() ? "unknown" : model);
  Fact("CPU features", CpuFlags());
  Fact("cores", fmt::format("{} usable, {} in the machine; --threads defaults to the usable ones",
                            core::AvailableCores(), sysconf(_SC_NPROCESSORS_CONF)));
  Fact("memory", fmt::format("{} free of {}", Gigabytes(MemoryKb("MemAvailable") * 1024),
                             Gigabytes(MemoryKb("MemTotal") * 1024)));
  Fact("disk", fmt::format("{} free in {}", Gigabytes(core::FreeBytes(fs::current_path())),
                           fs::current_path().string()));
  const fs::path torch = self.parent_path() / "eosin-torch";
  if (!fs::exists(torch)) {
    Fact("LibTorch",
         "not in this build: no pretrain, segment, study (run tools/setup and build the "
         "release preset)");
    return 0;
  }
  const int code = RunTorchPage(torch);
  if (code != 0) {
    throw core::MachineError(fmt::format("eosin-torch ends with code {}", code),
                             "its libraries are missing or of another version: run tools/setup, "
                             "then build again");
  }
  return 0;
}

}  // namespace eosin::tools
