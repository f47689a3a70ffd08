// SPDX-License-Identifier: Apache-2.0
// Gaussian mixtures over the stain vectors of tiles: fitted by expectation-maximisation (Dempster,
// Laird & Rubin 1977), started by k-means++ (Arthur & Vassilvitskii 2007), the number of components
// by the Bayesian information criterion (Schwarz 1978).
#pragma once

#include <cstdint>
#include <vector>

#include "core/stain/stain_template.h"

namespace eosin::core {

// Fewer vectors a component than this cannot hold a covariance of 6 x 6.
inline constexpr int64_t kRowsPerComponent = 14;
// Most components tried when the number is left to the criterion.
inline constexpr int kMostComponents = 6;

struct MixtureFit {
  StainMixture mixture;          // components by falling weight
  double mean_log_likelihood{};  // a vector, of the columns standardised to deviation 1
  double bic = 0;                // lower is better
};

// components >= 1; rows: at least kRowsPerComponent for each. Columns are standardised first, and
// 1e-6 is added to the variances there (scikit-learn's floor). Ten starts run 20 steps each, the
// best until its likelihood rises by less than 1e-9 a vector. Depends on rows and seed alone.
MixtureFit FitMixture(const std::vector<StainVector>& rows, int components, uint64_t seed);

// The fit of 1, 2, ... kMostComponents components (as many as the rows allow) with the lowest BIC.
MixtureFit ChooseMixture(const std::vector<StainVector>& rows, uint64_t seed);

// Lower triangle L with L L^T = matrix (6 x 6, row-major); false when it is not positive definite.
bool Cholesky6(const std::array<double, 36>& matrix, std::array<double, 36>* lower);

}  // namespace eosin::core
