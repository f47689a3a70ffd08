// SPDX-License-Identifier: Apache-2.0
// What the published set-ups of a code base share, whatever the method: a method's preset starts
// from one of these and adds its own constants.
#pragma once

#include "pretrain/options.h"

namespace eosin::pretrain {

// lightly docs/source/getting_started/benchmarks/cifar10_benchmark.py: ResNet-18, 200 epochs at
// batch 512, SGD 0.06 * batch / 128, decay of all parameters, one forward pass a view, one rate an
// epoch. Views are the method's.
void LightlyCifarProtocol(PretrainOptions& options);

// solo-learn scripts/pretrain/cifar: ResNet-18, 1000 epochs at batch 256, solo-learn's LARS, one
// forward pass a view. Views, rate and decay are the method's. Its stem's padding of 2 is not
// copied.
void SoloCifarProtocol(PretrainOptions& options);

// The much copied set-up on STL-10's 96 px images: ResNet-50 with the 7x7 stem, SimCLR's views, 100
// epochs at batch 128, Adam 3e-4 with L2 of all parameters, the rate not scaled.
void Stl10Protocol(PretrainOptions& options);

}  // namespace eosin::pretrain
