// SPDX-License-Identifier: Apache-2.0
// A look at what recipes do, before a run: images, the views that training will draw from them, and
// the parameters that made each.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/augment/view_params.h"
#include "engine/augment/view_sampler.h"
#include "engine/data/image_source.h"

namespace eosin::engine {

// One record in words, operations in their order, those that do nothing left out: "crop 120 x 96 at
// 10, 4; mirrored; HED: H x1.03 +0.01, E x0.98 -0.02; contrast x1.20, ...; blur 0.8 px".
std::string Describe(const ViewParams& params);

// Writes into folder, which is made if missing:
//   views.html  an image a row: its centre square, then its views of the first epochs
//   (kPreviewPairs
//               draws of every sampler), each with its description; below, all recipes' keys
//   views.png   the same pictures as one contact sheet, without words
// `images` images evenly spread over the source; those that do not decode are left out and counted
// on the page (DataError when none does). The draws are those of ViewLoader with this seed. Views
// are shown at their own size. Throws ConfigError without samplers or with images < 1.
inline constexpr int kPreviewPairs = 3;
void WritePreview(const ImageSource& source, const std::vector<ViewSampler>& samplers,
                  uint64_t seed, int64_t images, const std::filesystem::path& folder);

}  // namespace eosin::engine
