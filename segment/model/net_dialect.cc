// SPDX-License-Identifier: Apache-2.0
#include "segment/model/net_dialect.h"

#include <fmt/format.h>
#include <array>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "engine/weights/weights.h"

namespace eosin::segment {
namespace {

using Renames = std::vector<std::pair<const char*, const char*>>;

struct Dialect {
  const char* tail;  // a tensor that only this one has, after the prefix
  const char* name;
  const char* head;
  Renames parts;  // beginnings of names: theirs, ours
  bool exact;
};

const std::array<Dialect, 4>& Dialects() {
  static const std::array<Dialect, 4> all = {{
      {"classifier.0.convs.0.0.weight",
       "torchvision",
       "deeplabv3",
       {{"backbone.", "backbone."},
        {"classifier.", "classifier."},
        {"aux_classifier.", "aux_classifier."}},
       true},
      {"decoder.aspp.0.convs.0.0.weight",
       "segmentation_models.pytorch DeepLabV3Plus",
       "deeplabv3plus",
       {{"encoder.", "encoder."},
        {"decoder.", "decoder."},
        {"segmentation_head.", "segmentation_head."}},
       true},
      {"decoder.aspp.convs.0.0.weight",
       "segmentation_models.pytorch DeepLabV3",
       "deeplabv3",
       {{"encoder.", "backbone."},
        {"decoder.aspp.", "classifier.0."},
        {"decoder.conv.", "classifier.1."},
        {"decoder.bn.", "classifier.2."},
        {"segmentation_head.0.", "classifier.4."}},
       false},
      {"decoder.0.convs.0.0.weight",
       "segmentation_models.pytorch DeepLabV3, first versions",
       "deeplabv3",
       {{"encoder.", "backbone."},
        {"decoder.0.", "classifier.0."},
        {"decoder.1.", "classifier.1."},
        {"decoder.2.", "classifier.2."},
        {"segmentation_head.0.", "classifier.4."}},
       false},
  }};
  return all;
}

// Our name, or empty when the tensor is no part of the net.
std::string OurName(const std::string& name, const std::string& prefix, const Dialect& dialect) {
  if (!name.starts_with(prefix)) return {};
  const std::string rest = name.substr(prefix.size());
  for (const auto& [theirs, ours] : dialect.parts) {
    if (!rest.starts_with(theirs)) continue;
    const std::string tail = rest.substr(std::string(theirs).size());
    return tail.starts_with("fc.") ? std::string() : ours + tail;
  }
  return {};
}

}  // namespace

MappedNet MapSegmentationNet(core::StateDict dict) {
  const Dialect* found = nullptr;
  std::string prefix;
  for (const auto& tensor : dict.tensors) {
    for (const Dialect& dialect : Dialects()) {
      if (!tensor.name.ends_with(dialect.tail)) continue;
      const std::string before =
          tensor.name.substr(0, tensor.name.size() - std::string(dialect.tail).size());
      if (!before.empty() && !before.ends_with('.')) continue;
      if (found != nullptr) {
        throw core::WeightsError(
            fmt::format("the weights hold two segmentation nets, under \"{}\" and \"{}\"", prefix,
                        before),
            "save the one to use alone: torch.save({k: v for k, v in state.items() if "
            "k.startswith(prefix)}, path)");
      }
      found = &dialect;
      prefix = before;
    }
  }
  if (found == nullptr) {
    std::vector<std::string> names;
    for (size_t i = 0; i < dict.tensors.size() && i < 4; ++i) {
      names.push_back(dict.tensors[i].name);
    }
    throw core::WeightsError(
        fmt::format("the weights hold no DeepLabV3 or V3+; their names are {}",
                    fmt::join(names, ", ")),
        "for a backbone alone set model.init_part = backbone; known nets are torchvision's "
        "deeplabv3 and segmentation_models.pytorch's DeepLabV3 and DeepLabV3Plus");
  }
  MappedNet net;
  net.head = found->head;
  net.exact = found->exact;
  size_t other = 0;
  for (auto& tensor : dict.tensors) {
    std::string name = OurName(tensor.name, prefix, *found);
    if (name.empty()) {
      ++other;
      continue;
    }
    tensor.name = std::move(name);
    net.tensors.tensors.push_back(std::move(tensor));
  }
  net.dialect = found->name;
  if (!prefix.empty()) net.dialect += fmt::format(", prefix {}", prefix);
  if (other > 0) net.dialect += fmt::format("; {} other tensors not used", other);
  return net;
}

std::string DescribeNet(const MappedNet& net) {
  const auto size = [&](const char* name) -> int64_t {
    const core::TensorBlob* blob = net.tensors.Find(name);
    return blob == nullptr || blob->shape.empty() ? 0 : blob->shape[0];
  };
  const bool plus = net.head == "deeplabv3plus";
  core::StateDict trunk;
  try {
    trunk = engine::MapDialect(net.tensors);
  } catch (const core::WeightsError&) {  // a head without its backbone
  }
  const engine::TrunkInfo info = engine::DescribeTrunk(trunk);
  std::string text = fmt::format(
      "{} on {}, {} head channels, {} classes", net.head,
      info.arch.empty() ? "an unknown backbone"
                        : fmt::format("{} ({} stem, width {})", info.arch, info.stem, info.width),
      size(plus ? "decoder.aspp.0.project.0.weight" : "classifier.0.project.0.weight"),
      size(plus ? "segmentation_head.0.weight" : "classifier.4.weight"));
  if (size("aux_classifier.4.weight") > 0) text += ", aux head";
  return text;
}

}  // namespace eosin::segment
