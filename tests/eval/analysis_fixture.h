// SPDX-License-Identifier: Apache-2.0
// What the analysis tests share: the fixtures of make_analysis_fixtures.py as tensors, and clouds
// of points with known classes.
#pragma once

#include <ATen/Parallel.h>
#include <torch/types.h>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/testing.h"

namespace eosin::eval {

// Small tensors: a second thread costs more than it gives.
inline const bool kOneThread = [] {
  at::set_num_threads(1);
  return true;
}();

inline nlohmann::json AnalysisFixture(const std::string& name) {
  std::ifstream file(testing::FixtureFolder() / "analysis" / (name + ".json"));
  return nlohmann::json::parse(file);
}

inline at::Tensor Doubles(const nlohmann::json& values, std::vector<int64_t> shape) {
  return torch::tensor(values.get<std::vector<double>>(), at::kDouble).view(shape);
}

inline at::Tensor Integers(const nlohmann::json& values) {
  return torch::tensor(values.get<std::vector<int64_t>>(), at::kLong);
}

// `classes` clouds of `each` points in `dim` dimensions, unit variance, centres `apart` from each
// other on average; class i owns rows i * each and on.
inline at::Tensor Clouds(int64_t classes, int64_t each, int64_t dim, double apart, uint64_t seed) {
  at::manual_seed(seed);
  const at::Tensor centres = torch::randn({classes, dim}) * (apart / std::sqrt(2.0 * dim));
  return centres.repeat_interleave(each, 0) + torch::randn({classes * each, dim});
}

inline at::Tensor CloudLabels(int64_t classes, int64_t each) {
  return torch::arange(classes, at::kLong).repeat_interleave(each);
}

}  // namespace eosin::eval
