// SPDX-License-Identifier: Apache-2.0
// Full fine-tune: encoder and a linear head trained on labelled images with light augmentation
// (random resized crop and mirror), SGD with momentum .9 and cosine; and the speed of transfer:
// test accuracy after each epoch. The score is that of the last epoch: the best over test epochs
// would be chosen on the test set. Protocol: lightly's (30 epochs, .05 * batch / 256).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/option_set.h"
#include "engine/training/device.h"

namespace eosin::eval {

struct Encoder;   // encoder.h
struct ImageSet;  // study/split.h

struct FinetuneOptions {
  int64_t epochs = 30;
  int64_t batch = 64;
  double lr = 0.05;  // times batch / 256
  double weight_decay = 0;
  double crop_min = 0.08;  // random resized crop: smallest share of the area
  bool any_turn = false;   // quarter turns and vertical mirrors too: tissue has no up

  void Bind(core::OptionSet& set, const std::string& prefix = "finetune");
};

struct FinetuneResult {
  std::vector<double> train_loss;     // an epoch, mean over its steps
  std::vector<double> test_accuracy;  // after each epoch, 0..1
  std::vector<int64_t> predicted;     // of the test set, last epoch
};

// Trains a copy: `encoder` stays as it is. seed: head and order. Results are equal at equal compute
// threads. Throws DataError when the loss is not finite; InterruptedError.
FinetuneResult Finetune(const Encoder& encoder, const ImageSet& train, const ImageSet& test,
                        int64_t classes, int64_t size, int workers, uint64_t seed,
                        const FinetuneOptions& options, const engine::Compute& compute);

// First epoch (from 1) after which the accuracy is at least `level`; 0 when never.
int64_t EpochsToReach(const std::vector<double>& accuracy, double level);
// Mean accuracy over the epochs: the area under the curve, 0..1.
double CurveArea(const std::vector<double>& accuracy);

}  // namespace eosin::eval
