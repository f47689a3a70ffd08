// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/predict_slides.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/lock.h"
#include "core/base/log.h"
#include "core/image/codec.h"
#include "segment/predict/dihedral.h"
#include "segment/predict/geojson_sink.h"
#include "segment/predict/label_tiff.h"
#include "segment/predict/picture_slide.h"
#include "segment/predict/predicted_files.h"
#include "segment/predict/prediction_table.h"
#include "segment/predict/summary_sinks.h"
#include "tiling/batch/prepare.h"
#include "tiling/batch/slide_job.h"

namespace eosin::segment {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kBandFormat = 3;  // with the files of BandStore, and what a pipeline makes of pixels

// Equal text, equal bands. What only changes what is made of them stands in Outputs.
Json Settings(const tiling::SlideEntry& entry, const ModelFacts& model,
              const PredictOptions& options, double mpp, int stride, int64_t offset) {
  const tiling::TileOptions tissue = options.ForTissue();
  Json json;
  json["slide_hash"] = core::QuickHash(entry.slide);
  json["model"] = model.hash;
  json["device"] = model.device;
  json["precision"] = model.precision;
  json["tf32"] = model.tf32;
  json["threads"] = model.threads;
  json["bands"] = kBandFormat;
  json["classes"] = model.classes;
  json["mpp"] = mpp;
  if (options.mpp_override > 0) json["mpp_override"] = options.mpp_override;
  json["window"] = model.window;
  json["stride"] = stride;
  if (offset > 0) json["offset"] = offset;
  json["blend"] = options.blend;
  json["tta"] = options.tta;
  json["batch"] = options.batch;  // a network's last digits may depend on it
  if (tissue.UsesMaskFile()) {
    json["mask_sha256"] = core::Sha256File(tiling::MaskPath(tissue, entry.Stem()));
  } else {
    json["tissue"] = options.tissue;
    if (options.tissue != "none") {
      json["tissue_mpp"] = options.tissue_settings.overview_mpp;
      json["min_tissue_um2"] = options.tissue_settings.min_tissue_um2;
      json["min_hole_um2"] = options.tissue_settings.min_hole_um2;
      json["remove_pen"] = options.tissue_settings.remove_pen;
    }
  }
  json["probabilities"] = options.probabilities;
  return json;
}

Json Outputs(const PredictOptions& options, const ModelFacts& model) {
  Json json;
  json["background"] = model.background;
  json["overlay"] = options.overlay;
  json["geojson"] = options.geojson;
  if (options.geojson) {
    json["exact_outlines"] = options.exact_outlines;
    json["min_area_um2"] = options.min_area_um2;
    json["subtract_bounds"] = options.subtract_bounds;
  }
  return json;
}

class SlideJob {
 public:
  SlideJob(const tiling::SlideEntry& entry, const ModelFacts& model, const Network& network,
           PredictOptions options, const fs::path& out, const PredictRun& run,
           PredictResult* result)
      : entry_(entry),
        model_(model),
        network_(network),
        options_(Options(entry, std::move(options))),
        out_(out),
        files_(out, result->stem, options_),
        run_(run),
        result_(result) {}

  void Run() {
    const auto lock = core::FileLock::Try(out_ / ("." + result_->stem + ".predict.lock"));
    if (!lock) {
      result_->status = "locked";
      result_->reason = "another process is predicting it";
      return;
    }
    slide_ = OpenSlideOrPicture(entry_.slide);
    if (options_.mpp_override > 0) slide_->OverrideMpp(options_.mpp_override);
    RequireScale();
    plan_options_ = MakePlanOptions();
    const Json settings = Settings(entry_, model_, options_, plan_options_.mpp,
                                   plan_options_.stride, plan_options_.offset_x);
    const Json outputs = Outputs(options_, model_);
    if (AlreadyDone(settings, outputs)) return;
    Predict(settings);
    result_->status = "done";
    core::WriteFileAtomic(files_.Json(), ResultJson(*result_, model_.classes, settings, outputs));
    store_->Remove();
  }

 private:
  static PredictOptions Options(const tiling::SlideEntry& entry, PredictOptions options) {
    if (entry.mpp > 0) options.mpp_override = entry.mpp;
    // A picture is a region somebody chose: all of it.
    if (IsPicture(entry.slide) && !options.ForTissue().UsesMaskFile()) options.tissue = "none";
    return options;
  }

  void RequireScale() const {
    if (slide_->mpp().known() || !IsPicture(entry_.slide)) {
      slide_->RequireMpp();
      return;
    }
    throw core::SlideError(
        "the scale of " + entry_.slide.string() + " is not known: a picture does not say it",
        "give it with --mpp-override in um per pixel (the model's own for pictures like those it "
        "was trained on), or in a column mpp of a list");
  }

  PlanOptions MakePlanOptions() const {
    PlanOptions plan;
    plan.mpp = options_.mpp > 0 ? options_.mpp : model_.mpp;
    plan.allow_upsample = options_.allow_upsample;
    plan.window = model_.window;
    plan.stride =
        std::max(1, static_cast<int>(std::lround(model_.window * (1 - options_.overlap))));
    plan.offset_x = plan.offset_y = std::llround(options_.shift * model_.window);
    return plan;
  }

  bool AlreadyDone(const Json& settings, const Json& outputs) {
    const fs::path done = files_.Json();
    if (!fs::exists(done)) {
      if (!run_.overwrite) files_.RefuseForeign();
      return false;
    }
    if (SameSettings(done, settings, outputs)) {
      if (!files_.Complete()) {
        core::LogWarning(result_->stem + ": files of it are gone; it is made again");
        return false;
      }
      // Left by a kill between the JSON and this.
      if (BandStore::IsOurs(files_.Bands())) fs::remove_all(files_.Bands());
      ReadResultJson(done, result_);
      result_->status = "skipped";
      result_->reason = "already there";
      return true;
    }
    if (run_.overwrite) return false;
    throw core::DataError(
        fmt::format("{} was made from another slide, by another model or with other settings",
                    done.string()),
        "pass --overwrite to make it again, or another --out to keep both");
  }

  // The bands of a stopped prediction, and none of the files that this one replaces.
  void MakeRoom(const Json& settings) {
    const std::vector<fs::path> old = files_.Replaced();
    store_.emplace(files_.Bands(), settings.dump(), run_.overwrite);
    for (const fs::path& file : old) fs::remove(file);
  }

  void Predict(const Json& settings) {
    tiling::Prepared prepared;
    MakePredictPlan(slide_->geometry(), nullptr, Probe());  // refuses the scale before reading
    FindOverview(*slide_, entry_, options_.ForTissue(), run_.threads, &prepared);
    if (prepared.tissue && !prepared.tissue->HasTissue()) {
      throw core::SlideError("no tissue found in " + entry_.slide.string(),
                             "look at the slide; --no-tissue predicts all of it, --tissue MASK.png "
                             "tells where the tissue is");
    }
    const PredictPlan plan = MakePredictPlan(slide_->geometry(), prepared.mask(), plan_options_);
    result_->mpp = plan.mpp;
    result_->width = plan.width;
    result_->height = plan.height;
    result_->warnings = slide_->warnings();
    result_->tissue_mm2 = TissueArea(prepared);

    MakeRoom(settings);
    const std::vector<ClassStyle> classes = StyleClasses(model_.classes, model_.background);
    const RasterInfo raster{plan.width, plan.height, plan.mpp};
    TissueGate gate(prepared.mask(), slide_->geometry(), plan);
    ClassCounts counts;
    LabelTiff labels(files_.Path(".labels.tif"), store_->folder(), raster, classes);
    std::optional<ProbabilityTiff> probabilities;
    std::optional<GeoJsonSink> geojson;
    std::optional<Overlay> overlay;
    std::vector<BandSink*> sinks = {&counts, &labels};
    if (options_.probabilities) {
      sinks.push_back(&probabilities.emplace(files_.Path(".probabilities.tif"), raster, classes));
    }
    if (options_.geojson) {
      sinks.push_back(
          &geojson.emplace(files_.Path(".geojson"), plan.width, classes, OutlineOptions(plan)));
    }
    if (options_.overlay) {
      sinks.push_back(&overlay.emplace(prepared.overview.image, plan.width, plan.height, classes));
    }
    result_->pipeline = RunNetwork(plan, &gate, sinks);
    files_.Claim();
    labels.Finish();
    if (probabilities) probabilities->Finish();
    if (geojson) {
      geojson->Finish();
      result_->features = geojson->features();
      if (geojson->cuts() > 0) {
        result_->warnings.push_back(fmt::format(
            "outlines were too long for memory: regions are cut along {} rows", geojson->cuts()));
      }
    }
    if (overlay) {
      const core::Bytes png = core::EncodePng(overlay->picture());
      core::WriteFileAtomic(files_.Path(".overlay.png"),
                            {reinterpret_cast<const char*>(png.data()), png.size()});
    }
    const double pixel_mm2 = plan.mpp * plan.mpp * 1e-6;
    for (size_t c = 0; c < classes.size(); ++c) {
      result_->class_mm2.push_back(static_cast<double>(counts[c]) * pixel_mm2);
    }
    const PipelineResult& pipeline = result_->pipeline;
    if (pipeline.bad_blocks > 0) {
      result_->warnings.push_back(
          fmt::format("{} blocks of {} px cannot be read and are not predicted: {}",
                      pipeline.bad_blocks, kBlock, pipeline.first_error));
    }
  }

  PlanOptions Probe() const {
    PlanOptions probe = plan_options_;
    probe.stride = probe.window;  // the fewest windows
    return probe;
  }

  PipelineResult RunNetwork(const PredictPlan& plan, TissueGate* gate,
                            const std::vector<BandSink*>& sinks) {
    PipelineOptions pipeline;
    pipeline.gate = gate;
    pipeline.classes = static_cast<int>(model_.classes.size());
    pipeline.blend = options_.blend;
    pipeline.probabilities = options_.probabilities;
    pipeline.batch = options_.batch;
    pipeline.threads = run_.threads;
    if (!run_.quiet) pipeline.label = result_->stem;
    const Network network =
        options_.tta ? Dihedral(network_, model_.window, pipeline.classes) : network_;
    const PipelineResult made = RunPipeline(*slide_, plan, network, pipeline, &*store_, sinks);
    if (made.bad_blocks == static_cast<int64_t>(plan.blocks.tiles.size()) && made.windows > 0) {
      store_->Remove();
      throw core::SlideError(
          fmt::format("no part of {} can be read: {}", entry_.slide.string(), made.first_error),
          "the file is damaged; fetch it again");
    }
    return made;
  }

  GeoJsonOptions OutlineOptions(const PredictPlan& plan) const {
    GeoJsonOptions outlines;
    outlines.downsample = plan.downsample;
    outlines.width = static_cast<double>(slide_->geometry().width);
    outlines.height = static_cast<double>(slide_->geometry().height);
    if (options_.subtract_bounds) {
      outlines.offset_x = static_cast<double>(slide_->geometry().bounds[0]);
      outlines.offset_y = static_cast<double>(slide_->geometry().bounds[1]);
    }
    outlines.min_pixels =
        static_cast<int64_t>(std::ceil(options_.min_area_um2 / (plan.mpp * plan.mpp)));
    outlines.exact = options_.exact_outlines;
    return outlines;
  }

  std::optional<double> TissueArea(const tiling::Prepared& prepared) const {
    if (!prepared.tissue) return std::nullopt;
    std::array<double, 4> bounds{};
    std::copy_n(slide_->geometry().bounds.begin(), 4, bounds.begin());
    const auto [left, top, width, height] = bounds;
    return prepared.tissue->Share(left, top, width, height) * width * height * slide_->mpp().x *
           slide_->mpp().y * 1e-6;
  }

  const tiling::SlideEntry& entry_;
  const ModelFacts& model_;
  const Network& network_;
  PredictOptions options_;
  const fs::path& out_;
  const PredictedFiles files_;
  const PredictRun& run_;
  PredictResult* result_;
  std::unique_ptr<tiling::Slide> slide_;
  PlanOptions plan_options_;
  std::optional<BandStore> store_;
};

void CheckModel(const ModelFacts& model, const PredictOptions& options) {
  if (options.mpp <= 0 && model.mpp <= 0) {
    throw core::ConfigError("the model does not say at which scale it was trained",
                            "give --mpp in um per pixel; training with input.mpp set keeps it");
  }
  if (model.classes.empty() || model.classes.size() >= kNotPredicted) {
    throw core::ConfigError(fmt::format("a model of {} classes", model.classes.size()),
                            "from 1 to 254 classes can be predicted");
  }
}

}  // namespace

std::vector<PredictResult> PredictSlides(const std::vector<tiling::SlideEntry>& slides,
                                         const ModelFacts& model, const Network& network,
                                         const PredictOptions& options, const fs::path& out,
                                         const PredictRun& run) {
  options.Check();
  CheckModel(model, options);
  const tiling::TileOptions tissue = options.ForTissue();
  if (slides.size() > 1 && tissue.UsesMaskFile() && !fs::is_directory(tissue.tissue)) {
    throw core::ConfigError(
        fmt::format("the one mask {} for {} slides", tissue.tissue, slides.size()),
        "give --tissue a folder of <slide>.png, or predict one slide at a time");
  }
  core::MakeFolder(out);
  if (!run.overwrite) RefuseOtherModels(out, model.hash);
  std::vector<PredictResult> results;
  for (const tiling::SlideEntry& entry : slides) {
    PredictResult& result = results.emplace_back();
    result.slide = entry.slide;
    result.stem = entry.Stem();
    try {
      SlideJob(entry, model, network, options, out, run, &result).Run();
    } catch (const core::Error& error) {
      if (error.code() != core::ExitCode::kBadInput) throw;
      result.status = "failed";
      result.reason = error.what();
      result.hint = error.hint();
    } catch (const fs::filesystem_error& error) {
      throw core::MachineError(error.what(), "check the path, the rights and the free space");
    }
    if (run.on_slide) run.on_slide(result);
    WritePredictionTable(out, results);
  }
  return results;
}

}  // namespace eosin::segment
