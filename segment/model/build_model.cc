// SPDX-License-Identifier: Apache-2.0
#include "segment/model/build_model.h"

#include <map>

#include "core/formats/pth.h"
#include "engine/weights/weights.h"

namespace eosin::segment {

DeepLabOptions NetOptions(const SegmentOptions& options) {
  DeepLabOptions net;
  net.backbone.arch = options.arch;
  net.backbone.stem = options.stem;
  net.backbone.width = static_cast<int>(options.width);
  net.backbone.output_stride = static_cast<int>(options.output_stride);
  net.classes = static_cast<int>(options.data.classes.size());
  net.rates.clear();
  for (const double rate : options.rates) net.rates.push_back(static_cast<int64_t>(rate));
  net.head_channels = static_cast<int>(options.head_channels);
  net.aux = options.aux;
  net.dropout = options.dropout;
  return net;
}

BuiltModel BuildModel(const SegmentOptions& options) {
  BuiltModel model;
  model.net = DeepLabV3(NetOptions(options));
  const auto seed = static_cast<uint64_t>(options.seed);
  InitDeepLab(model.net, seed, seed);
  if (options.init == "random") return model;
  model.matched = engine::LoadEncoder(*model.net->backbone(), options.init).share_of_parameters;
  std::map<std::string, std::string> metadata;
  core::ReadWeights(options.init, &metadata);
  if (const auto found = engine::NormalizationOf(metadata)) model.normalization = *found;
  return model;
}

}  // namespace eosin::segment
