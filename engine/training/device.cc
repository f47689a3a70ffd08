// SPDX-License-Identifier: Apache-2.0
#include "engine/training/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <fmt/format.h>
#include <fstream>

#include "core/base/error.h"
#include "core/base/threads.h"

namespace eosin::engine {

void ComputeOptions::Bind(core::OptionSet& set, const std::string& prefix) {
  set.Add(prefix + ".device", &device,
          {.doc = "auto takes the GPU when there is one", .choices = {"auto", "cpu", "cuda"}});
  set.Add(prefix + ".threads", &threads,
          {.doc = "compute threads, 0 = all cores; results on a CPU depend on it",
           .min = 0,
           .max = 4096});
  set.Add(prefix + ".precision", &precision,
          {.doc = "auto: bf16 on GPUs and on CPUs with bf16 instructions, else fp32",
           .choices = {"auto", "fp32", "bf16"}});
  set.Add(prefix + ".tf32", &tf32,
          {.doc = "GPU: fp32 products with 10 bits of mantissa, several times as fast"});
}

std::string Compute::Describe() const {
  return fmt::format("{}, {} thread{}, {}", device.str(), threads, threads == 1 ? "" : "s",
                     bf16 ? (tf32 ? "bf16 and tf32" : "bf16") : (tf32 ? "tf32" : "fp32"));
}

c10::Device ResolveDevice(const std::string& device) {
  const bool has_gpu = at::globalContext().hasCUDA();
  if (device == "cpu" || (device == "auto" && !has_gpu)) return c10::Device(c10::kCPU);
  if (device != "cuda" && device != "auto") {
    throw core::ConfigError("unknown device " + device, "auto, cpu or cuda");
  }
  if (!has_gpu) {
#ifdef EOSIN_WITH_CUDA
    throw core::MachineError("no usable GPU was found",
                             "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu");
#else
    throw core::MachineError(
        "this build of eosin cannot use a GPU",
        "build the CUDA configuration (tools/setup --cuda), or use --device cpu");
#endif
  }
  return c10::Device(c10::kCUDA, 0);
}

void SetThreads(int threads) {
  at::set_num_threads(threads > 0 ? threads : core::AvailableCores());
}

bool CpuHasBf16() {
  static const bool has = [] {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);) {
      if (line.rfind("flags", 0) != 0) continue;
      line += ' ';
      return line.find(" avx512_bf16 ") != std::string::npos ||
             line.find(" amx_bf16 ") != std::string::npos;
    }
    return false;
  }();
  return has;
}

Compute ResolveCompute(const ComputeOptions& options) {
  Compute compute;
  compute.device = ResolveDevice(options.device);
  compute.bf16 = options.precision == "bf16" ||
                 (options.precision == "auto" && (compute.device.is_cuda() || CpuHasBf16()));
  SetThreads(static_cast<int>(options.threads));
  compute.threads = at::get_num_threads();
  if (compute.device.is_cuda()) {
    // Shapes are fixed within a run, so the search for the fastest convolution pays.
    at::globalContext().setBenchmarkCuDNN(true);
    compute.tf32 = options.tf32;
    at::globalContext().setAllowTF32CuBLAS(compute.tf32);
    at::globalContext().setAllowTF32CuDNN(compute.tf32);
  }
  return compute;
}

AutocastGuard::AutocastGuard(c10::DeviceType device, bool enabled)
    : device_(device), old_enabled_(at::autocast::is_autocast_enabled(device)) {
  at::autocast::set_autocast_enabled(device_, enabled);
  if (enabled) at::autocast::set_autocast_dtype(device_, at::kBFloat16);
  at::autocast::increment_nesting();
}

AutocastGuard::~AutocastGuard() {
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, old_enabled_);
}

}  // namespace eosin::engine
