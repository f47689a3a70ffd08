// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <opencv2/core.hpp>

#include "tiling/tissue/tissue.h"

namespace eosin::tiling {

// rgb: CV_8UC3 at `mpp` um/px; known: CV_8U, nonzero where pixels could be read. 0 or 255.
cv::Mat SegmentByDoublePass(const cv::Mat& rgb, const cv::Mat& known, double mpp,
                            const TissueSettings& settings);

}  // namespace eosin::tiling
