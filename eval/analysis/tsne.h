// SPDX-License-Identifier: Apache-2.0
// The pieces of exact t-SNE, for its tests. Internal to eval/analysis.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace eosin::eval::tsne {

// Conditional neighbour probabilities of one row: exp(-beta d2[j]) / sum with beta such that
// the entropy is ln(perplexity) within 1e-5, by Newton steps inside a bisection's bracket. Entry
// `self` becomes 0. d2: squared distances, replaced by the probabilities. Returns beta.
double Calibrate(std::vector<double>* d2, int64_t self, double perplexity);

// Joint probabilities (N, N) fp32, symmetric, sum 1: (p_j|i + p_i|j) / 2N.
at::Tensor JointProbabilities(const at::Tensor& features, double perplexity);

// What one point feels: sum p q d, sum q^2 d and sum q over all others, with q = 1 / (1 + |d|^2)
// and d = own - other.
struct Forces {
  float pull_x, pull_y, push_x, push_y, mass;
};
// p: row `self` of the joint probabilities. Eight lanes fix the order of summation and let the loop
// vectorise.
Forces ForcesOn(const float* p, const float* x, const float* y, int64_t n, int64_t self);

// 4 sum_j (exaggeration p_ij - q_ij) (1 + |y_i - y_j|^2)^-1 (y_i - y_j) for each point: without
// exaggeration the gradient of KL(P || Q). p: (N, N) of JointProbabilities; x, y: the points. Rows
// run in parallel, each summed in one order.
void Gradient(const float* p, const std::vector<float>& x, const std::vector<float>& y,
              float exaggeration, std::vector<float>* gx, std::vector<float>* gy);

// KL(P || Q), by fp64.
double Divergence(const float* p, const std::vector<float>& x, const std::vector<float>& y);

}  // namespace eosin::eval::tsne
