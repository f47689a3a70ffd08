// SPDX-License-Identifier: Apache-2.0
#include "segment/train/train_state.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "engine/training/checkpoint.h"

namespace eosin::segment {
namespace {

using Json = nlohmann::ordered_json;

// JSON has no NaN: n/a is null.
double NumberOf(const Json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

}  // namespace

bool TrainState::Judge(double score) {
  ++worse;
  const bool nothing_better = std::isnan(score) && best < 0;
  if (!nothing_better && !(score > best)) return false;
  best_step = step;
  if (!std::isnan(score)) {
    best = score;
    worse = 0;
  }
  return true;
}

std::string TrainState::ToJson() const {
  Json points = Json::array();
  for (const CurvePoint& p : curve) {
    points.push_back({p.step, p.loss, p.lr, p.val_dice, p.val_iou});
  }
  return Json{{"fingerprint", fingerprint},
              {"step", step},
              {"validated", validated},
              {"loss_sum", loss_sum},
              {"loss_count", loss_count},
              {"best", best},
              {"best_step", best_step},
              {"worse", worse},
              {"curve", points},
              {"weights_matched", weights_matched},
              {"threads", threads},
              {"bf16", bf16},
              {"tf32", tf32},
              {"device", device}}
      .dump(2);
}

TrainState ParseTrainState(const std::string& json, const std::string& where) {
  TrainState state;
  try {
    const Json all = Json::parse(json);
    state.fingerprint = all.at("fingerprint");
    state.step = all.at("step");
    state.validated = all.at("validated");
    state.loss_sum = all.at("loss_sum");
    state.loss_count = all.at("loss_count");
    state.best = all.at("best");
    state.best_step = all.at("best_step");
    state.worse = all.at("worse");
    for (const Json& p : all.at("curve")) {
      state.curve.push_back(
          {p.at(0), NumberOf(p.at(1)), NumberOf(p.at(2)), NumberOf(p.at(3)), NumberOf(p.at(4))});
    }
    state.weights_matched = all.at("weights_matched");
    state.threads = all.at("threads");
    state.bf16 = all.at("bf16");
    state.tf32 = all.at("tf32");
    state.device = all.at("device");
  } catch (const Json::exception&) {
    throw core::WeightsError(where + " is damaged, or of another version of eosin",
                             "start a new run, or finish it with the version that started it");
  }
  return state;
}

std::filesystem::path CheckpointFolder(const std::filesystem::path& run) {
  return run / "checkpoints" / "last";
}

bool HasTrainState(const std::filesystem::path& run) {
  return engine::HasCheckpoint(CheckpointFolder(run));
}

void RemoveCheckpoint(const std::filesystem::path& run) {
  std::error_code ignored;  // one folder too many is no reason to fail a finished run
  const std::filesystem::path all = run / "checkpoints", gone = run / "checkpoints.old";
  std::filesystem::remove_all(gone, ignored);  // of a process that was killed here
  std::filesystem::rename(all, gone, ignored);
  std::filesystem::remove_all(gone, ignored);
}

}  // namespace eosin::segment
