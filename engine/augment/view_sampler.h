// SPDX-License-Identifier: Apache-2.0
// Draws the records of one recipe. Holds what the recipe names (a stain template), so make it once.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "core/stain/stain_template.h"
#include "engine/augment/recipe.h"
#include "engine/augment/stain_facts.h"
#include "engine/augment/view_params.h"

namespace eosin::engine {

class ViewSampler {
 public:
  // Throws ConfigError (recipe) or DataError (template file, or one without the space or mixture
  // that the recipe names).
  explicit ViewSampler(ViewRecipe recipe);

  const ViewRecipe& recipe() const { return recipe_; }
  // Whether Draw looks at the facts of the image (Macenko, RandStainNA).
  bool needs_facts() const { return recipe_.NeedsFacts(); }

  // Pure: depends on the recipe, the stream, the size and, with needs_facts, the facts. facts may
  // be null unless needs_facts (std::invalid_argument). Each operation has its own place in the
  // stream. Thread-safe, one StainFacts a thread. Macenko leaves a tile alone whose stains could
  // not be fitted or are all but parallel.
  ViewParams Draw(core::PhiloxStream stream, int width, int height, StainFacts* facts) const;

 private:
  void Macenko(core::PhiloxStream& stain, StainFacts& facts, ViewParams* params) const;
  void RandStainNA(core::PhiloxStream& stain, core::PhiloxStream target, StainFacts& facts,
                   ViewParams* params) const;

  ViewRecipe recipe_;
  std::shared_ptr<const core::StainTemplate> template_;
  core::StainSpread spread_ = core::StainSpread::kNormal;
};

// SHA-256 over the contents of the stain templates that these views read, in the views' order;
// empty when none reads a file. A resumed run compares it: the recipe names only the path.
// DataError for a file that cannot be read.
std::string StainTemplateDigest(const std::vector<ViewRecipe>& views);

}  // namespace eosin::engine
