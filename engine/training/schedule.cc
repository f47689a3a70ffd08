// SPDX-License-Identifier: Apache-2.0
#include "engine/training/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace eosin::engine {

void ScheduleOptions::Bind(core::OptionSet& set, const std::string& prefix) {
  set.Add(prefix + ".shape", &shape,
          {.doc = "learning rate over the run after warm-up",
           .choices = {"cosine", "poly", "constant", "one-cycle"}});
  set.Add(prefix + ".warmup_epochs", &warmup_epochs,
          {.doc = "linear rise; never more than a fifth of the run", .unit = "epochs", .min = 0});
  set.Add(prefix + ".warmup_start_lr", &warmup_start_lr,
          {.doc = "where the rise starts, not scaled by the batch", .min = 0});
  set.Add(prefix + ".dialect", &dialect,
          {.doc = "whose way of counting steps in the rise and the cosine",
           .choices = {"eosin", "google", "lightly", "solo"}});
  set.Add(prefix + ".per_epoch", &per_epoch,
          {.doc = "one rate an epoch, that of its first step (lightly on CIFAR-10)"});
  set.Add(prefix + ".final_share", &final_share,
          {.doc = "share of the peak rate at the end (cosine, poly)", .min = 0, .max = 1});
  set.Add(prefix + ".power", &power, {.doc = "exponent of poly", .min = 0});
  set.Add(prefix + ".scale", &scale,
          {.doc = "peak rate from optimizer.lr: linear = lr * batch / 256, sqrt = lr * sqrt(batch)",
           .choices = {"linear", "sqrt", "none"}});
}

double ScaledLr(double lr, const std::string& scale, int64_t batch) {
  if (scale == "linear") return lr * static_cast<double>(batch) / 256.0;
  if (scale == "sqrt") return lr * std::sqrt(static_cast<double>(batch));
  return lr;
}

LrSchedule::LrSchedule(const ScheduleOptions& options, double peak, int64_t steps_per_epoch,
                       int64_t total_steps)
    : options_(options),
      peak_(peak),
      steps_per_epoch_(std::max<int64_t>(1, steps_per_epoch)),
      total_(total_steps) {
  const auto wanted = std::llround(options.warmup_epochs * static_cast<double>(steps_per_epoch));
  warmup_ = std::min<int64_t>(wanted, total_steps / 5);
}

double LrSchedule::At(int64_t step) const {
  if (options_.per_epoch) step -= step % steps_per_epoch_;
  if (options_.shape == "one-cycle") return OneCycle(step);
  const bool lightly = options_.dialect == "lightly", solo = options_.dialect == "solo";
  if (step < warmup_) {
    const bool from_zero = solo || options_.dialect == "google";
    const double done = static_cast<double>(step + (from_zero ? 0 : 1));
    const double all = static_cast<double>(warmup_ + (solo ? -1 : options_.dialect == "eosin"));
    const double share = done == 0 ? 0.0 : done / all;
    return options_.warmup_start_lr + (peak_ - options_.warmup_start_lr) * share;
  }
  if (options_.shape == "constant") return peak_;
  const int64_t steps = total_ - warmup_ - (lightly ? 1 : 0);
  const double progress = std::min(
      1.0, static_cast<double>(step - warmup_) / static_cast<double>(std::max<int64_t>(1, steps)));
  const double falling = options_.shape == "poly"
                             ? std::pow(1.0 - progress, options_.power)
                             : 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  return peak_ * (options_.final_share + (1.0 - options_.final_share) * falling);
}

double LrSchedule::OneCycle(int64_t step) const {
  const double start = peak_ / 25, end = start / 1e4;
  const double top = 0.3 * static_cast<double>(total_) - 1, last = static_cast<double>(total_ - 1);
  const auto at = static_cast<double>(step);
  const auto anneal = [](double from, double to, double share) {
    return to + (from - to) / 2 * (1 + std::cos(std::numbers::pi * share));
  };
  if (at <= top && top > 0) return anneal(start, peak_, at / top);
  return anneal(peak_, end, std::min(1.0, (at - top) / std::max(last - top, 1e-9)));
}

double EmaMomentum(double base, double progress) {
  return 1.0 - (1.0 - base) * 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
}

}  // namespace eosin::engine
