// SPDX-License-Identifier: Apache-2.0
// Distances between feature rows, shared by the analyses: checks, normalisation, exact nearest
// neighbours, and a class-stratified draw for measures and pictures that need a smaller set.
//
// features: (N, D), any float type; fp64 is computed in fp64, everything else in fp32. labels: (N)
// int64 on the CPU; a negative one is no class.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace eosin::eval {

// kCosine: 1 - cosine similarity, 0..2 (a row of zeros is at distance 1 of all). kEuclidean: L2.
enum class Distance { kCosine, kEuclidean };

// DataError unless features are (N, D) floats, D > 0; unless x and y have one shape; unless labels
// are (N) integers.
void CheckRows(const at::Tensor& features);
void CheckSameRows(const at::Tensor& x, const at::Tensor& y);
void CheckLabels(const at::Tensor& features, const at::Tensor& labels);

// DataError when a value is not finite; reads from the device.
void CheckFinite(const at::Tensor& features);

at::Tensor AtLeastFloat(const at::Tensor& features);  // fp64 stays, all else becomes fp32
at::Tensor UnitRows(const at::Tensor& features);      // AtLeastFloat, each row of length 1 (or 0)
// Rows between which `distance` is a function of the dot product and the norms, and precise:
// UnitRows for the cosine, centred rows for the Euclidean distance.
at::Tensor RowsFor(const at::Tensor& features, Distance distance);
// Distances (n, m) between rows that RowsFor made.
at::Tensor Distances(const at::Tensor& a, const at::Tensor& b, Distance distance);

struct Neighbours {
  at::Tensor index;     // (N, k) int64, nearest first, never the row itself
  at::Tensor distance;  // (N, k), fp32 or fp64 as the features
};
// Exact: candidates by matrix product and topk, their order by differences of coordinates (the
// expanded square loses digits between near duplicates). k is lowered to N - 1. The block bounds
// memory and changes nothing.
Neighbours NearestNeighbours(const at::Tensor& features, int64_t k, Distance distance,
                             int64_t block = 256);

// `count` of the rows (all when there are fewer), each class with its share (largest remainder) and
// at least one where count allows, unlabelled rows as a class of their own. Sorted; by seed alone.
std::vector<int64_t> StratifiedRows(const at::Tensor& labels, int64_t count, uint64_t seed);

}  // namespace eosin::eval
