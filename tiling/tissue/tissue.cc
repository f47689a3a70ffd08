// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/tissue.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <opencv2/core.hpp>

#include "core/base/error.h"
#include "tiling/tissue/clam.h"
#include "tiling/tissue/components.h"
#include "tiling/tissue/double_pass.h"
#include "tiling/tissue/otsu.h"

namespace eosin::tiling {
namespace {

cv::Mat View(const core::Image& image) {
  return cv::Mat(image.height, image.width, image.channels == 3 ? CV_8UC3 : CV_8U,
                 const_cast<uint8_t*>(image.pixels.data()));
}

}  // namespace

const std::vector<std::string>& TissueMethods() {
  static const std::vector<std::string> methods = {"double-pass", "otsu",           "clam",
                                                   "clam-biopsy", "clam-resection", "clam-tcga"};
  return methods;
}

void TissueSettings::Bind(core::OptionSet& set) {
  set.Add("tissue_mpp", &overview_mpp,
          {.doc = "scale the tissue mask is made at", .unit = "um/px", .min = 0.5, .max = 64});
  set.Add("min_tissue_um2", &min_tissue_um2,
          {.doc = "smaller patches of tissue are dropped", .unit = "um2", .min = 0});
  set.Add("min_hole_um2", &min_hole_um2,
          {.doc = "smaller holes in tissue are filled", .unit = "um2", .min = 0});
  set.Add("remove_pen", &remove_pen, {.doc = "pen marks are not tissue (method double-pass)"});
}

void TissueSettings::Check() const {
  if (!(overview_mpp >= 0.5 && overview_mpp <= 64)) {
    throw core::ConfigError(fmt::format("tissue_mpp = {} is out of range", overview_mpp),
                            "8 um/px suits most slides; 0.5 to 64 are allowed");
  }
  if (!(min_tissue_um2 >= 0) || !(min_hole_um2 >= 0)) {
    throw core::ConfigError(fmt::format("min_tissue_um2 = {} or min_hole_um2 = {} is negative",
                                        min_tissue_um2, min_hole_um2),
                            "areas in um2; 0 keeps every speck and every hole");
  }
}

core::Image SegmentTissue(const Overview& overview, double mpp, const std::string& method,
                          const TissueSettings& settings) {
  const cv::Mat rgb = View(overview.image);
  const bool all_known = overview.unknown.empty();
  const cv::Mat known = all_known ? cv::Mat() : cv::Mat(View(overview.unknown) == 0);
  cv::Mat mask, never;
  if (method == "double-pass") {
    DoublePass result = SegmentByDoublePass(rgb, known, mpp, settings.remove_pen);
    mask = result.tissue;
    never = result.never;
  } else if (method == "otsu") {
    mask = SegmentByOtsu(rgb, known);
  } else if (method.starts_with("clam") && std::find(TissueMethods().begin(), TissueMethods().end(),
                                                     method) != TissueMethods().end()) {
    mask = SegmentByClam(rgb, overview.scale, FindClamPreset(method));
  } else {
    throw core::ConfigError(fmt::format("tissue = {} is no method", method),
                            fmt::format("one of {}", fmt::join(TissueMethods(), ", ")));
  }
  if (!all_known) FillByBorder(View(overview.unknown), .5, &mask);
  if (method == "double-pass") {
    DropSpecks(&mask, settings.min_tissue_um2 / (mpp * mpp));
    FillHoles(&mask, settings.min_hole_um2 / (mpp * mpp));
    mask.setTo(0, never);
    DropSpecks(&mask, settings.min_tissue_um2 / (mpp * mpp));
  }
  core::Image out(overview.image.width, overview.image.height, 1);
  for (int y = 0; y < out.height; ++y) std::copy_n(mask.ptr(y), out.width, out.row(y));
  return out;
}

}  // namespace eosin::tiling
