// SPDX-License-Identifier: Apache-2.0
// Inside of report.cc: what its parts share.
#pragma once

#include <cmath>
#include <string>

#include <fmt/format.h>

#include "segment/study/report/report.h"

namespace eosin::segment {

struct ReportInput {
  const StudyOptions& options;
  const MaskDataset& data;
  const StudyPlan& plan;
  const Results& results;
  const Analysis& analysis;
  const ReportExtras& extras;
  const std::filesystem::path folder;
  const PrimaryComparison primary;

  // Arms that run, the control left out.
  std::vector<const Arm*> RunningArms() const {
    std::vector<const Arm*> arms;
    for (const Arm& arm : plan.arms) {
      if (arm.skipped.empty() && !arm.control()) arms.push_back(&arm);
    }
    return arms;
  }
  int ColorOf(const std::string& name) const {
    for (size_t i = 0; i < plan.arms.size(); ++i) {
      if (plan.arms[i].name == name) return static_cast<int>(i);
    }
    return 0;
  }
  const Cell* CellOf(const std::string& arm, const LabelLevel& level) const {
    for (const Cell& cell : analysis.cells) {
      if (cell.arm == arm && cell.level == level) return &cell;
    }
    return nullptr;
  }
};

inline std::string ReportNumber(double value, const char* format = "{:.3f}") {
  if (std::isnan(value)) return "n/a";
  if (std::isinf(value)) return "never";
  return fmt::format(fmt::runtime(format), value);
}

// report_cards.cc
void AddSureness(const ReportInput& in, core::HtmlPage* page);  // noise floor, A/A, power
void AddTransfer(const ReportInput& in, core::HtmlPage* page);
void AddDrift(const ReportInput& in, core::HtmlPage* page);
void AddTuning(const ReportInput& in, core::HtmlPage* page);
void AddSplitCard(const ReportInput& in, core::HtmlPage* page);
// report_gallery.cc
void AddGallery(const ReportInput& in, core::HtmlPage* page);

}  // namespace eosin::segment
