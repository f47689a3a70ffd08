// SPDX-License-Identifier: Apache-2.0
// How an embedding uses its space, without labels: what tells a healthy run from a collapse.
//
// features: (N, D), any float type, on any device; rows are samples. Every measure is a scalar
// fp64 tensor on the features' device (MPS, which has no fp64, is not served), so that several can
// be computed before one read (MeasureSpread). Nothing waits for the device but RankMe, whose
// eigenvalue solver does. NaN where N is too small; DataError where the shape is wrong.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace eosin::eval {

// Effective rank, 1..min(N, D): exp of the entropy of p_k = s_k / sum(s) + 1e-7 over the singular
// values s of the features as they are, neither centred nor normalised. Garrido et al., RankMe
// (ICML 2023, arXiv 2210.02885); compares runs of one method only, and needs N well above D (the
// paper takes 25,600). Singular values come from the smaller Gram matrix in fp64: those below 1e-8
// of the largest are noise, which the 1e-7 covers.
at::Tensor RankMe(const at::Tensor& features);

// Mean squared distance of L2-normalised positives: row i of x against row i of y. 0 best, 4 worst.
// Wang & Isola, Alignment and Uniformity (ICML 2020, arXiv 2005.10242), alpha = 2.
at::Tensor Alignment(const at::Tensor& x, const at::Tensor& y);

// ln of the mean over pairs i < j of exp(-2 |f_i - f_j|^2) on L2-normalised rows; the lower, the
// more uniform. 0 = all in one point; about -4 = uniform on a sphere of many dimensions. It cannot
// see dimensional collapse: RankMe does. Same paper, t = 2. Memory: block x N; the block changes
// only the order of summation.
at::Tensor Uniformity(const at::Tensor& features, int64_t block = 1024);

// Mean over channels of the standard deviation (n - 1) of L2-normalised rows, times sqrt(D): 1 when
// spread over the sphere, 0 when collapsed (Chen & He, SimSiam, arXiv 2011.10566, section 4.1).
at::Tensor StdRatio(const at::Tensor& features);

// Share of channels that (nearly) never change: standard deviation over the rows at most 1e-3 of
// the root mean square of all values, 0..1.
at::Tensor DeadShare(const at::Tensor& features);

struct SpreadFacts {
  double rank_me = 0, uniformity = 0, std_ratio = 0, dead_share = 0;
};
// All four by one read from the device.
SpreadFacts MeasureSpread(const at::Tensor& features);

}  // namespace eosin::eval
