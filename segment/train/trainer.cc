// SPDX-License-Identifier: Apache-2.0
#include "segment/train/trainer.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "core/base/progress.h"
#include "core/formats/pth.h"
#include "core/formats/safetensors.h"
#include "core/image/codec.h"
#include "engine/models/init.h"
#include "engine/training/device.h"
#include "engine/training/input.h"
#include "engine/training/optimizer.h"
#include "engine/training/run_folder.h"
#include "engine/training/schedule.h"
#include "engine/weights/weights.h"
#include "segment/data/crops.h"
#include "segment/model/build_model.h"
#include "segment/model/freeze.h"
#include "segment/predict/predict_image.h"
#include "segment/train/drift.h"
#include "segment/train/losses.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

namespace eosin::segment {
namespace {

using eval::Metric;

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
    BuiltModel model = BuildModel(options_);
    net_ = model.net;
    normalization_ = model.normalization;
    result_.weights_matched = model.matched;
    result_.init = options_.init == "random"
                       ? options_.init
                       : std::filesystem::path(options_.init).filename().string();
    net_->to(compute_.device);
    initial_backbone_ = engine::ToStateDict(*net_->backbone());
    engine::ToChannelsLast(*net_);
    frozen_ = std::make_unique<FrozenStages>(net_, options_.freeze);
    MakeOptimizer();

    result_.classes = options_.data.classes;
    result_.background = options_.data.background;
    result_.freeze = options_.freeze;
    result_.frozen_parameters = frozen_->parameters();
    for (const at::Tensor& parameter : net_->parameters()) result_.parameters += parameter.numel();
    result_.steps = options_.steps;
    for (const int64_t i : split_.train) result_.train_images.push_back(data_.item(i).name);
  }

  SegmentResult Run(const TrainExtras& extras) {
    engine::MetricsLog metrics(folder_, {"loss", "lr", "val_dice", "val_iou"}, -1);
    std::unique_ptr<core::Progress> progress;
    if (!extras.hook) {
      progress = std::make_unique<core::Progress>("segment", options_.steps, "steps");
    }
    engine::ScheduleOptions schedule;
    schedule.shape = "poly";
    schedule.power = options_.poly_power;
    schedule.warmup_epochs = static_cast<double>(options_.warmup);
    schedule.scale = "none";
    const engine::LrSchedule rate(schedule, options_.optimizer.lr, 1, options_.steps);
    CropLoader loader(data_, split_.train, options_);
    const int64_t val_every = options_.ValEvery();
    at::Tensor loss_sum = at::zeros({}, at::TensorOptions().device(compute_.device));
    int64_t since = 0;
    double last_loss = std::nan("");
    double best = -1;
    for (int64_t step = 0; step < options_.steps; ++step) {
      core::ThrowIfInterrupted();
      const double lr = rate.At(step);
      loss_sum += Step(loader.Next(), lr);
      ++since;
      const bool last = step + 1 == options_.steps;
      if ((step + 1) % val_every == 0 || last) {
        last_loss = loss_sum.item<double>() / static_cast<double>(since);
        loss_sum.zero_();
        since = 0;
        if (!std::isfinite(last_loss)) {
          throw core::DataError(
              fmt::format("the loss became {} within {} steps", last_loss, step + 1),
              "lower optimizer.lr, or set train.warmup");
        }
        const auto patients = eval::PoolByPatient(Score(split_.val, ""));
        const int skip = static_cast<int>(options_.data.background);
        CurvePoint point{step + 1, last_loss, lr,
                         eval::MacroScore(patients, Metric::kDice, -1, skip),
                         eval::MacroScore(patients, Metric::kIou, -1, skip)};
        metrics.Write(step + 1, {{"loss", point.loss},
                                 {"lr", point.lr},
                                 {"val_dice", point.val_dice},
                                 {"val_iou", point.val_iou}});
        result_.curve.push_back(point);
        // n/a counts as 0: the first state is kept until one finds something.
        const double score = std::isnan(point.val_dice) ? 0.0 : point.val_dice;
        if (score > best) {
          best = score;
          result_.best_step = step + 1;
          best_state_ = Snapshot();
        }
        frozen_->TrainMode(net_);
      }
      if (extras.hook) extras.hook(step + 1, last_loss);
      if (progress) {
        progress->Advance();
        if (!result_.curve.empty()) {
          progress->SetNote(fmt::format("loss {:.3f}, val Dice {:.3f}", last_loss,
                                        result_.curve.back().val_dice));
        }
      }
    }
    result_.test_last = Score(split_.test, "");
    if (extras.save_model) SaveModel("last", false);
    Restore(best_state_);
    result_.drift = BackboneDrift(initial_backbone_, *net_->backbone());
    result_.test = Score(split_.test, "predictions");
    if (extras.save_model) SaveModel("model", true);
    return std::move(result_);
  }

 private:
  // Two groups, backbone and head, each with its rate; frozen parameters are left out.
  void MakeOptimizer() {
    engine::NamedParameters backbone, head;
    for (const auto& entry : net_->named_parameters()) {
      (entry.key().rfind("backbone.", 0) == 0 ? backbone : head)
          .emplace_back(entry.key(), entry.value());
    }
    const bool exclude = options_.optimizer.exclude_bias_and_norm;
    auto groups = engine::MakeParamGroups(backbone, exclude, options_.BackboneLr());
    for (auto& group : engine::MakeParamGroups(head, exclude, 1.0)) groups.push_back(group);
    std::erase_if(groups, [](const engine::ParamGroup& group) { return group.params.empty(); });
    optimizer_ = std::make_unique<engine::Optimizer>(options_.optimizer, std::move(groups));
  }

  at::Tensor Step(const CropBatch& batch, double lr) {
    const auto count = static_cast<int64_t>(batch.indices.size());
    const at::Tensor input =
        engine::ToInput(batch.images.data(), count, options_.crop, compute_.device, normalization_);
    // from_blob wants a mutable pointer; the bytes are only read.
    const at::Tensor target = at::from_blob(const_cast<uint8_t*>(batch.masks.data()),
                                            {count, options_.crop, options_.crop}, at::kByte)
                                  .to(compute_.device)
                                  .to(at::kLong);
    // Dropout draws from the default generator: by step, so that arms and restarts agree.
    at::manual_seed(static_cast<uint64_t>(options_.seed) * 1000003u +
                    static_cast<uint64_t>(batch.step));
    optimizer_->ZeroGrad();
    DeepLabOutput output;
    {
      const engine::AutocastGuard autocast(compute_.device.type(), compute_.bf16);
      output = net_->forward(input);
    }
    at::Tensor loss = Loss(output.out, target);
    if (output.aux.defined()) loss = loss + options_.aux_weight * Loss(output.aux, target);
    loss.backward();
    optimizer_->Step(lr);
    return loss.detach();
  }

  at::Tensor Loss(const at::Tensor& logits, const at::Tensor& target) const {
    at::Tensor loss;
    if (options_.ce > 0) loss = options_.ce * CrossEntropy(logits, target);
    if (options_.dice > 0) {
      const at::Tensor dice = options_.dice * DiceLoss(logits, target);
      loss = loss.defined() ? loss + dice : dice;
    }
    return loss;
  }

  // Counts of the given images; predicted masks of the first ones are kept below `keep`.
  std::vector<eval::ImageCounts> Score(const std::vector<int64_t>& indices,
                                       const std::string& keep) {
    net_->eval();
    const WindowOptions window{options_.crop, options_.overlap, options_.eval_batch};
    std::vector<eval::ImageCounts> counts;
    for (const int64_t i : indices) {
      const auto pair = data_.Read(i);
      const core::Image prediction =
          PredictImage(net_, pair->image, window, compute_, normalization_);
      eval::ConfusionMatrix matrix(data_.classes(), static_cast<int>(kIgnoredClass));
      matrix.Add(pair->mask.pixels, prediction.pixels);
      if (!keep.empty() && static_cast<int64_t>(counts.size()) < options_.keep_predictions) {
        core::MakeFolder(folder_ / keep);
        const core::Bytes png = core::EncodePng(prediction);
        core::WriteFileAtomic(folder_ / keep / (data_.item(i).name + ".png"),
                              {reinterpret_cast<const char*>(png.data()), png.size()});
      }
      counts.push_back({data_.item(i).name, data_.item(i).patient, std::move(matrix)});
    }
    return counts;
  }

  std::vector<at::Tensor> Tensors() const {
    std::vector<at::Tensor> tensors = net_->parameters();
    for (const at::Tensor& buffer : net_->buffers()) tensors.push_back(buffer);
    return tensors;
  }

  std::vector<at::Tensor> Snapshot() const {
    std::vector<at::Tensor> copies;
    for (const at::Tensor& tensor : Tensors()) copies.push_back(tensor.detach().clone());
    return copies;
  }

  void Restore(const std::vector<at::Tensor>& copies) {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> tensors = Tensors();
    for (size_t i = 0; i < tensors.size(); ++i) tensors[i].copy_(copies[i]);
  }

  void SaveModel(const std::string& name, bool with_pth) {
    const core::StateDict state = engine::ToStateDict(*net_);
    std::map<std::string, std::string> metadata;
    engine::AddToMetadata(normalization_, &metadata);
    metadata["eosin.classes"] = fmt::format("{}", fmt::join(options_.data.classes, ","));
    core::WriteSafetensors(folder_ / (name + ".safetensors"), state, metadata);
    if (with_pth) core::WritePth(folder_ / (name + ".pth"), state);
  }

  const SegmentOptions options_;
  const MaskDataset& data_;
  const ImageSplit& split_;
  const std::filesystem::path folder_;
  const engine::Compute compute_;
  engine::Normalization normalization_;
  DeepLabV3 net_{nullptr};
  std::unique_ptr<FrozenStages> frozen_;
  std::unique_ptr<engine::Optimizer> optimizer_;
  core::StateDict initial_backbone_;
  std::vector<at::Tensor> best_state_;
  SegmentResult result_;
};

}  // namespace

SegmentResult TrainSegmenter(const SegmentOptions& options, const MaskDataset& data,
                             const ImageSplit& split, const std::filesystem::path& folder,
                             const TrainExtras& extras) {
  return Training(options, data, split, folder).Run(extras);
}

}  // namespace eosin::segment
