// SPDX-License-Identifier: Apache-2.0
#include "pretrain/report.h"

#include <fmt/format.h>
#include <algorithm>
#include <cstdlib>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/formats/csv.h"
#include "core/image/codec.h"
#include "core/report/html.h"
#include "core/report/svg.h"
#include "engine/augment/apply.h"

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

// An image and the two views that the first epoch made of it.
void AddViews(core::HtmlPage& page, const PretrainOptions& options,
              const engine::ImageSource& source) {
  const int size = static_cast<int>(options.size);
  const int64_t count = std::min<int64_t>(6, source.size());
  engine::ViewScratch scratch;
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
    auto add = [&](const engine::ViewParams& params) {
      core::Image view(size, size, 3);
      engine::ApplyView(image, params, size, view.pixels.data(), scratch);
      row.images.push_back({core::EncodeJpeg(view, 85), ""});
    };
    add(engine::CentreView(image.width, image.height));
    uint32_t number = 0;
    for (const engine::ViewRecipe* recipe : {&options.view_a, &options.view_b}) {
      add(engine::DrawView(*recipe,
                           core::PhiloxStream(options.seed(), core::DrawPurpose::kView, 0,
                                              static_cast<uint32_t>(i), number++),
                           image.width, image.height));
    }
    rows.push_back(std::move(row));
  }
  page.AddGallery({"image", "view a", "view b"}, rows,
                  "What the network is asked to recognise as the same tissue.");
}

}  // namespace

void WriteReport(const PretrainOptions& options, const engine::ImageSource& source,
                 const std::filesystem::path& run) {
  const core::CsvTable table = core::ReadCsv(run / "metrics.csv");
  core::HtmlPage page("Pretraining: " + options.method + ", " + options.arch,
                      fmt::format("{} images, {} px, batch {}, {} epochs", source.size(),
                                  options.size, options.batch, options.epochs));
  page.AddHeading("Curves");
  AddCurve(page, "loss", {Column(table, "loss", "step"), Column(table, "epoch_loss", "epoch mean")},
           options.method == "simclr"
               ? "NT-Xent. Guessing gives ln(2 batch - 1); a plateau well above 0 is normal."
               : "BYOL's loss, 0 to 8; guessing gives 4.");
  AddCurve(
      page, "share",
      {Column(table, "knn_top1", "kNN accuracy"),
       Column(table, "pair_top1", "own other view is nearest")},
      "kNN accuracy on held-out slides or patients of the pretraining data (with labels only), "
      "and how often an image's other view is its nearest neighbour in the batch.");
  AddCurve(page, "spread", {Column(table, "feature_spread", "feature spread")},
           "Spread of the embedding: near 1 is healthy, near 0 is collapse.");
  AddCurve(page, "learning rate", {Column(table, "lr", "learning rate")}, "Schedule.");
  AddCurve(page, "images/s", {Column(table, "images_per_second", "images/s")},
           "Throughput, source images a second.");
  page.AddHeading("Views");
  AddViews(page, options, source);
  page.AddHeading("Settings");
  page.AddDetails("config.toml", core::ReadFile(run / "config.toml"));
  page.Write(run / "report.html");
}

}  // namespace eosin::pretrain
