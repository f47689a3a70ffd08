// SPDX-License-Identifier: Apache-2.0
// Linear classification of frozen features. `lbfgs`: multinomial logistic regression on cached
// features, solved to convergence (deterministic, no learning rate to tune; scikit-learn's
// objective: mean cross-entropy + l2 / 2 |W|^2, bias free). `sgd`: the papers' protocol on cached
// features (zero head, SGD momentum .9, cosine, no decay).
#pragma once

#include <cstdint>
#include <string>

#include "core/config/option_set.h"

#include <ATen/core/Tensor.h>

namespace eosin::eval {

struct LinearProbeOptions {
  std::string solver = "lbfgs";  // lbfgs | sgd
  double l2 = 1e-4;              // lbfgs, on standardised features
  int64_t iterations = 500;      // lbfgs, at most
  int64_t epochs = 100;          // sgd
  int64_t batch = 512;           // sgd
  double lr = 0.1;               // sgd, times batch / 256
  uint64_t seed = 0;             // sgd: order

  void Bind(core::OptionSet& set, const std::string& prefix = "probe");
};

struct LinearModel {        // on the CPU, fp32: logits = (x - mean) / std * weight^T + bias
  at::Tensor mean, std;     // (D) of the training features
  at::Tensor weight, bias;  // (C, D), (C)
  bool converged = true;    // lbfgs
  at::Tensor Predict(const at::Tensor& features) const;  // (M) int64
};

// features (N, D) fp32, labels (N) int64 in [0, classes).
LinearModel FitLinear(const at::Tensor& features, const at::Tensor& labels, int64_t classes,
                      const LinearProbeOptions& options);

// Share of rows predicted right, and the mean over classes of each class's share.
struct Accuracy {
  double top1 = 0, balanced = 0;
};
Accuracy Score(const at::Tensor& predicted, const at::Tensor& labels, int64_t classes);

}  // namespace eosin::eval
