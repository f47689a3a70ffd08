// SPDX-License-Identifier: Apache-2.0
#include "pretrain/run_state.h"

#include <fmt/format.h>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/base/error.h"
#include "core/base/files.h"
#include "engine/weights/weights.h"

namespace eosin::pretrain {

using Json = nlohmann::json;

std::string RunState::ToJson() const {
  return Json{{"step", step},
              {"epoch_open", epoch_open},
              {"loss_sum", loss_sum},
              {"loss_count", loss_count},
              {"epoch_loss", epoch_loss},
              {"best_knn", best_knn},
              {"last_knn", last_knn},
              {"bad_epoch", bad_epoch},
              {"bad_total", bad_total},
              {"threads", threads},
              {"bf16", bf16},
              {"tf32", tf32},
              {"device", device},
              {"data_sha256", data_sha256},
              {"stain_sha256", stain_sha256},
              {"monitor", Json::parse(monitor)}}
      .dump(2);
}

RunState ParseRunState(const std::string& json, const std::string& where) {
  RunState state;
  try {
    const Json all = Json::parse(json);
    state.step = all.at("step");
    state.epoch_open = all.at("epoch_open");
    state.loss_sum = all.at("loss_sum");
    state.loss_count = all.at("loss_count");
    state.epoch_loss = all.at("epoch_loss");
    state.best_knn = all.at("best_knn");
    state.last_knn = all.at("last_knn");
    state.bad_epoch = all.at("bad_epoch");
    state.bad_total = all.at("bad_total");
    state.threads = all.at("threads");
    state.bf16 = all.at("bf16");
    state.tf32 = all.at("tf32");
    state.device = all.at("device");
    state.data_sha256 = all.at("data_sha256");
    state.stain_sha256 = all.at("stain_sha256");
    state.monitor = all.at("monitor").dump();
  } catch (const Json::exception&) {
    throw core::WeightsError(where + " is damaged, or of another version of eosin",
                             "start a new run, or finish it with the version that started it");
  }
  return state;
}

engine::Checkpoint Pack(const Method& method, const engine::Optimizer& optimizer,
                        const std::map<std::string, std::string>& metadata) {
  engine::Checkpoint checkpoint;
  for (const auto& [part, module] : method.parts()) {
    checkpoint.tensors[part] = engine::ToStateDict(*module);
  }
  checkpoint.tensors["optimizer"] = optimizer.ToState();
  checkpoint.metadata = metadata;
  return checkpoint;
}

void Unpack(const engine::Checkpoint& checkpoint, const std::string& where, Method& method,
            engine::Optimizer& optimizer) {
  for (const auto& [part, module] : method.parts()) {
    const auto found = checkpoint.tensors.find(part);
    if (found == checkpoint.tensors.end()) {
      throw core::WeightsError(fmt::format("{} holds no {}", where, part), "start a new run");
    }
    engine::LoadStateDict(*module, found->second, {.strict = true, .ignore_prefixes = {}});
  }
  const auto state = checkpoint.tensors.find("optimizer");
  optimizer.LoadState(state == checkpoint.tensors.end() ? core::StateDict() : state->second);
}

RunCheckpoints::RunCheckpoints(const fs::path& run, int64_t keep)
    : folder_(run / "checkpoints"), last_(folder_ / "last"), best_(folder_ / "best"), keep_(keep) {}

void RunCheckpoints::Save(const engine::Checkpoint& checkpoint, int64_t step, bool numbered) const {
  core::MakeFolder(folder_);
  engine::SaveCheckpoint(last_, checkpoint);
  if (!numbered || keep_ == 0) return;
  engine::SaveCheckpoint(folder_ / fmt::format("step-{:06}", step), checkpoint);
  std::vector<std::pair<int64_t, fs::path>> steps;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    // Leftovers of a kill ("step-000010.part", ".old") go too.
    if (name.rfind("step-", 0) != 0) continue;
    const bool whole = name.find('.') == std::string::npos;
    steps.emplace_back(whole ? std::atoll(name.c_str() + 5) : -1, entry.path());
  }
  std::sort(steps.begin(), steps.end());
  for (size_t i = 0; i + static_cast<size_t>(keep_) < steps.size(); ++i) {
    std::error_code ignored;  // one folder too many is no reason to stop a run
    fs::remove_all(steps[i].second, ignored);
  }
}

void RunCheckpoints::SaveBest(const engine::Checkpoint& checkpoint) const {
  core::MakeFolder(folder_);
  engine::SaveCheckpoint(best_, checkpoint);
}

}  // namespace eosin::pretrain
