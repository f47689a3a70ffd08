// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/batch.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "core/base/progress.h"
#include "core/base/threads.h"
#include "core/formats/csv.h"
#include "core/store/tile_store.h"
#include "tiling/extract/extract.h"
#include "tiling/extract/plan.h"
#include "tiling/batch/preview.h"
#include "tiling/slides/slide.h"
#include "tiling/tissue/tissue.h"

namespace eosin::tiling {
namespace {

constexpr double kPreviewPixels = 1024;  // small slides get an overview finer than tissue needs

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

const std::vector<std::string>& CsvHeader() {
  static const std::vector<std::string> kHeader = {
      "slide",   "status", "reason",     "patches",  "bad",   "tissue", "bytes",
      "seconds", "mpp",    "mpp_source", "tile_mpp", "level", "exact",  "store"};
  return kHeader;
}

std::vector<std::string> CsvCells(const SlideResult& r) {
  const bool made = r.status != "failed";
  auto number = [](double value) { return value > 0 ? fmt::format("{:.6g}", value) : ""; };
  return {r.slide.string(),
          r.status,
          r.reason,
          std::to_string(r.tiles),
          std::to_string(r.bad),
          r.tissue_share >= 0 ? fmt::format("{:.4f}", r.tissue_share) : "",
          std::to_string(r.bytes),
          fmt::format("{:.2f}", r.seconds),
          number(r.mpp),
          r.mpp_source,
          number(r.tile_mpp),
          made ? std::to_string(r.level) : "",
          made ? (r.exact ? "1" : "0") : "",
          made ? r.stem + ".h5" : ""};
}

// The result table, one row a slide name. What earlier runs said of other slides stays; of a slide
// that is skipped now, the row of the run that made it.
class ResultTable {
 public:
  explicit ResultTable(fs::path path) : path_(std::move(path)) {
    if (!fs::exists(path_)) return;
    try {
      core::CsvTable table = core::ReadCsv(path_);
      if (table.header != CsvHeader()) return;
      for (auto& row : table.rows) rows_[fs::path(row[0]).stem().string()] = std::move(row);
    } catch (const core::DataError& error) {
      core::LogWarning(fmt::format("{}; it is written anew", error.what()));
    }
  }

  void Add(const SlideResult& result) {
    std::vector<std::string>& row = rows_[result.stem];
    const bool known = !row.empty() && row[1] != "failed";
    if (result.status == "skipped" && known) {
      row[1] = result.status;
    } else {
      row = CsvCells(result);
    }
    if (Since(written_) > 2) Write();
  }

  void Write() {
    std::string text = core::CsvRow(CsvHeader());
    for (const auto& [stem, row] : rows_) text += core::CsvRow(row);
    core::WriteFileAtomic(path_, text);
    written_ = Clock::now();
  }

 private:
  fs::path path_;
  std::map<std::string, std::vector<std::string>> rows_;
  Clock::time_point written_ = Clock::now();
};

// The table as far as it goes, before the batch stops. A disk that is full may not take it.
void Leave(ResultTable& table, const SlideResult& result, core::ExitCode code) {
  try {
    if (code == core::ExitCode::kMachine) table.Add(result);
    table.Write();
  } catch (const core::MachineError&) {
  }
}

fs::path MaskPath(const TileOptions& options, const std::string& stem) {
  const fs::path path = options.tissue;
  return fs::is_directory(path) ? path / (stem + ".png") : path;
}

void CheckMask(const TileOptions& options, size_t slides) {
  if (!options.UsesMaskFile()) return;
  if (!fs::exists(options.tissue)) {
    const std::string nearest = core::NearestWord(options.tissue, {"otsu", "none"});
    throw core::ConfigError("tissue = " + options.tissue + " is neither a method nor a file",
                            nearest.empty() ? "otsu, none, or the path of a mask picture"
                                            : "did you mean " + nearest + "?");
  }
  if (slides > 1 && !fs::is_directory(options.tissue)) {
    throw core::ConfigError(fmt::format("one mask, {}, for {} slides", options.tissue, slides),
                            "give a folder with one <slide name>.png a slide");
  }
}

// True when the store is there and need not be made. Throws StoreError when it is something else.
bool AlreadyDone(const fs::path& store, const fs::path& slide, const std::string& settings,
                 SlideResult* result) {
  if (!fs::exists(store)) return false;
  const char* hint = "pass --overwrite to make it again, or another --out to keep both";
  std::optional<core::TileStoreReader> reader;
  try {
    reader.emplace(store);
  } catch (const core::StoreError& error) {
    throw core::StoreError(
        fmt::format("{} is there and cannot be used: {}", store.string(), error.what()), hint);
  }
  const core::TileStoreInfo& info = reader->info();
  if (info.slide_hash != core::QuickHash(slide)) {
    throw core::StoreError(
        fmt::format("{} was made from another slide, {}", store.string(), info.slide_name), hint);
  }
  if (info.settings != settings) {
    throw core::StoreError(fmt::format("{} was made with other settings: {} instead of {}",
                                       store.string(), info.settings, settings),
                           hint);
  }
  result->tiles = reader->size();
  for (int64_t i = 0; i < reader->size(); ++i) {
    result->bad += reader->status(i) == core::TileStatus::kBad;
  }
  result->bytes = static_cast<int64_t>(fs::file_size(store));
  result->mpp = info.Mpp();
  result->mpp_source = info.mpp_source;
  result->tile_mpp = info.tile_mpp;
  result->level = static_cast<int>(info.patch_level);
  result->exact = info.patch_level >= 0;
  result->status = "skipped";
  result->reason = "already there";
  return true;
}

core::TileStoreInfo StoreInfo(const Slide& slide, const Plan& plan, const TileOptions& options,
                              const std::string& settings) {
  core::TileStoreInfo info;
  info.slide_name = slide.path().filename().string();
  info.slide_hash = core::QuickHash(slide.path());
  info.vendor = slide.vendor();
  info.width = slide.width();
  info.height = slide.height();
  info.mpp_x = slide.mpp().x;
  info.mpp_y = slide.mpp().y;
  info.mpp_source = slide.mpp().source;
  info.objective_power = slide.objective_power();
  info.bounds = slide.geometry().bounds;
  info.tile_size = options.size;
  info.tile_mpp = plan.tile_mpp;
  info.stride = options.Stride();
  info.encoding = options.encoding;
  info.settings = settings;
  info.patch_size_level0 = plan.patch_size_level0;
  info.downsample = plan.downsample;
  if (plan.exact) {
    const SlideLevel& level = slide.levels()[static_cast<size_t>(plan.level)];
    info.patch_level = plan.level;
    info.downsample = level.downsample;
    info.level_width = level.width;
    info.level_height = level.height;
  }
  return info;
}

[[noreturn]] void ThrowNoTiles(const Slide& slide, const Plan& plan, const TissueMask* tissue,
                               const TileOptions& options) {
  const std::string name = slide.path().string();
  if (tissue && !tissue->HasTissue()) {
    throw core::SlideError("no tissue found in " + name,
                           "look at the slide; --tissue none takes all of it, --tissue MASK.png "
                           "tells where the tissue is");
  }
  if (!plan.rejected.empty()) {
    throw core::SlideError(
        fmt::format("no tissue found in {} that fills {:.4g} of a tile", name, options.min_tissue),
        "lower --min-tissue or take smaller tiles");
  }
  if (plan.outside_roi > 0) {
    throw core::SlideError("no tile of " + name + " lies wholly inside a region of interest",
                           "make the --roi larger: the grid starts at 0,0 of the slide, not of it");
  }
  throw core::SlideError(fmt::format("{} is smaller than one tile of {} x {} level-0 pixels", name,
                                     plan.patch_size_level0, plan.patch_size_level0),
                         "take smaller tiles (--size) or a finer scale (--mpp)");
}

struct Prepared {
  Overview overview;
  std::optional<TissueMask> tissue;
  Plan plan;
  const TissueMask* mask() const { return tissue ? &*tissue : nullptr; }
};

Prepared Prepare(Slide& slide, const TileOptions& options) {
  Prepared prepared;
  const double mpp0 = slide.RequireMpp().mean();
  MakePlan({slide.width(), slide.height(), {0, 0, 0, 0}, slide.levels(), slide.mpp()}, nullptr,
           options);  // refuses the scale before any pixel is read
  const TissueSettings settings;
  const double longest = static_cast<double>(std::max(slide.width(), slide.height())) * mpp0;
  const double mpp = std::min(settings.overview_mpp, std::max(mpp0, longest / kPreviewPixels));
  prepared.overview = ReadOverview(slide, mpp);
  if (options.UsesMaskFile()) {
    prepared.tissue = ReadTissueMask(MaskPath(options, slide.path().stem().string()), slide.width(),
                                     slide.height());
  } else if (options.tissue == "otsu") {
    const double scale = prepared.overview.scale;
    const int block = std::max(1, static_cast<int>(settings.overview_mpp / (scale * mpp0) + 0.01));
    prepared.tissue = TissueMask(
        SegmentTissue(ShrinkByMean(prepared.overview.image, block), scale * block * mpp0, settings),
        scale * block);
  }
  prepared.plan = MakePlan(slide.geometry(), prepared.mask(), options);
  if (prepared.plan.tiles.empty()) ThrowNoTiles(slide, prepared.plan, prepared.mask(), options);
  return prepared;
}

void CheckSpace(const fs::path& out, int64_t needed) {
  const int64_t free = core::FreeBytes(out);
  if (free >= needed) return;
  throw core::MachineError(
      fmt::format("{} has {:.3g} MB free, the next store needs about {:.3g} MB", out.string(),
                  static_cast<double>(free) / 1e6, static_cast<double>(needed) / 1e6),
      "free some space, write to another disk, or use --encoding jpeg");
}

void MakeStore(Slide& slide, const Prepared& prepared, const TileOptions& options,
               const std::string& settings, const fs::path& out, const BatchOptions& batch,
               const std::string& label, SlideResult* result) {
  CheckSpace(out, prepared.plan.predicted_bytes);
  const fs::path store = out / (result->stem + ".h5");
  core::TileStoreWriter writer(store, StoreInfo(slide, prepared.plan, options, settings));
  const int64_t count = static_cast<int64_t>(prepared.plan.tiles.size());
  ExtractResult extracted;
  {
    std::optional<core::Progress> progress;
    if (!batch.quiet) progress.emplace(label, count, "tiles");
    const int threads = batch.threads > 0 ? batch.threads : core::AvailableCores();
    extracted = ExtractTiles(slide, prepared.plan, options, threads, writer,
                             progress ? &*progress : nullptr);
  }
  const Previews previews = DrawPreviews(prepared.overview, prepared.mask(), prepared.plan);
  writer.SetPreview("thumbnail", previews.thumbnail);
  if (!previews.tissue.empty()) writer.SetPreview("tissue", previews.tissue);
  writer.SetPreview("grid", previews.grid);
  writer.Finish();
  result->bad = extracted.bad;
  result->bytes = static_cast<int64_t>(fs::file_size(store));
  if (extracted.bad > 0) {
    result->reason = fmt::format("{} of {} tiles cannot be read and are marked bad: {}",
                                 extracted.bad, count, extracted.first_error);
  }
}

void Process(const fs::path& path, const TileOptions& options, const fs::path& out,
             const BatchOptions& batch, const std::string& label, SlideResult* result) {
  std::string mask_hash;
  if (options.UsesMaskFile()) mask_hash = core::Sha256File(MaskPath(options, result->stem));
  const std::string settings = options.Settings(mask_hash);
  const fs::path store = out / (result->stem + ".h5");
  const bool there =
      !batch.dry_run && !batch.overwrite && AlreadyDone(store, path, settings, result);
  if (!there) {
    Slide slide = Slide::Open(path);
    if (options.mpp_override > 0) slide.OverrideMpp(options.mpp_override);
    result->mpp = slide.RequireMpp().mean();
    result->mpp_source = slide.mpp().source;
    const Prepared prepared = Prepare(slide, options);
    const auto [x, y, width, height] = slide.geometry().bounds;
    result->tissue_share =
        prepared.tissue
            ? prepared.tissue->Share(static_cast<double>(x), static_cast<double>(y),
                                     static_cast<double>(width), static_cast<double>(height))
            : 1;
    result->tiles = static_cast<int64_t>(prepared.plan.tiles.size());
    result->tile_mpp = prepared.plan.tile_mpp;
    result->level = prepared.plan.level;
    result->exact = prepared.plan.exact;
    result->bytes = prepared.plan.predicted_bytes;
    result->plan = Describe(prepared.plan);
    if (batch.dry_run) {
      result->status = "planned";
      return;
    }
    MakeStore(slide, prepared, options, settings, out, batch, label, result);
    result->status = "done";
  }
  const core::TileStoreReader written(store);  // what is on disk can be read
  const fs::path picture = out / (result->stem + ".preview.jpg");
  if (!there || !fs::exists(picture)) {
    const core::Bytes jpeg = written.ReadPreview("grid");
    core::WriteFileAtomic(picture, {reinterpret_cast<const char*>(jpeg.data()), jpeg.size()});
  }
  if (batch.export_clam) {
    core::MakeFolder(out / "clam");
    core::WriteClamCoords(out / "clam" / (result->stem + ".h5"), written);
  }
}

}  // namespace

std::vector<fs::path> FindSlides(const std::vector<fs::path>& paths) {
  std::vector<fs::path> slides;
  std::set<fs::path> seen;
  auto take = [&](const fs::path& path) {
    if (seen.insert(fs::weakly_canonical(path)).second) slides.push_back(path);
  };
  for (const fs::path& path : paths) {
    if (!fs::exists(path))
      throw core::DataError("no such slide or folder: " + path.string(), "check the path");
    if (!fs::is_directory(path)) {
      take(path);
      continue;
    }
    const std::vector<fs::path> found = core::ListFiles(path, SlideExtensions(), true);
    if (found.empty()) {
      throw core::DataError("no slide in folder " + path.string(),
                            fmt::format("slides end in {}; give other files by name",
                                        fmt::join(SlideExtensions(), " ")));
    }
    for (const fs::path& file : found) take(file);
  }
  std::map<std::string, fs::path> stems;
  for (const fs::path& slide : slides) {
    const auto [other, fresh] = stems.emplace(slide.stem().string(), slide);
    if (fresh) continue;
    throw core::DataError(fmt::format("{} and {} would both become {}.h5", other->second.string(),
                                      slide.string(), other->first),
                          "tile them to different --out folders, or rename one");
  }
  return slides;
}

std::vector<SlideResult> TileSlides(const std::vector<fs::path>& slides, const TileOptions& options,
                                    const fs::path& out, const BatchOptions& batch) {
  options.Check();
  CheckMask(options, slides.size());
  std::optional<ResultTable> table;
  if (!batch.dry_run) {
    core::MakeFolder(out);
    table.emplace(out / "tiles.csv");
  }
  std::vector<SlideResult> results;
  for (size_t i = 0; i < slides.size(); ++i) {
    SlideResult result;
    result.slide = slides[i];
    result.stem = slides[i].stem().string();
    const Clock::time_point start = Clock::now();
    const std::string label = slides.size() > 1
                                  ? fmt::format("[{}/{}] {}", i + 1, slides.size(), result.stem)
                                  : result.stem;
    try {
      core::ThrowIfInterrupted();
      Process(slides[i], options, out, batch, label, &result);
    } catch (const core::Error& error) {
      result.status = "failed";
      result.reason = error.what();
      result.hint = error.hint();
      result.bytes = result.tiles = result.bad = 0;
      result.seconds = Since(start);
      if (error.code() != core::ExitCode::kBadInput) {
        if (table) Leave(*table, result, error.code());
        throw;
      }
    }
    result.seconds = Since(start);
    if (table) table->Add(result);
    if (batch.on_slide) batch.on_slide(result);
    results.push_back(std::move(result));
  }
  if (table) table->Write();
  return results;
}

}  // namespace eosin::tiling
