// SPDX-License-Identifier: Apache-2.0
#include "core/base/words.h"

#include <fmt/format.h>
#include <iterator>

namespace eosin::core {

std::string Grouped(int64_t count) {
  std::string text = std::to_string(count);
  for (auto i = static_cast<int>(text.size()) - 3; i > 0 && text[static_cast<size_t>(i) - 1] != '-';
       i -= 3) {
    text.insert(static_cast<size_t>(i), 1, ',');
  }
  return text;
}

std::string ByteWords(int64_t bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(units)) value /= 1000, ++unit;
  return fmt::format("{:.3g} {}", value, units[unit]);
}

}  // namespace eosin::core
