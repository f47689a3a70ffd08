// SPDX-License-Identifier: Apache-2.0
#include "core/stain/stain_template.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/stain/mixture.h"

namespace eosin::core {
namespace {

using nlohmann::ordered_json;

constexpr const char* kFormat = "eosin-stain-template";
constexpr int kVersion = 1;
constexpr const char* kUnits =
    "lab: CIELAB, L 0-100; hsv: 0-1; hed: natural optical density; vectors are 3 means, 3 standard "
    "deviations of a tile";

ordered_json ToJson(const StainSpaceFit& fit) {
  ordered_json json = {{"center", fit.center}, {"spread", fit.spread}};
  if (fit.mixture) {
    ordered_json components = ordered_json::array();
    for (size_t c = 0; c < fit.mixture->weights.size(); ++c) {
      components.push_back({{"weight", fit.mixture->weights[c]},
                            {"mean", fit.mixture->means[c]},
                            {"covariance", fit.mixture->covariances[c]}});
    }
    json["mixture"] = std::move(components);
  }
  return json;
}

// Numbers of a list, all finite. Throws DataError through `refuse`.
template <size_t N, typename Refuse>
std::array<double, N> Numbers(const ordered_json& json, const std::string& what,
                              const Refuse& refuse) {
  if (!json.is_array() || json.size() != N) refuse(fmt::format("{} is no list of {}", what, N));
  std::array<double, N> values{};
  for (size_t i = 0; i < N; ++i) {
    if (!json[i].is_number() || !std::isfinite(json[i].template get<double>())) {
      refuse(fmt::format("{} holds what is no finite number", what));
    }
    values[i] = json[i].template get<double>();
  }
  return values;
}

template <typename Refuse>
const ordered_json& Member(const ordered_json& json, const char* key, const std::string& what,
                           const Refuse& refuse) {
  if (!json.is_object() || !json.contains(key)) refuse(fmt::format("{} has no `{}`", what, key));
  return json.at(key);
}

template <typename Refuse>
StainMixture ReadMixture(const ordered_json& json, const std::string& space, const Refuse& refuse) {
  const std::string what = space + ".mixture";
  if (!json.is_array() || json.empty()) refuse(what + " is no list of components");
  StainMixture mixture;
  double total = 0;
  for (const ordered_json& component : json) {
    const ordered_json& weight = Member(component, "weight", what, refuse);
    if (!weight.is_number() || !(weight.get<double>() > 0)) refuse(what + " has a bad weight");
    mixture.weights.push_back(weight.get<double>());
    mixture.means.push_back(
        Numbers<6>(Member(component, "mean", what, refuse), what + ".mean", refuse));
    mixture.covariances.push_back(
        Numbers<36>(Member(component, "covariance", what, refuse), what + ".covariance", refuse));
    std::array<double, 36> lower;
    if (!Cholesky6(mixture.covariances.back(), &lower)) {
      refuse(what + " has a covariance that is not positive definite");
    }
    total += mixture.weights.back();
  }
  if (std::abs(total - 1) > 1e-6) refuse(what + " has weights that do not sum to 1");
  return mixture;
}

template <typename Refuse>
StainSpaceFit ReadFit(const ordered_json& json, const std::string& space, const Refuse& refuse) {
  StainSpaceFit fit;
  fit.center = Numbers<6>(Member(json, "center", space, refuse), space + ".center", refuse);
  fit.spread = Numbers<6>(Member(json, "spread", space, refuse), space + ".spread", refuse);
  for (size_t i = 0; i < 6; ++i) {
    if (fit.spread[i] < 0 || (i >= 3 && fit.center[i] < 0)) {
      refuse(space + " has a negative deviation");
    }
  }
  if (json.contains("mixture")) fit.mixture = ReadMixture(json.at("mixture"), space, refuse);
  return fit;
}

// A draw of mean 0 and deviation 1, except kUniform: within 3.
double DrawUnit(StainSpread spread, PhiloxStream& draw) {
  switch (spread) {
    case StainSpread::kLaplace: {
      const double u = double{draw.Uniform()} - 0.5 + 0x1p-25;  // never -0.5: its tail is infinite
      const double tail = -std::log(1 - 2 * std::abs(u)) / std::sqrt(2.0);
      return u < 0 ? -tail : tail;
    }
    case StainSpread::kUniform:
      return 6 * double{draw.Uniform()} - 3;
    default:
      return double{draw.Normal()};
  }
}

StainVector DrawMixture(const StainMixture& mixture, double scale, PhiloxStream& draw) {
  double left = double{draw.Uniform()};
  size_t c = 0;
  while (c + 1 < mixture.weights.size() && left >= mixture.weights[c]) left -= mixture.weights[c++];
  std::array<double, 36> lower;
  Cholesky6(mixture.covariances[c], &lower);
  StainVector unit, out = mixture.means[c];
  for (double& u : unit) u = double{draw.Normal()};
  for (size_t a = 0; a < 6; ++a) {
    for (size_t b = 0; b <= a; ++b) out[a] += scale * lower[a * 6 + b] * unit[b];
  }
  return out;
}

}  // namespace

StainTemplate StainTemplate::Read(const std::filesystem::path& path) {
  const auto refuse = [&](const std::string& why) {
    throw DataError(fmt::format("{} is no stain template: {}", path.string(), why),
                    "make one with eosin stain fit DATA --out template.json");
  };
  const ordered_json json = ordered_json::parse(ReadFile(path), nullptr, false);
  if (json.is_discarded()) refuse("it is no JSON");
  if (!json.is_object() || json.value("format", ordered_json()) != kFormat) {
    refuse(fmt::format("`format` is not {}", kFormat));
  }
  if (json.value("version", ordered_json()) != kVersion) {
    refuse(fmt::format("its version is not {}", kVersion));
  }
  StainTemplate out;
  const ordered_json tiles = json.value("tiles", ordered_json());
  if (!tiles.is_number_integer() || tiles < 0) refuse("`tiles` is no number of tiles");
  out.tiles = tiles.get<int64_t>();
  const ordered_json source = json.value("source", ordered_json());
  if (source.is_string()) out.source = source.get<std::string>();
  const ordered_json& spaces = Member(json, "spaces", "it", refuse);
  if (!spaces.is_object() || spaces.empty()) refuse("`spaces` is empty");
  for (const auto& [name, fit] : spaces.items()) {
    size_t space = 0;
    while (space < kStainSpaces && name != StainSpaceName(static_cast<StainSpace>(space))) ++space;
    if (space == kStainSpaces) refuse("it has a colour space \"" + name + "\"");
    out.spaces[space] = ReadFit(fit, name, refuse);
  }
  return out;
}

void StainTemplate::Write(const std::filesystem::path& path) const {
  ordered_json json = {{"format", kFormat}, {"version", kVersion},
                       {"source", source},  {"tiles", tiles},
                       {"units", kUnits},   {"spaces", ordered_json::object()}};
  for (size_t s = 0; s < kStainSpaces; ++s) {
    if (spaces[s]) json["spaces"][StainSpaceName(static_cast<StainSpace>(s))] = ToJson(*spaces[s]);
  }
  WriteFileAtomic(path, json.dump(1) + "\n");
}

StainTemplate StainTemplate::PublishedCrc() {
  // OpenCV's 8-bit LAB: (L * 255 / 100, a + 128, b + 128).
  constexpr double kL = 100.0 / 255;
  StainSpaceFit fit;
  fit.center = {158.033 * kL, 151.187 - 128, 116.812 - 128, 36.899 * kL, 8.134, 6.129};
  fit.spread = {48.792 * kL, 10.958, 6.643, 14.383 * kL, 2.822, 2.013};
  StainTemplate out;
  out.spaces[static_cast<size_t>(StainSpace::kLab)] = fit;
  out.source = "RandStainNA, CRC_LAB_randomTrue_n0.yaml";
  return out;
}

ColorStats DrawTarget(const StainSpaceFit& fit, StainSpread spread, double std_hyper,
                      PhiloxStream& draw) {
  const double scale = std::max(0.0, 1 + std_hyper);
  StainVector values = fit.center;
  if (spread == StainSpread::kMixture) {
    if (!fit.mixture) {
      throw ConfigError("the stain template holds no mixture",
                        "fit one with eosin stain fit --components, or draw with another spread");
    }
    values = DrawMixture(*fit.mixture, scale, draw);
  } else {
    for (size_t i = 0; i < 6; ++i) values[i] += scale * fit.spread[i] * DrawUnit(spread, draw);
  }
  ColorStats target;
  for (size_t c = 0; c < 3; ++c) {
    target.mean[c] = static_cast<float>(values[c]);
    const double least = std::max(0.05 * fit.center[3 + c], 1e-6);
    target.std[c] = static_cast<float>(std::max(values[3 + c], least));
  }
  return target;
}

StainSpaceFit FitStainSpace(const std::vector<StainVector>& rows, int components, uint64_t seed) {
  if (rows.size() < 2) {
    throw DataError(fmt::format("{} tiles are too few to fit a stain template to", rows.size()),
                    "give at least two");
  }
  if (components < -1) {
    throw ConfigError(fmt::format("{} is no number of mixture components", components),
                      "0 for no mixture, -1 to let the data choose, or a number");
  }
  StainSpaceFit fit;
  const auto n = static_cast<double>(rows.size());
  for (size_t d = 0; d < 6; ++d) {
    double sum = 0, square = 0;
    for (const StainVector& row : rows) {
      if (!std::isfinite(row[d])) {
        throw DataError("a tile's colour statistics are no numbers", "leave that tile out");
      }
      sum += row[d];
    }
    fit.center[d] = sum / n;
    for (const StainVector& row : rows) square += std::pow(row[d] - fit.center[d], 2);
    fit.spread[d] = std::sqrt(square / (n - 1));
  }
  if (components > 0) fit.mixture = FitMixture(rows, components, seed).mixture;
  if (components == -1) fit.mixture = ChooseMixture(rows, seed).mixture;
  return fit;
}

}  // namespace eosin::core
