// SPDX-License-Identifier: Apache-2.0
#include "core/base/interrupt.h"

#include <unistd.h>
#include <csignal>

#include "core/base/error.h"

namespace eosin::core {
namespace {

volatile std::sig_atomic_t g_requested = 0;

void Handle(int) {
  if (g_requested) _exit(static_cast<int>(ExitCode::kInterrupted));
  g_requested = 1;
}

}  // namespace

void InstallInterruptHandler() {
  struct sigaction action{};
  action.sa_handler = Handle;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

bool InterruptRequested() { return g_requested != 0; }

void ThrowIfInterrupted() {
  if (InterruptRequested()) {
    throw InterruptedError("interrupted", "run the same command again to go on");
  }
}

}  // namespace eosin::core
