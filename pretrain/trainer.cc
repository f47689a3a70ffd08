// SPDX-License-Identifier: Apache-2.0
#include "pretrain/trainer.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "pretrain/memory.h"
#include "pretrain/training.h"

namespace eosin::pretrain {

PretrainResult RunPretrain(const PretrainOptions& options, const engine::ImageSource& source,
                           engine::RunFolder& run, bool resume, const StepHook& hook) {
  if (resume && run.finished()) {
    core::LogInfo("this run is finished; nothing to do");
    return {.was_finished = true, .knn = {}};
  }
  PretrainOptions resolved = options;
  resolved.Resolve();
  resolved.Check();
  int64_t check_until = 0;
  while (true) {
    try {
      return Training(resolved, source, run, hook, resume).Run(check_until);
    } catch (const NonFiniteSeen& seen) {
      if (seen.step <= check_until) {
        throw core::DataError(
            fmt::format("a loss or gradient is no number by step {}, and no batch makes it so",
                        seen.step),
            "report this with log.txt of the run");
      }
      core::LogWarning(
          fmt::format("a loss or gradient was no number by step {}: going back to the last "
                      "checkpoint to find the batch",
                      seen.step));
      check_until = seen.step;
      resume = true;
    } catch (const c10::OutOfMemoryError&) {
      resolved.init.clear();  // which weights take the memory does not matter
      throw TooLarge(resolved, source);
    }
  }
}

}  // namespace eosin::pretrain
