// SPDX-License-Identifier: Apache-2.0
// Connected patches of masks (CV_8U, nonzero = set).
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

}  // namespace eosin::tiling
