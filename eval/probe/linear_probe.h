// SPDX-License-Identifier: Apache-2.0
// Linear classification of frozen features. `lbfgs`: multinomial logistic regression on cached
// features, solved to convergence (deterministic, no learning rate to tune; scikit-learn's
// objective: mean cross-entropy + l2 / 2 |W|^2, bias free; its C is 1 / (l2 N)). `sgd`: the papers'
// protocol on cached features (zero head, SGD momentum .9, cosine, no decay).
#pragma once

#include <cstdint>
#include <string>

#include "core/config/option_set.h"

#include <ATen/core/Tensor.h>

namespace eosin::eval {

struct LinearProbeOptions {
  std::string solver = "lbfgs";  // lbfgs | sgd
  double l2 = 1e-4;              // lbfgs, on standardised features
  bool standardise = true;       // lbfgs; not bound: off where features are scaled already
  int64_t iterations = 500;      // lbfgs, at most
  double tolerance = 1e-5;       // lbfgs: largest component of the gradient at the end
  int64_t epochs = 100;          // sgd
  int64_t batch = 512;           // sgd
  double lr = 0.1;               // sgd, times batch / 256
  uint64_t seed = 0;             // sgd: order

  void Bind(core::OptionSet& set, const std::string& prefix = "probe");
};

struct LinearModel {        // on the CPU, fp32: logits = (x - mean) / std * weight^T + bias
  at::Tensor mean, std;     // (D) of the training features; 0 and 1 with sgd, which takes them raw
  at::Tensor weight, bias;  // (C, D), (C)
  bool converged = true;    // lbfgs
  int64_t iterations = 0;   // lbfgs
  double loss = 0;          // lbfgs: the objective at the end
  at::Tensor Logits(const at::Tensor& features) const;   // (M, C)
  at::Tensor Predict(const at::Tensor& features) const;  // (M) int64
};

// features (N, D) float on any device, labels (N) int64 in [0, classes). A channel without spread
// counts as 0. lbfgs computes in double precision. Throws DataError on features that are empty, not
// finite or do not fit the labels; InterruptedError.
LinearModel FitLinear(const at::Tensor& features, const at::Tensor& labels, int64_t classes,
                      const LinearProbeOptions& options);

// Share of rows predicted right, and the mean of each class's share over the classes that occur.
struct Accuracy {
  double top1 = 0, balanced = 0;
};
Accuracy Score(const at::Tensor& predicted, const at::Tensor& labels, int64_t classes);

}  // namespace eosin::eval
