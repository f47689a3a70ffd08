// SPDX-License-Identifier: Apache-2.0
// How well copies of a picture are told from other pictures of the same tissue: resemblance of
// different pictures (false alarms) and of altered copies (what is found), as Markdown.
//   bench_leaks FOLDER [IMAGES=0 (all)] [index.csv with file and group]
// With groups (LC25000: each photograph was augmented about 20 times), pairs inside a group count
// as copies under angles that are not quarter turns, pairs across groups as different.
#include <fmt/format.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "core/base/files.h"
#include "core/base/threads.h"
#include "core/formats/csv.h"
#include "core/image/codec.h"
#include "core/stats/summary.h"
#include "segment/study/leaks/fingerprint.h"
#include "tools/bench/alterations.h"

namespace {

using namespace eosin;

// Share of values at or above each bar.
std::string Shares(const std::vector<double>& values) {
  std::string text;
  for (const double bar : {0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9}) {
    const auto count =
        std::count_if(values.begin(), values.end(), [&](double v) { return v >= bar; });
    text += fmt::format(" {} |", count);
  }
  return text;
}

void Row(const std::string& name, const std::vector<double>& values) {
  if (values.empty()) return;
  std::puts(fmt::format("| {} | {} | {:.3f} | {:.3f} | {:.3f} |{}", name, values.size(),
                        core::Quantile(values, 0), core::Quantile(values, 0.5),
                        core::Quantile(values, 1), Shares(values))
                .c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: bench_leaks FOLDER [IMAGES] [index.csv]\n", stderr);
    return 2;
  }
  const int threads = core::AvailableCores();
  std::vector<std::filesystem::path> files =
      core::ListFiles(argv[1], {".png", ".jpg", ".jpeg"}, true);
  const auto limit = static_cast<size_t>(argc > 2 ? std::atoll(argv[2]) : 0);
  std::map<std::string, std::string> groups;
  if (argc > 3) {
    const core::CsvTable table = core::ReadCsv(argv[3]);
    const auto file = static_cast<size_t>(table.Column("file"));
    const auto group = static_cast<size_t>(table.Column("group"));
    for (const auto& row : table.rows) groups[row[file]] = row[group];
  }
  if (limit > 0 && files.size() > limit) {
    std::vector<std::filesystem::path> some;
    for (size_t i = 0; i < limit; ++i) some.push_back(files[i * files.size() / limit]);
    files = some;
  }
  std::vector<segment::Fingerprint> prints(files.size());
  core::ParallelFor(static_cast<int64_t>(files.size()), threads, [&](int64_t i) {
    prints[static_cast<size_t>(i)] =
        segment::MakeFingerprint(core::ReadRgb(files[static_cast<size_t>(i)]));
  });
  std::puts(
      "| pairs | number | least | median | most | >= .5 | .6 | .65 | .7 | .75 | .8 | .85 | .9 |\n"
      "|---|---|---|---|---|---|---|---|---|---|---|---|---|");
  std::vector<double> inside, across;
  std::pair<double, std::string> closest;
  for (const segment::CopyPair& pair : segment::FindCopies(prints, threads, 1e-6)) {
    const auto& a = files[static_cast<size_t>(pair.a)];
    const auto& b = files[static_cast<size_t>(pair.b)];
    const auto group = groups.find(a.filename()), other = groups.find(b.filename());
    const bool same =
        group != groups.end() && other != groups.end() && group->second == other->second;
    (same ? inside : across).push_back(pair.resemblance);
    if (!same) {
      closest = std::max(closest, std::pair(pair.resemblance, a.string() + " and " + b.string()));
    }
  }
  Row("different pictures", across);
  Row("same group", inside);
  std::vector<double> all;
  for (const tools::Alteration& alteration : tools::Alterations()) {
    std::vector<double> values(std::min<size_t>(files.size(), 100));
    core::ParallelFor(static_cast<int64_t>(values.size()), threads, [&](int64_t i) {
      const size_t at = static_cast<size_t>(i) * files.size() / values.size();
      const core::Image altered = alteration.apply(core::ReadRgb(files[at]));
      values[static_cast<size_t>(i)] =
          segment::Resemblance(prints[at], segment::MakeFingerprint(altered));
    });
    Row(alteration.name, values);
    all.insert(all.end(), values.begin(), values.end());
  }
  Row("all altered copies", all);
  std::puts(fmt::format("\nclosest different pictures: {:.3f}, {}", closest.first, closest.second)
                .c_str());
  return 0;
}
