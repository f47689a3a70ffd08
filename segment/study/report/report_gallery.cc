// SPDX-License-Identifier: Apache-2.0
// Examples: image, truth and every arm's prediction, worst, median and best.
#include <algorithm>
#include <filesystem>
#include <set>

#include "core/image/codec.h"
#include "core/stats/summary.h"
#include "segment/data/contours.h"
#include "segment/study/report/report_parts.h"

namespace eosin::segment {
namespace {

namespace fs = std::filesystem;
using eval::Metric;

fs::path PredictionPath(const ReportInput& in, size_t job, int64_t index) {
  return in.folder / "runs" / in.plan.jobs[job].name / "predictions" /
         (in.data.item(index).name + ".png");
}

core::PictureBytes Picture(const core::Image& image, const core::Image& mask, int background) {
  return core::EncodeJpeg(DrawContours(image, mask, std::max(0, background), 260), 85);
}

struct Candidate {
  int64_t index;
  double score;   // mean over the arms
  double spread;  // largest less smallest
};

const eval::ImageScores* CountsOf(const SegmentResult& result, const std::string& name) {
  const auto found = std::find_if(result.test.begin(), result.test.end(),
                                  [&](const auto& image) { return image.name == name; });
  return found == result.test.end() ? nullptr : &*found;
}

// Test images of the first fold whose predictions every job has kept.
std::vector<Candidate> FindCandidates(const ReportInput& in, const std::vector<size_t>& jobs,
                                      int background) {
  std::vector<Candidate> candidates;
  for (const int64_t index : in.plan.splits.front().test) {
    std::vector<double> scores;
    for (const size_t job : jobs) {
      const auto* counts = CountsOf(*in.results[job], in.data.item(index).name);
      if (!counts || !fs::exists(PredictionPath(in, job, index))) break;
      scores.push_back(counts->counts.MeanScore(Metric::kDice, background));
    }
    const double mean = core::Mean(scores);
    if (scores.size() < jobs.size() || std::isnan(mean)) continue;
    const auto [low, high] = std::minmax_element(scores.begin(), scores.end());
    candidates.push_back({index, mean, *high - *low});
  }
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.score < b.score; });
  return candidates;
}

}  // namespace

void AddGallery(const ReportInput& in, core::HtmlPage* page) {
  const int background = static_cast<int>(in.options.segment.data.background);
  std::vector<size_t> jobs;
  for (size_t i = 0; i < in.plan.jobs.size(); ++i) {
    const Job& job = in.plan.jobs[i];
    if (job.role == JobRole::kMain && job.level == in.primary.level && job.seed == 0 &&
        job.fold == 0 && !job.arm.control() && in.results[i]) {
      jobs.push_back(i);
    }
  }
  if (jobs.empty()) return;
  const std::vector<Candidate> candidates = FindCandidates(in, jobs, background);
  if (candidates.empty()) return;
  page->AddHeading("Examples");
  std::vector<std::string> labels = {"image", "truth"};
  for (const size_t job : jobs) labels.push_back(in.plan.jobs[job].arm.label);
  std::vector<core::GalleryRow> rows;
  const auto apart = static_cast<size_t>(
      std::max_element(candidates.begin(), candidates.end(),
                       [](const Candidate& a, const Candidate& b) { return a.spread < b.spread; }) -
      candidates.begin());
  for (const size_t pick :
       std::set<size_t>{0, candidates.size() / 2, candidates.size() - 1, apart}) {
    const int64_t index = candidates[pick].index;
    const auto pair = in.data.Read(index);
    const std::string rank = pick == 0                       ? "worst"
                             : pick + 1 == candidates.size() ? "best"
                             : pick == apart                 ? "arms furthest apart"
                                                             : "median";
    core::GalleryRow row{fmt::format("{} ({})", in.data.item(index).name, rank), {}};
    const core::Image empty(pair->mask.width, pair->mask.height, 1,
                            static_cast<uint8_t>(std::max(0, background)));
    row.images.push_back(
        {Picture(pair->image, empty, background), "patient " + in.data.item(index).patient});
    row.images.push_back({Picture(pair->image, pair->mask, background), ""});
    for (const size_t job : jobs) {
      const core::Image prediction = core::ReadMask(PredictionPath(in, job, index));
      const auto* counts = CountsOf(*in.results[job], in.data.item(index).name);
      row.images.push_back({Picture(pair->image, prediction, background),
                            fmt::format("Dice {}", ReportNumber(counts->counts.MeanScore(
                                                       Metric::kDice, background)))});
    }
    rows.push_back(std::move(row));
  }
  page->AddGallery(labels, rows,
                   fmt::format("{}, seed 0; ranked by the arms' mean Dice among the {} test images "
                               "whose predictions were kept",
                               in.primary.level.Label(), candidates.size()));
}

}  // namespace eosin::segment
