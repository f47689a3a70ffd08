// SPDX-License-Identifier: Apache-2.0
#include "pretrain/report.h"

#include <fmt/format.h>
#include <algorithm>
#include <cstdlib>
#include <optional>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/formats/csv.h"
#include "core/image/codec.h"
#include "core/report/html.h"
#include "core/report/svg.h"
#include "engine/augment/apply.h"
#include "engine/augment/view_sampler.h"

namespace eosin::pretrain {
namespace {

core::Series Column(const core::CsvTable& table, const std::string& column,
                    const std::string& name) {
  core::Series series;
  series.name = name;
  const int at = table.Column(column);
  if (at < 0) return series;
  for (const auto& row : table.rows) {
    const std::string& cell = row[static_cast<size_t>(at)];
    if (cell.empty()) continue;
    series.x.push_back(std::strtod(row[0].c_str(), nullptr));
    series.y.push_back(std::strtod(cell.c_str(), nullptr));
  }
  return series;
}

void AddCurve(core::HtmlPage& page, const std::string& y_title, std::vector<core::Series> series,
              const std::string& caption) {
  std::erase_if(series, [](const core::Series& s) { return s.x.empty(); });
  if (series.empty()) return;
  core::LineChart chart;
  chart.x_title = "step";
  chart.y_title = y_title;
  chart.series = std::move(series);
  page.AddFigure(chart.Svg(), caption);
}

core::Series Level(const core::Series& like, const std::string& name, double value) {
  core::Series series;
  series.name = name;
  series.dashed = true;
  if (!like.x.empty()) {
    series.x = {like.x.front(), like.x.back()};
    series.y = {value, value};
  }
  return series;
}

void AddLoss(core::HtmlPage& page, const core::CsvTable& table, const PretrainOptions& options,
             const ReportFacts& facts) {
  std::vector<core::Series> series = {Column(table, "loss", "step"),
                                      Column(table, "epoch_loss", "epoch mean")};
  std::string caption = "The loss of the steps that write a row, and the mean of each epoch.";
  if (facts.contrast.temperature > 0 && options.local_count == 0) {
    const ContrastLevels levels =
        LevelsOf(options.batch, facts.contrast.temperature, facts.contrast.scale);
    series.push_back(Level(series[0], "guessing", levels.chance));
    series.push_back(Level(series[0], "negatives at right angles", levels.orthogonal));
    caption += fmt::format(
        " Guessing gives {:.3f}; perfect positives among negatives at right angles give {:.3f} at "
        "this batch and temperature: a plateau between the two is no fault.",
        levels.chance, levels.orthogonal);
  }
  AddCurve(page, "loss", std::move(series), caption);
}

void AddFindings(core::HtmlPage& page, const ReportFacts& facts) {
  if (facts.findings.empty()) {
    page.AddCallout(core::Verdict::kGood, "The monitor found nothing wrong",
                    "It watches for collapse, a rate that diverges, equal views, lost negatives, "
                    "leaks through BatchNorm, a dead target and a starving loader.");
  }
  for (const Finding& finding : facts.findings) {
    page.AddCallout(core::Verdict::kBad, fmt::format("Step {}", finding.step), finding.text);
  }
  if (facts.bad_images > 0) {
    page.AddCallout(core::Verdict::kUnsure, "Damaged images",
                    fmt::format("{} times an image that does not decode was replaced by another "
                                "one; `log.txt` names them.",
                                facts.bad_images));
  }
}

// An image and the two views that the first epoch made of it.
void AddViews(core::HtmlPage& page, const PretrainOptions& options,
              const engine::ImageSource& source) {
  const int64_t count = std::min<int64_t>(6, source.size());
  engine::ViewScratch scratch;
  std::vector<engine::ViewSampler> samplers;
  for (const engine::ViewRecipe& recipe : options.Views()) samplers.emplace_back(recipe);
  std::vector<std::string> columns = {"image", "view a", "view b"};
  while (columns.size() < samplers.size() + 1) columns.push_back("local crop");
  std::vector<core::GalleryRow> rows;
  for (int64_t n = 0; n < count; ++n) {
    const int64_t i = n * source.size() / count;
    core::GalleryRow row;
    row.label = source.name(i);
    core::Image image;
    try {
      image = source.Read(i);
    } catch (const core::Error&) {
      continue;  // the loader has named it in the log
    }
    auto add = [&](const engine::ViewParams& params, int64_t size) {
      const int side = static_cast<int>(size);
      core::Image view(side, side, 3);
      engine::ApplyView(image, params, side, view.pixels.data(), scratch);
      row.images.push_back({core::EncodeJpeg(view, 85), ""});
    };
    add(engine::CentreView(image.width, image.height), options.size);
    const std::optional<core::StainRow> stored = source.stain(i);
    engine::StainFacts facts(image, stored ? &*stored : nullptr);
    for (size_t v = 0; v < samplers.size(); ++v) {
      const core::PhiloxStream stream(options.seed(), core::DrawPurpose::kView, 0,
                                      static_cast<uint32_t>(i), static_cast<uint32_t>(v));
      add(samplers[v].Draw(stream, image.width, image.height, &facts), samplers[v].recipe().size);
    }
    rows.push_back(std::move(row));
  }
  page.AddGallery(columns, rows, "What the network is asked to recognise as the same tissue.");
}

}  // namespace

void WriteReport(const PretrainOptions& options, const engine::ImageSource& source,
                 const std::filesystem::path& run, const ReportFacts& facts) {
  const core::CsvTable table = core::ReadCsv(run / "metrics.csv");
  core::HtmlPage page(
      "Pretraining: " + options.method + ", " + options.arch,
      fmt::format("{} images, {} px, batch {}, {} epochs", source.size(), options.size,
                  options.batch * options.accumulate, options.epochs));
  page.AddHeading("Health");
  AddFindings(page, facts);
  page.AddHeading("Curves");
  AddLoss(page, table, options, facts);
  AddCurve(
      page, "share",
      {Column(table, "knn_top1", "kNN accuracy"),
       Column(table, "pair_top1", "own other view is nearest")},
      "kNN accuracy on held-out slides or patients of the pretraining data (with labels only), "
      "and how often an image's other view is its nearest neighbour in the batch.");
  AddCurve(page, "spread",
           {Column(table, "feature_spread", "embedding"),
            Column(table, "feature_std", "encoder's features")},
           "Standard deviation of the channels against 1/sqrt(dimensions): near 1 is spread over "
           "the sphere, near 0 is collapse.");
  AddCurve(page, "RankMe", {Column(table, "rank_me", "RankMe")},
           "Effective rank of the encoder's features. Compare runs of one method only.");
  AddCurve(page, "",
           {Column(table, "alignment", "alignment"), Column(table, "uniformity", "uniformity")},
           "Alignment: squared distance of an image's two views, 0 is best. Uniformity: the lower, "
           "the more evenly the embedding fills its sphere.");
  std::vector<core::Series> gradients;
  for (const std::string& column : table.header) {
    if (column.rfind("grad_", 0) == 0) {
      gradients.push_back(Column(table, column, column == "grad_norm" ? "all" : column.substr(5)));
    }
  }
  AddCurve(page, "gradient norm", std::move(gradients), "Gradients, all and part by part.");
  AddCurve(page, "learning rate", {Column(table, "lr", "learning rate")}, "Schedule.");
  AddCurve(page, "share", {Column(table, "update_share", "step over weights")},
           "Length of an optimiser step over the length of the weights.");
  AddCurve(page, "images/s", {Column(table, "images_per_second", "images/s")},
           "Throughput, source images a second.");
  AddCurve(page, "share", {Column(table, "data_wait", "waiting for images")},
           "Share of the time that the step waited for the loader.");
  page.AddHeading("Views");
  AddViews(page, options, source);
  page.AddHeading("Data");
  int64_t labelled = 0;
  for (int64_t i = 0; i < source.size(); ++i) labelled += source.label(i) >= 0;
  page.AddFacts({{"source", options.data.empty() ? fmt::format("{}", fmt::join(options.mix, ", "))
                                                 : options.data},
                 {"images", std::to_string(source.size())},
                 {"labelled", std::to_string(labelled)},
                 {"classes", std::to_string(source.classes().size())}});
  page.AddHeading("Settings");
  page.AddDetails("config.toml", core::ReadFile(run / "config.toml"));
  page.Write(run / "report.html");
}

}  // namespace eosin::pretrain
