// SPDX-License-Identifier: Apache-2.0
// The images that a pretraining's options name.
#pragma once

#include <memory>

#include "engine/data/image_source.h"
#include "pretrain/options.h"

namespace eosin::pretrain {

// data.path or data.mix, and of it what data.split asks for. Throws DataError.
std::unique_ptr<engine::ImageSource> OpenData(const PretrainOptions& options);

}  // namespace eosin::pretrain
