// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/quality.h"

namespace eosin::tiling {

float QualityAt(const TileQuality& quality, int name) {
  const float scores[] = {quality.blur, quality.pen, quality.white, quality.black, quality.fold};
  return scores[name];
}

TileQuality ScoreTile(const core::Image&, double) { return {}; }

void QualityLimits::Bind(core::OptionSet& set) {
  const auto add = [&set](const char* key, double* limit, const char* doc) {
    set.Add(key, limit, {.doc = doc, .min = 0, .max = 1});
  };
  add("reject.blur", &blur, "leave out tiles with a blur score above this; 1 keeps all");
  add("reject.pen", &pen, "leave out tiles with more pen than this share; 1 keeps all");
  add("reject.white", &white, "leave out tiles with more glass than this share; 1 keeps all");
  add("reject.black", &black, "leave out tiles with more black than this share; 1 keeps all");
  add("reject.fold", &fold, "leave out tiles with more fold than this share; 1 keeps all");
}

bool QualityLimits::Any() const {
  return blur < 1 || pen < 1 || white < 1 || black < 1 || fold < 1;
}

int QualityLimits::Exceeded(const TileQuality& quality) const {
  const double limits[] = {blur, pen, white, black, fold};
  for (int i = 0; i < static_cast<int>(kQualityNames.size()); ++i) {
    if (static_cast<double>(QualityAt(quality, i)) > limits[i]) return i;
  }
  return -1;
}

}  // namespace eosin::tiling
