// SPDX-License-Identifier: Apache-2.0
// Pen marks on a whole overview: areas of ink (pen.h tells single pixels) and their thin edges.
#pragma once

#include <opencv2/core.hpp>

namespace eosin::tiling {

// smooth: CV_8UC3 at `mpp` um/px, glass made white (glass.h), a little smoothed. 255 = ink, else 0.
cv::Mat FindPenMarks(const cv::Mat& smooth, double mpp);

}  // namespace eosin::tiling
