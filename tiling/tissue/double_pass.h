// SPDX-License-Identifier: Apache-2.0
// The default method. The picture is divided by the colour of its glass (glass.h), so that light,
// casts and films of stain drop out, and ink (pen_marks.h) and scanner black are set aside. Then
// two passes over the colour of what is left, measured as the range of optical density over the
// channels, which grey dirt and shades do not have:
//   1. Otsu's threshold on a sharp picture (median) finds stained tissue with its exact outline;
//   2. what lies below it, with the tissue of the first pass taken out so that it does not spill,
//      is averaged over tens of um and compared with the scatter of the glass: faint tissue, and
//      fat, of which an overview shows little more than a haze.
// Where two stains add up to grey between stained tissue, that is tissue too.
// Two passes after Cancers 17:2918 (2025), whose second is another Otsu below the first threshold.
#pragma once

#include <opencv2/core.hpp>

namespace eosin::tiling {

struct DoublePass {
  cv::Mat tissue;  // 255 or 0
  cv::Mat never;   // 255: ink or scanner black, not tissue whatever surrounds it
};

// rgb: CV_8UC3 at `mpp` um/px; known: CV_8U, nonzero where pixels could be read, or empty for all.
DoublePass SegmentByDoublePass(const cv::Mat& rgb, const cv::Mat& known, double mpp,
                               bool remove_pen);

}  // namespace eosin::tiling
