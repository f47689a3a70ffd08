// SPDX-License-Identifier: Apache-2.0
// Made overviews of slides (8 um/px) with their exact tissue masks: what tissue methods are
// measured on. Outlines are Fourier curves, densities sums of smooth noise, colours Beer-Lambert
// over glass with a cast, uneven light, sensor noise and JPEG. They look like overviews; they are
// not slides.
//
// Truth: inside the outline, lumina and fat cells included, holes above 50,000 um2 left out, and
// without the pixels under ink.
//
// Two families of parameters share no stain, glass, noise, light, pen or frame value: kTune may be
// looked at while a method is written; kHeldOut is for measuring alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/image/image.h"

namespace eosin::bench {

inline constexpr double kSceneMpp = 8;     // um/px
inline constexpr double kSceneScale = 32;  // level-0 pixels a pixel, as of a 40x slide

enum class SceneFamily : uint8_t { kTune = 0, kHeldOut = 1 };

struct TissueScene {
  core::Image rgb;
  core::Image truth;  // 255 = tissue
  core::Image ink;    // 255 = under ink
};

const std::vector<std::string>& SceneCases();

// The same scene for the same arguments, on any machine with IEEE floats.
TissueScene MakeTissueScene(const std::string& scene_case, SceneFamily family, uint32_t seed,
                            int width = 1000, int height = 800);

}  // namespace eosin::bench
