// SPDX-License-Identifier: Apache-2.0
// GeoJSON, ASAP XML and ImageScope XML; what is read is written in all three and read again.
#include "tiling/annotations/annotation.h"

#include "tools/fuzz/fuzz.h"

using namespace eosin;

EOSIN_FUZZ_TARGET(data, size) {
  std::vector<tiling::Annotation> annotations;
  fuzz::Refusable(
      [&] { annotations = tiling::ParseAnnotations(fuzz::Text(data, size), "input").annotations; });
  // A class or shape that a format cannot hold is refused while writing; what was written is read.
  for (const auto write :
       {+[](const std::vector<tiling::Annotation>& a) { return tiling::ToGeoJson(a); },
        +[](const std::vector<tiling::Annotation>& a) { return tiling::ToAsapXml(a); },
        +[](const std::vector<tiling::Annotation>& a) { return tiling::ToImageScopeXml(a); }}) {
    std::string text;
    fuzz::Refusable([&] { text = write(annotations); });
    if (!text.empty()) tiling::ParseAnnotations(text, "again");
  }
  return 0;
}
