// SPDX-License-Identifier: Apache-2.0
// What the features of the test set look like, without a classifier: class separation, spread,
// alignment; how far encoders are apart; pictures. On a stratified draw of the test set where it is
// large (eval.geometry_images, eval.picture_images).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/study/scores.h"

namespace eosin::eval {

struct Subject;  // subject.h
struct Bench;

// Silhouette (cosine), Davies-Bouldin, intra- and inter-class distance and their ratio (cosine),
// agreement of k-means clusters (as many as classes) with the classes, RankMe, uniformity,
// alignment of two augmented views. Mean over the members.
std::vector<Measure> MeasureGeometry(const Subject& subject, const Bench& bench);

struct DriftRow {
  std::string a, b;   // from, to
  int64_t n = 0;      // images
  double cka = 0;     // linear CKA of the features
  double cosine = 0;  // mean cosine of the features; NaN where widths differ
  double centroid_cosine = 0, centroid_distance = 0;  // NaN where widths differ
  double centroid_geometry = 0;
  std::vector<std::string> stages;    // of the weights; empty where architectures differ
  std::vector<double> weight_change;  // |w_b - w_a| / |w_a| a stage
};
// Of every pair of given encoders, and of each against its random initialisation, seed 0.
std::vector<DriftRow> MeasureDrift(const std::vector<Subject>& subjects, const Bench& bench);

struct Picture {
  std::string encoder, method;  // "pca", "tsne", "umap"
  std::string svg;
  double trustworthiness = 0;
  int64_t points = 0;
};
inline constexpr int64_t kPictureImages = 4;  // below, t-SNE and UMAP are not defined
// At least kPictureImages test images.
std::vector<Picture> DrawPictures(const Subject& subject, const Bench& bench);

struct ShiftScore {
  std::string shift;
  double knn = 0, linear = 0, cosine = 0;  // %, %, mean cosine to the unshifted features
};
struct ShiftResult {
  std::string encoder;
  std::vector<ShiftScore> shifts;  // the first is the same images unshifted
  std::vector<Measure> measures;   // mean and worst over the shifts, feature cosine
};
// Test images under another stain (core/stain/stain_shift.h), classified by what was learnt from
// unshifted training images. First member.
ShiftResult MeasureStainShift(const Subject& subject, const Bench& bench);

}  // namespace eosin::eval
