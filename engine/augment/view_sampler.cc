// SPDX-License-Identifier: Apache-2.0
#include "engine/augment/view_sampler.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/stain/stain_jitter.h"
#include "engine/augment/draw.h"

namespace eosin::engine {
namespace {

using core::StainSpace;
constexpr StainSpace kSpaces[] = {StainSpace::kLab, StainSpace::kHsv, StainSpace::kHed};
constexpr float kRadians = 0.017453292519943295f;

core::StainSpread SpreadOf(const std::string& name) {
  if (name == "laplace") return core::StainSpread::kLaplace;
  if (name == "uniform") return core::StainSpread::kUniform;
  return name == "mixture" ? core::StainSpread::kMixture : core::StainSpread::kNormal;
}

}  // namespace

ViewSampler::ViewSampler(ViewRecipe recipe) : recipe_(std::move(recipe)) {
  recipe_.Check();
  if (recipe_.stain != "randstainna") return;
  const std::string& file = recipe_.randstainna_template;
  template_ = std::make_shared<const core::StainTemplate>(
      file.empty() ? core::StainTemplate::PublishedCrc() : core::StainTemplate::Read(file));
  spread_ = SpreadOf(recipe_.randstainna_spread);
  const std::string named = file.empty() ? "the published template" : "template " + file;
  for (const StainSpace space : kSpaces) {
    const std::string name = core::StainSpaceName(space);
    if (recipe_.randstainna_space != "random" && recipe_.randstainna_space != name) continue;
    const auto& fit = template_->spaces[static_cast<size_t>(space)];
    if (!fit) {
      throw core::DataError(named + " has no statistics of " + name,
                            "fit one from your tiles with `eosin stain fit`");
    }
    if (spread_ == core::StainSpread::kMixture && !fit->mixture) {
      throw core::DataError(named + " has no mixture for " + name,
                            "fit one with `eosin stain fit --components`, or use "
                            "randstainna_spread = \"normal\"");
    }
  }
}

ViewParams ViewSampler::Draw(core::PhiloxStream stream, int width, int height,
                             StainFacts* facts) const {
  if (!needs_facts()) return DrawView(recipe_, stream, width, height);
  if (facts == nullptr) throw std::invalid_argument("ViewSampler::Draw without facts");
  ViewParams params = draw::AllButStain(recipe_, stream, width, height);
  core::PhiloxStream stain = draw::At(stream, draw::kStain);
  if (!draw::Happens(stain, recipe_.stain_probability)) return params;
  if (recipe_.stain == "macenko") {
    Macenko(stain, *facts, &params);
  } else {
    RandStainNA(stain, draw::At(stream, draw::kTarget), *facts, &params);
  }
  return params;
}

void ViewSampler::Macenko(core::PhiloxStream& stain, StainFacts& facts, ViewParams* params) const {
  const float* row = facts.row().data() + 6;
  const float stains[2][3] = {{row[0], row[1], row[2]}, {row[3], row[4], row[5]}};
  const float* h = stains[0];
  const float* e = stains[1];
  const float cross[3] = {h[1] * e[2] - h[2] * e[1], h[2] * e[0] - h[0] * e[2],
                          h[0] * e[1] - h[1] * e[0]};
  const float sine = std::sqrt(cross[0] * cross[0] + cross[1] * cross[1] + cross[2] * cross[2]);
  // Below two degrees apart, concentrations are noise; NaN stains end here too.
  if (!(sine > 0.035f)) return;
  float alpha[2], beta[2], degrees[2], angle[2];
  for (int s = 0; s < 2; ++s) {
    alpha[s] = static_cast<float>(draw::Around(stain, 1, recipe_.macenko_alpha));
    beta[s] = static_cast<float>(draw::Around(stain, 0, recipe_.macenko_beta));
    degrees[s] = static_cast<float>(recipe_.macenko_angle) * stain.Normal();
    angle[s] = degrees[s] * kRadians;
  }
  draw::SetMap(core::MacenkoJitterAffine(stains, alpha, beta, angle), kModelMacenko, params);
  for (int s = 0; s < 2; ++s) {
    params->stain_draw[s] = alpha[s];
    params->stain_draw[2 + s] = beta[s];
    params->stain_draw[4 + s] = degrees[s];
  }
}

void ViewSampler::RandStainNA(core::PhiloxStream& stain, core::PhiloxStream target,
                              StainFacts& facts, ViewParams* params) const {
  StainSpace space = kSpaces[stain.Below(3)];
  for (const StainSpace named : kSpaces) {
    if (recipe_.randstainna_space == core::StainSpaceName(named)) space = named;
  }
  const core::StainSpaceFit& fit = *template_->spaces[static_cast<size_t>(space)];
  const core::ColorStats to = core::DrawTarget(fit, spread_, recipe_.randstainna_std_hyper, target);
  const core::ColorStats& from = facts.colors(space);
  if (space == StainSpace::kHed) {
    draw::SetMap(core::ReinhardHedAffine(from, to), kModelReinhardHed, params);
  } else {
    const core::ChannelMap map = core::ReinhardMap(from, to);
    params->stain = space == StainSpace::kLab ? kStainLab : kStainHsv;
    params->stain_model = space == StainSpace::kLab ? kModelReinhardLab : kModelReinhardHsv;
    std::fill_n(params->stain_matrix, 9, 0.0f);
    std::copy_n(map.scale, 3, params->stain_matrix);
    std::copy_n(map.offset, 3, params->stain_offset);
  }
  std::copy_n(to.mean, 3, params->stain_draw);
  std::copy_n(to.std, 3, params->stain_draw + 3);
}

std::string StainTemplateDigest(const std::vector<ViewRecipe>& views) {
  core::Sha256 digest;
  bool any = false;
  for (const ViewRecipe& view : views) {
    if (view.stain != "randstainna" || view.randstainna_template.empty()) continue;
    // One hash a file: where a file ends cannot move unnoticed.
    digest.Update(core::Sha256Hex(core::ReadFile(view.randstainna_template)));
    any = true;
  }
  return any ? digest.Hex() : "";
}

}  // namespace eosin::engine
