// SPDX-License-Identifier: Apache-2.0
// ZIP directories: every entry lies inside the archive.
#include "core/formats/zip.h"

#include "tools/fuzz/fuzz.h"

using namespace eosin;

EOSIN_FUZZ_TARGET(data, size) {
  const std::string_view archive = fuzz::Text(data, size);
  const std::string file = "input";
  fuzz::Refusable([&] {
    const core::ZipIndex index(archive, file);
    for (const std::string& name : index.names()) {
      fuzz::Refusable([&] {
        const std::string_view bytes = index.Bytes(name);
        fuzz::Require(bytes.empty() || (bytes.data() >= archive.data() &&
                                        bytes.data() + bytes.size() <= archive.data() + size));
      });
    }
  });
  return 0;
}
