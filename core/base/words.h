// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace eosin::core {

// "1,234,567".
std::string Grouped(int64_t count);
// Three digits and a decimal unit: "0 B", "1.23 MB", "456 GB".
std::string ByteWords(int64_t bytes);

}  // namespace eosin::core
