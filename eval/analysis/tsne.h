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

// 4 sum_j (exaggeration p_ij - q_ij) (1 + |y_i - y_j|^2)^-1 (y_i - y_j) for each point: without
// exaggeration the gradient of KL(P || Q). p: (N, N) of JointProbabilities; x, y: the points. Rows
// run in parallel, each summed in one order.
void Gradient(const float* p, const std::vector<float>& x, const std::vector<float>& y,
              float exaggeration, std::vector<float>* gx, std::vector<float>* gy);

// KL(P || Q), by fp64.
double Divergence(const float* p, const std::vector<float>& x, const std::vector<float>& y);

}  // namespace eosin::eval::tsne
