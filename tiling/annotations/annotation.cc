// SPDX-License-Identifier: Apache-2.0
#include "tiling/annotations/annotation.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "tiling/annotations/annotation_text.h"

namespace eosin::tiling {

AnnotationFile ParseAnnotations(std::string_view text, const std::string& source,
                                const AnnotationLimits& limits) {
  if (text.substr(0, 2) == "\x1F\x8B" || text.substr(0, 4) == "PK\x03\x04") {
    throw core::DataError(source + " is compressed", "unpack it first");
  }
  AnnotationText file(text, source, limits);
  const size_t first = file.text().find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) {
    throw core::DataError(source + " is empty", "export the annotations again");
  }
  const char c = file.text()[first];
  if (c == '{' || c == '[') return ParseGeoJson(file);
  if (c == '<') return ParseXmlAnnotations(file);
  file.Fail(first, "neither JSON nor XML",
            "annotations are QuPath GeoJSON, ASAP XML or Aperio ImageScope XML");
}

AnnotationFile ReadAnnotations(const std::filesystem::path& path, const AnnotationLimits& limits) {
  std::error_code unknown;
  const auto bytes = std::filesystem::file_size(path, unknown);
  if (!unknown && bytes > limits.bytes) {
    throw core::DataError(
        fmt::format("{} has {} bytes, more than the {} an annotation file may have", path.string(),
                    bytes, limits.bytes),
        "export the regions of one slide only, without measurements");
  }
  return ParseAnnotations(core::ReadFile(path), path.string(), limits);
}

}  // namespace eosin::tiling
