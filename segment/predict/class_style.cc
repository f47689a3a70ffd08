// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/class_style.h"

#include <algorithm>

#include "tiling/annotations/annotation_text.h"

namespace eosin::segment {

std::vector<ClassStyle> StyleClasses(const std::vector<std::string>& names, int64_t background) {
  std::vector<ClassStyle> styles;
  for (size_t i = 0; i < names.size(); ++i) {
    if (static_cast<int64_t>(i) == background) {
      styles.push_back({names[i], kBackgroundColour, false});
      continue;
    }
    Rgb colour{};
    std::string word = names[i];
    for (int attempt = 0; attempt < 100; ++attempt, word += ' ') {
      const uint32_t rgb = tiling::ClassColor(word);
      colour = {static_cast<uint8_t>(rgb >> 16), static_cast<uint8_t>(rgb >> 8),
                static_cast<uint8_t>(rgb)};
      const bool taken = std::any_of(styles.begin(), styles.end(), [&](const ClassStyle& style) {
        return style.outlined && style.colour == colour;
      });
      if (!taken) break;
    }
    styles.push_back({names[i], colour, true});
  }
  return styles;
}

}  // namespace eosin::segment
