// SPDX-License-Identifier: Apache-2.0
// How fast this machine trains, and what holds it back: `eosin bench throughput`. For each case the
// making of views alone, the network's step alone, both together with the share of time spent
// waiting for images, and the share of what the GPU's memory could do.
//
// The limit counts bytes of GPU memory a view of a training step without fused BatchNorm (14 passes
// over each convolution's output in bf16): ResNet-50 at 224 px 355 MB, ResNet-18 with the 3x3 stem
// at 32 px 19 MB: 9,430 and 175,000 views/s at an H100 SXM's 3.35 TB/s. Other GPUs: at the
// bandwidth of a measured copy. A CPU has no such figure.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/data/image_source.h"
#include "engine/training/device.h"

namespace eosin::pretrain {

struct ThroughputOptions {
  std::vector<std::string> cases;  // of ThroughputCases(); empty: all
  engine::ComputeOptions compute;
  std::string placement = "auto";  // of images and views on a GPU
  std::string data;                // tiles or pictures; empty: made ones
  int64_t batch = 0;               // images a step; 0: by the device's memory
  int64_t workers = 0;             // loader threads, 0: one less than the cores
  double seconds = 10;             // of each measurement, at least one step

  void Check() const;  // ConfigError
};

struct ThroughputRow {
  std::string name;  // of the case
  std::string arch, stem;
  int64_t size = 0, batch = 0, image_size = 0;
  std::string feed;  // how images and views came
  // Views a second; an image gives two.
  double kernels = 0;    // views alone: the GPU's executor, or one CPU core's
  double delivered = 0;  // by loader and feed, nothing trained
  double step = 0;       // network, loss, optimiser on one batch over and over
  double whole = 0;      // a training: feed and step
  double data_wait = 0;  // share of its time
  double limit = 0;      // by memory bandwidth; 0: not known
  // 0 without a limit. Of the whole training.
  double ShareOfLimit() const { return limit > 0 ? whole / limit : 0; }
};

struct ThroughputReport {
  std::string device;          // e.g. "NVIDIA H100 80GB HBM3"
  std::string precision;       // "cuda:0, 16 threads, bf16"
  double copy_bandwidth = 0;   // bytes/s read and written by a copy on the GPU; 0 on a CPU
  double limit_bandwidth = 0;  // that the limits were computed with
  std::vector<ThroughputRow> rows;

  std::string Table() const;  // for people
  std::string Csv() const;
};

// {"rn50-224", "r18-32"}
const std::vector<std::string>& ThroughputCases();

// `done` hears of each finished row. ConfigError, MachineError (memory).
ThroughputReport MeasureThroughput(const ThroughputOptions& options,
                                   const std::function<void(const ThroughputRow&)>& done = {});

// Noise pictures of one size, held once for every 64 of them: a set that costs no disk.
std::unique_ptr<engine::ImageSource> MakeNoiseSource(int64_t count, int size);

}  // namespace eosin::pretrain
