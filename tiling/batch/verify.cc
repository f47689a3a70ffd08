// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/verify.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <optional>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/threads.h"
#include "core/stain/tile_stain.h"
#include "core/store/schema.h"
#include "core/store/store_check.h"
#include "core/store/tile_store.h"
#include "tiling/batch/verify_slide.h"
#include "tiling/extract/plan.h"
#include "tiling/settings.h"

namespace eosin::tiling {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNamed = 3;  // problems of one kind that are told one by one

bool Near(double a, double b, double tolerance) {
  return std::abs(a - b) <= tolerance * std::max(std::abs(a), std::abs(b));
}

bool StartsAsHdf5(const fs::path& path) {
  char head[8] = {};
  std::ifstream in(path, std::ios::binary);
  in.read(head, sizeof head);
  return in && std::string_view(head, sizeof head) == "\x89HDF\r\n\x1a\n";
}

// HDF5 crashes on some damage (a broken global heap in 1.10), so a child process reads first all
// that is not plain numbers.
bool HdfSurvives(const fs::path& path) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return true;  // no process to be had: go on without
  if (child == 0) {
    ::alarm(300);
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, STDERR_FILENO);
    try {
      core::AttributesHash(core::hdf5::File::Open(path));
      const core::TileStoreReader store(path);
    } catch (...) {  // is told by the parent
    }
    ::_exit(0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) return WEXITSTATUS(status) == 0;  // a sanitizer exits
  const int signal = WTERMSIG(status);
  return signal == SIGALRM || signal == SIGKILL;  // a slow disk or little memory, not the file
}

// Why the file is no store at all, as StoreError; false when it was one and cannot be opened.
bool CanBeOpened(const fs::path& path, VerifyReport* report) {
  if (StartsAsHdf5(path) && !HdfSurvives(path)) {
    report->problems.push_back("it is damaged so that HDF5 crashes on it");
    return false;
  }
  try {
    const core::hdf5::File file = core::hdf5::File::Open(path);
    if (file.HasAttribute("format") && file.GetString("format") == core::schema::kFormat)
      return true;
  } catch (const core::StoreError& error) {
    if (!StartsAsHdf5(path)) throw;
    report->problems.push_back(error.what());
    return false;
  }
  throw core::StoreError(path.string() + " is HDF5 but not a tile store",
                         "give a store made by eosin tile");
}

// Many of one kind, told as the first few and their number.
class Tally {
 public:
  Tally(std::string what, VerifyReport* report) : what_(std::move(what)), report_(report) {}
  ~Tally() {
    if (count_ > kNamed) {
      report_->problems.push_back(fmt::format("{} more {}", count_ - kNamed, what_));
    }
  }
  Tally(const Tally&) = delete;
  Tally& operator=(const Tally&) = delete;
  void Add(const std::string& problem) {
    if (++count_ <= kNamed) report_->problems.push_back(problem);
  }
  size_t count() const { return count_; }

 private:
  std::string what_;
  VerifyReport* report_;
  size_t count_ = 0;
};

// Runs `decode(i)` for all tiles with pixels and tells which throw.
template <typename Decode>
void CheckPictures(const core::TileStoreReader& store, const std::string& what, int threads,
                   VerifyReport* report, const Decode& decode) {
  std::vector<std::string> errors(static_cast<size_t>(store.size()));
  std::atomic<int64_t> good = 0;
  core::ParallelFor(store.size(), threads, [&](int64_t i) {
    core::ThrowIfInterrupted();
    if (store.status(i) == core::TileStatus::kBad) return;
    try {
      decode(i);
      ++good;
    } catch (const core::Error& error) {
      if (error.code() != core::ExitCode::kBadInput) throw;
      errors[static_cast<size_t>(i)] = error.what();
    }
  });
  Tally tally(what + " do not decode", report);
  for (const std::string& error : errors) {
    if (!error.empty()) tally.Add(error);
  }
  const int64_t side = store.info().tile_size;
  if (tally.count() == 0) {
    report->checked.push_back(
        fmt::format("{} {} decode to {} x {} px", good.load(), what, side, side));
  }
}

void CheckDecoding(const core::TileStoreReader& store, int threads, VerifyReport* report) {
  CheckPictures(store, "tiles", threads, report, [&](int64_t i) { store.Decode(i); });
  for (const std::string& name : store.mask_names()) {
    CheckPictures(store, "masks " + name, threads, report,
                  [&](int64_t i) { store.ReadLabelMask(name, i); });
  }
}

// Attributes that follow from the settings.
void CheckSettings(const core::TileStoreReader& store, const StoredSettings& made,
                   VerifyReport* report) {
  const core::TileStoreInfo& info = store.info();
  const TileOptions& options = made.options;
  const size_t before = report->problems.size();
  const auto expect = [&](bool right, const char* name, const auto& is) {
    if (right) return;
    report->problems.push_back(fmt::format("{} is {}, which the settings do not give", name, is));
  };
  if (!options.AlignsToTiles()) {
    expect(info.tile_size == options.Size(), "tile_size", info.tile_size);
    expect(info.stride == options.Stride(), "stride", info.stride);
  }
  const bool exact = info.patch_level >= 0;
  const double tolerance = !exact                    ? 1e-9
                           : options.AlignsToTiles() ? kAlignTolerance + 1e-9
                                                     : kLevelTolerance + 1e-9;
  expect(std::abs(info.tile_mpp / options.TargetMpp() - 1) <= tolerance, "tile_mpp", info.tile_mpp);
  expect(Near(info.downsample * info.Mpp(), info.tile_mpp, 1e-9), "downsample", info.downsample);
  const double side = static_cast<double>(info.tile_size) * info.downsample;
  expect(std::abs(static_cast<double>(info.patch_size_level0) - side) <= 1, "patch_size_level0",
         info.patch_size_level0);
  if (options.mpp_override > 0) {
    expect(Near(info.Mpp(), options.mpp_override, 1e-9), "mpp", info.Mpp());
  }
  expect(info.encoding == options.encoding, "encoding", info.encoding);
  expect(info.patient == made.facts.patient, "patient", info.patient);

  std::vector<std::string> scores, columns;
  if (options.quality != "none") scores.assign(kQualityNames.begin(), kQualityNames.end());
  if (options.stain != "none") {
    columns.assign(core::kStainColumns.begin(), core::kStainColumns.end());
  }
  std::sort(scores.begin(), scores.end());
  expect(store.quality_names() == scores, "the list of quality scores",
         store.quality_names().size());
  expect(store.stain_columns() == columns, "the list of stain columns",
         store.stain_columns().size());
  expect(store.mask_names().empty() || !made.annotation_hash.empty(), "the list of masks",
         store.mask_names().size());
  if (report->problems.size() == before) {
    report->checked.push_back("attributes and columns follow from the settings");
  }
}

// Coordinates: inside the slide, on the grid to a pixel (VerifyAgainstSlide is exact), row by row.
void CheckCoordinates(const core::TileStoreReader& store, bool aligned, VerifyReport* report) {
  const core::TileStoreInfo& info = store.info();
  std::array<int64_t, 4> area = {0, 0, info.width, info.height};
  if (!aligned) area = info.bounds;
  const double step = static_cast<double>(info.stride) * info.downsample;
  const auto off_grid = [&](int64_t at, int64_t begin) {
    const double from = static_cast<double>(at - begin);
    return std::abs(from - std::round(from / step) * step) > 1 + info.downsample;
  };
  Tally tally("coordinates are wrong", report);
  for (int64_t i = 0; i < store.size(); ++i) {
    const auto [x, y] = store.coords(i);
    const auto wrong = [&](const char* why) {
      tally.Add(fmt::format("tile {} at {}, {} {}", i, x, y, why));
    };
    if (x < area[0] || y < area[1] || x + info.patch_size_level0 > area[0] + area[2] ||
        y + info.patch_size_level0 > area[1] + area[3]) {
      wrong("does not lie inside the slide");
    } else if (off_grid(x, area[0]) || off_grid(y, area[1])) {
      wrong("is not on the grid");
    } else if (i > 0 &&
               std::pair(store.coords(i - 1).y, store.coords(i - 1).x) >= std::pair(y, x)) {
      wrong("is out of order");
    }
  }
  if (tally.count() == 0) {
    report->checked.push_back(fmt::format("{} coordinates lie on the grid", store.size()));
  }
}

// Shares and scores: 0 to 1, none over its limit. NaN: not measured (bad tiles).
void CheckScores(const core::TileStoreReader& store, const QualityLimits& limits,
                 VerifyReport* report) {
  Tally tally("scores are impossible", report);
  for (int64_t i = 0; i < store.size(); ++i) {
    if (!(store.tissue(i) >= 0 && store.tissue(i) <= 1)) {
      tally.Add(fmt::format("tissue of tile {} is {}", i, store.tissue(i)));
    }
  }
  const std::array<double, 5> most = {limits.blur, limits.pen, limits.white, limits.black,
                                      limits.fold};
  const std::vector<std::string> there = store.quality_names();
  for (size_t name = 0; name < kQualityNames.size(); ++name) {
    if (std::find(there.begin(), there.end(), kQualityNames[name]) == there.end()) continue;
    const std::vector<float> scores = store.ReadQuality(kQualityNames[name]);
    for (size_t i = 0; i < scores.size(); ++i) {
      if (std::isnan(scores[i]) ||
          (scores[i] >= 0 && static_cast<double>(scores[i]) <= most[name])) {
        continue;
      }
      tally.Add(fmt::format("{} of tile {} is {}", kQualityNames[name], i, scores[i]));
    }
  }
}

}  // namespace

VerifyReport VerifyStore(const fs::path& path, const VerifyOptions& options) {
  VerifyReport report;
  if (!CanBeOpened(path, &report)) return report;
  const int threads = options.threads > 0 ? options.threads : core::AvailableCores();

  const core::HashCheck hashes = core::CheckHashes(path);
  report.problems = hashes.problems;
  if (hashes.problems.empty()) {
    report.checked.push_back(
        fmt::format("{} datasets ({:.1f} MB) and all attributes have the hashes "
                    "they were written with",
                    hashes.datasets, static_cast<double>(hashes.bytes) / 1e6));
  }
  std::optional<core::TileStoreReader> store;
  std::optional<StoredSettings> settings;
  try {
    store.emplace(path);
  } catch (const core::StoreError& error) {
    report.problems.push_back(error.what());
    return report;
  }
  try {
    settings = FromSettings(store->info().settings);
  } catch (const core::StoreError& error) {
    report.problems.push_back(error.what());
  }
  CheckDecoding(*store, threads, &report);
  if (!settings) return report;
  CheckSettings(*store, *settings, &report);
  CheckCoordinates(*store, settings->options.AlignsToTiles(), &report);
  CheckScores(*store, settings->options.limits, &report);
  if (options.slide.empty()) {
    report.skipped.push_back("the slide was not given: plan and pixels were not made anew");
  } else {
    VerifyAgainstSlide(*store, *settings, options, threads, &report);
  }
  return report;
}

}  // namespace eosin::tiling
