// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/report.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/error.h"
#include "core/base/words.h"
#include "core/image/codec.h"
#include "core/image/resample.h"
#include "core/report/html.h"
#include "core/report/svg.h"
#include "core/store/tile_store.h"

namespace eosin::tiling {
namespace {

namespace fs = std::filesystem;
using core::HtmlPage;
using core::Verdict;

constexpr int64_t kPageBytes = 12'000'000;  // pictures beyond it lie beside the stores
constexpr int kThumbnailSide = 360, kThumbnailQuality = 75;
constexpr int kGridSide = 760;  // CSS pixels
constexpr int kBins = 10;

std::string Share(double share) { return share < 0 ? "n/a" : fmt::format("{:.1f} %", 100 * share); }

std::string Duration(double seconds) {
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  if (seconds < 3600) return fmt::format("{:.1f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

std::string ReasonWords(int reason) {
  const auto r = static_cast<Rejection>(reason);
  return r == Rejection::kTissue ? "little tissue" : RejectionName(r);
}

bool HasStore(const SlideResult& result) {
  return result.status == "done" || result.status == "skipped";
}

// "120 little tissue, 3 pen"; empty for none.
std::string Rejected(const SlideResult& result) {
  std::string text;
  for (int i = 0; i < kRejections; ++i) {
    const int64_t count = result.rejected[static_cast<size_t>(i)];
    if (count == 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", core::Grouped(count), ReasonWords(i));
  }
  return text;
}

std::string Mpp(const SlideResult& result) {
  if (!(result.mpp > 0)) return "unknown";
  const std::string scale = fmt::format("{:.4g} um/px", result.mpp);
  return result.mpp_source.empty() ? scale : scale + " (" + result.mpp_source + ")";
}

// "3 tiff, 1 openslide 4.0.1", most frequent first.
std::string Counts(const std::vector<SlideResult>& results,
                   const std::string SlideResult::* field) {
  std::map<std::string, int64_t> counts;
  for (const SlideResult& result : results) {
    if (!(result.*field).empty()) ++counts[result.*field];
  }
  std::vector<std::pair<std::string, int64_t>> order(counts.begin(), counts.end());
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  for (const auto& [value, count] : order) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", core::Grouped(count), value);
  }
  return text.empty() ? "none" : text;
}

void AddFailures(const std::vector<SlideResult>& results, HtmlPage* page) {
  std::vector<std::vector<std::string>> rows;
  for (const SlideResult& result : results) {
    if (result.status == "failed") {
      rows.push_back({result.slide.filename().string(), result.reason, result.hint});
    }
  }
  if (rows.empty()) return;
  page->AddHeading("Failed slides");
  page->AddCallout(Verdict::kBad,
                   fmt::format("{} of {} slides failed", rows.size(), results.size()),
                   "`failed.csv` lists them: give it to `eosin tile --list` once the reasons below "
                   "are dealt with.");
  page->AddTable({"slide", "reason", "what to do"}, rows);
}

void AddSummary(const std::vector<SlideResult>& results, HtmlPage* page) {
  SlideResult sum;
  std::map<std::string, int64_t> status;
  int64_t warned = 0;
  for (const SlideResult& result : results) {
    ++status[result.status];
    warned += !result.warnings.empty();
    if (result.status == "failed") continue;
    sum.tiles += result.tiles;
    sum.bad += result.bad;
    sum.bytes += result.bytes;
    sum.seconds += result.seconds;
    for (size_t i = 0; i < sum.rejected.size(); ++i) sum.rejected[i] += result.rejected[i];
  }
  std::string slides;
  for (const char* word : {"done", "skipped", "planned", "failed"}) {
    if (status[word] == 0) continue;
    slides += fmt::format("{}{} {}", slides.empty() ? "" : ", ", core::Grouped(status[word]), word);
  }
  page->AddHeading("Summary");
  page->AddFacts({{"slides", slides.empty() ? "none" : slides},
                  {"tiles", core::Grouped(sum.tiles)},
                  {"tiles that could not be read", core::Grouped(sum.bad)},
                  {"places of the grid left out", Rejected(sum).empty() ? "none" : Rejected(sum)},
                  {"bytes of the stores", core::ByteWords(sum.bytes)},
                  {"time, summed over slides", Duration(sum.seconds)},
                  {"scale of the slides came from", Counts(results, &SlideResult::mpp_source)},
                  {"readers", Counts(results, &SlideResult::reader)},
                  {"tiles were made by", Counts(results, &SlideResult::mode)},
                  {"slides with warnings", core::Grouped(warned)}});

  core::BarChart chart{.y_title = "places of the grid", .width = 760, .height = 300};
  core::BarSeries bars{.name = ""};
  const auto add = [&](const std::string& name, int64_t count) {
    if (count == 0) return;
    chart.categories.push_back(name);
    bars.values.push_back(static_cast<double>(count));
  };
  add("kept", sum.tiles - sum.bad);
  add("unreadable", sum.bad);
  for (int i = 0; i < kRejections; ++i) add(ReasonWords(i), sum.rejected[static_cast<size_t>(i)]);
  chart.series = {bars};
  if (!chart.categories.empty()) {
    page->AddFigure(chart.Svg(), "What became of the places of the grid, over all slides.");
  }
}

void AddTable(const std::vector<SlideResult>& results, HtmlPage* page) {
  page->AddHeading("All slides");
  std::vector<std::vector<std::string>> rows;
  for (const SlideResult& result : results) {
    rows.push_back({result.stem, result.status, core::Grouped(result.tiles),
                    core::Grouped(result.bad), Rejected(result), Share(result.tissue_share),
                    core::ByteWords(result.bytes), Mpp(result), result.reader,
                    std::to_string(result.warnings.size())});
  }
  page->AddTable({"slide", "status", "tiles", "unreadable", "left out", "tissue", "store", "scale",
                  "reader", "warnings"},
                 rows);
}

// Shares, in per cent, of values in kBins equal parts of 0 to 1; NaN and bad tiles do not count.
std::vector<double> Histogram(const std::vector<float>& values) {
  std::vector<double> shares(kBins, 0);
  double count = 0;
  for (const float v : values) {
    if (!std::isfinite(v)) continue;
    const int bin = std::clamp(static_cast<int>(v * kBins), 0, kBins - 1);
    shares[static_cast<size_t>(bin)] += 1;
    ++count;
  }
  for (double& share : shares) share = count > 0 ? 100 * share / count : core::kNoValue;
  return shares;
}

core::BarChart ScoreChart() {
  core::BarChart chart{.y_title = "% of tiles", .width = 760, .height = 260};
  for (int i = 0; i < kBins; ++i) {
    chart.categories.push_back(fmt::format("{:.1f}-{:.1f}", 0.1 * i, 0.1 * (i + 1)));
  }
  return chart;
}

// Smaller than in the store: the drawing below it shows the same at full size.
core::Bytes SmallThumbnail(const core::Bytes& jpeg, const std::string& source) {
  const core::Image image = core::DecodeRgb(jpeg, source);
  return core::EncodeJpeg(core::Thumbnail(image, kThumbnailSide), kThumbnailQuality);
}

void AddStore(const core::TileStoreReader& store, HtmlPage* page) {
  const std::string source = store.path().filename().string();
  const auto names = store.preview_names();
  const auto has = [&](const char* name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (has("thumbnail")) {
    page->AddImage(SmallThumbnail(store.ReadPreview("thumbnail"), source), "The slide.");
  }
  if (has("grid")) {
    const core::Bytes grid = store.ReadPreview("grid");
    int width = 0, height = 0;
    core::ImageSize(grid, source, &width, &height);
    page->AddImage(grid, "Tissue in green; kept tiles in blue, others in the colour of the reason.",
                   std::max(1, kGridSide * width / std::max(width, height)));
  }
  std::vector<float> tissue;
  for (int64_t i = 0; i < store.size(); ++i) {
    tissue.push_back(store.status(i) == core::TileStatus::kBad ? core::kNoValue : store.tissue(i));
  }
  core::BarChart chart = ScoreChart();
  chart.series = {{.name = "", .values = Histogram(tissue)}};
  page->AddFigure(chart.Svg(), "Tissue share of the tiles.");
  const auto scores = store.quality_names();
  if (!scores.empty()) {
    core::BarChart quality = ScoreChart();
    for (const std::string& name : scores) {
      std::vector<float> values = store.ReadQuality(name);
      for (int64_t i = 0; i < store.size(); ++i) {
        if (store.status(i) == core::TileStatus::kBad)
          values[static_cast<size_t>(i)] = core::kNoValue;
      }
      quality.series.push_back({.name = name, .values = Histogram(values)});
    }
    page->AddFigure(quality.Svg(), "Quality scores of the tiles.");
  }
  const auto settings = nlohmann::json::parse(store.info().settings, nullptr, false);
  page->AddDetails("settings", settings.is_discarded() ? store.info().settings : settings.dump(2));
}

void AddSlide(const SlideResult& result, const fs::path& out, HtmlPage* page) {
  page->AddHeading(result.stem, 3);
  std::vector<std::pair<std::string, std::string>> facts = {
      {"file", result.slide.filename().string()},
      {"plan", result.plan},
      {"scale", Mpp(result)},
      {"reader", result.reader},
      {"tiles",
       core::Grouped(result.tiles) +
           (result.bad > 0 ? fmt::format(", {} of them unreadable", core::Grouped(result.bad))
                           : std::string())},
      {"left out", Rejected(result)},
      {"tissue", Share(result.tissue_share) + " of the scanned area"},
      {"store", core::ByteWords(result.bytes)},
      {"remark", result.reason}};
  if (result.tissue_share < 0) facts[6].second.clear();
  std::erase_if(facts, [](const auto& fact) { return fact.second.empty(); });
  page->AddFacts(facts);
  if (!result.warnings.empty()) {
    page->AddCallout(Verdict::kUnsure, "Warnings of the reader", "");
    page->AddList(result.warnings);
  }
  if (!HasStore(result)) return;
  const fs::path path = out / (result.stem + ".h5");
  if (!fs::exists(path)) {
    page->AddCallout(Verdict::kBad, "The store is missing",
                     "`" + path.filename().string() + "` is not in the folder of this report.");
    return;
  }
  try {
    AddStore(core::TileStoreReader(path), page);
  } catch (const core::Error& error) {
    page->AddCallout(Verdict::kBad, "The store cannot be read", error.what());
  }
}

}  // namespace

void WriteTilingReport(const std::vector<SlideResult>& results, const fs::path& out) {
  HtmlPage page("Tiling report",
                fmt::format("{} slides", core::Grouped(static_cast<int64_t>(results.size()))),
                kPageBytes);
  AddFailures(results, &page);
  AddSummary(results, &page);
  AddTable(results, &page);
  page.AddHeading("Slide by slide");
  int shown = 0, left_out = 0;
  for (const SlideResult& result : results) {
    if (result.status == "failed") continue;
    if (shown == kReportPictures) {
      ++left_out;
      continue;
    }
    AddSlide(result, out, &page);
    ++shown;
  }
  if (left_out > 0) {
    page.AddParagraph(
        fmt::format("{} further slides are in the table above; their pictures lie in "
                    "the stores and beside them (`<slide>.preview.jpg`).",
                    core::Grouped(left_out)));
  }
  page.Write(out / "report.html");
}

}  // namespace eosin::tiling
