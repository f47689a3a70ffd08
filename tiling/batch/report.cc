// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/report.h"

#include "core/report/html.h"

namespace eosin::tiling {

void WriteTilingReport(const std::vector<SlideResult>&, const std::filesystem::path& out) {
  core::HtmlPage page("Tiling report");
  page.Write(out / "report.html");
}

}  // namespace eosin::tiling
