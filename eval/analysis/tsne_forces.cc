// SPDX-License-Identifier: Apache-2.0
// The inner loop of exact t-SNE, in a file of its own for its compiler flags.
#include "core/base/clones.h"
#include "eval/analysis/tsne.h"

namespace eosin::eval::tsne {
namespace {
constexpr int kLanes = 8;
}

EOSIN_CLONES Forces ForcesOn(const float* p, const float* x, const float* y, int64_t n,
                             int64_t self) {
  float pull_x[kLanes] = {}, pull_y[kLanes] = {}, push_x[kLanes] = {}, push_y[kLanes] = {};
  float mass[kLanes] = {};
  const float own_x = x[self], own_y = y[self];
  const int64_t whole = n / kLanes * kLanes;
  for (int64_t j = 0; j < whole; j += kLanes) {
    for (int k = 0; k < kLanes; ++k) {
      const float dx = own_x - x[j + k], dy = own_y - y[j + k];
      const float q = 1.0f / (1.0f + dx * dx + dy * dy);
      const float pull = p[j + k] * q, push = q * q;
      pull_x[k] += pull * dx;
      pull_y[k] += pull * dy;
      push_x[k] += push * dx;
      push_y[k] += push * dy;
      mass[k] += q;
    }
  }
  for (int64_t j = whole; j < n; ++j) {
    const float dx = own_x - x[j], dy = own_y - y[j];
    const float q = 1.0f / (1.0f + dx * dx + dy * dy);
    pull_x[0] += p[j] * q * dx;
    pull_y[0] += p[j] * q * dy;
    push_x[0] += q * q * dx;
    push_y[0] += q * q * dy;
    mass[0] += q;
  }
  Forces all{};
  for (int k = 0; k < kLanes; ++k) {
    all.pull_x += pull_x[k];
    all.pull_y += pull_y[k];
    all.push_x += push_x[k];
    all.push_y += push_y[k];
    all.mass += mass[k];
  }
  all.mass -= 1;  // itself
  return all;
}

}  // namespace eosin::eval::tsne
