// SPDX-License-Identifier: Apache-2.0
// Draws the records of one recipe. Holds what the recipe names (a stain template), so make it once.
#pragma once

#include <memory>

#include "core/base/philox.h"
#include "core/stain/stain_template.h"
#include "engine/augment/recipe.h"
#include "engine/augment/stain_facts.h"
#include "engine/augment/view_params.h"

namespace eosin::engine {

class ViewSampler {
 public:
  // Throws ConfigError (recipe) or DataError (template file).
  explicit ViewSampler(ViewRecipe recipe);

  const ViewRecipe& recipe() const { return recipe_; }
  // Whether Draw looks at the facts of the image (Macenko, RandStainNA).
  bool needs_facts() const;

  // Pure: depends on the recipe, the stream, the size and, with needs_facts, the facts. facts may
  // be null unless needs_facts. Each operation has its own place in the stream. Thread-safe.
  ViewParams Draw(core::PhiloxStream stream, int width, int height, StainFacts* facts) const;

 private:
  ViewRecipe recipe_;
  std::shared_ptr<const core::StainTemplate> template_;
};

}  // namespace eosin::engine
