// SPDX-License-Identifier: Apache-2.0
// Small things done to text.
#pragma once

#include <string>
#include <string_view>

namespace eosin::core {

// Without white space at both ends.
inline std::string Trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\f\v";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin));
}

}  // namespace eosin::core
