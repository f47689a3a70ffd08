// SPDX-License-Identifier: Apache-2.0
#include "pretrain/bench/options.h"

#include <fmt/format.h>
#include <cmath>

#include "core/base/error.h"

namespace eosin::pretrain {

void BenchOptions::Bind(core::OptionSet& set) {
  const double most = 1e9;
  set.Add("bench.set", &this->set, {.doc = "public data set", .choices = {"cifar10", "stl10"}});
  set.Add("bench.data", &data, {.doc = "folder of its original binary files"});
  set.Add("bench.quick", &quick, {.doc = "the small form: minutes, figures without meaning"});
  set.Add("bench.methods", &methods, {.doc = "pretraining methods"});
  set.Add("bench.augment", &augment, {.doc = "view presets of the augmentation study"});
  set.Add("bench.batches", &batches, {.doc = "batch sizes of the batch study", .min = 2});
  set.Add("bench.study_batch", &study_batch,
          {.doc = "batch size of the augmentation study", .min = 2, .max = most});
  set.Add("bench.study_augment", &study_augment, {.doc = "view preset of the batch study"});
  set.Add("bench.full_cross", &full_cross, {.doc = "every augmentation at every batch size"});
  set.Add("bench.archs", &archs, {.doc = "encoders"});
  set.Add("bench.protocols", &protocols,
          {.doc = "cifar10: test (all batches, then the test file), holdout (all but the last "
                  "batch, then that one); stl10: folds"});
  set.Add("bench.seeds", &seeds, {.doc = "repetitions of each cell", .min = 1, .max = 1000});
  set.Add("bench.first_seed", &first_seed, {.doc = "seeds count from here", .min = 0, .max = most});
  set.Add("bench.epochs", &epochs, {.doc = "of each pretraining", .min = 1, .max = most});
  set.Add("bench.images", &images, {.doc = "learn from so many images, 0 = all", .min = 0});
  set.Add("bench.test_images", &test_images,
          {.doc = "ask about the first so many test images, 0 = all", .min = 0});
  set.Add("bench.width", &width,
          {.doc = "channels of the stem; 64 is the published network", .min = 4, .max = 512});
  set.Add("bench.test", &test,
          {.doc = "cifar10: test file; empty: test_batch.bin, else test_first_1000.bin"});
  set.Add("bench.knn_k", &knn_k, {.doc = "neighbours", .min = 1, .max = most});
  set.Add("bench.knn_temperature", &knn_temperature,
          {.doc = "of the neighbours' votes", .min = 1e-3, .max = 1e3});
  set.Add("bench.probe_l2", &probe_l2,
          {.doc = "weight penalty of the linear probe", .min = 0, .max = 1e3});
  set.Add("bench.assign", &assign, {.doc = "keys of eosin pretrain for every cell, key=value"});
  set.Add("bench.workers", &workers, {.doc = "loader threads; changes no result", .min = 0});
  compute.Bind(set);
}

void BenchOptions::Check() const {
  if (data.empty()) {
    throw core::ConfigError("no data given", "name the folder of the set's binary files (--data)");
  }
  const auto need = [](const std::vector<std::string>& list, const char* what) {
    if (list.empty()) {
      throw core::ConfigError(fmt::format("bench.{} is empty", what), "name at least one");
    }
  };
  need(methods, "methods");
  need(augment, "augment");
  need(archs, "archs");
  need(protocols, "protocols");
  for (const std::string& protocol : protocols) {
    const bool known =
        set == "stl10" ? protocol == "folds" : protocol == "test" || protocol == "holdout";
    if (known) continue;
    throw core::ConfigError(fmt::format("bench.protocols: {} has no protocol {}", set, protocol),
                            set == "stl10" ? "folds" : "test, holdout");
  }
  if (set == "cifar10" && archs.size() != 1) {
    throw core::ConfigError("bench.archs names more than one encoder",
                            "the CIFAR-10 study uses one; run it again in another folder");
  }
  for (const double size : batches) {
    if (size >= 2 && size == std::floor(size)) continue;
    throw core::ConfigError(fmt::format("bench.batches: {} is no batch size", size),
                            "whole numbers from 2 on");
  }
  for (const std::string& item : assign) {
    const size_t at = item.find('=');
    if (at == std::string::npos || at == 0) {
      throw core::ConfigError(fmt::format("{} is no assignment", item), "write key=value");
    }
  }
}

BenchOptions BenchOptions::Cifar10() {
  BenchOptions o;
  o.methods = {"simclr", "byol"};
  o.augment = {"minimal", "moderate", "full", "aggressive"};
  o.batches = {128, 256, 512, 1024};
  o.study_augment = "full";
  o.archs = {"resnet18"};
  o.protocols = {"test", "holdout"};
  return o;
}

BenchOptions BenchOptions::Stl10() {
  BenchOptions o;
  o.set = "stl10";
  o.methods = {"simclr"};
  o.augment = {"simclr"};  // as the preset stl10-baseline
  o.batches = {128};
  o.study_batch = 128;
  o.study_augment = "simclr";
  o.archs = {"resnet50", "resnet18"};
  o.protocols = {"folds"};
  o.epochs = 100;
  return o;
}

void BenchOptions::Quick() {
  quick = true;
  seeds = 1;
  epochs = 2;
  images = 600;
  test_images = 300;
  width = 16;
  study_batch = 64;
  if (set == "cifar10") {
    batches = {32, 64};
    protocols = {"holdout"};
  } else {
    batches = {64};
    epochs = 1;
  }
}

bool BenchOptions::IsFullSize() const {
  return images == 0 && test_images == 0 && width == 64 && epochs >= (set == "stl10" ? 100 : 200);
}

}  // namespace eosin::pretrain
