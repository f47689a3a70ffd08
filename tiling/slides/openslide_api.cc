// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/openslide_api.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <cstdlib>
#include <type_traits>

#include "core/base/error.h"

#ifndef EOSIN_OPENSLIDE_WHEEL
#define EOSIN_OPENSLIDE_WHEEL ""
#endif

namespace eosin::tiling {
namespace {

constexpr const char* kHint =
    "install OpenSlide: `pip install openslide-bin` into a venv and set EOSIN_OPENSLIDE to its "
    "libopenslide.so.1, or Debian's package libopenslide0";

// What is taken is never closed: decoders may live until the program ends.
void* Load(const std::string& library) { return dlopen(library.c_str(), RTLD_LAZY | RTLD_LOCAL); }

// Returns what the library lacks, nullptr when it has all.
const char* Bind(void* handle, OpenSlideApi* api) {
  const char* missing = nullptr;
  const auto bind = [&](const char* name, auto* function) {
    *function = reinterpret_cast<std::remove_pointer_t<decltype(function)>>(dlsym(handle, name));
    if (!*function && !missing) missing = name;
  };
  bind("openslide_open", &api->open);
  bind("openslide_close", &api->close);
  bind("openslide_get_error", &api->get_error);
  bind("openslide_get_level_count", &api->get_level_count);
  bind("openslide_get_level_dimensions", &api->get_level_dimensions);
  bind("openslide_get_level_downsample", &api->get_level_downsample);
  bind("openslide_read_region", &api->read_region);
  bind("openslide_get_property_names", &api->get_property_names);
  bind("openslide_get_property_value", &api->get_property_value);
  bind("openslide_get_associated_image_names", &api->get_associated_image_names);
  bind("openslide_get_associated_image_dimensions", &api->get_associated_image_dimensions);
  bind("openslide_read_associated_image", &api->read_associated_image);
  bind("openslide_get_version", &api->get_version);
  return missing;
}

// OpenSlide reports what libtiff says; libtiff need not print it as well. (A library with libtiff
// inside does not show the function and silences itself.)
void Silence(void* handle) {
  using Handler = void (*)(const char*, const char*, void*);
  for (const char* name : {"TIFFSetErrorHandler", "TIFFSetWarningHandler"}) {
    if (auto* set = reinterpret_cast<Handler (*)(Handler)>(dlsym(handle, name))) set(nullptr);
  }
}

OpenSlideApi LoadApi() {
  OpenSlideApi api;
  void* handle = nullptr;
  if (const char* wish = std::getenv("EOSIN_OPENSLIDE"); wish && *wish) {
    handle = Load(wish);
    if (!handle) {
      throw core::SlideError(fmt::format("cannot load EOSIN_OPENSLIDE: {}", dlerror()),
                             "unset it, or let it name a libopenslide.so.1 or libopenslide.so.0");
    }
    if (const char* missing = Bind(handle, &api)) {
      throw core::SlideError(fmt::format("{} is no OpenSlide: it lacks {}", wish, missing), kHint);
    }
    api.library = wish;
  } else {
    for (const char* library : {EOSIN_OPENSLIDE_WHEEL, "libopenslide.so.1", "libopenslide.so.0"}) {
      if (!*library || !(handle = Load(library))) continue;
      if (!Bind(handle, &api)) {
        api.library = library;
        break;
      }
      dlclose(handle);
      handle = nullptr;
    }
    if (!handle) throw core::SlideError("this slide needs OpenSlide, which is not here", kHint);
  }
  Silence(handle);
  api.version = api.get_version();
  api.major = std::atoi(api.version.c_str());
  return api;
}

}  // namespace

const OpenSlideApi& OpenSlide() {
  static const OpenSlideApi api = LoadApi();
  return api;
}

}  // namespace eosin::tiling
