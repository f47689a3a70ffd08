// SPDX-License-Identifier: Apache-2.0
// The errors a user can cause or meet. Each carries one sentence, a hint and the exit code of the
// program. Nothing else is thrown on purpose; anything else that reaches main is a defect.
#pragma once

#include <exception>
#include <string>

namespace eosin::core {

enum class ExitCode : int {
  kOk = 0,
  kBadInput = 1,      // an input was bad: unreadable, no mpp, no tissue, wrong weights
  kUsage = 2,         // decidable from the command line and config alone
  kMachine = 3,       // no space, no permission, no GPU
  kInterrupted = 130  // SIGINT
};

class Error : public std::exception {
 public:
  Error(ExitCode code, std::string message, std::string hint)
      : code_(code), message_(std::move(message)), hint_(std::move(hint)) {}
  const char* what() const noexcept override { return message_.c_str(); }
  const std::string& hint() const { return hint_; }
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
  std::string message_;
  std::string hint_;
};

#define EOSIN_DEFINE_ERROR(Name, exit_code)                        \
  class Name : public Error {                                      \
   public:                                                         \
    Name(std::string message, std::string hint)                    \
        : Error(exit_code, std::move(message), std::move(hint)) {} \
  }

EOSIN_DEFINE_ERROR(ConfigError, ExitCode::kUsage);      // a flag, key or value
EOSIN_DEFINE_ERROR(SlideError, ExitCode::kBadInput);    // a slide file
EOSIN_DEFINE_ERROR(StoreError, ExitCode::kBadInput);    // a tile store
EOSIN_DEFINE_ERROR(DataError, ExitCode::kBadInput);     // images, masks, labels, folders, CSV
EOSIN_DEFINE_ERROR(WeightsError, ExitCode::kBadInput);  // weight files and checkpoints
EOSIN_DEFINE_ERROR(MachineError, ExitCode::kMachine);   // space, permission, device
EOSIN_DEFINE_ERROR(InterruptedError, ExitCode::kInterrupted);

#undef EOSIN_DEFINE_ERROR

}  // namespace eosin::core
