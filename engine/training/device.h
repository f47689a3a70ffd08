// SPDX-License-Identifier: Apache-2.0
// Where and how a run computes: device, threads, precision.
#pragma once

#include <cstdint>
#include <string>

#include "core/config/option_set.h"

#include <c10/core/Device.h>

namespace eosin::engine {

struct ComputeOptions {
  std::string device = "auto";     // auto (CUDA when there is one) | cpu | cuda
  int64_t threads = 0;             // compute threads, 0 = all cores; CPU results depend on it
  std::string precision = "auto";  // auto | fp32 | bf16
  // CUDA: fp32 products (all of them in fp32 runs, the losses' in bf16 runs) on tensor cores with
  // 10 bits of mantissa.
  bool tf32 = false;

  void Bind(core::OptionSet& set, const std::string& prefix = "compute");
};

// What ComputeOptions came to on this machine.
struct Compute {
  c10::Device device{c10::kCPU};
  bool bf16 = false;  // autocast to bfloat16
  bool tf32 = false;  // CUDA alone
  int threads = 1;

  std::string Describe() const;  // e.g. "cpu, 2 threads, bf16"
};

// "cuda" without a usable GPU throws MachineError. Precision auto is bf16 on CUDA, and on a CPU
// only where it has the instructions (avx512_bf16 or AMX): elsewhere bf16 is slower than fp32.
// Sets the compute threads of the calling thread; on CUDA also cuDNN's search for the fastest
// convolution and whether TF32 is allowed, for the whole process.
Compute ResolveCompute(const ComputeOptions& options);

c10::Device ResolveDevice(const std::string& device);
void SetThreads(int threads);
bool CpuHasBf16();

// Autocast to bfloat16 for the scope when `enabled`. Put the forward pass inside and the backward
// pass outside. The state is thread-local; guards nest; weights cast inside are cached until the
// outermost guard ends.
class AutocastGuard {
 public:
  AutocastGuard(c10::DeviceType device, bool enabled);
  ~AutocastGuard();
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  c10::DeviceType device_;
  bool old_enabled_;
};

}  // namespace eosin::engine
