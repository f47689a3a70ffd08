// SPDX-License-Identifier: Apache-2.0
// An image with the outlines of its classes, for the report's gallery.
#pragma once

#include <cstddef>

#include "core/image/image.h"

namespace eosin::segment {

// image: RGB; mask: classes of the same size. The picture is enlarged or reduced to `width` pixels;
// outlines are two pixels wide, one colour a class; `background` and ignored pixels (255) have
// none.
core::Image DrawContours(const core::Image& image, const core::Image& mask, int background,
                         int width);

}  // namespace eosin::segment
