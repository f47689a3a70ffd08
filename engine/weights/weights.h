// SPDX-License-Identifier: Apache-2.0
// Between modules and weights files: names, dialects of other projects, and a report of what
// matched. Nothing is loaded in part without the report saying so, nothing below a minimum share.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "core/formats/state_dict.h"

namespace eosin::engine {

// Parameters and buffers as contiguous CPU bytes, in Python's state_dict order (per module:
// parameters, buffers, children). `prefix` goes before every name, e.g. "backbone.".
core::StateDict ToStateDict(const torch::nn::Module& module, const std::string& prefix = "");

struct LoadRules {
  bool strict = false;      // any missing, unexpected or mismatched name is an error
  double min_share = 0.95;  // of the module's elements that must be matched; else an error
  // Names that start so, in the module or the file, are left alone and counted nowhere.
  std::vector<std::string> ignore_prefixes = {"fc."};
  // Tensors of another shape (or integer for float) are an error, unless allowed: then they keep
  // the module's values and are listed.
  bool allow_mismatched = false;
};

struct LoadReport {
  std::vector<std::string> matched;
  std::vector<std::string> missing;     // in the module, not in the file
  std::vector<std::string> unexpected;  // in the file, not in the module
  std::vector<std::string> mismatched;  // "name: file (2, 3), model (4, 3)"
  std::vector<std::string> ignored;
  double share_of_parameters = 0;  // matched elements / elements of the module, 0..1
  std::string dialect;             // as MapDialect names it; empty when not mapped

  // Lines for a log or terminal: counts, share, first names of each kind.
  std::string Table() const;
};

// Copies matching tensors into the module (floats convert). num_batches_tracked may be absent. All
// checks come first: when this throws WeightsError, the module is unchanged.
LoadReport LoadStateDict(torch::nn::Module& module, const core::StateDict& dict,
                         const LoadRules& rules = {});

// Finds the ResNet trunk in a state dict of any known dialect and returns it under torchvision's
// names (conv1, bn1, layer1..4), without fc, heads, projectors and momentum copies. Known: plain
// torchvision, Lunit, any prefix (backbone. encoder. encoder_q. module. model. _orig_mod.
// online_network. ...: torchvision segmentation, SMP, MoCo, DDP, Lightning, solo-learn, BYOL,
// HEST) and lightly's numbered children (0 = conv1, 1 = bn1, 4..7 = layer1..4). Throws WeightsError
// naming the first tensors when there is no trunk, or more than one to choose from.
core::StateDict MapDialect(core::StateDict dict, std::string* dialect = nullptr);

// What trunk it is: {"resnet50", "imagenet", 64}; arch is empty when it is none that eosin knows.
struct TrunkInfo {
  std::string arch, stem;
  int width = 0;
};
TrunkInfo DescribeTrunk(const core::StateDict& trunk);

// The hash that a file's name promises, as torch.hub and torchvision name files: resnet50-0676ba61
// .pth begins its SHA-256 so. Empty when the name has none: no eight or more of 0-9, a-f after the
// last dash, or digits alone, unless torchvision's name of a net stands before them
// (resnet50-12345678.pth) and they are no date.
std::string HashInName(const std::filesystem::path& path);
// Throws WeightsError when the file's SHA-256 does not begin with the hash in its name.
void CheckHashInName(const std::filesystem::path& path);

// CheckHashInName + ReadWeights + MapDialect + LoadStateDict into an encoder. `metadata` is filled
// as by ReadWeights. Errors name the file.
LoadReport LoadEncoder(torch::nn::Module& encoder, const std::filesystem::path& path,
                       const LoadRules& rules = {},
                       std::map<std::string, std::string>* metadata = nullptr);

}  // namespace eosin::engine
