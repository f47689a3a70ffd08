// SPDX-License-Identifier: Apache-2.0
// The outermost frame of both programs: errors become one sentence, a hint and an exit code.
#pragma once

#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/progress.h"

namespace eosin::tools {

template <typename Body>
int GuardedMain(Body&& body) {
  auto report = [](const char* message, const char* hint, core::ExitCode code) {
    core::ClearProgressLine();
    std::fprintf(stderr, "error: %s\nhint: %s\n", message, hint);
    return static_cast<int>(code);
  };
  core::InstallInterruptHandler();
  try {
    return body();
  } catch (const core::Error& error) {
    return report(error.what(), error.hint().c_str(), error.code());
  } catch (const std::bad_alloc&) {
    return report("out of memory", "use a smaller batch, size or fewer workers",
                  core::ExitCode::kMachine);
  } catch (const std::filesystem::filesystem_error& error) {
    return report(error.what(), "check the path, the rights and the free space",
                  core::ExitCode::kMachine);
  } catch (const std::exception& error) {
    return report(error.what(), "this should not happen: please report it with the command line",
                  core::ExitCode::kBadInput);
  }
}

}  // namespace eosin::tools
