// SPDX-License-Identifier: Apache-2.0
#include "pretrain/monitor.h"

#include <fmt/format.h>

namespace eosin::pretrain {

std::vector<std::string> Monitor::Look(const MonitorSample& sample) {
  constexpr int kPatience = 3;  // looks in a row
  std::vector<std::string> warnings;
  auto say = [&](const char* topic, std::string text) {
    if (said_.insert(topic).second) warnings.push_back(std::move(text));
  };
  ++looks_;
  collapsed_ = sample.feature_spread < 0.1 ? collapsed_ + 1 : 0;
  if (collapsed_ >= kPatience) {
    say("collapse",
        fmt::format(
            "the features collapse: at step {} all images have almost the same embedding "
            "(spread {:.3f}, healthy is near 1). Lower optimizer.lr, lengthen the warm-up or "
            "use stronger augmentation",
            sample.step, sample.feature_spread));
  }
  // The first steps may lie above chance.
  diverging_ = sample.progress > 0.05 && sample.loss > 1.1 * chance_loss_ ? diverging_ + 1 : 0;
  if (diverging_ >= kPatience) {
    say("divergence",
        fmt::format("the loss {:.3f} stays above what guessing gives ({:.3f}): the learning rate "
                    "looks too high. Lower optimizer.lr",
                    sample.loss, chance_loss_));
  }
  // The first look includes the start of the loader.
  starving_ = looks_ > 1 && sample.data_wait > 0.3 ? starving_ + 1 : 0;
  if (starving_ >= kPatience) {
    say("starving",
        fmt::format(
            "{:.0f} % of the time goes into waiting for images: give the loader more threads "
            "(--workers), or store the tiles smaller",
            100 * sample.data_wait));
  }
  return warnings;
}

std::string NanMessage(int64_t step) {
  return fmt::format("the loss stopped being a number by step {}", step);
}

std::string NanHint(const std::string& checkpoint) {
  return "lower optimizer.lr or lengthen schedule.warmup_epochs, then start again" +
         (checkpoint.empty() ? std::string() : "; the last good state is in " + checkpoint);
}

}  // namespace eosin::pretrain
