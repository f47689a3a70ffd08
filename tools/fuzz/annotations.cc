// SPDX-License-Identifier: Apache-2.0
// GeoJSON, ASAP XML and ImageScope XML; what is read is written in all three and read again.
#include "tiling/annotations/annotation.h"

#include "tools/fuzz/fuzz.h"

using namespace eosin;

EOSIN_FUZZ_TARGET(data, size) {
  fuzz::Refusable([&] {
    const tiling::AnnotationFile file = tiling::ParseAnnotations(fuzz::Text(data, size), "input");
    for (const std::string& text :
         {tiling::ToGeoJson(file.annotations), tiling::ToAsapXml(file.annotations),
          tiling::ToImageScopeXml(file.annotations)}) {
      fuzz::Refusable([&] { tiling::ParseAnnotations(text, "again"); });
    }
  });
  return 0;
}
