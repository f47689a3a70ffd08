// SPDX-License-Identifier: Apache-2.0
// Whether an encoder's pretraining saw the images it is tested on.
#pragma once

#include <string>

#include "eval/study/options.h"

namespace eosin::eval {

// A warning when provenance.json of the encoder's run (`source` is its weights file) says that it
// learnt from the set that is tested on, test images included; empty when it says otherwise, or
// when there is none.
std::string SeenInPretraining(const std::string& name, const std::string& source,
                              const EvalOptions& options);

}  // namespace eosin::eval
