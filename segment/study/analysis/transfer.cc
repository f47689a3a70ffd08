// SPDX-License-Identifier: Apache-2.0
#include "segment/study/analysis/transfer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "core/stats/crossed.h"
#include "core/stats/summary.h"

namespace eosin::segment {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

using Results = std::vector<std::optional<SegmentResult>>;
using Curves = std::map<int64_t, std::vector<const SegmentResult*>>;  // by seed, one a fold

double Score(const CurvePoint& point) { return std::isnan(point.val_dice) ? 0 : point.val_dice; }

double Best(const std::vector<CurvePoint>& curve) {
  double best = 0;
  for (const CurvePoint& point : curve) best = std::max(best, Score(point));
  return best;
}

Curves CurvesOf(const StudyPlan& plan, const Results& results, const std::string& arm,
                const LabelLevel& level) {
  Curves curves;
  for (size_t i = 0; i < plan.jobs.size(); ++i) {
    const Job& job = plan.jobs[i];
    if (job.role != JobRole::kMain || job.arm.name != arm || job.level != level || !results[i]) {
      continue;
    }
    curves[job.seed].push_back(&*results[i]);  // folds come in order
  }
  std::erase_if(curves,
                [&](const auto& entry) { return entry.second.size() < plan.splits.size(); });
  return curves;
}

std::string ReferenceArm(const StudyOptions& options, const StudyPlan& plan) {
  std::string wanted = options.reference;
  for (const char* name : {"imagenet", "random"}) {
    for (const Arm& arm : plan.arms) {
      if (wanted.empty() && arm.name == name && arm.skipped.empty()) wanted = name;
    }
  }
  for (const Arm& arm : plan.arms) {
    if (arm.skipped.empty() && (wanted.empty() || arm.name == wanted)) return arm.name;
  }
  return "";
}

// Geometric mean over folds; never where one fold never reached it.
double StepsOf(const std::vector<const SegmentResult*>& own,
               const std::vector<const SegmentResult*>& reference) {
  double logs = 0;
  for (size_t fold = 0; fold < own.size(); ++fold) {
    const double target = kReach * Best(reference[fold]->curve);
    logs += std::log(StepsToReach(own[fold]->curve, target));
  }
  return std::exp(logs / static_cast<double>(own.size()));
}

double AreaOf(const std::vector<const SegmentResult*>& own) {
  std::vector<double> areas;
  for (const SegmentResult* result : own) areas.push_back(AreaOverLogSteps(result->curve));
  return core::Mean(areas);
}

TransferRow Measure(const Curves& own, const Curves& reference) {
  TransferRow row;
  std::vector<double> steps, log_ratios, areas, differences;
  for (const auto& [seed, curves] : own) {
    const auto base = reference.find(seed);
    if (base == reference.end()) continue;
    const double reached = StepsOf(curves, base->second);
    const double base_reached = StepsOf(base->second, base->second);
    steps.push_back(reached);
    row.reached += std::isfinite(reached);
    if (std::isfinite(reached) && std::isfinite(base_reached)) {
      log_ratios.push_back(std::log(reached / base_reached));
    }
    areas.push_back(AreaOf(curves));
    const double difference = areas.back() - AreaOf(base->second);
    if (!std::isnan(difference)) differences.push_back(difference);
  }
  row.seeds = static_cast<int>(steps.size());
  std::sort(steps.begin(), steps.end());
  const size_t n = steps.size();
  row.steps = n == 0 ? kNan : n % 2 ? steps[n / 2] : (steps[n / 2 - 1] + steps[n / 2]) / 2;
  row.ratio = {kNan, kNan, kNan};
  if (log_ratios.size() >= 2) {
    const core::Interval logs = core::StudentMean(log_ratios);
    row.ratio = {std::exp(logs.estimate), std::exp(logs.low), std::exp(logs.high)};
  }
  row.area = core::Mean(areas);
  row.area_difference = core::StudentMean(differences);
  return row;
}

}  // namespace

double StepsToReach(const std::vector<CurvePoint>& curve, double target) {
  for (size_t i = 0; i < curve.size(); ++i) {
    if (Score(curve[i]) < target) continue;
    const auto here = static_cast<double>(curve[i].step);
    if (i == 0) return here;
    const auto before = static_cast<double>(curve[i - 1].step);
    const double low = Score(curve[i - 1]);
    return before + (target - low) / (Score(curve[i]) - low) * (here - before);
  }
  return kNever;
}

double AreaOverLogSteps(const std::vector<CurvePoint>& curve) {
  if (curve.size() < 2) return kNan;
  double area = 0;
  for (size_t i = 1; i < curve.size(); ++i) {
    const double width = std::log(static_cast<double>(curve[i].step)) -
                         std::log(static_cast<double>(curve[i - 1].step));
    area += width * (Score(curve[i]) + Score(curve[i - 1])) / 2;
  }
  return area / (std::log(static_cast<double>(curve.back().step)) -
                 std::log(static_cast<double>(curve.front().step)));
}

std::vector<TransferRow> MeasureTransfer(const StudyOptions& options, const StudyPlan& plan,
                                         const Results& results) {
  std::vector<TransferRow> rows;
  const std::string reference = ReferenceArm(options, plan);
  for (const LabelLevel& level : plan.levels) {
    const Curves base = CurvesOf(plan, results, reference, level);
    for (const Arm& arm : plan.arms) {
      if (!arm.skipped.empty() || arm.control()) continue;
      TransferRow row = Measure(CurvesOf(plan, results, arm.name, level), base);
      if (row.seeds == 0) continue;
      row.arm = arm.name;
      row.reference = reference;
      row.level = level;
      row.epochs = row.steps * static_cast<double>(options.segment.batch) /
                   static_cast<double>(LabelledImages(plan, level));
      rows.push_back(row);
    }
  }
  return rows;
}

}  // namespace eosin::segment
