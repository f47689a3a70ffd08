// SPDX-License-Identifier: Apache-2.0
#include "pretrain/trainer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <torch/version.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/interrupt.h"
#include "core/base/progress.h"
#include "core/base/threads.h"
#include "core/formats/pth.h"
#include "core/formats/safetensors.h"
#include "engine/data/view_loader.h"
#include "engine/training/checkpoint.h"
#include "engine/weights/weights.h"
#include "pretrain/losses.h"
#include "pretrain/method.h"
#include "pretrain/monitor.h"
#include "pretrain/online_knn.h"
#include "pretrain/report.h"

namespace eosin::pretrain {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

const std::vector<std::string> kColumns = {"epoch",
                                           "lr",
                                           "loss",
                                           "grad_norm",
                                           "feature_spread",
                                           "pair_top1",
                                           "images_per_second",
                                           "data_wait",
                                           "epoch_loss",
                                           "knn_top1"};

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

class Trainer {
 public:
  Trainer(const PretrainOptions& options, const engine::ImageSource& source, engine::RunFolder& run,
          const StepHook& hook);
  PretrainResult Run(bool resume);

 private:
  void Train();
  void Step(const engine::Batch& batch);
  void LogStep();
  void FinishEpoch();
  void Save(bool epoch_open);
  void Load();
  void CheckFinite();
  void WriteEncoder();
  std::map<std::string, std::string> Metadata() const;
  bool AtEpochEnd() const { return done_ % loader_->steps_per_epoch() == 0 || done_ == total_; }
  int64_t epoch() const { return (done_ - 1) / loader_->steps_per_epoch(); }  // of the last step

  const PretrainOptions options_;
  const engine::ImageSource& source_;
  engine::RunFolder& run_;
  const StepHook& hook_;
  const fs::path last_, best_;
  const std::string data_hash_;
  engine::Compute compute_;
  engine::Normalization normalization_;
  int workers_;
  std::unique_ptr<engine::ViewLoader> loader_;
  std::unique_ptr<Method> method_;
  std::unique_ptr<engine::Optimizer> optimizer_;
  std::unique_ptr<engine::LrSchedule> schedule_;
  std::unique_ptr<Monitor> monitor_;
  std::unique_ptr<engine::MetricsLog> metrics_;
  KnnSplit knn_split_;

  int64_t done_ = 0, total_ = 0;  // steps
  bool epoch_open_ = false;       // the epoch's last step is done, its kNN and row are not
  at::Tensor loss_sum_;           // of this epoch, double, on the device: no sync a step
  int64_t loss_count_ = 0;
  StepOutput output_;
  double epoch_loss_ = 0, best_knn_ = -1, last_knn_ = -1;
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
      last_(run / "checkpoints" / "last"),
      best_(run / "checkpoints" / "best"),
      data_hash_(HashOf(source)) {
  compute_ = engine::ResolveCompute(options_.compute);
  workers_ = static_cast<int>(options_.workers > 0 ? options_.workers
                                                   : std::max(1, core::AvailableCores() - 1));
  engine::LoaderOptions loading;
  loading.batch = options_.batch;
  loading.workers = workers_;
  loading.seed = options_.seed();
  loader_ = std::make_unique<engine::ViewLoader>(
      source_, std::vector<engine::ViewRecipe>{options_.view_a, options_.view_b}, loading);
  total_ = options_.epochs * loader_->steps_per_epoch();
  if (options_.max_steps > 0) total_ = std::min(total_, options_.max_steps);

  engine::ResNetOptions net;
  net.arch = options_.arch;
  net.stem = options_.stem;
  net.zero_init_residual = options_.zero_init_residual;
  engine::ResNet encoder(net);
  engine::InitResNet(encoder, options_.seed());
  if (!options_.init.empty()) {
    const engine::LoadReport report = engine::LoadEncoder(*encoder, options_.init);
    core::LogInfo(fmt::format("encoder from {}\n{}", options_.init, report.Table()));
  }
  method_ = MakeMethod(options_, encoder);
  method_->To(compute_.device);
  method_->SetTraining(true);
  optimizer_ = std::make_unique<engine::Optimizer>(
      options_.optimizer,
      engine::MakeParamGroups(method_->Trainable(), options_.optimizer.exclude_bias_and_norm));
  schedule_ = std::make_unique<engine::LrSchedule>(
      options_.schedule,
      engine::ScaledLr(options_.optimizer.lr, options_.schedule.scale, options_.batch),
      loader_->steps_per_epoch(), total_);
  monitor_ = std::make_unique<Monitor>(method_->ChanceLoss(options_.batch));
  loss_sum_ = at::zeros({}, at::TensorOptions().dtype(at::kDouble).device(compute_.device));
  if (options_.knn_every > 0) knn_split_ = SplitForKnn(options_, source_);
}

PretrainResult Trainer::Run(bool resume) {
  const bool from_checkpoint = resume && engine::HasCheckpoint(last_);
  if (from_checkpoint) Load();
  metrics_ =
      std::make_unique<engine::MetricsLog>(run_.path(), kColumns, from_checkpoint ? done_ : -1);
  run_.AddProvenance({{"libtorch", TORCH_VERSION},
                      {"device", compute_.Describe()},
                      {"data", options_.data},
                      {"data_sha256", data_hash_},
                      {"images", std::to_string(source_.size())},
                      {"first_step", std::to_string(done_)}});
  core::LogInfo(fmt::format("{} {} on {} images of {} px, {} steps of {} images, {}{}",
                            options_.method, options_.arch, source_.size(), options_.size, total_,
                            options_.batch, compute_.Describe(),
                            done_ > 0 ? fmt::format(", from step {}", done_) : ""));
  if (options_.knn_every > 0 && !knn_split_.problem.empty()) {
    core::LogInfo("no online kNN: " + knn_split_.problem);
  }
  Train();
  WriteEncoder();
  WriteReport(options_, source_, run_.path());
  run_.MarkFinished();
  PretrainResult result{.steps = done_, .loss = epoch_loss_, .knn = {}};
  if (last_knn_ >= 0) result.knn = last_knn_;
  return result;
}

void Trainer::Train() {
  core::Progress progress("pretrain", total_, "steps");
  progress.Advance(done_);
  if (epoch_open_) FinishEpoch();
  const int64_t per_epoch = loader_->steps_per_epoch();
  const int64_t checkpoint_every =
      options_.checkpoint_every > 0 ? options_.checkpoint_every : per_epoch;
  bool started = false;
  while (done_ < total_) {
    if (!started || done_ % per_epoch == 0) {
      loader_->StartEpoch(done_ / per_epoch, done_ % per_epoch);
    }
    if (!started) {
      interval_start_ = Clock::now();
      interval_step_ = done_;
      interval_wait_ = loader_->wait_seconds();
      started = true;
    }
    Step(*loader_->Next());
    ++done_;
    if (done_ % options_.log_every == 0 || done_ == total_) LogStep();
    progress.Advance();
    if ((hook_ && hook_(done_)) || core::InterruptRequested()) {
      Save(AtEpochEnd());
      throw core::InterruptedError(
          fmt::format("interrupted; saved after step {}", done_),
          "continue with: eosin pretrain --resume " + run_.path().string());
    }
    const bool epoch_end = AtEpochEnd();
    if (epoch_end) {
      const Clock::time_point start = Clock::now();
      try {
        FinishEpoch();
      } catch (const core::InterruptedError&) {
        Save(true);
        throw core::InterruptedError(
            fmt::format("interrupted; saved after step {}", done_),
            "continue with: eosin pretrain --resume " + run_.path().string());
      }
      progress.SetNote(fmt::format("loss {:.3f}", epoch_loss_));
      interval_start_ += Clock::now() - start;
    }
    if (done_ % checkpoint_every == 0 || done_ == total_) {
      const Clock::time_point start = Clock::now();
      Save(false);
      interval_start_ += Clock::now() - start;
    }
  }
}

void Trainer::Step(const engine::Batch& batch) {
  const at::Tensor views = engine::ToInput(batch.views, 2 * batch.size(), options_.size,
                                           compute_.device, normalization_);
  optimizer_->ZeroGrad();
  {
    const engine::AutocastGuard autocast(compute_.device.type(), compute_.bf16);
    output_ = method_->Forward({views});
  }
  output_.loss.backward();
  optimizer_->Step(schedule_->At(done_));
  method_->AfterStep(static_cast<double>(done_ + 1) / static_cast<double>(total_));
  output_.loss = output_.loss.detach();
  loss_sum_ += output_.loss;
  ++loss_count_;
}

void Trainer::LogStep() {
  // One transfer for all values.
  const at::Tensor values =
      at::stack({output_.loss.to(at::kFloat), optimizer_->GradNorm(),
                 FeatureSpread(output_.embedding), PairTop1(output_.embedding)})
          .to(at::kCPU);
  const float* v = values.data_ptr<float>();
  const double elapsed = std::max(1e-9, Seconds(interval_start_));
  const double wait = (loader_->wait_seconds() - interval_wait_) / elapsed;
  const double rate = static_cast<double>((done_ - interval_step_) * options_.batch) / elapsed;
  metrics_->Write(done_, {{"epoch", static_cast<double>(epoch())},
                          {"lr", schedule_->At(done_ - 1)},
                          {"loss", v[0]},
                          {"grad_norm", v[1]},
                          {"feature_spread", v[2]},
                          {"pair_top1", v[3]},
                          {"images_per_second", rate},
                          {"data_wait", wait}});
  if (!std::isfinite(v[0])) CheckFinite();
  for (const std::string& warning :
       monitor_->Look({.step = done_,
                       .progress = static_cast<double>(done_) / static_cast<double>(total_),
                       .loss = v[0],
                       .feature_spread = v[2],
                       .grad_norm = v[1],
                       .data_wait = wait})) {
    core::LogWarning(warning);
  }
  interval_start_ = Clock::now();
  interval_step_ = done_;
  interval_wait_ = loader_->wait_seconds();
}

// A sum stays no number once a term was none, so looking now and then misses nothing.
void Trainer::CheckFinite() {
  if (std::isfinite(loss_sum_.item<double>())) return;
  throw core::DataError(NanMessage(done_),
                        NanHint(engine::HasCheckpoint(last_) ? last_.string() : ""));
}

void Trainer::FinishEpoch() {
  CheckFinite();
  const int64_t epoch = this->epoch();
  epoch_loss_ = loss_sum_.item<double>() / static_cast<double>(std::max<int64_t>(1, loss_count_));
  std::vector<std::pair<std::string, double>> row = {{"epoch", static_cast<double>(epoch)},
                                                     {"epoch_loss", epoch_loss_}};
  std::string text =
      fmt::format("epoch {}/{}: loss {:.4f}", epoch + 1, options_.epochs, epoch_loss_);
  const bool knn_due = options_.knn_every > 0 && knn_split_.problem.empty() &&
                       ((epoch + 1) % options_.knn_every == 0 || done_ == total_);
  if (knn_due) {
    last_knn_ = OnlineKnn(options_, knn_split_, method_->encoder(), source_, compute_,
                          normalization_, workers_);
    row.emplace_back("knn_top1", last_knn_);
    text += fmt::format(", kNN {:.1f} %", 100 * last_knn_);
  }
  metrics_->Write(done_, row);
  core::LogInfo(text);
  if (knn_due && last_knn_ > best_knn_) {
    best_knn_ = last_knn_;
    core::MakeFolder(best_.parent_path());
    engine::SaveCheckpoint(best_,
                           {.tensors = {{"encoder", engine::ToStateDict(*method_->encoder())}},
                            .metadata = Metadata(),
                            .state = Json{{"step", done_}, {"knn_top1", best_knn_}}.dump(2)});
  }
  loss_sum_.zero_();
  loss_count_ = 0;
  epoch_open_ = false;
}

std::map<std::string, std::string> Trainer::Metadata() const {
  std::map<std::string, std::string> metadata = {{"format", "pt"},
                                                 {"eosin.arch", options_.arch},
                                                 {"eosin.stem", options_.stem},
                                                 {"eosin.method", options_.method}};
  engine::AddToMetadata(normalization_, &metadata);
  return metadata;
}

void Trainer::Save(bool epoch_open) {
  CheckFinite();
  engine::Checkpoint checkpoint;
  for (const auto& [part, module] : method_->parts()) {
    checkpoint.tensors[part] = engine::ToStateDict(*module);
  }
  checkpoint.tensors["optimizer"] = optimizer_->ToState();
  checkpoint.metadata = Metadata();
  checkpoint.state = Json{
      {"step", done_},
      {"epoch_open", epoch_open},
      {"loss_sum", loss_sum_.item<double>()},
      {"loss_count", loss_count_},
      {"epoch_loss", epoch_loss_},
      {"best_knn", best_knn_},
      {"last_knn", last_knn_},
      {"threads", compute_.threads},
      {"device", compute_.device.str()},
      {"data_sha256",
       data_hash_}}.dump(2);
  core::MakeFolder(last_.parent_path());
  engine::SaveCheckpoint(last_, checkpoint);
}

void Trainer::Load() {
  const engine::Checkpoint checkpoint = engine::LoadCheckpoint(last_);
  Json state;
  try {
    state = Json::parse(checkpoint.state);
    done_ = state.at("step");
    epoch_open_ = state.at("epoch_open");
    loss_sum_.fill_(state.at("loss_sum").get<double>());
    loss_count_ = state.at("loss_count");
    epoch_loss_ = state.at("epoch_loss");
    best_knn_ = state.at("best_knn");
    last_knn_ = state.at("last_knn");
    if (state.at("data_sha256") != data_hash_) {
      throw core::DataError("the images are not those that the run was started with",
                            "put the data back, or start a new run");
    }
    if (state.at("threads") != compute_.threads || state.at("device") != compute_.device.str()) {
      core::LogWarning(
          fmt::format("resumed on {}, the run was on {} with {} threads: the last bits "
                      "of its numbers will differ from an uninterrupted run",
                      compute_.Describe(), state.at("device").get<std::string>(),
                      state.at("threads").get<int>()));
    }
  } catch (const Json::exception&) {
    throw core::WeightsError(last_.string() + " is damaged", "start a new run");
  }
  for (const auto& [part, module] : method_->parts()) {
    const auto found = checkpoint.tensors.find(part);
    if (found == checkpoint.tensors.end()) {
      throw core::WeightsError(fmt::format("{} holds no {}", last_.string(), part),
                               "start a new run");
    }
    engine::LoadStateDict(*module, found->second, {.strict = true, .ignore_prefixes = {}});
  }
  const auto optimizer = checkpoint.tensors.find("optimizer");
  optimizer_->LoadState(optimizer == checkpoint.tensors.end() ? core::StateDict()
                                                              : optimizer->second);
}

void Trainer::WriteEncoder() {
  const core::StateDict encoder = engine::ToStateDict(*method_->encoder());
  core::WriteSafetensors(run_ / "encoder.safetensors", encoder, Metadata());
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
  return Trainer(resolved, source, run, hook).Run(resume);
}

}  // namespace eosin::pretrain
