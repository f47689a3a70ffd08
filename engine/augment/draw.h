// SPDX-License-Identifier: Apache-2.0
// Pieces of a draw, shared by DrawView and ViewSampler.
#pragma once

#include "core/base/philox.h"
#include "core/stain/hed.h"
#include "engine/augment/recipe.h"

namespace eosin::engine::draw {

// Groups of parameters have fixed places in the stream, 12 numbers each, so that an operation added
// to one does not move the others. The crop takes up to 40 numbers, hence the gap; kTarget, last,
// takes any number.
enum Group : uint32_t {
  kGeometry = 0,
  kJitter = 1,
  kAppearance = 2,
  kStain = 3,
  kCrop = 4,
  kTarget = 8
};

// `stream` moved to the place of a group.
core::PhiloxStream At(core::PhiloxStream stream, Group group);

bool Happens(core::PhiloxStream& stream, double probability);
// Uniform in [centre - spread, centre + spread).
double Around(core::PhiloxStream& stream, double centre, double spread);

// Everything but the stain.
ViewParams AllButStain(const ViewRecipe& recipe, core::PhiloxStream stream, int width, int height);

// Draws from group kStain, after its first number (whether it happens).
void Hed(const ViewRecipe& recipe, core::PhiloxStream& stream, ViewParams* params);

void SetMap(const core::StainAffine& map, StainModel model, ViewParams* params);

}  // namespace eosin::engine::draw
