// SPDX-License-Identifier: Apache-2.0
// The classes of a prediction as people see them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace eosin::segment {

using Rgb = std::array<uint8_t, 3>;

struct ClassStyle {
  std::string name;
  Rgb colour{};
  bool outlined = true;  // false for the background: no polygons, no tint
};

inline constexpr Rgb kBackgroundColour = {225, 225, 225};
inline constexpr Rgb kNotPredictedColour = {255, 255, 255};

// background: index of the class that is none of interest, -1 for none. Colours are those that the
// tiler gives the same names, told apart where two would be the same.
std::vector<ClassStyle> StyleClasses(const std::vector<std::string>& names, int64_t background);

}  // namespace eosin::segment
