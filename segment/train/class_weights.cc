// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <sstream>

#include "core/base/error.h"
#include "segment/train/loss_options.h"

namespace eosin::segment {
namespace {

std::vector<double> ParseNumbers(const std::string& rule, size_t classes) {
  std::vector<double> numbers;
  std::istringstream text(rule);
  bool good = true;
  for (std::string word; std::getline(text, word, ',');) {
    size_t end = 0;
    double value = -1;
    try {
      value = std::stod(word, &end);
    } catch (const std::exception&) {
      good = false;
    }
    good = good && word.find_first_not_of(" ", end) == word.npos && std::isfinite(value);
    good = good && value >= 0;
    numbers.push_back(value);
  }
  good = good && std::any_of(numbers.begin(), numbers.end(), [](double v) { return v > 0; });
  if (!good || numbers.size() != classes) {
    throw core::ConfigError(
        fmt::format("train.class_weights = \"{}\" is no rule and no list of {} weights", rule,
                    classes),
        fmt::format("use none, inverse, sqrt, or {} numbers of at least 0 with commas between, in "
                    "the order of mask.classes",
                    classes));
  }
  return numbers;
}

}  // namespace

std::vector<double> ClassWeights(const std::string& rule, const std::vector<int64_t>& pixels) {
  if (rule == "none") return {};
  if (rule != "inverse" && rule != "sqrt") return ParseNumbers(rule, pixels.size());
  double all = 0, present = 0;
  for (const int64_t count : pixels) {
    all += static_cast<double>(count);
    present += count > 0;
  }
  std::vector<double> weights;
  for (const int64_t count : pixels) {
    const double weight = count > 0 ? all / (present * static_cast<double>(count)) : 0.0;
    weights.push_back(rule == "sqrt" ? std::sqrt(weight) : weight);
  }
  return weights;
}

}  // namespace eosin::segment
