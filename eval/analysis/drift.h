// SPDX-License-Identifier: Apache-2.0
// How far two encoders are apart: in what they make of the same images, and in their weights.
//
// Features (N, D) of both, the same image in the same row. Widths may differ where it says so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/formats/state_dict.h"

namespace eosin::eval {

// Linear centred kernel alignment, 0..1: |Y'X|^2 / (|X'X| |Y'Y|) of centred columns (Kornblith et
// al., ICML 2019, arXiv 1905.00414). Free of rotation and scale; widths may differ. fp64; biased
// upwards when N is not well above D. NaN where one of the encoders gives a constant.
double LinearCka(const at::Tensor& x, const at::Tensor& y);

// Mean over rows of the cosine between both encoders' features; one width. It compares coordinates:
// of use for one encoder before and after training, or for an image and its stain-shifted copy.
double MeanCosine(const at::Tensor& x, const at::Tensor& y);

struct CentroidDrift {
  int64_t label = 0;
  double cosine = 0;    // between both encoders' centred class centroids; coordinates compared
  double distance = 0;  // |c_y - c_x| / mean over classes of |c_x|, after centring
};
struct CentroidFacts {
  std::vector<CentroidDrift> classes;         // present ones, by label; empty where widths differ
  double mean_cosine = 0, mean_distance = 0;  // NaN where widths differ
  // Pearson correlation of both encoders' distances between class centroids: whether the classes
  // are arranged alike, whatever the coordinates. NaN with fewer than three classes.
  double geometry = 0;
};
// Centring: each encoder's mean over its class centroids is taken off. labels (N) int64, negative =
// left out.
CentroidFacts CompareCentroids(const at::Tensor& x, const at::Tensor& y, const at::Tensor& labels);

struct StageDrift {
  std::string stage;       // "stem", "layer1".."layer4", or the first part of other names
  int64_t parameters = 0;  // compared
  double relative = 0;     // |w_b - w_a| / |w_a|
  double cosine = 0;       // between both stages' weights as one vector
};
// Parameters of two state dicts of one architecture under torchvision's names, by stage in the
// order of a. Running statistics and counters of normalisation layers are left out. WeightsError
// when a name or shape of one is not in the other.
std::vector<StageDrift> CompareWeights(const core::StateDict& a, const core::StateDict& b);

}  // namespace eosin::eval
