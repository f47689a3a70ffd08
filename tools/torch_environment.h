// SPDX-License-Identifier: Apache-2.0
// What the C library and OpenMP must know before a process that computes with LibTorch starts. A
// user's own settings win.
#pragma once

#include <unistd.h>
#include <cstdlib>

namespace eosin::tools {

inline void SetTorchEnvironment() {
  // OpenMP's default is to spin for milliseconds at each barrier, which on a shared machine burns
  // the time that the loader or another program needs.
  setenv("GOMP_SPINCOUNT", "30000", 0);
  // A step allocates and frees activations of tens of MB. malloc would map and unmap each of them,
  // and a tenth of the step would be page faults: keep the memory, in huge pages.
  setenv("GLIBC_TUNABLES",
         "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184:glibc.malloc.hugetlb=1",
         0);
}

// For benchmarks: starts this program anew with these settings, once.
inline void RestartInTorchEnvironment(char** argv) {
  if (getenv("GLIBC_TUNABLES")) return;
  SetTorchEnvironment();
  execv("/proc/self/exe", argv);
}

}  // namespace eosin::tools
