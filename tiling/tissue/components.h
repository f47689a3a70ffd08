// SPDX-License-Identifier: Apache-2.0
// Connected patches of masks (CV_8U, nonzero = set), and the sizes and shapes that the methods
// share.
#pragma once

#include <opencv2/core.hpp>

namespace eosin::tiling {

// Clears patches (8-connected) of fewer than `area` pixels.
void DropSpecks(cv::Mat* mask, double area);
// Sets holes (4-connected patches of zeros) of fewer than `area` pixels. What touches the picture's
// edge is no hole.
void FillHoles(cv::Mat* mask, double area);
// Each patch (8-connected) of `patches` becomes 255 in `mask` where more than `share` of the pixels
// around it are set there, else 0.
void FillByBorder(const cv::Mat& patches, double share, cv::Mat* mask);

// Means of `by` x `by` pixels; cells at the edge repeat it.
cv::Mat ShrinkRepeatingEdge(const cv::Mat& image, int by);

// The odd number of pixels nearest to a length.
int OddPixels(double um, double mpp);
// A disc of that many pixels across, for morphology.
cv::Mat Disc(double um, double mpp);

}  // namespace eosin::tiling
