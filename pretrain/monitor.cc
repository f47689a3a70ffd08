// SPDX-License-Identifier: Apache-2.0
#include "pretrain/monitor.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace eosin::pretrain {
namespace {

using Json = nlohmann::json;

// JSON has no NaN.
Json Number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
double Value(const Json& json, const char* key) {
  return json.at(key).is_null() ? kNotMeasured : json.at(key).get<double>();
}

}  // namespace

void Monitor::Judge(const std::string& topic, bool bad, int patience, int64_t step,
                    const std::string& text) {
  int& count = in_a_row_[topic];
  count = bad ? count + 1 : 0;
  if (count != patience) return;
  for (const Finding& finding : findings_) {
    if (finding.topic == topic) return;
  }
  findings_.push_back({step, topic, text});
  fresh_.push_back(text);
}

// Comparisons with a value that was not measured are false: no finding.
std::vector<std::string> Monitor::Look(const MonitorSample& s) {
  fresh_.clear();
  ++looks_;
  if (std::isnan(first_spread_)) first_spread_ = s.feature_spread;
  Judge("collapse", s.feature_spread < 0.1, 3, s.step,
        fmt::format("the features collapse: at step {} all images have almost the same embedding "
                    "(spread {:.3f}, healthy is near 1). Lower optimizer.lr, lengthen the warm-up "
                    "or use stronger augmentation",
                    s.step, s.feature_spread));
  // The first steps may lie above chance.
  Judge("divergence", s.progress > 0.05 && s.loss > 1.1 * chance_loss_, 3, s.step,
        fmt::format("the loss {:.3f} stays above what guessing gives ({:.3f}): the learning rate "
                    "looks too high. Lower optimizer.lr",
                    s.loss, chance_loss_));
  // The first look includes the start of the loader.
  Judge(
      "starving", looks_ > 1 && s.data_wait > 0.3, 3, s.step,
      fmt::format("{:.0f} % of the time goes into waiting for images: give the loader more threads "
                  "(--workers), or store the tiles smaller",
                  100 * s.data_wait));
  return fresh_;
}

std::vector<std::string> Monitor::LookAtLeak(int64_t step, double leak) {
  fresh_.clear();
  Judge("leak", leak > 0.02, 1, step,
        fmt::format("the batch statistics give away which views belong together: NT-Xent is "
                    "{:.0f} % higher when the second views change places. Let BatchNorm see whole "
                    "views (train.concat_views = true), not parts of a batch",
                    100 * leak));
  return fresh_;
}

std::vector<std::string> Monitor::LookAtEpoch(const EpochSample&) {
  fresh_.clear();
  return fresh_;
}

std::string Monitor::ToJson() const {
  Json findings = Json::array();
  for (const Finding& f : findings_) {
    findings.push_back({{"step", f.step}, {"topic", f.topic}, {"text", f.text}});
  }
  return Json{{"looks", looks_},
              {"first_spread", Number(first_spread_)},
              {"best_epoch_loss", Number(best_epoch_loss_)},
              {"best_rank", Number(best_rank_)},
              {"in_a_row", in_a_row_},
              {"findings", findings}}
      .dump();
}

void Monitor::FromJson(const std::string& json) {
  try {
    const Json all = Json::parse(json);
    Monitor read(chance_loss_);
    read.looks_ = all.at("looks");
    read.first_spread_ = Value(all, "first_spread");
    read.best_epoch_loss_ = Value(all, "best_epoch_loss");
    read.best_rank_ = Value(all, "best_rank");
    read.in_a_row_ = all.at("in_a_row").get<std::map<std::string, int>>();
    for (const Json& f : all.at("findings")) {
      read.findings_.push_back({f.at("step"), f.at("topic"), f.at("text")});
    }
    *this = read;
  } catch (const Json::exception&) {
  }
}

ContrastLevels LevelsOf(int64_t batch, double temperature, double scale) {
  const double others = 2.0 * static_cast<double>(batch) - 2.0;
  // ln(e^(1/tau) + others) - 1/tau, written so that a small tau does not overflow.
  return {.chance = scale * std::log(others + 1.0),
          .orthogonal = scale * std::log1p(others * std::exp(-1.0 / temperature))};
}

std::string NanMessage(int64_t step, const std::string& what) {
  return fmt::format("the {} stopped being a number at step {}", what, step);
}

std::string NanHint(const std::string& checkpoint, const std::string& capture) {
  std::string hint = "lower optimizer.lr or lengthen schedule.warmup_epochs, then start again";
  if (!capture.empty()) hint += "; eosin pretrain --replay " + capture + " shows where it began";
  if (!checkpoint.empty()) hint += "; the last good state is in " + checkpoint;
  return hint;
}

}  // namespace eosin::pretrain
