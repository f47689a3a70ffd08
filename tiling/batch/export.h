// SPDX-License-Identifier: Apache-2.0
// A finished store in other tools' forms. Nothing appears half-made; existing files of an older
// export are replaced.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace eosin::tiling {

// "clam", "png", "jpeg", "webdataset".
const std::vector<std::string>& ExportFormats();

// Writes below `out`, for store <out>/<stem>.h5:
//   clam        clam/<stem>.h5, coordinates in CLAM's own layout at level 0
//   png, jpeg   png/<stem>/<stem>_x<x>_y<y>.png (level-0 coordinates; JPEG tiles are copied, not
//               coded again), masks beside them as <...>_<label>.png
//   webdataset  webdataset/<stem>.tar: <stem>_x<x>_y<y>.{jpg|png,json,<label>.png}
// Bad tiles are left out. StoreError, MachineError.
void ExportStore(const std::filesystem::path& store, const std::filesystem::path& out,
                 const std::string& format);

// CLAM's process_list_autogen.csv for stores of a folder: slide_id, process, status.
struct ProcessListRow {
  std::string slide_id, status;
};
std::string ProcessListCsv(const std::vector<ProcessListRow>& rows);

}  // namespace eosin::tiling
