// SPDX-License-Identifier: Apache-2.0
#include "pretrain/data.h"

#include <utility>

#include "engine/data/mixed_source.h"

namespace eosin::pretrain {

std::unique_ptr<engine::ImageSource> OpenData(const PretrainOptions& options) {
  auto source =
      options.mix.empty() ? engine::OpenImageSource(options.data) : engine::OpenMix(options.mix);
  if (options.split.empty()) return source;
  return engine::FilterSplit(std::move(source), options.split,
                             options.mix.empty() ? options.data : "a set of data.mix");
}

}  // namespace eosin::pretrain
