// SPDX-License-Identifier: Apache-2.0
#include "pretrain/bench/report.h"

#include <fmt/format.h>
#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>

#include "core/base/files.h"
#include "core/formats/csv.h"
#include "core/report/html.h"
#include "core/report/svg.h"
#include "core/stats/summary.h"

namespace eosin::pretrain {
namespace {

constexpr double kNan = core::kNoValue;
constexpr const char* kLightly =
    "lightly, docs/source/getting_started/benchmarks.rst: ResNet-18, 10,000 test images, the best "
    "epoch on them; its crop + colour + flip + grey, no blur";

// The cells of one setting.
struct Group {
  BenchCell cell;  // of its first seed
  SeedSummary knn, linear;
  int64_t test = 0;           // images asked about, 0 before the first score
  std::vector<double> folds;  // of all seeds
  double seconds = kNan;
  int64_t failed = 0, open = 0;
};

std::vector<Group> GroupBySetting(const BenchResults& results) {
  std::vector<Group> groups;
  std::vector<bool> seen(results.rows.size());
  for (size_t i = 0; i < results.rows.size(); ++i) {
    if (seen[i]) continue;
    Group group{.cell = results.rows[i].cell};
    std::vector<double> knn, linear, seconds;
    for (size_t j = i; j < results.rows.size(); ++j) {
      const BenchRow& row = results.rows[j];
      if (!row.cell.SameSetting(group.cell)) continue;
      seen[j] = true;
      group.failed += !row.problem.empty();
      group.open += !row.score && row.problem.empty();
      if (!row.score) continue;
      knn.push_back(row.score->knn);
      linear.push_back(row.score->linear.value_or(kNan));
      seconds.push_back(row.score->seconds.value_or(kNan));
      group.folds.insert(group.folds.end(), row.score->folds.begin(), row.score->folds.end());
      group.test = row.score->test;
    }
    group.knn = Summarise(knn, group.test);
    group.linear = Summarise(linear, group.test);
    group.seconds = core::Mean(seconds);
    groups.push_back(std::move(group));
  }
  return groups;
}

std::string Percent(double share) {
  return std::isfinite(share) ? fmt::format("{:.1f}", 100 * share) : "n/a";
}
std::string Test(const SeedSummary& s) {
  return std::isfinite(s.test_low)
             ? fmt::format("[{}, {}]", Percent(s.test_low), Percent(s.test_high))
             : "";
}
std::string Folds(const std::vector<double>& folds) {
  return folds.empty() ? ""
                       : fmt::format("{} +- {}", Percent(core::Mean(folds)),
                                     Percent(core::StandardDeviation(folds)));
}

struct Table {
  std::vector<std::string> headers;
  std::vector<std::vector<std::string>> rows;
};

Table SummaryTable(const BenchOptions& options, const BenchResults& results,
                   const std::string& protocol) {
  const bool stl = options.set == "stl10";
  Table table;
  table.headers = {"method",       stl ? "encoder" : "augmentation", "batch", "seeds", "kNN %",
                   "test interval"};
  table.headers.insert(table.headers.end(), {stl ? "linear %, mean +- sd of folds" : "linear %",
                                             "test interval", "minutes", "published kNN %"});
  for (const Group& group : GroupBySetting(results)) {
    const BenchCell& cell = group.cell;
    if (cell.protocol != protocol) continue;
    std::string seeds = std::to_string(group.knn.values.size());
    if (group.failed) seeds += fmt::format(", {} failed", group.failed);
    if (group.open) seeds += fmt::format(", {} to come", group.open);
    const Published published = PublishedKnn(options, cell);
    table.rows.push_back(
        {cell.method, stl ? cell.arch : cell.augment, std::to_string(cell.batch), seeds,
         group.knn.Text(), Test(group.knn), stl ? Folds(group.folds) : group.linear.Text(),
         stl ? "" : Test(group.linear),
         std::isfinite(group.seconds) ? fmt::format("{:.1f}", group.seconds / 60) : "n/a",
         group.test == published.test_images ? published.figure : ""});
  }
  for (const BenchBaseline& baseline : results.baselines) {
    if (baseline.protocol != protocol) continue;
    std::vector<double> knn, linear, folds;
    for (const BenchScore& score : baseline.scores) {
      knn.push_back(score.knn);
      if (score.linear) linear.push_back(*score.linear);
      folds.insert(folds.end(), score.folds.begin(), score.folds.end());
    }
    const int64_t test = baseline.scores.empty() ? 0 : baseline.scores[0].test;
    const SeedSummary k = Summarise(knn, test), l = Summarise(linear, test);
    table.rows.push_back({baseline.name, "", "", std::to_string(knn.size()), k.Text(), Test(k),
                          stl ? Folds(folds) : l.Text(), stl ? "" : Test(l), "", ""});
  }
  return table;
}

std::string Markdown(const Table& table) {
  std::string text = fmt::format("| {} |\n|", fmt::join(table.headers, " | "));
  for (size_t i = 0; i < table.headers.size(); ++i) text += "---|";
  text += "\n";
  for (const auto& row : table.rows) text += fmt::format("| {} |\n", fmt::join(row, " | "));
  return text;
}

// The cells of the augmentation study (batch fixed) as bars, of the batch study as lines.
void AddCharts(core::HtmlPage& page, const BenchOptions& options, const BenchResults& results,
               const std::string& protocol) {
  const std::vector<Group> groups = GroupBySetting(results);
  const auto find = [&](const std::string& method, const std::string& augment,
                        const std::string& arch, int64_t batch) -> const Group* {
    for (const Group& group : groups) {
      const BenchCell& c = group.cell;
      if (c.method == method && c.augment == augment && c.arch == arch && c.batch == batch &&
          c.protocol == protocol && !group.knn.values.empty()) {
        return &group;
      }
    }
    return nullptr;
  };
  const bool stl = options.set == "stl10";
  core::BarChart bars;
  bars.y_title = "kNN %";
  bars.categories = stl ? options.archs : options.augment;
  for (const std::string& method : options.methods) {
    core::BarSeries series;
    series.name = method;
    for (const std::string& category : bars.categories) {
      const Group* g = find(method, stl ? options.study_augment : category,
                            stl ? category : options.archs[0], options.study_batch);
      series.values.push_back(g ? 100 * g->knn.mean : kNan);
      series.low.push_back(g ? 100 * g->knn.test_low : kNan);
      series.high.push_back(g ? 100 * g->knn.test_high : kNan);
    }
    bars.series.push_back(std::move(series));
  }
  page.AddFigure(bars.Svg(),
                 fmt::format("kNN by {} at batch {}. Error bars: 95 % for the number of test "
                             "images.",
                             stl ? "encoder" : "augmentation", options.study_batch));
  if (options.batches.size() < 2) return;
  core::LineChart lines;
  lines.x_title = "batch";
  lines.y_title = "kNN %";
  lines.log_x = lines.markers = true;
  lines.x_ticks = options.batches;
  for (const std::string& method : options.methods) {
    core::Series series;
    series.name = method;
    for (const double batch : options.batches) {
      const Group* g =
          find(method, options.study_augment, options.archs[0], static_cast<int64_t>(batch));
      if (!g) continue;
      series.x.push_back(batch);
      series.y.push_back(100 * g->knn.mean);
      series.low.push_back(100 * g->knn.test_low);
      series.high.push_back(100 * g->knn.test_high);
    }
    lines.series.push_back(std::move(series));
  }
  page.AddFigure(lines.Svg(),
                 fmt::format("kNN by batch size with the augmentation {}.", options.study_augment));
}

std::string Number(const std::optional<double>& value, const char* format = "{:.5f}") {
  return value ? fmt::format(fmt::runtime(format), *value) : "";
}

std::string Title(const BenchOptions& options) {
  return options.set == "stl10" ? "STL-10 benchmark" : "CIFAR-10: augmentation and batch size";
}

std::vector<std::string> Notes(const BenchOptions& options, const BenchResults& results) {
  std::vector<std::string> notes = {
      fmt::format("kNN: k = {}, T = {}, cosine, of the last weights, never the best epoch.",
                  options.knn_k, options.knn_temperature),
      fmt::format("Linear: logistic regression on features of the frozen encoder, L2 {}, solved to "
                  "convergence; the encoder's SHA-256 is the same before and after (score.json).",
                  options.probe_l2),
      "In brackets behind a mean: 95 % interval over seeds (Student's t), from 3 seeds on; with "
      "fewer, the values. Test interval: what the number of test images leaves open (Wilson).",
      "Random: the same network as initialised. Raw pixels: kNN of 32 px pictures without a "
      "network."};
  if (options.set == "stl10") {
    notes.push_back(
        "Linear probes are trained on each of the ten published folds of 1,000 training images and "
        "asked about all test images.");
    notes.push_back(
        "No published kNN or fold figure with this recipe and budget is known to compare with; "
        "\"81.5 %\" for it circulates unproven.");
  } else {
    notes.push_back(std::string("Published: ") + kLightly +
                    ". Not measured here and not in any mean; shown only beside cells of the same "
                    "method, batch, epochs, network and number of test images.");
    for (const Group& group : GroupBySetting(results)) {
      const Published published = PublishedKnn(options, group.cell);
      if (published.figure.empty() || group.test == 0 || group.test == published.test_images) {
        continue;
      }
      const double share = std::stod(published.figure) / 100;
      const bool inside = share >= group.knn.test_low && share <= group.knn.test_high;
      notes.push_back(fmt::format(
          "For reference: {} at batch {} has {} % of {} test images there; that is {} the test "
          "interval of the {} images asked here.",
          group.cell.method, group.cell.batch, published.figure, published.test_images,
          inside ? "inside" : "outside", group.test));
    }
  }
  return notes;
}

}  // namespace

std::string SeedSummary::Text() const {
  if (values.empty()) return "";
  if (std::isfinite(low)) {
    return fmt::format("{} [{}, {}]", Percent(mean), Percent(low), Percent(high));
  }
  std::string text = Percent(values[0]);
  for (size_t i = 1; i < values.size(); ++i) text += ", " + Percent(values[i]);
  return text;
}

SeedSummary Summarise(std::vector<double> shares, int64_t test_images) {
  SeedSummary s;
  std::erase_if(shares, [](double v) { return !std::isfinite(v); });
  s.values = std::move(shares);
  s.mean = core::Mean(s.values);
  s.low = s.high = s.test_low = s.test_high = kNan;
  const auto n = static_cast<double>(s.values.size());
  if (s.values.size() >= 3) {
    const boost::math::students_t t(n - 1);
    const double half =
        boost::math::quantile(t, 0.975) * core::StandardDeviation(s.values) / std::sqrt(n);
    s.low = s.mean - half;
    s.high = s.mean + half;
  }
  if (!s.values.empty() && test_images > 0) {
    constexpr double kZ = 1.959963984540054;
    const auto m = static_cast<double>(test_images);
    const double centre = (s.mean + kZ * kZ / (2 * m)) / (1 + kZ * kZ / m);
    const double half =
        kZ / (1 + kZ * kZ / m) * std::sqrt(s.mean * (1 - s.mean) / m + kZ * kZ / (4 * m * m));
    s.test_low = centre - half;
    s.test_high = centre + half;
  }
  return s;
}

Published PublishedKnn(const BenchOptions& options, const BenchCell& cell) {
  const BenchOptions plain;
  if (options.set != "cifar10" || cell.augment != "full" || cell.arch != "resnet18" ||
      cell.protocol != "test" || !options.IsFullSize() || !options.assign.empty() ||
      options.knn_k != plain.knn_k || options.knn_temperature != plain.knn_temperature) {
    return {};
  }
  struct Row {
    const char* method;
    int64_t batch, epochs;
    const char* knn;
  };
  constexpr Row kRows[] = {{"simclr", 128, 200, "84.7"}, {"simclr", 512, 200, "84.8"},
                           {"simclr", 512, 800, "87.9"}, {"byol", 128, 200, "86.9"},
                           {"byol", 512, 200, "86.8"},   {"byol", 512, 800, "91.0"}};
  for (const Row& row : kRows) {
    if (cell.method == row.method && cell.batch == row.batch && options.epochs == row.epochs) {
      return {row.knn, kLightly, 10000};
    }
  }
  return {};
}

std::string BudgetSentence(const BenchOptions& options, const BenchResults& results) {
  std::string text;
  if (!options.IsFullSize()) {
    text = fmt::format(
        "Smoke figures: {} epochs{}{}{}. They show that everything works and rank nothing.",
        options.epochs,
        options.images > 0 ? fmt::format(", {} images to learn from", options.images) : "",
        options.test_images > 0 ? fmt::format(", {} test images", options.test_images) : "",
        options.width != 64 ? fmt::format(", a network of width {} instead of 64", options.width)
                            : "");
  } else {
    text = fmt::format("Full budget: {} epochs on all images.", options.epochs);
  }
  if (!options.assign.empty()) {
    text += fmt::format(" Changed from the recipe: {}.", fmt::join(options.assign, ", "));
  }
  const auto total = static_cast<int64_t>(results.rows.size());
  if (results.finished() < total) {
    text += fmt::format(" Not finished: {} of {} cells", results.finished(), total);
    text += results.failed() ? fmt::format(", {} failed.", results.failed()) : ".";
  }
  return text;
}

std::string ResultsCsv(const BenchOptions& options, const BenchResults& results) {
  std::string text = core::CsvRow(
      {"cell",  "set",         "protocol",       "method",      "augment",        "arch",
       "width", "batch",       "epochs",         "seed",        "learnt_images",  "bank_images",
       "test",  "test_images", "knn_top1",       "linear_top1", "linear_fold_sd", "probe_converged",
       "loss",  "seconds",     "encoder_sha256", "problem"});
  const auto add = [&](const std::string& name, const std::string& protocol, const BenchCell* cell,
                       const std::string& seed, const std::optional<BenchScore>& score,
                       const std::string& problem) {
    const auto of = [&](auto&& f) { return cell ? std::string(f(*cell)) : std::string(); };
    const auto count = [&](int64_t BenchScore::* member) {
      return score ? std::to_string((*score).*member) : std::string();
    };
    text += core::CsvRow({name,
                          options.set,
                          protocol,
                          of([](const BenchCell& c) { return c.method; }),
                          of([](const BenchCell& c) { return c.augment; }),
                          of([](const BenchCell& c) { return c.arch; }),
                          cell ? std::to_string(cell->pretrain.width) : "",
                          of([](const BenchCell& c) { return std::to_string(c.batch); }),
                          cell ? std::to_string(cell->pretrain.epochs) : "",
                          seed,
                          count(&BenchScore::learnt),
                          count(&BenchScore::bank),
                          score ? score->test_name : "",
                          count(&BenchScore::test),
                          score ? fmt::format("{:.5f}", score->knn) : "",
                          score ? Number(score->linear) : "",
                          score && score->folds.size() > 1
                              ? fmt::format("{:.5f}", core::StandardDeviation(score->folds))
                              : "",
                          score && score->linear ? (score->converged ? "1" : "0") : "",
                          score ? Number(score->loss) : "",
                          score ? Number(score->seconds, "{:.1f}") : "",
                          score ? score->fingerprint : "",
                          problem});
  };
  for (const BenchRow& row : results.rows) {
    add(row.cell.name, row.cell.protocol, &row.cell, std::to_string(row.cell.seed), row.score,
        row.problem);
  }
  for (const BenchBaseline& baseline : results.baselines) {
    int64_t seed = options.first_seed;
    for (const BenchScore& score : baseline.scores) {
      add(baseline.name, baseline.protocol, nullptr,
          baseline.has_seeds ? std::to_string(seed++) : "", score, "");
    }
  }
  return text;
}

void WriteBenchReport(const BenchOptions& options, const BenchResults& results,
                      const std::filesystem::path& out) {
  core::WriteFileAtomic(out / "results.csv", ResultsCsv(options, results));
  const std::string budget = BudgetSentence(options, results);
  std::string markdown = fmt::format("# {}\n\n{}\n", Title(options), budget);
  core::HtmlPage page(Title(options),
                      fmt::format("{}, {} px", fmt::join(options.archs, ", "), options.size()));
  page.AddCallout(options.IsFullSize() ? core::Verdict::kNeutral : core::Verdict::kUnsure, "Budget",
                  budget);
  for (const BenchResults::Protocol& protocol : results.protocols) {
    const Table table = SummaryTable(options, results, protocol.name);
    const std::string caption =
        fmt::format("Learnt from {}; asked about {}.", protocol.learn, protocol.test);
    page.AddHeading("Protocol: " + protocol.name);
    page.AddParagraph(caption);
    page.AddTable(table.headers, table.rows);
    AddCharts(page, options, results, protocol.name);
    markdown += fmt::format("\n## {}\n\n{}\n\n{}", protocol.name, caption, Markdown(table));
  }
  for (const BenchRow& row : results.rows) {
    if (row.problem.empty()) continue;
    page.AddCallout(core::Verdict::kBad, row.cell.name, row.problem);
    markdown += fmt::format("\nFailed: {}: {}\n", row.cell.name, row.problem);
  }
  page.AddHeading("How to read this");
  const std::vector<std::string> notes = Notes(options, results);
  page.AddList(notes);
  page.AddDetails("bench.toml", core::ReadFile(out / "bench.toml"));
  markdown += "\n";
  for (const std::string& note : notes) markdown += "- " + note + "\n";
  page.Write(out / "report.html");
  core::WriteFileAtomic(out / "summary.md", markdown);
}

}  // namespace eosin::pretrain
