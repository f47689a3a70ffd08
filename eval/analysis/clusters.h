// SPDX-License-Identifier: Apache-2.0
// How well classes separate in feature space, and what clusters find without labels.
//
// features (N, D), any float type, on the CPU; labels (N) int64, rows with a negative label are
// left out. Matrix products run in the features' own precision (at least fp32), sums in fp64.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "eval/analysis/distance.h"

namespace eosin::eval {

struct ClassDistances {
  // Rousseeuw 1987 (doi 10.1016/0377-0427(87)90125-7), mean over samples, -1..1; a class of one
  // sample counts 0. NaN with fewer than two classes.
  double silhouette = 0;
  double intra = 0;    // mean distance between two different samples of one class
  double inter = 0;    // mean distance between samples of different classes
  double ratio = 0;    // intra / inter: below 1 when classes hold together
  at::Tensor between;  // (C, C) fp64, mean distances; the diagonal within a class; NaN where none
};
// One exact pass over all pairs: N^2 D operations, `block` rows at a time. For more than some
// 10,000 rows give it a StratifiedRows draw and say so.
ClassDistances MeasureClasses(const at::Tensor& features, const at::Tensor& labels,
                              Distance distance, int64_t block = 512);

// Davies & Bouldin 1979 (doi 10.1109/TPAMI.1979.4766909), Euclidean: mean over classes of the worst
// (s_i + s_j) / |c_i - c_j|; 0 best. NaN with fewer than two classes.
double DaviesBouldin(const at::Tensor& features, const at::Tensor& labels);

// Class means (C, D) fp64; the row of an absent class is NaN. Sums are fp64.
at::Tensor ClassCentroids(const at::Tensor& features, const at::Tensor& labels, int64_t classes);

struct KMeansOptions {
  int64_t clusters = 10;
  int64_t starts = 10;       // the one with the lowest inertia is kept
  int64_t iterations = 300;  // at most, a start
  double tolerance = 1e-4;   // centres' squared movement / mean channel variance that ends a start
  uint64_t seed = 0;
};
struct KMeansResult {
  at::Tensor labels;   // (N) int64
  at::Tensor centres;  // (k, D)
  double inertia = 0;  // sum of squared distances to the own centre
};
// Lloyd's algorithm from greedy k-means++ starts (Arthur & Vassilvitskii, SODA 2007; 2 + ln k
// candidates a centre, as scikit-learn), drawn by Philox. A cluster that runs empty takes the
// sample farthest from its centre. clusters is lowered to N.
KMeansResult KMeans(const at::Tensor& features, const KMeansOptions& options);

// Agreement of two labellings, (N) int64 >= 0 each; independent of the names of the labels.
struct Agreement {
  double nmi = 0;  // mutual information / mean of both entropies, 0..1
  double ari = 0;  // adjusted Rand index (Hubert & Arabie 1985), 0 expected by chance, 1 equal
};
Agreement CompareLabels(const at::Tensor& a, const at::Tensor& b);

}  // namespace eosin::eval
