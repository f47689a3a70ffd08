// SPDX-License-Identifier: Apache-2.0
// Losses of self-supervised methods. All compute in fp32, whatever autocast says.
#pragma once

#include <ATen/core/Tensor.h>

namespace eosin::pretrain {

// NT-Xent (Chen et al., SimCLR, arXiv 2002.05709): z (2N, D), view-major: row i and row i + N are
// two views of image i. Rows are L2-normalised here. Mean over the 2N anchors of
//   -log( exp(s_ip / tau) / sum_{k != i} exp(s_ik / tau) ),  s = cosine similarity, p = positive.
// Untrained features give about ln(2N - 1). Keeps one (2N, 2N) matrix for the backward pass.
at::Tensor NtXent(const at::Tensor& z, double temperature);

// BYOL (Grill et al., arXiv 2006.07733): prediction and target (N, D), rows normalised here; mean
// of 2 - 2 cos. No gradient goes into `target`. In [0, 4].
at::Tensor ByolLoss(const at::Tensor& prediction, const at::Tensor& target);

// For the monitor, a 0-d tensor without gradient (no host synchronisation).
// Share of the 2N rows (view-major) whose nearest other row is their own other view.
at::Tensor PairTop1(const at::Tensor& z);

}  // namespace eosin::pretrain
