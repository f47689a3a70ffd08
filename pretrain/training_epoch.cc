// SPDX-License-Identifier: Apache-2.0
#include <ATen/core/Tensor.h>
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/formats/pth.h"
#include "core/formats/safetensors.h"
#include "engine/weights/weights.h"
#include "pretrain/training.h"

namespace eosin::pretrain {
namespace {

using Json = nlohmann::json;

double Seconds(std::chrono::steady_clock::time_point from) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
}

std::string Precision(const RunState& state) {
  return std::string(state.bf16 ? "bf16" : "fp32") + (state.tf32 ? " with tf32" : "");
}

}  // namespace

void Training::Say(const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) core::LogWarning(warning);
}

void Training::Look() {
  std::map<std::string, double> row = signals_->Read();
  const double elapsed = std::max(1e-9, Seconds(interval_start_));
  const double wait = (feed_->wait_seconds() - interval_wait_) / elapsed;
  const double images =
      static_cast<double>((done() - interval_step_) * options_.batch * options_.accumulate);
  if (!std::isfinite(row.at("loss")) || !std::isfinite(row.at("grad_norm"))) CheckFinite();
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

// A sum stays no number once a term was none, so looking now and then misses nothing. A gradient
// shows in the loss only one step later: that of the step just done, which is in the weights that
// are about to be saved, is looked at too.
void Training::CheckFinite() {
  const double sums[] = {loss_sum_.item<double>(), learner_.optimizer->GradNorm().item<double>()};
  if (!std::isfinite(sums[0]) || !std::isfinite(sums[1])) throw NonFiniteSeen{done()};
}

void Training::FinishEpoch() {
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

void Training::Save(bool epoch_open, bool numbered) {
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

void Training::Load() {
  const std::string where = checkpoints_.last().string();
  const RunState& saved = resumed_->state;
  if (saved.data_sha256 != state_.data_sha256) {
    throw core::DataError("the images are not those that the run was started with",
                          "put the data back, or start a new run");
  }
  if (saved.stain_sha256 != state_.stain_sha256) {
    throw core::ConfigError(
        "the stain template is not the one that the run was started with",
        "put the file that view_a.randstainna_template or its like names back as it was, or start "
        "a new run");
  }
  if (saved.bf16 != state_.bf16 || saved.tf32 != state_.tf32) {
    core::LogWarning(fmt::format(
        "resumed in {}, the run was in {}: its numbers will differ from an uninterrupted run",
        Precision(state_), Precision(saved)));
  }
  if (saved.threads != state_.threads || saved.device != state_.device) {
    core::LogWarning(
        fmt::format("resumed on {}, the run was on {} with {} threads: the last bits "
                    "of its numbers will differ from an uninterrupted run",
                    compute_.Describe(), saved.device, saved.threads));
  }
  Unpack(resumed_->checkpoint, where, *learner_.method, *learner_.optimizer);
  const RunState here = state_;
  state_ = saved;
  state_.threads = here.threads;
  state_.device = here.device;
  state_.bf16 = here.bf16;
  state_.tf32 = here.tf32;
  loss_sum_.fill_(saved.loss_sum);
  monitor_->FromJson(saved.monitor);
  resumed_.reset();
}

void Training::WriteEncoder() {
  const core::StateDict encoder = engine::ToStateDict(*learner_.method->encoder());
  core::WriteSafetensors(run_ / "encoder.safetensors", encoder,
                         WeightsMetadata(options_, normalization_));
  core::WritePth(run_ / "encoder.pth", encoder);
}

}  // namespace eosin::pretrain
