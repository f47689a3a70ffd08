// SPDX-License-Identifier: Apache-2.0
// Options of a network that trains in milliseconds.
#pragma once

#include "segment/options.h"
#include "tests/segment/made_data.h"

namespace eosin::testing {

inline segment::SegmentOptions TinyOptions() {
  segment::SegmentOptions options;
  options.arch = "resnet18";
  options.width = 8;
  options.head_channels = 16;
  options.rates = {1, 2, 3};
  options.crop = 32;
  options.batch = 2;
  options.steps = 4;
  options.val_every = 2;
  options.eval_batch = 4;
  options.workers = 2;
  options.compute.threads = 1;  // tiny operations: a second thread only waits
  options.compute.device = "cpu";
  options.compute.precision = "fp32";
  return options;
}

}  // namespace eosin::testing
