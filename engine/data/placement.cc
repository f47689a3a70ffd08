// SPDX-License-Identifier: Apache-2.0
#include "engine/data/placement.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "engine/kernels/view_pass.h"

namespace eosin::engine {
namespace {

// Of the GPU's memory, 1 / this stays free beside a resident set: a step needs some whatever the
// batch, for weights, the libraries' work space and the making of views.
constexpr int64_t kHeadroom = 10;

std::string Gigabytes(int64_t bytes) {
  return fmt::format("{:.2f} GB", 1e-9 * static_cast<double>(bytes));
}

}  // namespace

void CheckPlacement(const std::string& wanted) {
  if (wanted == "auto" || wanted == "resident" || wanted == "streamed" || wanted == "host") return;
  throw core::ConfigError("unknown placement " + wanted, "auto, resident, streamed or host");
}

Placement ChoosePlacement(const std::string& wanted, double resident_share,
                          const PlacementFacts& facts) {
  CheckPlacement(wanted);
  if (wanted == "host") return Placement::kHost;
  const bool uniform = facts.width > 0 && facts.height > 0;
  const bool small = facts.largest_view <= kernel::kMaxSide;
  if (!uniform || !small) {
    if (wanted == "auto") return Placement::kHost;
    throw core::ConfigError(
        uniform ? fmt::format("placement = {} makes views of at most {} pixels, not of {}", wanted,
                              kernel::kMaxSide, facts.largest_view)
                : fmt::format("placement = {} needs images of one size, and these differ", wanted),
        "use placement = host (or auto), or images of one size");
  }
  if (wanted == "streamed") return Placement::kStreamed;
  const int64_t bytes = facts.set_bytes();
  if (wanted == "resident") {
    const int64_t headroom = facts.gpu_total / kHeadroom;
    if (bytes <= facts.gpu_free - headroom) return Placement::kResident;
    throw core::MachineError(
        fmt::format("the {} images take {} and the GPU has {} free, of which training needs {}",
                    facts.images, Gigabytes(bytes), Gigabytes(facts.gpu_free), Gigabytes(headroom)),
        "use compute.placement = streamed (or auto)");
  }
  const double share = resident_share * static_cast<double>(facts.gpu_total);
  const bool fits = static_cast<double>(bytes) <= share && bytes <= facts.gpu_free / 2;
  return fits ? Placement::kResident : Placement::kStreamed;
}

}  // namespace eosin::engine
