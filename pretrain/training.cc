// SPDX-License-Identifier: Apache-2.0
#include "pretrain/training.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <torch/version.h>
#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "core/base/progress.h"
#include "core/base/threads.h"
#include "engine/augment/view_sampler.h"
#include "pretrain/memory.h"
#include "pretrain/nan_capture.h"
#include "pretrain/report.h"

namespace eosin::pretrain {
namespace {

// Which images, in which order, with which labels: a resume must see the same.
std::string HashOf(const engine::ImageSource& source) {
  core::Sha256 hash;
  for (int64_t i = 0; i < source.size(); ++i) {
    hash.Update(fmt::format("{}\n{}\n{}\n", source.name(i), source.group(i), source.label(i)));
  }
  return hash.Hex();
}

}  // namespace

Training::Training(const PretrainOptions& options, const engine::ImageSource& source,
                   engine::RunFolder& run, const StepHook& hook, bool resume)
    : options_(options),
      source_(source),
      run_(run),
      hook_(hook),
      checkpoints_(run.path(), options.checkpoint_keep) {
  compute_ = engine::ResolveCompute(options_.compute);
  workers_ = static_cast<int>(options_.workers > 0 ? options_.workers
                                                   : std::max(1, core::AvailableCores() - 1));
  state_.threads = compute_.threads;
  state_.device = compute_.device.str();
  state_.bf16 = compute_.bf16;
  state_.tf32 = compute_.tf32;
  state_.data_sha256 = HashOf(source);
  state_.stain_sha256 = engine::StainTemplateDigest(options_.Views());
  if (options_.batch * options_.accumulate > source.size() && options_.accumulate > 1) {
    throw core::ConfigError(
        fmt::format("a step of train.batch x train.accumulate = {} x {} images is larger than the "
                    "set of {}",
                    options_.batch, options_.accumulate, source.size()),
        "lower train.accumulate or train.batch");
  }
  if (resume && checkpoints_.HasLast()) {
    const std::string where = checkpoints_.last().string();
    resumed_ = Resumed{engine::LoadCheckpoint(where), {}};
    resumed_->state = ParseRunState(resumed_->checkpoint.state, where);
    loading_.delivered_before = resumed_->state.step * options_.batch * options_.accumulate;
    loading_.replaced_before = resumed_->state.bad_total + resumed_->state.bad_epoch;
  }
  learner_ = MakeLearner(options_, compute_, resumed_ ? InitFile::kIgnore : InitFile::kRead);
  normalization_ =
      resumed_ ? engine::NormalizationOf(resumed_->checkpoint.metadata).value_or(normalization_)
               : learner_.normalization;
  engine::FeedOptions feeding;
  loading_.batch = options_.batch;
  loading_.workers = workers_;
  loading_.seed = options_.seed();
  loading_.neighbour_probability = options_.neighbour_probability;
  loading_.neighbour_radius = options_.neighbour_radius;
  feeding.loader = loading_;
  feeding.placement = options_.placement;
  feeding.resident_share = options_.resident_share;
  feeding.normalization = normalization_;
  const MemoryEstimate memory = EstimateMemory(options_, *learner_.method, compute_);
  core::LogInfo(memory.Describe());
  RequireMemory(memory, options_.batch);
  feed_ = engine::MakeViewFeed(source_, options_.Views(), feeding, compute_);
  per_epoch_ = feed_->steps_per_epoch() / options_.accumulate;
  total_ = options_.epochs * per_epoch_;
  if (options_.max_steps > 0) total_ = std::min(total_, options_.max_steps);

  schedule_ = std::make_unique<engine::LrSchedule>(
      options_.schedule,
      engine::ScaledLr(options_.optimizer.lr, options_.schedule.scale,
                       options_.batch * options_.accumulate),
      per_epoch_, total_);
  monitor_ = std::make_unique<Monitor>(learner_.method->ChanceLoss(options_.batch));
  signals_ = std::make_unique<StepSignals>(*learner_.method);
  loss_sum_ = at::zeros({}, at::TensorOptions().dtype(at::kDouble).device(compute_.device));
  if (options_.knn_every > 0) knn_split_ = SplitForKnn(options_, source_);
}

PretrainResult Training::Run(int64_t check_until) {
  check_until_ = check_until;
  const bool from_checkpoint = resumed_.has_value();
  if (from_checkpoint) Load();
  std::vector<std::string> columns = {"epoch", "lr"};
  for (const std::string& name : signals_->names()) columns.push_back(name);
  for (const char* name : {"images_per_second", "data_wait", "batch_leak", "epoch_loss", "knn_top1",
                           "rank_me", "feature_std", "dead_channels", "bad_images"}) {
    columns.push_back(name);
  }
  metrics_ =
      std::make_unique<engine::MetricsLog>(run_.path(), columns, from_checkpoint ? done() : -1);
  run_.AddProvenance(
      {{"libtorch", TORCH_VERSION},
       {"device", compute_.Describe()},
       {"data", options_.data.empty() ? fmt::format("{}", fmt::join(options_.mix, ", "))
                                      : std::filesystem::absolute(options_.data).string()},
       {"data_split", options_.split},
       {"data_sha256", state_.data_sha256},
       {"images", std::to_string(source_.size())},
       {"feed", feed_->Describe()},
       {"first_step", std::to_string(done())}});
  core::LogInfo(fmt::format("{} {} on {} images of {} px, {} steps of {} images, {}{}",
                            options_.method, options_.arch, source_.size(), options_.size, total_,
                            options_.batch * options_.accumulate, compute_.Describe(),
                            done() > 0 ? fmt::format(", from step {}", done()) : ""));
  core::LogInfo(feed_->Describe());
  if (options_.knn_every > 0 && !knn_split_.problem.empty()) {
    core::LogInfo("no online kNN: " + knn_split_.problem);
  }
  Train();
  WriteEncoder();
  WriteReport(options_, source_, run_.path(),
              {.findings = monitor_->findings(),
               .bad_images = state_.bad_total,
               .contrast = learner_.method->contrast()});
  run_.MarkFinished();
  PretrainResult result{.steps = done(), .loss = state_.epoch_loss, .knn = {}};
  if (state_.last_knn >= 0) result.knn = state_.last_knn;
  result.bad_images = state_.bad_total;
  result.findings = monitor_->findings();
  return result;
}

void Training::FinishEpochOrLeave() {
  try {
    FinishEpoch();
  } catch (const core::InterruptedError&) {
    Save(true, false);
    LeaveInterrupted();
  }
}

void Training::LeaveInterrupted() {
  throw core::InterruptedError(fmt::format("interrupted; saved after step {}", done()),
                               "continue with: eosin pretrain --resume " + run_.path().string());
}

void Training::Train() {
  core::Progress progress("pretrain", total_, "steps", done());
  if (state_.epoch_open) {
    FinishEpochOrLeave();
    // Otherwise a kill before the next checkpoint would open the epoch again and repeat its row.
    Save(false, NumberedIsDue());
  }
  bool started = false;
  while (done() < total_) {
    if (!started || done() % per_epoch_ == 0) {
      feed_->StartEpoch(done() / per_epoch_, done() % per_epoch_ * options_.accumulate);
    }
    if (!started) {
      interval_start_ = Clock::now();
      interval_step_ = done();
      interval_wait_ = feed_->wait_seconds();
      started = true;
    }
    Step();
    if (LooksAt(done())) Look();
    progress.Advance();
    if ((hook_ && hook_(done())) || core::InterruptRequested()) {
      Save(AtEpochEnd(), false);
      LeaveInterrupted();
    }
    const Clock::time_point start = Clock::now();
    if (AtEpochEnd()) {
      FinishEpochOrLeave();
      progress.SetNote(fmt::format("loss {:.3f}", state_.epoch_loss));
    }
    if (NumberedIsDue()) Save(false, true);
    interval_start_ += Clock::now() - start;
  }
}

// The parameters of a batch's views, drawn again; none where the images differ in size.
std::vector<engine::ViewParams> Training::RecordsOf(int64_t epoch, int64_t batch_step) const {
  if (source_.uniform_size().first == 0) return {};
  engine::LoaderOptions loading = loading_;
  loading.payload = engine::Payload::kRecords;
  engine::ViewLoader loader(source_, options_.Views(), loading);
  loader.StartEpoch(epoch, batch_step);
  const engine::Batch* batch = loader.Next();
  return batch == nullptr ? std::vector<engine::ViewParams>() : batch->records;
}

void Training::Step() {
  const bool look = LooksAt(done() + 1);
  // Reading a value costs nothing on a CPU, and a wait for the device elsewhere.
  const bool check = compute_.device.is_cpu() || done() < check_until_;
  learner_.optimizer->ZeroGrad();
  StepOutput output;
  at::Tensor loss;
  std::vector<at::Tensor> groups;
  for (int64_t m = 0; m < options_.accumulate; ++m) {
    std::optional<engine::ViewBatch> batch = feed_->Next();
    if (!batch) throw core::DataError("the loader ended before the epoch", "report this");
    const NanCapture capture(check ? learner_.method.get() : nullptr);
    output = AddGradient(*learner_.method, batch->groups, compute_,
                         1.0 / static_cast<double>(options_.accumulate));
    if (check) {
      const bool bad_loss = !std::isfinite(output.loss.item<double>());
      if (bad_loss || !std::isfinite(learner_.optimizer->GradNorm().item<double>())) {
        const fs::path folder = run_ / "nan";
        capture.Write(folder, *batch, RecordsOf(done() / per_epoch_, batch->step),
                      *learner_.optimizer, WeightsMetadata(options_, normalization_),
                      {.step = done(),
                       .epoch = done() / per_epoch_,
                       .micro_batch = m,
                       .seed = options_.seed()});
        throw core::DataError(
            NanMessage(done() + 1, bad_loss ? "loss" : "gradient"),
            NanHint(checkpoints_.HasLast() ? checkpoints_.last().string() : "", folder.string()));
      }
    }
    loss = loss.defined() ? loss + output.loss : output.loss;
    if (m + 1 == options_.accumulate) groups = std::move(batch->groups);
  }
  // The signals of a step are those of its last micro-batch.
  if (look) signals_->AfterBackward(output, groups);
  learner_.optimizer->Step(schedule_->At(done()));
  if (look) signals_->AfterUpdate();
  // Steps done before this one: a momentum's schedule starts with exactly its base.
  learner_.method->AfterStep(Share(done()));
  if (look) signals_->AfterStep();
  last_groups_ = look ? std::move(groups) : std::vector<at::Tensor>();
  loss_sum_ += loss / static_cast<double>(options_.accumulate);
  ++state_.loss_count;
  ++state_.step;
}

}  // namespace eosin::pretrain
