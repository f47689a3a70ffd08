// SPDX-License-Identifier: Apache-2.0
#include "segment/train/trainer.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "core/base/progress.h"
#include "core/formats/pth.h"
#include "core/formats/safetensors.h"
#include "core/image/codec.h"
#include "engine/training/checkpoint.h"
#include "engine/training/run_folder.h"
#include "engine/weights/weights.h"
#include "segment/data/crops.h"
#include "segment/model/build_model.h"
#include "segment/predict/predict_image.h"
#include "segment/train/batch.h"
#include "segment/train/drift.h"
#include "segment/train/feature_cache.h"
#include "segment/train/keep_batch.h"
#include "segment/train/learner.h"
#include "segment/train/losses.h"
#include "segment/train/score.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

namespace eosin::segment {
namespace {

using eval::Metric;

// Of all that decides the run's bits but threads and device.
std::string Fingerprint(SegmentOptions options, const MaskDataset& data, const ImageSplit& split) {
  const int workers = options.Workers();
  options.workers = options.keep_predictions = options.checkpoint_every = 0;
  options.compute = {};
  options.data.data = options.data.images = options.data.masks = options.data.groups = "";
  options.data.in_memory = false;
  core::OptionSet set;
  options.Bind(set);
  core::Sha256 hash;
  hash.Update(set.Values());
  const auto& hashes = data.FileHashes(workers);
  for (const auto* part : {&split.train, &split.val, &split.test}) {
    for (const int64_t i : *part) {
      const auto& content = hashes[static_cast<size_t>(i)];
      hash.Update(content.image + content.mask + "\n");
    }
    hash.Update("\n");
  }
  return hash.Hex();
}

std::vector<double> WeightsOfClasses(const SegmentOptions& options, const MaskDataset& data,
                                     const ImageSplit& split) {
  std::vector<int64_t> pixels(options.data.classes.size(), 0);
  if (options.class_weights == "inverse" || options.class_weights == "sqrt") {
    const auto& counts = data.ClassPixels(options.Workers());
    for (const int64_t i : split.train) {
      for (size_t c = 0; c < pixels.size(); ++c) pixels[c] += counts[static_cast<size_t>(i)][c];
    }
  }
  return ClassWeights(options.class_weights, pixels);
}

// The best state is chosen by the Dice of the foreground: without any in the validation images
// there is no choice.
void CheckValidation(const SegmentOptions& options, const MaskDataset& data,
                     const ImageSplit& split) {
  const std::vector<std::string>& classes = options.data.classes;
  const auto& pixels = data.ClassPixels(options.Workers());
  std::vector<std::string> absent;
  size_t foreground = 0;
  for (size_t c = 0; c < classes.size(); ++c) {
    if (static_cast<int64_t>(c) == options.data.background) continue;
    ++foreground;
    const bool shown = std::any_of(split.val.begin(), split.val.end(), [&](int64_t i) {
      return pixels[static_cast<size_t>(i)][c] > 0;
    });
    if (!shown) absent.push_back(classes[c]);
  }
  if (absent.empty()) return;
  const std::string message = fmt::format("no validation image shows {} ({} images)",
                                          fmt::join(absent, " or "), split.val.size());
  if (absent.size() == foreground) {
    throw core::DataError(message + ": the best state cannot be chosen",
                          "take another split.seed or a larger split.val, or name the parts in "
                          "split.file");
  }
  core::LogWarning(message + ": it has no say in choosing the best state");
}

class Training {
 public:
  Training(const SegmentOptions& options, const MaskDataset& data, const ImageSplit& split,
           const std::filesystem::path& folder)
      : options_(options),
        data_(data),
        split_(split),
        folder_(folder),
        compute_(engine::ResolveCompute(options.compute)) {
    options_.Check();
    CheckValidation(options_, data_, split_);
    std::optional<engine::Checkpoint> checkpoint = FindCheckpoint();
    // A checkpoint holds the weights: the file of options.init may be gone by now.
    BuiltModel model = BuildModel(options_, checkpoint ? InitFile::kIgnore : InitFile::kRead);
    normalization_ = model.normalization;
    if (!checkpoint) state_.weights_matched = model.matched;
    learner_ = std::make_unique<Learner>(options_, compute_, model.net,
                                         WeightsOfClasses(options_, data, split));
    result_.frozen_parameters = learner_->always_frozen();
    if (checkpoint) {
      Continue(*checkpoint);
    } else {
      initial_backbone_ = engine::ToStateDict(*net()->backbone());
    }

    result_.init = options_.init == "random"
                       ? options_.init
                       : std::filesystem::path(options_.init).filename().string();
    result_.classes = options_.data.classes;
    result_.background = options_.data.background;
    result_.mpp = data_.ReadMpp();
    result_.score = options_.score;
    result_.freeze = options_.freeze;
    result_.weights_matched = state_.weights_matched;
    for (const at::Tensor& parameter : net()->parameters()) result_.parameters += parameter.numel();
    for (const int64_t i : split_.train) result_.train_images.push_back(data_.item(i).name);
  }

  SegmentResult Run(const TrainExtras& extras) {
    engine::MetricsLog metrics(folder_, {"loss", "lr", "val_dice", "val_iou"},
                               state_.validated > 0 ? state_.validated : -1);
    std::unique_ptr<core::Progress> progress;
    if (!extras.hook) {
      progress = std::make_unique<core::Progress>("segment", options_.steps, "steps", state_.step);
    }
    for (int64_t step = 1; extras.hook && step <= state_.step; ++step) {
      extras.hook(step, std::nan(""));
    }
    loss_sum_ = at::zeros({}, at::TensorOptions().device(compute_.device)).fill_(state_.loss_sum);
    bool stop = Stopped();
    try {
      while (true) {
        if (!stop && ValidationDue() && state_.validated < state_.step) {
          stop = Validate(metrics);
          Save();
        }
        if (stop || state_.step == options_.steps) break;
        core::ThrowIfInterrupted();
        Step();
        if (options_.checkpoint_every > 0 && state_.step % options_.checkpoint_every == 0 &&
            !ValidationDue()) {
          Save();
        }
        const double last_loss = state_.curve.empty() ? std::nan("") : state_.curve.back().loss;
        if (extras.hook) extras.hook(state_.step, last_loss);
        if (progress) {
          progress->Advance();
          if (!state_.curve.empty()) {
            progress->SetNote(fmt::format("loss {:.3f}, val Dice {:.3f}", last_loss,
                                          state_.curve.back().val_dice));
          }
        }
      }
    } catch (const core::InterruptedError&) {
      Save();
      throw;
    }
    loader_.reset();
    cache_.reset();
    result_.steps = state_.step;
    result_.best_step = state_.best_step;
    result_.curve = state_.curve;
    result_.test_last = Score(split_.test, "", ScoreDetail::kAll);
    if (extras.save_model) SaveModel("last", false);
    engine::LoadStateDict(*net(), best_, {.strict = true, .ignore_prefixes = {}});
    result_.drift = BackboneDrift(initial_backbone_, *net()->backbone());
    result_.test = Score(split_.test, "predictions", ScoreDetail::kAll);
    if (extras.save_model) SaveModel("model", true);
    return std::move(result_);
  }

 private:
  SegmentationNet& net() { return learner_->net(); }

  std::optional<engine::Checkpoint> FindCheckpoint() {
    const auto path = CheckpointFolder(folder_);
    state_.fingerprint = Fingerprint(options_, data_, split_);
    if (!engine::HasCheckpoint(path)) return std::nullopt;
    engine::Checkpoint checkpoint = engine::LoadCheckpoint(path);
    const TrainState found = ParseTrainState(checkpoint.state, (path / "state.json").string());
    if (found.fingerprint != state_.fingerprint) {
      throw core::ConfigError(
          fmt::format("{} was made with other settings, images or masks", path.string()),
          "continue with the settings in the run's config.toml, or start a new run");
    }
    state_ = found;
    return checkpoint;
  }

  void Continue(const engine::Checkpoint& checkpoint) {
    const std::string where = CheckpointFolder(folder_).string();
    const auto model = checkpoint.tensors.find("model"), best = checkpoint.tensors.find("best"),
               optimizer = checkpoint.tensors.find("optimizer"),
               initial = checkpoint.tensors.find("initial");
    if (model == checkpoint.tensors.end() || initial == checkpoint.tensors.end()) {
      throw core::WeightsError(where + " holds no model", "start a new run");
    }
    initial_backbone_ = initial->second;
    engine::LoadStateDict(*net(), model->second, {.strict = true, .ignore_prefixes = {}});
    learner_->optimizer().LoadState(optimizer == checkpoint.tensors.end() ? core::StateDict()
                                                                          : optimizer->second);
    best_ = best == checkpoint.tensors.end() ? model->second : best->second;
    if (const auto found = engine::NormalizationOf(checkpoint.metadata)) normalization_ = *found;
    core::LogInfo(fmt::format("continued at step {} of {}", state_.step, options_.steps));
    if (state_.threads != compute_.threads || state_.device != compute_.device.str() ||
        state_.bf16 != compute_.bf16 || state_.tf32 != compute_.tf32) {
      core::LogWarning(fmt::format(
          "the run was started on {} with {} threads and {}, and continues on {}: its numbers will "
          "differ in the last digits",
          state_.device, state_.threads, state_.bf16 ? "bf16" : "fp32", compute_.Describe()));
    }
  }

  void Save() {
    // Nothing is saved that a step made of no numbers.
    CheckPending();
    CheckWeights();
    state_.loss_sum = loss_sum_.item<double>();
    state_.threads = compute_.threads;
    state_.bf16 = compute_.bf16;
    state_.tf32 = compute_.tf32;
    state_.device = compute_.device.str();
    engine::Checkpoint checkpoint;
    checkpoint.tensors["model"] = engine::ToStateDict(*net());
    checkpoint.tensors["initial"] = initial_backbone_;
    checkpoint.tensors["optimizer"] = learner_->optimizer().ToState();
    // The best state is the model itself right after its validation.
    if (state_.best_step > 0 && state_.best_step != state_.step) {
      checkpoint.tensors["best"] = best_;
    }
    engine::AddToMetadata(normalization_, &checkpoint.metadata);
    checkpoint.state = state_.ToJson();
    core::MakeFolder(CheckpointFolder(folder_).parent_path());
    engine::SaveCheckpoint(CheckpointFolder(folder_), checkpoint);
  }

  bool ValidationDue() const {
    return state_.step > 0 &&
           (state_.step % options_.ValEvery() == 0 || state_.step == options_.steps);
  }

  bool Stopped() const { return options_.patience > 0 && state_.worse >= options_.patience; }

  void Step() {
    const int64_t step = state_.step;
    learner_->Prepare(step);
    const int64_t change = options_.UnfreezeStep();
    std::vector<at::Tensor> features;
    at::Tensor target;
    if (options_.cache_features && step < change) {
      if (!cache_) {
        cache_ = std::make_unique<FeatureCache>(options_, data_, split_.train, change, compute_,
                                                normalization_, *learner_);
        core::LogInfo(fmt::format("features of {} crops kept: {:.2f} GB", cache_->crops(),
                                  cache_->gigabytes()));
      }
      FeatureCache::Batch batch = cache_->At(step);
      features = std::move(batch.features);
      target = batch.target;
    } else {
      cache_.reset();
      if (!loader_) {
        loader_ = std::make_unique<CropLoader>(data_, split_.train, options_, step);
      }
      const DeviceBatch batch =
          ToDevice(loader_->Next(), options_.crop, compute_.device, normalization_);
      features = learner_->Features(batch.input);
      target = batch.mask.to(at::kLong);
    }
    const at::Tensor loss = learner_->Loss(features, target, step);
    features.clear();
    // On a GPU the loss of a step is looked at when the next one is under way: nothing waits.
    CheckPending();
    pending_ = loss.detach();
    pending_step_ = step;
    if (compute_.device.is_cpu()) CheckPending();
    learner_->Update(loss, step);
    loss_sum_ += loss.detach();
    ++state_.loss_count;
    ++state_.step;
  }

  void CheckPending() {
    if (!pending_.defined()) return;
    const double loss = pending_.item<double>();
    pending_ = at::Tensor();
    if (!std::isfinite(loss)) Fail(fmt::format("the loss became {}", loss), loss, pending_step_);
  }

  // A gradient can be no number while its loss is one: the weights tell.
  void CheckWeights() {
    const at::NoGradGuard no_grad;
    at::Tensor finite = at::ones({}, at::TensorOptions().dtype(at::kBool).device(compute_.device));
    for (const at::Tensor& parameter : net()->parameters()) {
      finite = finite.logical_and(at::isfinite(parameter).all());
    }
    if (!finite.item<bool>()) {
      Fail("weights became no numbers", std::nan(""), std::max<int64_t>(0, state_.step - 1));
    }
  }

  [[noreturn]] void Fail(const std::string& what, double loss, int64_t step) {
    KeepBatch(folder_ / "nan", MakeCrops(data_, split_.train, options_, step), data_, options_,
              loss, learner_->RateAt(step));
    core::WriteSafetensors(folder_ / "nan" / "weights.safetensors", engine::ToStateDict(*net()));
    throw core::DataError(
        fmt::format("{} at step {}; its batch is kept in {}", what, step,
                    (folder_ / "nan").string()),
        "lower optimizer.lr, or set train.warmup or train.clip_grad, in a new run");
  }

  // Scores the state, keeps it when it is the best. True when training has to end.
  bool Validate(engine::MetricsLog& metrics) {
    CheckPending();
    const auto patients = eval::PoolByPatient(Score(split_.val, "", ScoreDetail::kPixels));
    const int skip = static_cast<int>(options_.data.background);
    const CurvePoint point{
        state_.step, loss_sum_.item<double>() / static_cast<double>(state_.loss_count),
        learner_->RateAt(state_.step - 1), eval::MacroScore(patients, Metric::kDice, -1, skip),
        eval::MacroScore(patients, Metric::kIou, -1, skip)};
    metrics.Write(state_.step, {{"loss", point.loss},
                                {"lr", point.lr},
                                {"val_dice", point.val_dice},
                                {"val_iou", point.val_iou}});
    state_.curve.push_back(point);
    state_.validated = state_.step;
    loss_sum_.zero_();
    state_.loss_count = 0;
    if (state_.Judge(point.val_dice)) best_ = engine::ToStateDict(*net());
    return Stopped();
  }

  // Scores of the given images; predicted masks of the first ones are kept below `keep`.
  std::vector<eval::ImageScores> Score(const std::vector<int64_t>& indices, const std::string& keep,
                                       ScoreDetail detail) {
    net()->eval();
    const WindowOptions window{options_.crop, options_.overlap, options_.eval_batch};
    std::vector<eval::ImageScores> counts;
    for (const int64_t i : indices) {
      const auto pair = data_.Read(i);
      const core::Image prediction =
          PredictImage(net(), pair->image, window, compute_, normalization_);
      if (!keep.empty() && static_cast<int64_t>(counts.size()) < options_.keep_predictions) {
        core::MakeFolder(folder_ / keep);
        const core::Bytes png = core::EncodePng(prediction);
        core::WriteFileAtomic(folder_ / keep / (data_.item(i).name + ".png"),
                              {reinterpret_cast<const char*>(png.data()), png.size()});
      }
      counts.push_back(ScorePrediction(data_, i, *pair, prediction, options_.score, detail));
    }
    return counts;
  }

  void SaveModel(const std::string& name, bool with_pth) {
    const core::StateDict state = engine::ToStateDict(*net());
    std::map<std::string, std::string> metadata = NetMetadata(options_);
    engine::AddToMetadata(normalization_, &metadata);
    core::WriteSafetensors(folder_ / (name + ".safetensors"), state, metadata);
    if (with_pth) core::WritePth(folder_ / (name + ".pth"), state);
  }

  const SegmentOptions options_;
  const MaskDataset& data_;
  const ImageSplit& split_;
  const std::filesystem::path folder_;
  const engine::Compute compute_;
  engine::Normalization normalization_;
  TrainState state_;
  std::unique_ptr<Learner> learner_;
  std::unique_ptr<CropLoader> loader_;
  std::unique_ptr<FeatureCache> cache_;
  core::StateDict initial_backbone_;  // before the first step
  core::StateDict best_;
  at::Tensor loss_sum_;
  at::Tensor pending_;  // a loss not yet looked at, of step pending_step_
  int64_t pending_step_ = 0;
  SegmentResult result_;
};

}  // namespace

SegmentResult TrainSegmenter(const SegmentOptions& options, const MaskDataset& data,
                             const ImageSplit& split, const std::filesystem::path& folder,
                             const TrainExtras& extras) {
  return Training(options, data, split, folder).Run(extras);
}

}  // namespace eosin::segment
