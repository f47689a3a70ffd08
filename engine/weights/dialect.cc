// SPDX-License-Identifier: Apache-2.0
// Names only: this file needs no LibTorch beyond weights.h.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "core/base/error.h"
#include "engine/weights/weights.h"

namespace eosin::engine {
namespace {

// Where a trunk starts and how it names its parts.
struct Anchor {
  std::string prefix;
  bool numbered = false;  // children of a Sequential: 0 conv1, 1 bn1, 4..7 layers
};

// What follows the prefix in each naming. The stem is asked for too: a ResNet-C or -D has three
// 3x3 convolutions there and is another network.
constexpr const char* kNamedBlock = "layer1.0.conv1.weight";
constexpr const char* kNumberedBlock = "4.0.conv1.weight";

// Slow copies of self-supervised methods: taken only when there is nothing else.
bool IsMomentumCopy(const std::string& prefix) {
  for (const char* word : {"encoder_k", "momentum", "target", "teacher", "ema"}) {
    if (prefix.find(word) != prefix.npos) return true;
  }
  return false;
}

std::string DialectName(const Anchor& anchor) {
  if (anchor.numbered) {
    return anchor.prefix.empty() ? "numbered children" : "lightly, prefix " + anchor.prefix;
  }
  if (anchor.prefix.empty()) return "torchvision";
  static constexpr std::pair<const char*, const char*> kKnown[] = {
      {"encoder_q.", "MoCo"},
      {"online_network.", "BYOL"},
      {"_orig_mod.", "torch.compile"},
      {"model.backbone.", "Lightning"},
      {"module.", "DistributedDataParallel"},
      {"encoder.", "SMP or SSL encoder"},
      {"backbone.", "torchvision segmentation, lightly or solo-learn"},
      {"model.", "Lightning"}};
  for (const auto& [part, name] : kKnown) {
    if (anchor.prefix.find(part) != std::string::npos) {
      return fmt::format("{}, prefix {}", name, anchor.prefix);
    }
  }
  return "prefix " + anchor.prefix;
}

std::string FirstNames(const core::StateDict& dict) {
  std::vector<std::string> names;
  for (const auto& tensor : dict.tensors) {
    if (names.size() < 5) names.push_back(tensor.name);
  }
  return fmt::format("{}{}", fmt::join(names, ", "), dict.tensors.size() > 5 ? ", ..." : "");
}

// The name under torchvision's naming, or empty when the tensor is no part of the trunk.
std::string TrunkName(const std::string& name, const Anchor& anchor) {
  if (!name.starts_with(anchor.prefix)) return {};
  std::string rest = name.substr(anchor.prefix.size());
  if (anchor.numbered) {
    static constexpr std::pair<const char*, const char*> kParts[] = {
        {"0.", "conv1."},  {"1.", "bn1."},    {"4.", "layer1."},
        {"5.", "layer2."}, {"6.", "layer3."}, {"7.", "layer4."}};
    for (const auto& [number, part] : kParts) {
      if (rest.starts_with(number)) return part + rest.substr(2);
    }
    return {};
  }
  for (const char* part : {"conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4."}) {
    if (rest.starts_with(part)) return rest;
  }
  return {};
}

Anchor FindAnchor(const core::StateDict& dict) {
  std::set<std::string> names;
  for (const auto& tensor : dict.tensors) names.insert(tensor.name);
  std::vector<Anchor> anchors;
  std::string odd_stem;
  for (const auto& name : names) {
    for (const bool numbered : {false, true}) {
      const std::string tail = numbered ? kNumberedBlock : kNamedBlock;
      if (!name.ends_with(tail)) continue;
      const std::string prefix = name.substr(0, name.size() - tail.size());
      if (!prefix.empty() && !prefix.ends_with('.')) continue;
      if (names.count(prefix + (numbered ? "0.weight" : "conv1.weight")) != 0) {
        anchors.push_back({prefix, numbered});
      } else if (!numbered) {
        odd_stem = prefix;
      }
    }
  }
  if (anchors.empty() && names.count(odd_stem + kNamedBlock) != 0) {
    throw core::WeightsError(
        "the weights are a ResNet variant with another stem (no " + odd_stem + "conv1.weight)",
        "eosin reads plain ResNets as torchvision builds them; ResNet-C and -D are others");
  }
  if (anchors.empty()) {
    throw core::WeightsError(
        "the weights hold no ResNet trunk; their names are " + FirstNames(dict),
        "known are torchvision's names (conv1.weight, layer1.0.conv1.weight, ...) with any prefix, "
        "and lightly's numbered children (0.weight, 4.0.conv1.weight, ...)");
  }
  if (anchors.size() > 1) {
    std::vector<Anchor> fast;
    std::copy_if(anchors.begin(), anchors.end(), std::back_inserter(fast),
                 [](const Anchor& anchor) { return !IsMomentumCopy(anchor.prefix); });
    if (!fast.empty()) anchors = fast;
  }
  if (anchors.size() > 1) {
    throw core::WeightsError(
        fmt::format("the weights hold {} ResNet trunks, under \"{}\" and \"{}\"", anchors.size(),
                    anchors[0].prefix, anchors[1].prefix),
        "save the one to use alone: torch.save({k: v for k, v in state.items() if "
        "k.startswith(prefix)}, path)");
  }
  return anchors.front();
}

}  // namespace

core::StateDict MapDialect(core::StateDict dict, std::string* dialect) {
  const Anchor anchor = FindAnchor(dict);
  core::StateDict trunk;
  size_t other = 0;
  for (auto& tensor : dict.tensors) {
    std::string name = TrunkName(tensor.name, anchor);
    if (name.empty()) {
      ++other;
      continue;
    }
    tensor.name = std::move(name);
    trunk.tensors.push_back(std::move(tensor));
  }
  if (dialect != nullptr) {
    *dialect = DialectName(anchor);
    if (other > 0) *dialect += fmt::format("; {} other tensors not used", other);
  }
  return trunk;
}

TrunkInfo DescribeTrunk(const core::StateDict& trunk) {
  TrunkInfo info;
  const auto* stem = trunk.Find("conv1.weight");
  if (stem == nullptr || stem->shape.size() != 4) return info;
  info.width = static_cast<int>(stem->shape[0]);
  info.stem = stem->shape[2] == 7 ? "imagenet" : stem->shape[2] == 3 ? "cifar" : "unknown";
  int blocks[4] = {};
  for (int layer = 0; layer < 4; ++layer) {
    while (trunk.Find(fmt::format("layer{}.{}.conv1.weight", layer + 1, blocks[layer])) !=
           nullptr) {
      ++blocks[layer];
    }
  }
  const bool bottleneck = trunk.Find("layer1.0.conv3.weight") != nullptr;
  const std::vector<int> counts(blocks, blocks + 4);
  if (counts == std::vector<int>{2, 2, 2, 2} && !bottleneck) info.arch = "resnet18";
  if (counts == std::vector<int>{3, 4, 6, 3}) info.arch = bottleneck ? "resnet50" : "resnet34";
  return info;
}

}  // namespace eosin::engine
