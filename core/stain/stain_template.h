// SPDX-License-Identifier: Apache-2.0
// RandStainNA's virtual templates (Shen et al., arXiv 2206.12694), fitted from the user's own tiles
// by `eosin stain fit`: for each colour space how means and deviations of tiles are spread. A view
// draws one target from it and is moved there by Reinhard's transfer. A Gaussian mixture over the
// joint vector (mean, std) keeps their correlations; without it each of the six is drawn alone, as
// published.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "core/stain/color_stats.h"

namespace eosin::core {

// Means (c = 0..2) then deviations (c = 3..5) of one tile.
using StainVector = std::array<double, 6>;

struct StainMixture {  // full covariances; weights sum to 1
  std::vector<double> weights;
  std::vector<StainVector> means;
  std::vector<std::array<double, 36>> covariances;  // row-major 6 x 6
};

struct StainSpaceFit {
  StainVector center{}, spread{};  // over tiles: mean and standard deviation of each component
  std::optional<StainMixture> mixture;
};

struct StainTemplate {
  std::array<std::optional<StainSpaceFit>, kStainSpaces> spaces;  // by StainSpace
  int64_t tiles = 0;                                              // fitted from so many
  std::string source;                                             // what it was fitted from

  // JSON. Read throws DataError naming the file and what is wrong with it.
  static StainTemplate Read(const std::filesystem::path& path);
  void Write(const std::filesystem::path& path) const;
  // The published LAB statistics of the CRC set, in CIE units (RandStainNA's repository,
  // CRC_LAB_randomTrue_n0.yaml).
  static StainTemplate PublishedCrc();
};

enum class StainSpread : uint8_t { kNormal, kLaplace, kUniform, kMixture };

// One target. Components are drawn with their spread times (1 + std_hyper) (normal, Laplace of that
// deviation, uniform within 3 deviations; of a mixture, a component's deviations grow likewise).
// The deviations drawn are at least a twentieth of their center. kMixture needs a mixture
// (ConfigError).
ColorStats DrawTarget(const StainSpaceFit& fit, StainSpread spread, double std_hyper,
                      PhiloxStream& draw);

// components = 0: no mixture; -1: as many as the Bayesian information criterion wants (mixture.h).
// rows: one vector a tile, at least 2 (DataError). Deterministic (EM started by Philox k-means++
// from `seed`).
StainSpaceFit FitStainSpace(const std::vector<StainVector>& rows, int components, uint64_t seed);

}  // namespace eosin::core
