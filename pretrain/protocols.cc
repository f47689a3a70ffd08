// SPDX-License-Identifier: Apache-2.0
#include "pretrain/protocols.h"

namespace eosin::pretrain {

void LightlyCifarProtocol(PretrainOptions& options) {
  options.arch = "resnet18";
  options.batch = 512;
  options.epochs = 200;
  options.concat_views = false;
  options.optimizer.lr = 0.12;
  options.optimizer.weight_decay = 5e-4;
  options.optimizer.exclude_bias_and_norm = false;
  options.schedule.per_epoch = true;
}

void SoloCifarProtocol(PretrainOptions& options) {
  options.arch = "resnet18";
  options.batch = 256;
  options.epochs = 1000;
  options.concat_views = false;
  options.optimizer.name = "lars";
  options.optimizer.lars_dialect = "solo";
  options.optimizer.eta = 0.02;
  options.schedule.dialect = "solo";
  options.schedule.warmup_epochs = 10;
  options.schedule.warmup_start_lr = 3e-5;
}

void Stl10Protocol(PretrainOptions& options) {
  options.SetViews("simclr", "simclr", 96);
  options.batch = 128;
  options.epochs = 100;
  options.optimizer.name = "adam";
  options.optimizer.lr = 3e-4;
  options.optimizer.weight_decay = 1e-4;
  options.optimizer.exclude_bias_and_norm = false;
  options.schedule.scale = "none";
}

}  // namespace eosin::pretrain
