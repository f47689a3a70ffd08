// SPDX-License-Identifier: Apache-2.0
// Few-shot classification of frozen features: N labelled images a class, many draws. Shots are
// drawn from training images alone, from as many groups (patients, slides) as there are. Two
// classifiers: the nearest class mean of L2-normalised features by cosine, and logistic regression
// (scikit-learn's C = 1) on features standardised by the training set's unlabelled mean and
// deviation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace eosin::eval {

// Places in the training set: `shots` of each class, by class, for one draw. Images of a class come
// from its groups in turn, groups and images in drawn order: keyed by (seed, draw), not by the
// encoder, so all encoders see the same shots; those of fewer shots are among those of more.
// DataError when a class has fewer images.
std::vector<int64_t> DrawShots(const std::vector<int64_t>& labels,
                               const std::vector<std::string>& groups, int64_t classes,
                               int64_t shots, uint64_t seed, int64_t draw);

struct FewShotResult {
  std::vector<at::Tensor> nearest;   // (M) predictions of the test set, one a draw
  std::vector<at::Tensor> logistic;  // likewise
};

struct FewShotOptions {
  int64_t shots = 5;
  int64_t draws = 20;
  uint64_t seed = 0;
};

// train (N, D), test (M, D) float; labels and groups one a training image.
FewShotResult FewShot(const at::Tensor& train, const std::vector<int64_t>& labels,
                      const std::vector<std::string>& groups, const at::Tensor& test,
                      int64_t classes, const FewShotOptions& options);

// Nearest class mean by cosine: features (N, D), labels (N) with every class, queries (M, D).
at::Tensor NearestCentroid(const at::Tensor& features, const at::Tensor& labels, int64_t classes,
                           const at::Tensor& queries);

}  // namespace eosin::eval
