// SPDX-License-Identifier: Apache-2.0
#include "eval/probe/lbfgs.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <algorithm>
#include <cmath>
#include <deque>
#include <vector>

#include "core/base/interrupt.h"

namespace eosin::eval {
namespace {

struct Pair {
  at::Tensor step, change;  // of x and of the gradient
  double inverse_curvature;
};

double Dot(const at::Tensor& a, const at::Tensor& b) { return a.dot(b).item<double>(); }

// -H * gradient by the two-loop recursion.
at::Tensor Direction(const std::deque<Pair>& pairs, const at::Tensor& gradient) {
  at::Tensor q = -gradient;
  std::vector<double> alphas(pairs.size());
  for (size_t i = pairs.size(); i-- > 0;) {
    alphas[i] = pairs[i].inverse_curvature * Dot(pairs[i].step, q);
    q.sub_(pairs[i].change, alphas[i]);
  }
  const Pair& last = pairs.back();
  q.mul_(1.0 / (last.inverse_curvature * Dot(last.change, last.change)));
  for (size_t i = 0; i < pairs.size(); ++i) {
    const double beta = pairs[i].inverse_curvature * Dot(pairs[i].change, q);
    q.add_(pairs[i].step, alphas[i] - beta);
  }
  return q;
}

}  // namespace

LbfgsResult MinimizeLbfgs(at::Tensor& x,
                          const std::function<double(const at::Tensor&, at::Tensor&)>& function,
                          const LbfgsOptions& options) {
  const at::NoGradGuard no_grad;
  LbfgsResult result;
  at::Tensor gradient = at::empty_like(x);
  result.value = function(x, gradient);
  std::deque<Pair> pairs;
  while (true) {
    if (gradient.abs().max().item<double>() <= options.tolerance) {
      result.converged = true;
      return result;
    }
    if (result.iterations == options.iterations) return result;
    core::ThrowIfInterrupted();

    at::Tensor direction;
    double slope = 0, step = 1;
    if (!pairs.empty()) {
      direction = Direction(pairs, gradient);
      slope = Dot(direction, gradient);
    }
    if (!(slope < 0)) {  // the first step, or curvature lost to rounding: go downhill
      pairs.clear();
      direction = -gradient;
      slope = Dot(direction, gradient);
      step = std::min(1.0, 1.0 / std::sqrt(-slope));
    }
    at::Tensor next_gradient = at::empty_like(x);
    at::Tensor next;
    double value = 0;
    constexpr int kHalvings = 40;
    int halvings = 0;
    for (; halvings < kHalvings; ++halvings, step /= 2) {
      next = x + direction * step;
      value = function(next, next_gradient);
      if (value <= result.value + 1e-4 * step * slope) break;
    }
    if (halvings == kHalvings) {  // rounding hides what is left to gain
      result.converged = pairs.empty();
      if (result.converged) return result;
      pairs.clear();  // once more from the plain gradient
      ++result.iterations;
      continue;
    }
    Pair pair{next - x, next_gradient - gradient, 0};
    const double curvature = Dot(pair.step, pair.change);
    if (curvature > 1e-16 * Dot(pair.change, pair.change)) {
      pair.inverse_curvature = 1 / curvature;
      pairs.push_back(std::move(pair));
      if (static_cast<int64_t>(pairs.size()) > options.memory) pairs.pop_front();
    }
    x = next;
    gradient = next_gradient;
    result.value = value;
    ++result.iterations;
  }
}

}  // namespace eosin::eval
