// SPDX-License-Identifier: Apache-2.0
#include "core/base/threads.h"

#include <sched.h>
#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>

namespace eosin::core {

int AvailableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = static_cast<int>(std::thread::hardware_concurrency());
  if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
  std::ifstream quota("/sys/fs/cgroup/cpu.max");  // "max 100000" or "<quota> <period>"
  std::string limit;
  double period = 0;
  if (quota >> limit >> period && limit != "max" && period > 0) {
    cores = std::min(cores, static_cast<int>(std::ceil(std::stod(limit) / period)));
  }
  return std::max(1, cores);
}

}  // namespace eosin::core
