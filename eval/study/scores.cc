// SPDX-License-Identifier: Apache-2.0
#include "eval/study/scores.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/stats/summary.h"

namespace eosin::eval {
namespace {

constexpr int64_t kBlocks = 20;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

core::BootstrapOptions Bootstrap(int64_t draws, uint64_t seed) {
  core::BootstrapOptions options;
  options.draws = static_cast<int>(draws);
  options.seed = seed;
  return options;
}

core::Interval Percent(core::Interval share) {
  return {100 * share.estimate, 100 * share.low, 100 * share.high};
}

}  // namespace

Grouping MakeGrouping(const std::vector<std::string>& groups) {
  std::map<std::string, int64_t> ids;
  for (const std::string& group : groups) ids.emplace(group, 0);
  int64_t next = 0;
  for (auto& [name, id] : ids) id = next++;
  Grouping grouping;
  grouping.sizes.assign(ids.size(), 0);
  for (const std::string& group : groups) {
    grouping.group.push_back(ids[group]);
    grouping.sizes[static_cast<size_t>(grouping.group.back())] += 1;
  }
  return grouping;
}

std::vector<double> GroupShares(const std::vector<int64_t>& predicted,
                                const std::vector<int64_t>& labels, const Grouping& grouping) {
  if (predicted.size() != labels.size() || labels.size() != grouping.group.size()) {
    throw core::DataError("predictions, labels and groups differ in number",
                          "score the images that were predicted");
  }
  std::vector<double> right(grouping.sizes.size());
  for (size_t i = 0; i < labels.size(); ++i) {
    right[static_cast<size_t>(grouping.group[i])] += predicted[i] == labels[i];
  }
  for (size_t g = 0; g < right.size(); ++g) right[g] /= grouping.sizes[g];
  return right;
}

core::SeedPatientTable MeanTable(const std::vector<core::SeedPatientTable>& tables) {
  core::SeedPatientTable mean = tables.at(0);
  for (size_t t = 1; t < tables.size(); ++t) {
    for (size_t r = 0; r < mean.size(); ++r) {
      for (size_t c = 0; c < mean[r].size(); ++c) mean[r][c] += tables[t].at(r).at(c);
    }
  }
  for (auto& row : mean) {
    for (double& value : row) value /= static_cast<double>(tables.size());
  }
  return mean;
}

Measure AccuracyMeasure(const std::string& encoder, const std::string& name,
                        core::SeedPatientTable table, const Grouping& grouping, int64_t draws,
                        uint64_t seed) {
  Measure measure;
  measure.encoder = encoder;
  measure.name = name;
  measure.unit = "%";
  measure.value = Percent(core::CrossedBootstrap(table, grouping.sizes, Bootstrap(draws, seed)));
  measure.n = grouping.count();
  measure.n_of = "groups";
  measure.table = std::move(table);
  return measure;
}

core::Interval Difference(const Measure& a, const Measure& b, const Grouping& grouping,
                          int64_t draws, uint64_t seed) {
  core::SeedPatientTable left = a.table, right = b.table;
  const size_t rows = std::max(left.size(), right.size());
  const auto pairs = [&](size_t height) { return height == 1 || height == rows; };
  if (left.empty() || right.empty() || !pairs(left.size()) || !pairs(right.size())) {
    throw core::DataError("two scores have repetitions that do not pair",
                          "compare scores of one protocol");
  }
  for (core::SeedPatientTable* table : {&left, &right}) {
    table->resize(rows, std::vector<double>(table->front()));
  }
  return Percent(core::PairedDifference(left, right, grouping.sizes, Bootstrap(draws, seed)));
}

core::Interval Jackknife(const Grouping& grouping, uint64_t seed, int64_t* blocks,
                         const std::function<double(const std::vector<int64_t>&)>& value) {
  std::vector<int64_t> all(grouping.group.size());
  std::iota(all.begin(), all.end(), 0);
  core::Interval result{value(all), kNan, kNan};
  const int64_t count = std::min(kBlocks, grouping.count());
  if (blocks) *blocks = count;
  if (count < 3 || !std::isfinite(result.estimate)) return result;

  std::vector<int64_t> order(static_cast<size_t>(grouping.count()));
  std::iota(order.begin(), order.end(), 0);
  core::Shuffle(order, core::PhiloxStream(seed, core::DrawPurpose::kBootstrap, 0, 1));
  std::vector<int64_t> block_of(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    block_of[static_cast<size_t>(order[i])] = static_cast<int64_t>(i) % count;
  }
  std::vector<double> values;
  for (int64_t block = 0; block < count; ++block) {
    std::vector<int64_t> kept;
    for (const int64_t i : all) {
      const int64_t group = grouping.group[static_cast<size_t>(i)];
      if (block_of[static_cast<size_t>(group)] != block) kept.push_back(i);
    }
    values.push_back(value(kept));
    if (!std::isfinite(values.back())) return result;
  }
  const double n = static_cast<double>(count);
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double square = 0;
  for (const double v : values) square += (v - mean) * (v - mean);
  const double margin = core::StudentQuantile(0.975, n - 1) * std::sqrt((n - 1) / n * square);
  result.low = result.estimate - margin;
  result.high = result.estimate + margin;
  return result;
}

}  // namespace eosin::eval
