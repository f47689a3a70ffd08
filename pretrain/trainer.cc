// SPDX-License-Identifier: Apache-2.0
#include "pretrain/trainer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <torch/version.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/interrupt.h"
#include "core/base/progress.h"
#include "core/base/threads.h"
#include "core/formats/pth.h"
#include "core/formats/safetensors.h"
#include "engine/data/view_feed.h"
#include "engine/weights/weights.h"
#include "pretrain/learner.h"
#include "pretrain/memory.h"
#include "pretrain/nan_capture.h"
#include "pretrain/online_knn.h"
#include "pretrain/report.h"
#include "pretrain/run_state.h"
#include "pretrain/signals.h"

namespace eosin::pretrain {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

// Which images, in which order, with which labels: a resume must see the same.
std::string HashOf(const engine::ImageSource& source) {
  core::Sha256 hash;
  for (int64_t i = 0; i < source.size(); ++i) {
    hash.Update(fmt::format("{}\n{}\n{}\n", source.name(i), source.group(i), source.label(i)));
  }
  return hash.Hex();
}

// CUDA only: a look found a loss that is no number some steps after it became so.
struct NonFiniteSeen {
  int64_t step;
};

class Trainer {
 public:
  Trainer(const PretrainOptions& options, const engine::ImageSource& source, engine::RunFolder& run,
          const StepHook& hook);
  // check_until: look at every step up to this one, whatever the device.
  PretrainResult Run(bool resume, int64_t check_until);

 private:
  void Train();
  void Step();
  bool LooksAt(int64_t step) const {
    return step % options_.log_every == 0 || step % per_epoch_ == 0 || step == total_;
  }
  bool AtEpochEnd() const { return done() % per_epoch_ == 0 || done() == total_; }
  void Look();
  void FinishEpoch();
  void Save(bool epoch_open, bool numbered);
  void Load();
  void CheckFinite();
  void WriteEncoder();
  [[noreturn]] void LeaveInterrupted();
  void Say(const std::vector<std::string>& warnings);
  int64_t done() const { return state_.step; }
  int64_t epoch() const { return (done() - 1) / per_epoch_; }  // of the last step
  double Share(int64_t step) const {
    return static_cast<double>(step) / static_cast<double>(total_);
  }

  const PretrainOptions options_;
  const engine::ImageSource& source_;
  engine::RunFolder& run_;
  const StepHook& hook_;
  const RunCheckpoints checkpoints_;
  engine::Compute compute_;
  engine::Normalization normalization_;
  int workers_;
  std::unique_ptr<engine::ViewFeed> feed_;
  Learner learner_;
  std::unique_ptr<engine::LrSchedule> schedule_;
  std::unique_ptr<Monitor> monitor_;
  std::unique_ptr<StepSignals> signals_;
  std::unique_ptr<engine::MetricsLog> metrics_;
  KnnSplit knn_split_;

  RunState state_;
  int64_t total_ = 0, per_epoch_ = 0;  // steps
  int64_t check_until_ = 0;
  at::Tensor loss_sum_;                  // of this epoch, double, on the device: no sync a step
  int64_t bad_before_ = 0;               // of the feed's count, in earlier epochs
  std::vector<at::Tensor> last_groups_;  // of the last micro-batch, at a look
  Clock::time_point interval_start_;
  int64_t interval_step_ = 0;
  double interval_wait_ = 0;
};

Trainer::Trainer(const PretrainOptions& options, const engine::ImageSource& source,
                 engine::RunFolder& run, const StepHook& hook)
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
  state_.data_sha256 = HashOf(source);
  if (options_.batch * options_.accumulate > source.size() && options_.accumulate > 1) {
    throw core::ConfigError(
        fmt::format("a step of train.batch x train.accumulate = {} x {} images is larger than the "
                    "set of {}",
                    options_.batch, options_.accumulate, source.size()),
        "lower train.accumulate or train.batch");
  }
  engine::FeedOptions feeding;
  feeding.loader.batch = options_.batch;
  feeding.loader.workers = workers_;
  feeding.loader.seed = options_.seed();
  feeding.loader.neighbour_probability = options_.neighbour_probability;
  feeding.loader.neighbour_radius = options_.neighbour_radius;
  feeding.placement = options_.placement;
  feeding.resident_share = options_.resident_share;
  feeding.normalization = normalization_;
  learner_ = MakeLearner(options_, compute_);
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

PretrainResult Trainer::Run(bool resume, int64_t check_until) {
  check_until_ = check_until;
  const bool from_checkpoint = resume && checkpoints_.HasLast();
  if (from_checkpoint) Load();
  std::vector<std::string> columns = {"epoch", "lr"};
  for (const std::string& name : signals_->names()) columns.push_back(name);
  for (const char* name : {"images_per_second", "data_wait", "batch_leak", "epoch_loss", "knn_top1",
                           "rank_me", "feature_std", "dead_channels", "bad_images"}) {
    columns.push_back(name);
  }
  metrics_ =
      std::make_unique<engine::MetricsLog>(run_.path(), columns, from_checkpoint ? done() : -1);
  run_.AddProvenance({{"libtorch", TORCH_VERSION},
                      {"device", compute_.Describe()},
                      {"data", options_.data},
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

void Trainer::LeaveInterrupted() {
  throw core::InterruptedError(fmt::format("interrupted; saved after step {}", done()),
                               "continue with: eosin pretrain --resume " + run_.path().string());
}

void Trainer::Train() {
  core::Progress progress("pretrain", total_, "steps", done());
  if (state_.epoch_open) FinishEpoch();
  const int64_t checkpoint_every =
      options_.checkpoint_every > 0 ? options_.checkpoint_every : per_epoch_;
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
      try {
        FinishEpoch();
      } catch (const core::InterruptedError&) {
        Save(true, false);
        LeaveInterrupted();
      }
      progress.SetNote(fmt::format("loss {:.3f}", state_.epoch_loss));
    }
    if (done() % checkpoint_every == 0 || done() == total_) Save(false, true);
    interval_start_ += Clock::now() - start;
  }
}

void Trainer::Step() {
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
        capture.Write(folder, *batch, *learner_.optimizer,
                      WeightsMetadata(options_, normalization_),
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
  learner_.method->AfterStep(Share(done() + 1));
  if (look) signals_->AfterStep();
  last_groups_ = look ? std::move(groups) : std::vector<at::Tensor>();
  loss_sum_ += loss / static_cast<double>(options_.accumulate);
  ++state_.loss_count;
  ++state_.step;
}

void Trainer::Say(const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) core::LogWarning(warning);
}

void Trainer::Look() {
  std::map<std::string, double> row = signals_->Read();
  const double elapsed = std::max(1e-9, Seconds(interval_start_));
  const double wait = (feed_->wait_seconds() - interval_wait_) / elapsed;
  const double images =
      static_cast<double>((done() - interval_step_) * options_.batch * options_.accumulate);
  if (!std::isfinite(row.at("loss"))) CheckFinite();
  auto signal = [&](const char* name) {
    const auto found = row.find(name);
    return found == row.end() ? kNotMeasured : found->second;
  };
  Say(monitor_->Look({.step = done(),
                      .progress = Share(done()),
                      .loss = signal("loss"),
                      .feature_spread = signal("feature_spread"),
                      .grad_norm = signal("grad_norm"),
                      .data_wait = wait,
                      .update_share = signal("update_share"),
                      .pair_top1 = signal("pair_top1"),
                      .view_distance = signal("view_distance"),
                      .target_momentum = signal("target_momentum"),
                      .loss_ratio = signal("loss_ratio"),
                      .negatives_used = signal("negatives_used"),
                      .alignment = signal("alignment"),
                      .uniformity = signal("uniformity"),
                      .embedding_rank = signal("embedding_rank")}));
  row["epoch"] = static_cast<double>(epoch());
  row["lr"] = schedule_->At(done() - 1);
  row["images_per_second"] = images / elapsed;
  row["data_wait"] = wait;
  metrics_->Write(done(), {row.begin(), row.end()});
  if (done() % per_epoch_ == 0) {
    const double leak =
        BatchLeak(*learner_.method, last_groups_, compute_, options_.seed(), done());
    metrics_->Write(done(), {{"epoch", static_cast<double>(epoch())}, {"batch_leak", leak}});
    Say(monitor_->LookAtLeak(done(), leak));
  }
  last_groups_.clear();
  interval_start_ = Clock::now();
  interval_step_ = done();
  interval_wait_ = feed_->wait_seconds();
}

// A sum stays no number once a term was none, so looking now and then misses nothing.
void Trainer::CheckFinite() {
  if (!std::isfinite(loss_sum_.item<double>())) throw NonFiniteSeen{done()};
}

void Trainer::FinishEpoch() {
  CheckFinite();
  const int64_t epoch = this->epoch();
  state_.epoch_loss =
      loss_sum_.item<double>() / static_cast<double>(std::max<int64_t>(1, state_.loss_count));
  const int64_t bad = state_.bad_epoch + feed_->bad_count() - bad_before_;
  std::vector<std::pair<std::string, double>> row = {{"epoch", static_cast<double>(epoch)},
                                                     {"epoch_loss", state_.epoch_loss},
                                                     {"bad_images", static_cast<double>(bad)}};
  std::string text =
      fmt::format("epoch {}/{}: loss {:.4f}", epoch + 1, options_.epochs, state_.epoch_loss);
  const bool due =
      options_.knn_every > 0 && ((epoch + 1) % options_.knn_every == 0 || done() == total_);
  OnlineScore score;
  if (due) {
    score = ScoreOnline(options_, &knn_split_, learner_.method->encoder(), source_, compute_,
                        normalization_, workers_);
    row.emplace_back("rank_me", score.rank_me);
    row.emplace_back("feature_std", score.feature_std);
    row.emplace_back("dead_channels", score.dead_share);
    if (score.knn) {
      state_.last_knn = *score.knn;
      row.emplace_back("knn_top1", *score.knn);
      text += fmt::format(", kNN {:.1f} %", 100 * *score.knn);
    }
    text += fmt::format(", features: rank {:.1f} of {}, {:.0f} % of channels dead", score.rank_me,
                        learner_.method->encoder()->feature_dim(), 100 * score.dead_share);
  }
  if (bad > 0) text += fmt::format("; {} images that do not decode were replaced", bad);
  metrics_->Write(done(), row);
  core::LogInfo(text);
  EpochSample sample{.step = done(), .epoch = epoch, .loss = state_.epoch_loss};
  if (due) {
    sample.rank_me = score.rank_me;
    sample.dead_share = score.dead_share;
    sample.features = learner_.method->encoder()->feature_dim();
  }
  Say(monitor_->LookAtEpoch(sample));
  if (score.knn && *score.knn > state_.best_knn) {
    state_.best_knn = *score.knn;
    checkpoints_.SaveBest(
        {.tensors = {{"encoder", engine::ToStateDict(*learner_.method->encoder())}},
         .metadata = WeightsMetadata(options_, normalization_),
         .state = Json{{"step", done()}, {"knn_top1", state_.best_knn}}.dump(2)});
  }
  loss_sum_.zero_();
  state_.loss_count = 0;
  state_.epoch_open = false;
  state_.bad_total += bad;
  state_.bad_epoch = 0;
  bad_before_ = feed_->bad_count();
}

void Trainer::Save(bool epoch_open, bool numbered) {
  CheckFinite();
  engine::Checkpoint checkpoint =
      Pack(*learner_.method, *learner_.optimizer, WeightsMetadata(options_, normalization_));
  RunState state = state_;
  state.epoch_open = epoch_open;
  state.loss_sum = loss_sum_.item<double>();
  state.bad_epoch += feed_->bad_count() - bad_before_;
  state.monitor = monitor_->ToJson();
  checkpoint.state = state.ToJson();
  checkpoints_.Save(checkpoint, done(), numbered);
}

void Trainer::Load() {
  const std::string where = checkpoints_.last().string();
  const engine::Checkpoint checkpoint = engine::LoadCheckpoint(where);
  const RunState saved = ParseRunState(checkpoint.state, where);
  if (saved.data_sha256 != state_.data_sha256) {
    throw core::DataError("the images are not those that the run was started with",
                          "put the data back, or start a new run");
  }
  if (saved.threads != state_.threads || saved.device != state_.device) {
    core::LogWarning(
        fmt::format("resumed on {}, the run was on {} with {} threads: the last bits "
                    "of its numbers will differ from an uninterrupted run",
                    compute_.Describe(), saved.device, saved.threads));
  }
  Unpack(checkpoint, where, *learner_.method, *learner_.optimizer);
  const RunState here = state_;
  state_ = saved;
  state_.threads = here.threads;
  state_.device = here.device;
  loss_sum_.fill_(saved.loss_sum);
  monitor_->FromJson(saved.monitor);
}

void Trainer::WriteEncoder() {
  const core::StateDict encoder = engine::ToStateDict(*learner_.method->encoder());
  core::WriteSafetensors(run_ / "encoder.safetensors", encoder,
                         WeightsMetadata(options_, normalization_));
  core::WritePth(run_ / "encoder.pth", encoder);
}

}  // namespace

PretrainResult RunPretrain(const PretrainOptions& options, const engine::ImageSource& source,
                           engine::RunFolder& run, bool resume, const StepHook& hook) {
  if (resume && run.finished()) {
    core::LogInfo("this run is finished; nothing to do");
    return {.was_finished = true, .knn = {}};
  }
  PretrainOptions resolved = options;
  resolved.Resolve();
  resolved.Check();
  int64_t check_until = 0;
  while (true) {
    try {
      return Trainer(resolved, source, run, hook).Run(resume, check_until);
    } catch (const NonFiniteSeen& seen) {
      core::LogWarning(fmt::format(
          "a loss was no number by step {}: going back to the last checkpoint to find the batch",
          seen.step));
      check_until = seen.step;
      resume = true;
    } catch (const c10::OutOfMemoryError&) {
      throw TooLarge(resolved);
    }
  }
}

}  // namespace eosin::pretrain
