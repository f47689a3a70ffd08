// SPDX-License-Identifier: Apache-2.0
// Whole segmentation nets in files of other programs, under eosin's names (deeplab.h). Known, with
// any prefix (model. of Lightning and HEST, module. of DistributedDataParallel, _orig_mod. of
// torch.compile, ...):
//   torchvision                   deeplabv3_resnet*: backbone.*, classifier.*, aux_classifier.*
//   segmentation_models.pytorch   DeepLabV3Plus: encoder.*, decoder.aspp.0.*, segmentation_head.0
//                                 DeepLabV3: decoder.aspp.*, decoder.conv, decoder.bn, or of its
//                                 first versions decoder.0, .1, .2. The tensors become
//                                 torchvision's; the two programs dilate and enlarge differently,
//                                 so that such a net is a start to train from and gives other
//                                 numbers
// Torch-free but for deeplab.h's options.
#pragma once

#include <string>

#include "core/formats/state_dict.h"

namespace eosin::segment {

struct MappedNet {
  core::StateDict tensors;
  std::string head;     // deeplabv3 | deeplabv3plus
  std::string dialect;  // in words, with the number of tensors left out
  bool exact = true;    // false: its program computes with it otherwise than eosin
};

// Throws WeightsError naming the first tensors when the file holds no such net, or two of them.
MappedNet MapSegmentationNet(core::StateDict dict);

// What a mapped net is, in words: "deeplabv3 on resnet50 (imagenet stem, width 64), 256 head
// channels, 21 classes, aux head".
std::string DescribeNet(const MappedNet& net);

}  // namespace eosin::segment
