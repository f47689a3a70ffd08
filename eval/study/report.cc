// SPDX-License-Identifier: Apache-2.0
#include "eval/study/report.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/formats/csv.h"
#include "core/report/html.h"
#include "core/report/svg.h"

namespace eosin::eval {
namespace {

std::string Number(double value) { return std::isfinite(value) ? fmt::format("{}", value) : ""; }

std::string Shown(double value, const std::string& unit) {
  if (!std::isfinite(value)) return "n/a";
  return unit == "%" ? fmt::format("{:.1f}", value) : fmt::format("{:.3g}", value);
}

std::string Cell(const Measure& measure) {
  std::string text = Shown(measure.value.estimate, measure.unit);
  if (std::isfinite(measure.value.low)) {
    text += fmt::format(" [{}, {}]", Shown(measure.value.low, measure.unit),
                        Shown(measure.value.high, measure.unit));
  } else if (!measure.table.empty()) {
    text += " [-]";  // an accuracy of one group
  }
  return text;
}

// One row an encoder, one column a measure.
void AddScores(core::HtmlPage& page, const EvalResult& result, bool percent,
               const std::string& caption) {
  std::vector<std::string> names;
  for (const Measure& m : result.measures) {
    if ((m.unit == "%") != percent || m.name.find("stain") != std::string::npos) continue;
    if (std::find(names.begin(), names.end(), m.name) == names.end()) names.push_back(m.name);
  }
  if (names.empty()) return;
  std::vector<std::string> headers = {"encoder"};
  headers.insert(headers.end(), names.begin(), names.end());
  std::vector<std::vector<std::string>> rows;
  for (const std::string& subject : result.subjects) {
    std::vector<std::string> row = {subject};
    bool any = false;
    for (const std::string& name : names) {
      const Measure* measure = result.Find(subject, name);
      row.push_back(measure ? Cell(*measure) : "-");
      any = any || measure;
    }
    if (any) rows.push_back(std::move(row));
  }
  page.AddTable(headers, rows, {.caption = caption});
}

void AddBars(core::HtmlPage& page, const EvalResult& result) {
  core::BarChart chart;
  chart.title = "Accuracy on the test set";
  chart.y_title = "%";
  chart.y_min = 0;
  chart.y_max = 100;
  std::vector<std::string> names;
  for (const Measure& m : result.measures) {
    if (m.table.empty() || m.name.find("stain") != std::string::npos) continue;
    if (std::find(names.begin(), names.end(), m.name) == names.end()) names.push_back(m.name);
  }
  chart.categories = names;
  for (const std::string& subject : result.subjects) {
    core::BarSeries series{subject};
    for (const std::string& name : names) {
      const Measure* m = result.Find(subject, name);
      series.values.push_back(m ? m->value.estimate : core::kNoValue);
      series.low.push_back(m ? m->value.low : core::kNoValue);
      series.high.push_back(m ? m->value.high : core::kNoValue);
    }
    chart.series.push_back(std::move(series));
  }
  page.AddFigure(chart.Svg(), "With 95 % intervals over groups.");
}

void AddComparisons(core::HtmlPage& page, const EvalResult& result) {
  if (result.comparisons.empty()) return;
  page.AddHeading("Differences");
  core::ForestPlot plot;
  plot.title = "Paired differences over the same test groups";
  plot.x_title = "points";
  plot.decimals = 1;
  for (const Comparison& c : result.comparisons) {
    plot.rows.push_back({fmt::format("{} - {}: {}", c.a, c.b, c.measure), c.difference.estimate,
                         c.difference.low, c.difference.high, "", c.measure == "linear probe"});
  }
  page.AddFigure(
      plot.Svg(),
      "An interval that reaches over 0 shows no difference. Intervals are not adjusted "
      "for the number of comparisons; the linear probe (diamond) is the headline." +
          (result.can_show()
               ? ""
               : fmt::format(" Over fewer than {} groups no interval shows one.", kGroupsToShow)));
}

void AddTransfer(core::HtmlPage& page, const EvalResult& result) {
  if (result.transfer.empty()) return;
  page.AddHeading("Fine-tune and speed of transfer");
  core::LineChart chart;
  chart.x_title = "epoch";
  chart.y_title = "test accuracy, %";
  chart.markers = true;
  std::vector<std::vector<std::string>> rows;
  for (const TransferCurve& curve : result.transfer) {
    core::Series series;
    series.name = curve.encoder;
    for (size_t e = 0; e < curve.result.test_accuracy.size(); ++e) {
      series.x.push_back(static_cast<double>(e + 1));
      series.y.push_back(100 * curve.result.test_accuracy[e]);
    }
    chart.series.push_back(std::move(series));
    const auto& accuracy = curve.result.test_accuracy;
    rows.push_back(
        {curve.encoder, fmt::format("{:.1f}", 100 * accuracy.back()),
         curve.epochs_to_reach > 0 ? std::to_string(curve.epochs_to_reach) : "never",
         fmt::format("{:.1f}", 100 * curve.area),
         fmt::format("{:.1f}", 100 * *std::max_element(accuracy.begin(), accuracy.end()))});
  }
  page.AddFigure(chart.Svg(), "All weights trained; random init is seed 0.");
  page.AddTable({"encoder", "last epoch, %", "epochs to the level", "area under the curve, %",
                 "best epoch, % (chosen on test: optimistic)"},
                rows,
                {.caption = "The score is the last epoch's. The level is finetune.reach times the "
                            "best final accuracy."});
}

void AddShifts(core::HtmlPage& page, const EvalResult& result) {
  if (result.shifts.empty()) return;
  page.AddHeading("Under stain shift");
  page.AddParagraph(
      "The same test images with haematoxylin (H) and eosin (E) scaled and shifted in optical "
      "density, classified by what was learnt from unshifted training images. Meaningful for H&E "
      "tissue alone. Random init is seed 0.");
  std::vector<std::vector<std::string>> rows;
  for (const ShiftResult& shift : result.shifts) {
    std::vector<std::string> row = {shift.encoder, fmt::format("{:.1f}", shift.shifts[0].knn),
                                    fmt::format("{:.1f}", shift.shifts[0].linear)};
    for (const Measure& measure : shift.measures) row.push_back(Cell(measure));
    rows.push_back(std::move(row));
  }
  page.AddTable({"encoder", "kNN as it is", "linear as it is", "kNN mean", "kNN worst",
                 "linear mean", "linear worst", "cosine mean", "cosine worst"},
                rows, {.caption = "Accuracy in %, on the same drawn test images."});
  std::vector<std::string> headers = {"shift"};
  for (const ShiftResult& shift : result.shifts) {
    headers.push_back(shift.encoder + ", kNN");
    headers.push_back("linear");
    headers.push_back("cosine");
  }
  rows.clear();
  for (size_t i = 0; i < result.shifts[0].shifts.size(); ++i) {
    std::vector<std::string> row = {result.shifts[0].shifts[i].shift};
    for (const ShiftResult& shift : result.shifts) {
      row.push_back(fmt::format("{:.1f}", shift.shifts[i].knn));
      row.push_back(fmt::format("{:.1f}", shift.shifts[i].linear));
      row.push_back(fmt::format("{:.3f}", shift.shifts[i].cosine));
    }
    rows.push_back(std::move(row));
  }
  page.AddTable(headers, rows, {.caption = "Each shift."});
}

void AddDrift(core::HtmlPage& page, const EvalResult& result) {
  if (result.drift.empty()) return;
  page.AddHeading("How far encoders are apart");
  std::vector<std::vector<std::string>> rows;
  for (const DriftRow& d : result.drift) {
    std::string stages;
    for (size_t s = 0; s < d.stages.size(); ++s) {
      stages += fmt::format("{}{} {:.2f}", s == 0 ? "" : ", ", d.stages[s], d.weight_change[s]);
    }
    rows.push_back({d.a + " to " + d.b, Shown(d.cka, ""), Shown(d.cosine, ""),
                    Shown(d.centroid_cosine, ""), Shown(d.centroid_distance, ""),
                    Shown(d.centroid_geometry, ""), stages.empty() ? "-" : stages});
  }
  page.AddTable({"pair", "CKA", "feature cosine", "centroid cosine", "centroid distance",
                 "centroid geometry", "weights, relative change a stage"},
                rows,
                {.caption = "CKA and centroid geometry compare arrangements; cosines compare "
                            "coordinates and say little between separate trainings."});
}

void AddPictures(core::HtmlPage& page, const EvalResult& result) {
  if (result.pictures.empty()) return;
  page.AddHeading("Pictures");
  page.AddParagraph(
      "Distances between clusters and their sizes mean little in t-SNE and UMAP: judge by the "
      "scores above.");
  for (const Picture& picture : result.pictures) {
    const std::string method = picture.method == "pca"    ? "PCA"
                               : picture.method == "tsne" ? "t-SNE"
                                                          : "UMAP";
    page.AddFigure(picture.svg,
                   fmt::format("**{}**, {}: {} test images; trustworthiness {:.3f}.",
                               picture.encoder, method, picture.points, picture.trustworthiness));
  }
}

}  // namespace

std::string ResultsCsv(const EvalResult& result) {
  std::string text =
      core::CsvRow({"encoder", "measure", "value", "low", "high", "unit", "n", "n_of", "note"});
  for (const Measure& m : result.measures) {
    text += core::CsvRow({m.encoder, m.name, Number(m.value.estimate), Number(m.value.low),
                          Number(m.value.high), m.unit, std::to_string(m.n), m.n_of, m.note});
  }
  for (const Comparison& c : result.comparisons) {
    text += core::CsvRow({c.a + " - " + c.b, c.measure, Number(c.difference.estimate),
                          Number(c.difference.low), Number(c.difference.high), "points",
                          std::to_string(result.test_groups), "groups", ""});
  }
  for (const TransferCurve& t : result.transfer) {
    auto add = [&](const std::string& name, const std::string& value, const std::string& unit) {
      text += core::CsvRow(
          {t.encoder, name, value, "", "", unit, std::to_string(result.test), "images", ""});
    };
    add("fine-tune, epochs to the level",
        t.epochs_to_reach > 0 ? std::to_string(t.epochs_to_reach) : "", "epochs");
    add("fine-tune, area under the curve", Number(100 * t.area), "%");
  }
  for (const DriftRow& d : result.drift) {
    const std::string pair = d.a + " to " + d.b;
    for (const auto& [name, value] :
         {std::pair{"CKA", d.cka}, std::pair{"feature cosine", d.cosine},
          std::pair{"centroid cosine", d.centroid_cosine},
          std::pair{"centroid distance", d.centroid_distance},
          std::pair{"centroid geometry", d.centroid_geometry}}) {
      text += core::CsvRow({pair, std::string("drift, ") + name, Number(value), "", "", "",
                            std::to_string(d.n), "images", ""});
    }
    for (size_t s = 0; s < d.stages.size(); ++s) {
      text += core::CsvRow({pair, "drift, weights of " + d.stages[s], Number(d.weight_change[s]),
                            "", "", "", "1", "encoders", ""});
    }
  }
  return text;
}

void WriteEvalReport(const EvalResult& result, const std::string& config_toml,
                     const std::filesystem::path& path) {
  core::HtmlPage page("Evaluation of encoders",
                      fmt::format("{} training, {} test images in {} groups, {} px", result.train,
                                  result.test, result.test_groups, result.size));
  const bool shown =
      result.can_show() &&
      std::any_of(result.comparisons.begin(), result.comparisons.end(),
                  [](const Comparison& c) { return c.measure == "linear probe" && c.better(); });
  std::string verdict;
  for (const std::string& sentence : result.verdict) {
    verdict += (verdict.empty() ? "" : " ") + sentence;
  }
  page.AddCallout(shown ? core::Verdict::kGood : core::Verdict::kUnsure, "What is shown", verdict);
  for (const std::string& warning : result.warnings) {
    page.AddCallout(core::Verdict::kUnsure, "Note", warning);
  }
  page.AddHeading("Scores");
  AddScores(page, result, true,
            "Accuracy in %, [95 % interval]: bootstrap over test groups, crossed with random seeds "
            "and few-shot draws.");
  AddBars(page, result);
  AddComparisons(page, result);
  AddTransfer(page, result);
  AddShifts(page, result);
  page.AddHeading("Geometry of the features");
  AddScores(
      page, result, false,
      "On test images. Silhouette, distances, k-means: cosine. Lower is better for Davies-Bouldin, "
      "intra / inter, uniformity and alignment (two SimCLR views). [95 % interval]: "
      "jackknife over blocks of groups. RankMe compares runs of one method only.");
  AddDrift(page, result);
  AddPictures(page, result);
  if (result.classes.size() <= 20) {
    page.AddHeading("Confusion of the linear probe");
    for (const auto& [encoder, counts] : result.confusion) {
      core::Heatmap map;
      map.title = encoder;
      map.row_title = "truth";
      map.column_title = "predicted";
      map.rows = map.columns = result.classes;
      map.values = counts;
      map.cell = 56;
      page.AddFigure(map.Svg(), "");
    }
  }
  page.AddHeading("How it was measured");
  page.AddDetails("Split", result.split);
  std::vector<std::vector<std::string>> rows;
  for (const EncoderFacts& e : result.encoders) {
    rows.push_back({e.name, e.source, e.architecture, e.normalization, fmt::format("{:g}", e.l2),
                    e.fingerprint.substr(0, 16)});
  }
  page.AddTable({"encoder", "weights", "architecture", "normalisation", "probe l2", "fingerprint"},
                rows,
                {.caption = "The backbones are frozen: each fingerprint (SHA-256 of all weights "
                            "and statistics) was the same before and after."});
  page.AddDetails("config.toml", config_toml);
  page.Write(path);
}

}  // namespace eosin::eval
