// SPDX-License-Identifier: Apache-2.0
// OpenSlide, loaded when the first slide needs it: programs that read no such slide start without
// it, and a newer library is taken where there is one. In this order: the file that EOSIN_OPENSLIDE
// names (an error if that cannot be loaded), the library of the Python package openslide-bin found
// when eosin was configured, libopenslide.so.1 (OpenSlide 4), libopenslide.so.0 (OpenSlide 3.4).
#pragma once

#include <openslide.h>
#include <string>

namespace eosin::tiling {

struct OpenSlideApi {
  std::string library;  // what was loaded
  std::string version;  // "4.0.1"
  int major = 0;

  decltype(&openslide_open) open = nullptr;
  decltype(&openslide_close) close = nullptr;
  decltype(&openslide_get_error) get_error = nullptr;
  decltype(&openslide_get_level_count) get_level_count = nullptr;
  decltype(&openslide_get_level_dimensions) get_level_dimensions = nullptr;
  decltype(&openslide_get_level_downsample) get_level_downsample = nullptr;
  decltype(&openslide_read_region) read_region = nullptr;
  decltype(&openslide_get_property_names) get_property_names = nullptr;
  decltype(&openslide_get_property_value) get_property_value = nullptr;
  decltype(&openslide_get_associated_image_names) get_associated_image_names = nullptr;
  decltype(&openslide_get_associated_image_dimensions) get_associated_image_dimensions = nullptr;
  decltype(&openslide_read_associated_image) read_associated_image = nullptr;
  decltype(&openslide_get_version) get_version = nullptr;
};

// Loaded once and kept. Thread-safe. SlideError when there is none.
const OpenSlideApi& OpenSlide();

}  // namespace eosin::tiling
