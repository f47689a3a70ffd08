// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/slide_job.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/interrupt.h"
#include "core/base/lock.h"
#include "core/base/threads.h"
#include "core/store/store_check.h"
#include "core/store/tile_store.h"
#include "tiling/batch/export.h"
#include "tiling/batch/prepare.h"
#include "tiling/extract/extract.h"
#include "tiling/extract/predict.h"

namespace eosin::tiling {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMaskName = "annotation";  // labels/annotation
constexpr int64_t kTables = 64 << 10;            // tiles.csv and its like
constexpr int kMaskSamples = 64;
constexpr int64_t kPlenty = 64;  // slides in flight whose upper bounds together fit

// True when the store is there and need not be made. Throws StoreError when it is something else.
bool AlreadyDone(const fs::path& store, const std::string& slide_hash, const std::string& settings,
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
  if (info.slide_hash != slide_hash) {
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
  result->tile_size = static_cast<int>(info.tile_size);
  result->level = static_cast<int>(std::max<int64_t>(0, info.patch_level));
  result->status = "skipped";
  result->reason = "already there";
  if (result->bad > 0) {
    result->reason =
        fmt::format("already there, {} of {} tiles marked bad", result->bad, result->tiles);
  }
  return true;
}

// With --overwrite: a store that would become the same is kept, so that an interrupted run goes on
// where it was.
bool IsSound(const fs::path& store, const std::string& slide_hash, const std::string& settings,
             SlideResult* result) {
  const SlideResult before = *result;
  try {
    if (AlreadyDone(store, slide_hash, settings, result) && result->bad == 0 &&
        core::CheckHashes(store).problems.empty()) {
      return true;
    }
  } catch (const core::StoreError&) {  // another one, or damaged: to be replaced
  }
  *result = before;
  return false;
}

core::TileStoreInfo StoreInfo(const Slide& slide, const Plan& plan, const TileOptions& options,
                              const std::string& slide_hash, const std::string& settings,
                              const std::string& patient) {
  core::TileStoreInfo info;
  info.slide_name = slide.path().filename().string();
  info.slide_hash = slide_hash;
  info.vendor = slide.vendor();
  info.width = slide.width();
  info.height = slide.height();
  info.mpp_x = slide.mpp().x;
  info.mpp_y = slide.mpp().y;
  info.mpp_source = slide.mpp().source;
  info.objective_power = slide.objective_power();
  info.bounds = slide.geometry().bounds;
  info.tile_size = plan.tile_size;
  info.tile_mpp = plan.tile_mpp;
  info.stride = std::llround(plan.stride);
  info.encoding = options.encoding;
  info.settings = settings;
  info.patch_size_level0 = plan.patch_size_level0;
  info.downsample = plan.downsample;
  info.patient = patient;
  if (plan.exact()) {
    const SlideLevel& level = slide.level(plan.level);
    info.patch_level = plan.level;
    info.downsample = level.downsample;
    info.level_width = level.width;
    info.level_height = level.height;
  }
  return info;
}

core::Image DrawMask(const LabelMap& labels, const Plan& plan, int64_t tile) {
  const PlannedTile& at = plan.tiles[static_cast<size_t>(tile)];
  return labels.Draw(static_cast<double>(at.x), static_cast<double>(at.y), plan.tile_size,
                     plan.downsample);
}

std::vector<core::Bytes> DrawMasks(const LabelMap& labels, const Plan& plan,
                                   const std::vector<int64_t>& tiles, int threads) {
  // Most tiles are of one class; those masks are coded once.
  std::array<core::Bytes, 256> uniform;
  std::array<std::once_flag, 256> coded;
  std::vector<core::Bytes> masks(tiles.size());
  core::ParallelFor(static_cast<int64_t>(tiles.size()), threads, [&](int64_t i) {
    core::ThrowIfInterrupted();
    const core::Image mask = DrawMask(labels, plan, tiles[static_cast<size_t>(i)]);
    const uint8_t first = mask.pixels.front();
    core::Bytes& png = masks[static_cast<size_t>(i)];
    if (std::all_of(mask.pixels.begin(), mask.pixels.end(),
                    [&](uint8_t v) { return v == first; })) {
      std::call_once(coded[first], [&] { uniform[first] = core::EncodePng(mask); });
      png = uniform[first];
    } else {
      png = core::EncodePng(mask);
    }
  });
  return masks;
}

int64_t PredictMasks(const LabelMap& labels, const Plan& plan) {
  const auto count = static_cast<int64_t>(plan.tiles.size());
  const int64_t samples = std::min<int64_t>(count, kMaskSamples);
  double bytes = 0;
  for (int64_t i = 0; i < samples; ++i) {
    bytes +=
        static_cast<double>(core::EncodePng(DrawMask(labels, plan, i * count / samples)).size());
  }
  return samples == 0 ? 0
                      : static_cast<int64_t>(bytes / static_cast<double>(samples) *
                                             static_cast<double>(count)) +
                            count * 8;
}

// Room that the store, its pictures and the exports will take; an upper bound where the exact
// answer would cost time and the disk has plenty.
int64_t NeededBytes(const Slide& slide, const Prepared& prepared, const TileOptions& options,
                    const BatchOptions& batch, int threads, int64_t free) {
  const Plan& plan = prepared.plan;
  const auto count = static_cast<int64_t>(plan.tiles.size());
  const int64_t pixels = int64_t{plan.tile_size} * plan.tile_size;
  const int64_t copies = 1 + static_cast<int64_t>(std::count_if(
                                 batch.exports.begin(), batch.exports.end(),
                                 [](const std::string& format) { return format != "clam"; }));
  const bool as_png = std::count(batch.exports.begin(), batch.exports.end(), "png") > 0;
  const int64_t fixed = kTables + 2 * prepared.PictureBytes();
  const int64_t bound = copies * count * (pixels * 4 + 8192) + fixed;
  if (bound < free / kPlenty) return bound;
  const Prediction predicted = Predict(slide, plan, options, threads);
  int64_t bytes = predicted.store_bytes + predicted.store_bytes / 50 + fixed;
  if (prepared.labels) bytes += copies * PredictMasks(*prepared.labels, plan);
  bytes += (copies - 1) * (predicted.tile_bytes + count * 4096);
  if (as_png && options.encoding == "jpeg") bytes += count * pixels * 2;
  return bytes;
}

// Bytes held while a slide's tiles are made, beside what every slide holds.
int64_t NeededMemory(const Slide& slide, const Plan& plan, const std::string& encoding,
                     int threads) {
  const auto count = static_cast<int64_t>(plan.tiles.size());
  const int64_t pixels = int64_t{plan.tile_size} * plan.tile_size;
  // Encoded tiles that wait for their turn, and a few decoded ones a thread.
  const int64_t encoded = encoding == "jpeg" ? pixels / 2 : pixels * 3;
  int64_t bytes = count * 128 + int64_t{threads} * (kWriteAhead * encoded + 8 * pixels * 3);
  if (plan.mode != TileMode::kCopy) bytes += WorkingSet(slide.geometry(), plan);
  return bytes;
}

void SetPictures(const Prepared& prepared, const ExtractResult& extracted,
                 core::TileStoreWriter* writer) {
  std::vector<PlannedTile> kept, bad;
  kept.reserve(extracted.kept.size());
  for (const int64_t i : extracted.kept) {
    const bool unread = writer->status(static_cast<int64_t>(kept.size())) == core::TileStatus::kBad;
    kept.push_back(prepared.plan.tiles[static_cast<size_t>(i)]);
    if (unread) bad.push_back(kept.back());
  }
  const Previews previews = prepared.Draw(kept, extracted.rejected, bad);
  writer->SetPreview("thumbnail", previews.thumbnail);
  if (!previews.tissue.empty()) writer->SetPreview("tissue", previews.tissue);
  writer->SetPreview("grid", previews.grid);
}

void MakeStore(const Slide& slide, const SlideEntry& entry, const Prepared& prepared,
               const TileOptions& options, const core::TileStoreInfo& info, int threads,
               const JobContext& context, SlideResult* result) {
  const fs::path store = context.out / (result->stem + ".h5");
  const Plan& plan = prepared.plan;
  const auto count = static_cast<int64_t>(plan.tiles.size());
  const MemoryBudget::Share memory(context.memory,
                                   NeededMemory(slide, plan, options.encoding, threads));
  ExtractResult extracted;
  {
    fs::path part = store;
    part += ".part";
    const DiskBudget::Share disk(
        context.disk, store.filename().string(), part,
        NeededBytes(slide, prepared, options, context.batch, threads, context.disk.Free()));
    core::TileStoreWriter writer(store, info);
    core::Progress* progress = context.planned ? context.planned(count) : nullptr;
    extracted = ExtractTiles(slide, plan, options, threads, writer, progress);
    for (const RejectedTile& tile : extracted.rejected) {
      ++result->rejected[static_cast<size_t>(tile.reason)];
    }
    if (extracted.kept.empty()) {
      throw core::SlideError(
          fmt::format("all {} tiles of {} pass a quality limit", count, slide.path().string()),
          "raise --max-blur, --max-pen, --max-white, --max-black or --max-fold");
    }
    if (prepared.labels && !prepared.labels->empty()) {
      writer.SetLabelMasks(kMaskName, DrawMasks(*prepared.labels, plan, extracted.kept, threads),
                           prepared.classes.ToString());
    }
    if (!entry.class_name.empty()) {
      const int id = context.classes.SlideClass(entry.class_name);
      writer.SetLabels("class", std::vector<int64_t>(extracted.kept.size(), id),
                       fmt::format("{}={}", entry.class_name, id));
    }
    SetPictures(prepared, extracted, &writer);
    writer.Finish();
  }
  result->tiles = static_cast<int64_t>(extracted.kept.size());
  result->bad = extracted.bad;
  result->bytes = static_cast<int64_t>(fs::file_size(store));
  if (extracted.bad > 0) {
    result->reason = fmt::format("{} of {} tiles cannot be read and are marked bad: {}",
                                 extracted.bad, result->tiles, extracted.first_error);
  }
}

void Describe(const Slide& slide, const Prepared& prepared, SlideResult* result) {
  const Plan& plan = prepared.plan;
  const auto [x, y, width, height] = slide.geometry().bounds;
  result->tissue_share =
      prepared.tissue
          ? prepared.tissue->Share(static_cast<double>(x), static_cast<double>(y),
                                   static_cast<double>(width), static_cast<double>(height))
          : 1;
  for (const RejectedTile& tile : plan.rejected) {
    ++result->rejected[static_cast<size_t>(tile.reason)];
  }
  result->warnings = slide.warnings();
  if (prepared.overview.bad_tiles > 0) {
    result->warnings.push_back(
        fmt::format("{} stored tile{} that the overview needs cannot be read",
                    prepared.overview.bad_tiles, prepared.overview.bad_tiles == 1 ? "" : "s"));
  }
  result->mpp_source = slide.mpp().source;
  result->tiles = static_cast<int64_t>(plan.tiles.size());
  result->tile_mpp = plan.tile_mpp;
  result->tile_size = plan.tile_size;
  result->level = plan.level;
  result->mode = plan.mode == TileMode::kCopy   ? "copy"
                 : plan.mode == TileMode::kCrop ? "crop"
                                                : "resample";
  result->plan = tiling::Describe(plan);
}

void PredictResult(const Slide& slide, const Prepared& prepared, const TileOptions& options,
                   int threads, SlideResult* result) {
  const Prediction predicted = Predict(slide, prepared.plan, options, threads);
  const Previews previews = prepared.Draw(prepared.plan.tiles, {}, {});
  result->bytes =
      predicted.store_bytes + static_cast<int64_t>(previews.thumbnail.size() +
                                                   previews.tissue.size() + previews.grid.size());
  if (prepared.labels && !prepared.labels->empty()) {
    result->bytes += PredictMasks(*prepared.labels, prepared.plan);
  }
  result->seconds = predicted.seconds;
  result->status = "planned";
}

// Is what an earlier run exported as new as the store?
bool Exported(const fs::path& store, const fs::path& out, const std::string& format) {
  const std::string stem = store.stem().string();
  const fs::path made = format == "clam"         ? out / "clam" / (stem + ".h5")
                        : format == "webdataset" ? out / "webdataset" / (stem + ".tar")
                                                 : out / format / stem;
  std::error_code error;
  const auto time = fs::last_write_time(made, error);
  return !error && time >= fs::last_write_time(store);
}

}  // namespace

fs::path MaskPath(const TileOptions& options, const std::string& stem) {
  const fs::path path = options.tissue;
  return fs::is_directory(path) ? path / (stem + ".png") : path;
}

bool RunSlideJob(const SlideEntry& entry, int threads, const JobContext& context,
                 SlideResult* result) {
  const BatchOptions& batch = context.batch;
  std::optional<core::FileLock> lock;
  if (!batch.dry_run) {
    lock = core::FileLock::Try(context.out / ("." + result->stem + ".h5.lock"));
    if (!lock) return false;
  }
  TileOptions options = context.options;
  if (entry.mpp > 0) options.mpp_override = entry.mpp;
  const ClassMap classes = context.classes.RegionsOf(entry);
  options.classes = classes.ToString();
  SlideFacts facts = {entry.class_name, -1, entry.patient};
  if (!entry.class_name.empty()) facts.class_id = context.classes.SlideClass(entry.class_name);
  const std::string settings = options.Settings(
      options.UsesMaskFile() ? core::Sha256File(MaskPath(options, result->stem)) : "",
      entry.annotation.empty() ? "" : core::Sha256File(entry.annotation), facts);
  const std::string slide_hash = core::QuickHash(entry.slide);
  const fs::path store = context.out / (result->stem + ".h5");

  const bool there =
      !batch.dry_run && (batch.overwrite ? IsSound(store, slide_hash, settings, result)
                                         : AlreadyDone(store, slide_hash, settings, result));
  if (!there) {
    const std::unique_ptr<Slide> slide = Slide::Open(entry.slide);
    result->reader = slide->reader();
    if (options.mpp_override > 0) slide->OverrideMpp(options.mpp_override);
    result->mpp = slide->RequireMpp().mean();
    const Prepared prepared = Prepare(*slide, entry, classes, options, threads);
    Describe(*slide, prepared, result);
    if (batch.dry_run) {
      PredictResult(*slide, prepared, options, threads, result);
      return true;
    }
    MakeStore(*slide, entry, prepared, options,
              StoreInfo(*slide, prepared.plan, options, slide_hash, settings, entry.patient),
              threads, context, result);
    result->status = "done";
  }
  const core::TileStoreReader written(store);  // what is on disk can be read
  const fs::path picture = context.out / (result->stem + ".preview.jpg");
  std::error_code absent;
  const auto drawn = fs::last_write_time(picture, absent);
  if (!there || absent || drawn < fs::last_write_time(store)) {
    const core::Bytes jpeg = written.ReadPreview("grid");
    core::WriteFileAtomic(picture, {reinterpret_cast<const char*>(jpeg.data()), jpeg.size()});
  }
  for (const std::string& format : batch.exports) {
    if (!there || !Exported(store, context.out, format)) ExportStore(store, context.out, format);
  }
  return true;
}

}  // namespace eosin::tiling
