// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/mpp.h"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <cmath>

namespace eosin::tiling {
namespace {

using Properties = std::map<std::string, std::string>;

constexpr double kFinestMpp = 0.05;
constexpr double kCoarsestMpp = 20;
constexpr double kMaxAxisRatio = 1.1;
constexpr double kMaxDisagreement = 2;
// mpp x power
constexpr double kProduct = 10, kMinProduct = 4, kMaxProduct = 25, kSlipTolerance = 1.6;
constexpr double kMinPower = 0.5, kMaxPower = 200;

struct Statement {
  double x = 0, y = 0;
  const char* source = "";
  std::string doubt;  // empty: believed
  bool made() const { return x > 0; }
  bool stands() const { return made() && doubt.empty(); }
  double mean() const { return std::sqrt(x * y); }
};

Statement MakeStatement(double x, double y, const char* source) {
  Statement statement;
  statement.x = x > 0 ? x : y;
  statement.y = y > 0 ? y : x;
  statement.source = source;
  return statement;
}

// um per pixel from a TIFF resolution, 0 when there is none.
double TiffMpp(const Properties& properties, const char* axis) {
  const double resolution = PropertyNumber(properties, fmt::format("tiff.{}Resolution", axis));
  const auto unit = properties.find("tiff.ResolutionUnit");
  if (resolution <= 0 || unit == properties.end()) return 0;
  if (unit->second == "centimeter") return 10000.0 / resolution;
  if (unit->second == "inch") return 25400.0 / resolution;
  return 0;
}

bool Near(double value, double other, double factor) {
  return value < other * factor && value > other / factor;
}

void Judge(double power, Statement* s) {
  if (!s->made()) return;
  const double mpp = s->mean();
  const auto sane = [](double v) { return v >= kFinestMpp && v <= kCoarsestMpp; };
  const double product = mpp * power;
  if (power > 0 && (product < kMinProduct || product > kMaxProduct)) {
    const bool slip = Near(product, kProduct / 10, kSlipTolerance) ||
                      Near(product, kProduct * 10, kSlipTolerance);
    s->doubt =
        fmt::format("{} says {:.4g} um/px, but a {:g}x objective gives about {:.4g}{}", s->source,
                    mpp, power, kProduct / power, slip ? " (a slip of ten between units?)" : "");
  } else if (!sane(s->x) || !sane(s->y)) {
    s->doubt = fmt::format("{} says {:.4g} um/px", s->source, s->x);
  } else if (std::max(s->x, s->y) > kMaxAxisRatio * std::min(s->x, s->y)) {
    s->doubt = fmt::format("{} says {:.4g} x {:.4g} um/px", s->source, s->x, s->y);
  }
}

}  // namespace

double SlideMpp::mean() const { return std::sqrt(x * y); }

std::optional<double> ParseNumber(std::string text) {
  std::replace(text.begin(), text.end(), ',', '.');
  const char *begin = text.data(), *end = begin + text.size();
  const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (begin < end && is_space(*begin)) ++begin;
  while (begin < end && is_space(end[-1])) --end;
  if (end - begin > 1 && *begin == '+' && begin[1] != '-') ++begin;
  double value = 0;
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (error != std::errc() || stop != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

double PropertyNumber(const Properties& properties, const std::string& key) {
  const auto found = properties.find(key);
  return found == properties.end() ? 0 : ParseNumber(found->second).value_or(0);
}

SlideMpp FindMpp(const Properties& properties, std::vector<std::string>* warnings) {
  const auto warn = [&](const std::string& text) {
    if (warnings) warnings->push_back(text);
  };
  double power = PropertyNumber(properties, "openslide.objective-power");
  if (power < kMinPower || power > kMaxPower) power = 0;
  Statement vendor =
      MakeStatement(PropertyNumber(properties, "openslide.mpp-x"),
                    PropertyNumber(properties, "openslide.mpp-y"), "openslide.mpp-x");
  Statement tiff =
      MakeStatement(TiffMpp(properties, "X"), TiffMpp(properties, "Y"), "tiff.XResolution");
  Judge(power, &vendor);
  Judge(power, &tiff);

  SlideMpp mpp;
  if (vendor.stands() && tiff.stands() &&
      !Near(vendor.mean(), tiff.mean(), kMaxDisagreement * (1 + 1e-9))) {
    mpp.doubt = fmt::format("{} says {:.4g} um/px and {} says {:.4g}", vendor.source, vendor.mean(),
                            tiff.source, tiff.mean());
    return mpp;
  }
  const Statement* taken = vendor.stands() ? &vendor : tiff.stands() ? &tiff : nullptr;
  if (taken) {
    mpp.x = taken->x;
    mpp.y = taken->y;
    mpp.source = taken->source;
    if (!vendor.doubt.empty()) {
      mpp.doubt = vendor.doubt;
      warn(fmt::format("not believed: {}; {} says {:.4g} um/px and is taken", vendor.doubt,
                       taken->source, taken->mean()));
    }
    return mpp;
  }
  mpp.doubt = vendor.doubt.empty() ? tiff.doubt : vendor.doubt;
  const bool silent = !vendor.made() && (!tiff.made() || tiff.mean() > kCoarsestMpp);
  if (silent && power > 0) {
    mpp.x = mpp.y = kProduct / power;
    mpp.source = "objective power";
    warn(
        fmt::format("the scale is only known from the objective: {:g}x is taken as {:.4g} um/px, "
                    "which can be wrong by a third (--mpp-override sets it)",
                    power, mpp.x));
  }
  return mpp;
}

}  // namespace eosin::tiling
