// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/verify_slide.h"

#include <fmt/format.h>
#include <stdlib.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "tiling/batch/labels.h"
#include "tiling/batch/prepare.h"
#include "tiling/batch/slide_job.h"
#include "tiling/extract/extract.h"

namespace eosin::tiling {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBatch = 4096;  // tiles made anew at a time
constexpr size_t kNamed = 3;      // different tiles that are named

class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (fs::temp_directory_path() / "eosin-verify-XXXXXX").string();
    if (!::mkdtemp(name.data())) {
      throw core::MachineError("cannot make a folder in " + fs::temp_directory_path().string(),
                               "set TMPDIR to a folder with room");
    }
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// The slide that the store names, in a folder; empty with a problem where there is none.
fs::path FindSlide(const fs::path& given, const std::string& name, VerifyReport* report) {
  if (!fs::exists(given)) {
    throw core::DataError("no such slide or folder: " + given.string(), "check the path");
  }
  if (!fs::is_directory(given)) return given;
  for (const fs::path& file : core::ListFiles(given, {}, true)) {
    if (file.filename() == name) return file;
  }
  report->problems.push_back(fmt::format("there is no {} in {}", name, given.string()));
  return {};
}

// A store's scores and stain statistics in memory.
class Columns {
 public:
  explicit Columns(const core::TileStoreReader& store) {
    for (const std::string& name : store.quality_names()) {
      columns_.push_back({"score of " + name, 1, store.ReadQuality(name)});
    }
    if (const size_t width = store.stain_columns().size(); width > 0) {
      columns_.push_back({"row of stain statistics", width, store.ReadStain()});
    }
  }

  // The first column in which tile i differs from tile k of `other`; empty for none. Bits are
  // compared, so that NaN equals NaN.
  std::string Compare(int64_t i, const Columns& other, int64_t k) const {
    if (columns_.size() != other.columns_.size()) return "list of scores";
    for (size_t c = 0; c < columns_.size(); ++c) {
      const Column &a = columns_[c], &b = other.columns_[c];
      if (a.name != b.name || a.width != b.width ||
          std::memcmp(&a.values[static_cast<size_t>(i) * a.width],
                      &b.values[static_cast<size_t>(k) * b.width], a.width * sizeof(float)) != 0) {
        return a.name;
      }
    }
    return {};
  }

 private:
  struct Column {
    std::string name;
    size_t width;
    std::vector<float> values;
  };
  std::vector<Column> columns_;
};

class SlideCheck {
 public:
  SlideCheck(const core::TileStoreReader& store, const StoredSettings& settings,
             const VerifyOptions& options, int threads, VerifyReport* report)
      : store_(store),
        info_(store.info()),
        settings_(settings),
        options_(settings.options),
        given_(options),
        threads_(threads),
        report_(report) {}

  void Run() {
    entry_.slide = FindSlide(given_.slide, info_.slide_name, report_);
    if (entry_.slide.empty() || !CheckSlide()) return;
    const bool whole = FindInputs();
    TileOptions places = options_;  // every place of the grid, whatever its tissue
    places.tissue = "none";
    plan_ = MakePlan(slide_->geometry(), nullptr, places);
    CheckPlan();
    if (!MatchPlaces(plan_, true, "the grid")) return;
    if (whole) {
      prepared_ = Prepare(*slide_, entry_, classes_, options_, threads_);
      plan_ = prepared_->plan;
      if (!MatchPlaces(plan_, options_.limits.Any(), "the plan")) return;
      CheckTissue();
    } else {
      KeepStored();
    }
    Remake();
  }

 private:
  void Problem(std::string text) { report_->problems.push_back(std::move(text)); }

  bool CheckSlide() {
    if (core::QuickHash(entry_.slide) != info_.slide_hash) {
      Problem(fmt::format("{} is not the slide that the store was made from: its hash differs",
                          entry_.slide.string()));
      return false;
    }
    slide_ = Slide::Open(entry_.slide);
    if (options_.mpp_override > 0) slide_->OverrideMpp(options_.mpp_override);
    const SlideMpp& mpp = slide_->RequireMpp();
    if (slide_->width() != info_.width || slide_->height() != info_.height ||
        slide_->geometry().bounds != info_.bounds) {
      Problem(fmt::format("the slide is {} x {} px, the store says {} x {}, or other bounds",
                          slide_->width(), slide_->height(), info_.width, info_.height));
      return false;
    }
    if (std::abs(mpp.x - info_.mpp_x) > 1e-9 || std::abs(mpp.y - info_.mpp_y) > 1e-9) {
      Problem(fmt::format("the slide has {:.6g} um/px, the store says {:.6g}", mpp.mean(),
                          info_.Mpp()));
      return false;
    }
    report_->checked.push_back("the slide has the hash, size and scale that the store says");
    return true;
  }

  // Mask and annotations that the store was made with. False when one is missing or another.
  bool FindInputs() {
    const size_t problems = report_->problems.size();
    bool whole = true;
    if (options_.UsesMaskFile()) {
      if (given_.mask.empty()) {
        report_->skipped.push_back("the tissue mask was not given: which tiles are kept");
        whole = false;
      } else {
        options_.tissue = given_.mask.string();
        if (core::Sha256File(MaskPath(options_, entry_.Stem())) != settings_.mask_hash) {
          Problem("the mask is not the one that the store was made with: its hash differs");
        }
      }
    }
    if (!settings_.annotation_hash.empty()) {
      if (given_.annotation.empty()) {
        report_->skipped.push_back(
            "the annotations were not given: label masks, and which tiles are "
            "kept");
        return false;
      }
      std::vector<SlideEntry> entries = {entry_};
      AttachAnnotations(given_.annotation, &entries);
      entry_ = entries[0];
      classes_ = ClassMap::Parse(options_.classes);
      if (core::Sha256File(entry_.annotation) != settings_.annotation_hash) {
        Problem("the annotations are not those that the store was made with: their hash differs");
      }
    }
    return whole && report_->problems.size() == problems;
  }

  void CheckPlan() {
    const auto expect = [&](bool right, const char* name, const auto& is, const auto& planned) {
      if (!right) Problem(fmt::format("{} is {}, the plan made anew says {}", name, is, planned));
    };
    const int64_t stride = std::llround(plan_.stride), level = plan_.exact() ? plan_.level : -1;
    expect(info_.tile_size == plan_.tile_size, "tile_size", info_.tile_size, plan_.tile_size);
    expect(info_.stride == stride, "stride", info_.stride, stride);
    expect(std::abs(info_.tile_mpp - plan_.tile_mpp) < 1e-9, "tile_mpp", info_.tile_mpp,
           plan_.tile_mpp);
    expect(info_.patch_level == level, "patch_level", info_.patch_level, level);
    expect(info_.patch_size_level0 == plan_.patch_size_level0, "patch_size_level0",
           info_.patch_size_level0, plan_.patch_size_level0);
  }

  // Where each planned tile is in the store (-1: nowhere). The store's tiles must all be planned,
  // in this order; all planned ones must be in the store unless `gaps` are allowed.
  bool MatchPlaces(const Plan& plan, bool gaps, const char* what) {
    stored_.assign(plan.tiles.size(), -1);
    int64_t next = 0;
    size_t missing = 0;
    for (size_t i = 0; i < plan.tiles.size(); ++i) {
      const bool here = next < store_.size() && store_.coords(next).x == plan.tiles[i].x &&
                        store_.coords(next).y == plan.tiles[i].y;
      if (here) {
        stored_[i] = next++;
      } else {
        ++missing;
      }
    }
    if (next < store_.size()) {
      Problem(fmt::format("tile {} at {}, {} is no place of {} made anew from the settings", next,
                          store_.coords(next).x, store_.coords(next).y, what));
      return false;
    }
    if (!gaps && missing > 0) {
      Problem(fmt::format("{} tiles of {} made anew are not in the store", missing, what));
      return false;
    }
    report_->checked.push_back(
        fmt::format("{} made anew from the settings has the store's tiles", what));
    return true;
  }

  void CheckTissue() {
    size_t other = 0;
    for (size_t i = 0; i < stored_.size(); ++i) {
      other += stored_[i] >= 0 && store_.tissue(stored_[i]) != plan_.tiles[i].tissue;
    }
    if (other > 0) {
      Problem(fmt::format("{} tiles have another tissue share than found anew", other));
    } else {
      report_->checked.push_back("tissue shares are as found anew");
    }
  }

  // Without mask or annotations: what the store has is what is made anew.
  void KeepStored() {
    std::vector<PlannedTile> kept;
    std::vector<int64_t> places;
    for (size_t i = 0; i < stored_.size(); ++i) {
      if (stored_[i] < 0) continue;
      kept.push_back(plan_.tiles[i]);
      places.push_back(stored_[i]);
    }
    plan_.tiles = std::move(kept);
    stored_ = std::move(places);
  }

  void Remake() {
    const int64_t count = static_cast<int64_t>(plan_.tiles.size());
    const int64_t wanted = given_.tiles > 0 ? std::min(given_.tiles, count) : count;
    stored_columns_.emplace(store_);
    if (prepared_ && prepared_->labels) masks_ = store_.mask_names();
    std::vector<int64_t> batch;
    for (int64_t i = 0; i < wanted; ++i) {
      batch.push_back(i * count / wanted);
      if (static_cast<int64_t>(batch.size()) < kBatch && i + 1 < wanted) continue;
      RemakeBatch(batch);
      batch.clear();
    }
    if (different_ > kNamed) {
      Problem(fmt::format("{} more tiles are not as made anew", different_ - kNamed));
    }
    if (different_ == 0) {
      report_->checked.push_back(
          fmt::format("{} of {} tiles made anew from the slide are the same", wanted, count));
    }
  }

  void RemakeBatch(const std::vector<int64_t>& batch) {
    Plan part = plan_;
    part.tiles.clear();
    for (const int64_t i : batch) part.tiles.push_back(plan_.tiles[static_cast<size_t>(i)]);
    const ScratchFolder scratch;
    std::optional<core::TileStoreReader> made;
    std::optional<Columns> columns;
    std::vector<int64_t> kept;
    try {
      core::TileStoreWriter writer(scratch.path() / "again.h5", info_);
      kept = ExtractTiles(*slide_, part, options_, threads_, writer, nullptr).kept;
      writer.Finish();
      made.emplace(scratch.path() / "again.h5");
      columns.emplace(*made);
    } catch (const core::SlideError&) {  // every one of them is bad
    }
    int64_t next = 0;  // tile of `made`
    for (size_t k = 0; k < batch.size(); ++k) {
      const int64_t stored = stored_[static_cast<size_t>(batch[k])];
      const bool here = next < static_cast<int64_t>(kept.size()) &&
                        kept[static_cast<size_t>(next)] == static_cast<int64_t>(k);
      std::string why;
      if (!made) {
        if (stored >= 0 && store_.status(stored) != core::TileStatus::kBad) why = "cannot be read";
      } else if (here != (stored >= 0)) {
        why = here ? "is not in the store" : "passes a quality limit";
      } else if (here) {
        why = Compare(*made, *columns, next, stored);
      }
      next += here;
      if (why.empty() || ++different_ > kNamed) continue;
      Problem(
          fmt::format("the tile at {}, {}, made anew, {}", part.tiles[k].x, part.tiles[k].y, why));
    }
  }

  // Why tile i of `made` is not tile k of the store; empty when it is.
  std::string Compare(const core::TileStoreReader& made, const Columns& columns, int64_t i,
                      int64_t k) const {
    if (made.status(i) != store_.status(k)) return "has another status";
    if (made.ReadBytes(i) != store_.ReadBytes(k)) return "has other bytes";
    const std::string other = columns.Compare(i, *stored_columns_, k);
    if (!other.empty()) return "has another " + other;
    if (store_.status(k) == core::TileStatus::kBad) return {};
    const auto [x, y] = store_.coords(k);
    for (const std::string& name : masks_) {
      const core::Image mask = prepared_->labels->Draw(
          static_cast<double>(x), static_cast<double>(y), plan_.tile_size, plan_.downsample);
      if (mask.pixels != store_.ReadLabelMask(name, k).pixels) return "has another mask " + name;
    }
    return {};
  }

  const core::TileStoreReader& store_;
  const core::TileStoreInfo& info_;
  const StoredSettings& settings_;
  TileOptions options_;
  const VerifyOptions& given_;
  const int threads_;
  VerifyReport* report_;
  SlideEntry entry_;
  ClassMap classes_;
  std::unique_ptr<Slide> slide_;
  std::optional<Prepared> prepared_;
  Plan plan_;
  std::vector<int64_t> stored_;
  std::optional<Columns> stored_columns_;
  std::vector<std::string> masks_;
  size_t different_ = 0;
};

}  // namespace

void VerifyAgainstSlide(const core::TileStoreReader& store, const StoredSettings& settings,
                        const VerifyOptions& options, int threads, VerifyReport* report) {
  try {
    SlideCheck(store, settings, options, threads, report).Run();
  } catch (const core::Error& error) {
    // What is wrong with the slide, a mask or annotations is the store's problem here; a full disk
    // and an interruption are not.
    if (error.code() != core::ExitCode::kBadInput && error.code() != core::ExitCode::kUsage) throw;
    report->problems.push_back(fmt::format("the slide cannot be followed: {}", error.what()));
  }
}

}  // namespace eosin::tiling
