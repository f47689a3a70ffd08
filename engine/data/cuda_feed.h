// SPDX-License-Identifier: Apache-2.0
// The view feed of a GPU run (view_feed.h says what the placements are). CUDA builds only.
//
// Each batch goes pinned memory -> copy stream -> one of kDeviceSlots device buffers -> kernels on
// the current stream. Streams wait for each other by events, never the host for the GPU, but for
// one bound: a batch's pinned memory is the loader's again once its copy is done, and its copy
// waits until the batch kDeviceSlots before it was used. So the host runs at most that many steps
// ahead, and in a steady state that wait is over before it begins.
#pragma once

#include <memory>
#include <vector>

#include "engine/data/view_feed.h"

namespace eosin::engine {

inline constexpr int kDeviceSlots = 3;

std::unique_ptr<ViewFeed> MakeCudaFeed(const ImageSource& source, std::vector<ViewRecipe> views,
                                       const FeedOptions& options, c10::Device device);
// ResidentBytes of view_feed.h.
int64_t CudaResidentBytes(const ImageSource& source, const std::vector<ViewRecipe>& views,
                          const FeedOptions& options, c10::Device device);

}  // namespace eosin::engine
