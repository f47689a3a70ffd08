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

// Comparisons with a value that was not measured are false: no finding. Thresholds were set between
// healthy recipes and injected faults: tests/pretrain/health_test.cc.
std::vector<std::string> Monitor::Look(const MonitorSample& s) {
  fresh_.clear();
  ++looks_;
  if (looks_ == 1) {
    first_loss_ = s.loss;
    first_spread_ = s.feature_spread;
    first_rank_ = s.embedding_rank;
  }
  LookForCollapse(s);
  // Random embeddings at a low temperature start above chance.
  const double start = std::max(chance_loss_, first_loss_);
  Judge("divergence", s.progress > 0.05 && s.loss > 1.25 * start, 5, s.step,
        fmt::format(
            "the loss {:.3f} stays far above where it started ({:.3f}) and above what guessing "
            "gives ({:.3f}): the learning rate looks too high. Lower optimizer.lr",
            s.loss, first_loss_, chance_loss_));
  Judge("rate", s.update_share > 0.07, 2, s.step,
        fmt::format("one step moves the weights by {:.0f} % of their length (healthy: below 5 %): "
                    "the learning rate is too high. Lower optimizer.lr, or lengthen "
                    "schedule.warmup_epochs",
                    100 * s.update_share));
  Judge("views", s.view_distance < 0.02, 2, s.step,
        fmt::format("the two views of an image are the same picture (their pixels differ by {:.1f} "
                    "% of their spread), so there is nothing to learn. Give view_a and view_b "
                    "random crops, colour or stain changes; look with --preview",
                    100 * s.view_distance));
  Judge("negatives", std::abs(s.loss_ratio - 1) > 0.03, 2, s.step,
        fmt::format("the loss is {:.0f} % of what the whole batch's embedding gives: negatives are "
                    "lost or counted twice. Compute NT-Xent over all views of the batch at once",
                    100 * s.loss_ratio));
  Judge("temperature", s.negatives_used < 2, 1, s.step,
        fmt::format("the temperature is too low: of all negatives a view is in effect compared "
                    "with {:.1f}. Raise it (0.1 to 0.5)",
                    s.negatives_used));
  Judge("target", s.target_momentum < 0.5, 2, s.step,
        fmt::format("the target keeps only {:.0f} % of its weights a step, so it is all but the "
                    "online network: raise the momentum (0.99 for 100 epochs, 0.996 for 1000)",
                    100 * s.target_momentum));
  // The first look includes the start of the loader.
  Judge(
      "starving", looks_ > 1 && s.data_wait > 0.3, 3, s.step,
      fmt::format("{:.0f} % of the time goes into waiting for images: give the loader more threads "
                  "(--workers), or store the tiles smaller",
                  100 * s.data_wait));
  return fresh_;
}

void Monitor::LookForCollapse(const MonitorSample& s) {
  const char* const advice =
      "Lower optimizer.lr or lengthen the warm-up; a method without negatives needs its predictor, "
      "its stop-gradient and a slow target";
  // Negatives push an embedding apart again after an early dip; nothing does without them.
  const bool shrank = std::isnan(s.negatives_used) && s.feature_spread < 0.3 &&
                      s.feature_spread < 0.35 * first_spread_;
  Judge("collapse", s.feature_spread < 0.1 || shrank, 3, s.step,
        fmt::format("the features collapse: at step {} all images have almost the same embedding "
                    "(spread {:.3f}, {:.3f} at the start, healthy is near 1). {}",
                    s.step, s.feature_spread, first_spread_, advice));
  Judge("dimensional-collapse", s.embedding_rank < 3.5 && s.embedding_rank < 0.2 * first_rank_, 3,
        s.step,
        fmt::format("the embedding collapses onto few dimensions: its effective rank fell from "
                    "{:.1f} to {:.1f}. {}",
                    first_rank_, s.embedding_rank, advice));
}

std::vector<std::string> Monitor::LookAtLeak(int64_t step, double leak) {
  fresh_.clear();
  Judge("leak", leak > 0.25, 1, step,
        fmt::format("batch statistics tell which views belong together: the embedding moves by "
                    "{:.0f} % of its spread when the second views change places in the batch. Let "
                    "BatchNorm see whole views, not parts of a batch with both views of an image",
                    100 * leak));
  return fresh_;
}

std::vector<std::string> Monitor::LookAtEpoch(const EpochSample& s) {
  fresh_.clear();
  if (!(best_rank_me_ >= s.rank_me) && std::isfinite(s.rank_me)) best_rank_me_ = s.rank_me;
  Judge("features-collapse", s.rank_me < 0.25 * best_rank_me_, 2, s.step,
        fmt::format("the encoder's features lose dimensions: RankMe fell from {:.1f} to {:.1f} of "
                    "{}. Lower optimizer.lr or go back to an earlier checkpoint (checkpoint.keep)",
                    best_rank_me_, s.rank_me, s.features));
  Judge("dead-channels", s.dead_share > 0.5, 1, s.step,
        fmt::format("{:.0f} % of the encoder's channels never change: the learning rate was too "
                    "high at some step. Lower optimizer.lr or lengthen the warm-up",
                    100 * s.dead_share));
  return fresh_;
}

std::string Monitor::ToJson() const {
  Json findings = Json::array();
  for (const Finding& f : findings_) {
    findings.push_back({{"step", f.step}, {"topic", f.topic}, {"text", f.text}});
  }
  return Json{{"looks", looks_},
              {"first_loss", Number(first_loss_)},
              {"first_spread", Number(first_spread_)},
              {"first_rank", Number(first_rank_)},
              {"best_rank_me", Number(best_rank_me_)},
              {"in_a_row", in_a_row_},
              {"findings", findings}}
      .dump();
}

void Monitor::FromJson(const std::string& json) {
  try {
    const Json all = Json::parse(json);
    Monitor read(chance_loss_);
    read.looks_ = all.at("looks");
    read.first_loss_ = Value(all, "first_loss");
    read.first_spread_ = Value(all, "first_spread");
    read.first_rank_ = Value(all, "first_rank");
    read.best_rank_me_ = Value(all, "best_rank_me");
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
