// SPDX-License-Identifier: Apache-2.0
// Limited-memory BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.5) for smooth convex
// functions, in double precision: backtracking line search by Armijo's rule, pairs without positive
// curvature left out. Deterministic.
#pragma once

#include <cstdint>
#include <functional>

#include <ATen/core/Tensor.h>

namespace eosin::eval {

struct LbfgsOptions {
  int64_t iterations = 500;
  double tolerance = 1e-5;  // of the gradient's largest component
  int64_t memory = 20;      // pairs kept
};

struct LbfgsResult {
  bool converged = false;
  int64_t iterations = 0;
  double value = 0;
};

// x: (P) double on the CPU; moved to the minimum. function(x, gradient) fills gradient (P) and
// returns the value. Also ends, as converged, where no step in double precision lowers the value.
LbfgsResult MinimizeLbfgs(
    at::Tensor& x, const std::function<double(const at::Tensor& x, at::Tensor& gradient)>& function,
    const LbfgsOptions& options);

}  // namespace eosin::eval
