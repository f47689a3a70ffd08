// SPDX-License-Identifier: Apache-2.0
// Eigenvalues and vectors of a symmetric 3 x 3 matrix by Jacobi rotations (Golub & Van Loan, 8.5):
// no library, the same numbers on every machine.
#pragma once

#include <array>
#include <cmath>
#include <utility>

namespace eosin::core {

using Vector3 = std::array<double, 3>;

struct Eigen3 {
  std::array<double, 3> values{};    // descending
  std::array<Vector3, 3> vectors{};  // unit length, in the order of the values; either sign
};

// matrix: only its upper triangle is read.
inline Eigen3 EigenSymmetric(const std::array<Vector3, 3>& matrix) {
  std::array<Vector3, 3> a = matrix, v = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  constexpr size_t kPairs[3][2] = {{0, 1}, {0, 2}, {1, 2}};
  for (int sweep = 0; sweep < 24; ++sweep) {
    const double off = a[0][1] * a[0][1] + a[0][2] * a[0][2] + a[1][2] * a[1][2];
    const double diagonal = a[0][0] * a[0][0] + a[1][1] * a[1][1] + a[2][2] * a[2][2];
    if (!(off > 1e-30 * diagonal)) break;
    for (const auto& [p, q] : kPairs) {
      if (a[p][q] == 0) continue;
      const double theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
      const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
      const double c = 1 / std::sqrt(t * t + 1), s = t * c;
      const size_t r = 3 - p - q;
      const double apq = a[p][q];
      a[p][p] -= t * apq;
      a[q][q] += t * apq;
      a[p][q] = 0;
      double& arp = r < p ? a[r][p] : a[p][r];
      double& arq = r < q ? a[r][q] : a[q][r];
      const double old_p = arp, old_q = arq;
      arp = c * old_p - s * old_q;
      arq = s * old_p + c * old_q;
      for (Vector3& row : v) {
        const double x = row[p], y = row[q];
        row[p] = c * x - s * y;
        row[q] = s * x + c * y;
      }
    }
  }
  std::array<size_t, 3> order = {0, 1, 2};
  if (a[order[0]][order[0]] < a[order[1]][order[1]]) std::swap(order[0], order[1]);
  if (a[order[1]][order[1]] < a[order[2]][order[2]]) std::swap(order[1], order[2]);
  if (a[order[0]][order[0]] < a[order[1]][order[1]]) std::swap(order[0], order[1]);
  Eigen3 out;
  for (size_t i = 0; i < 3; ++i) {
    out.values[i] = a[order[i]][order[i]];
    out.vectors[i] = {v[0][order[i]], v[1][order[i]], v[2][order[i]]};
  }
  return out;
}

}  // namespace eosin::core
