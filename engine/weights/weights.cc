// SPDX-License-Identifier: Apache-2.0
#include "engine/weights/weights.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <unordered_map>

#include <ATen/ops/from_blob.h>
#include <fmt/format.h>
#include <torch/utils.h>

#include "core/base/error.h"
#include "core/formats/pth.h"

namespace eosin::engine {
namespace {

using core::DType;

constexpr std::pair<at::ScalarType, DType> kTypes[] = {
    {at::kDouble, DType::kF64},    {at::kFloat, DType::kF32}, {at::kHalf, DType::kF16},
    {at::kBFloat16, DType::kBF16}, {at::kLong, DType::kI64},  {at::kInt, DType::kI32},
    {at::kShort, DType::kI16},     {at::kChar, DType::kI8},   {at::kByte, DType::kU8},
    {at::kBool, DType::kBool}};

at::ScalarType ToTorch(DType dtype) {
  for (const auto& [torch_type, type] : kTypes) {
    if (type == dtype) return torch_type;
  }
  return at::kFloat;
}

core::TensorBlob ToBlob(const std::string& name, const at::Tensor& tensor) {
  const at::Tensor plain = tensor.detach().cpu().contiguous();
  core::TensorBlob blob{name, DType::kF32, plain.sizes().vec(), {}};
  const auto* found = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& item) {
    return item.first == plain.scalar_type();
  });
  if (found == std::end(kTypes)) {
    throw core::WeightsError(name + " has a type that weights files do not hold",
                             "convert it to float32 first");
  }
  blob.dtype = found->second;
  blob.data.resize(static_cast<size_t>(plain.numel() * core::DTypeSize(blob.dtype)));
  if (!blob.data.empty()) std::memcpy(blob.data.data(), plain.data_ptr(), blob.data.size());
  return blob;
}

void Collect(const torch::nn::Module& module, const std::string& prefix, core::StateDict* dict) {
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    if (item.value().defined()) dict->Add(ToBlob(prefix + item.key(), item.value()));
  }
  for (const auto& item : module.named_buffers(/*recurse=*/false)) {
    if (item.value().defined()) dict->Add(ToBlob(prefix + item.key(), item.value()));
  }
  for (const auto& child : module.named_children()) {
    Collect(*child.value(), prefix + child.key() + ".", dict);
  }
}

std::string Shape(at::IntArrayRef shape) {
  return fmt::format("({})", fmt::join(shape.vec(), ", "));
}

bool Ignored(const std::string& name, const LoadRules& rules) {
  return std::any_of(rules.ignore_prefixes.begin(), rules.ignore_prefixes.end(),
                     [&](const auto& prefix) { return name.starts_with(prefix); });
}

bool IsCounter(const std::string& name) { return name.ends_with("num_batches_tracked"); }

struct Copy {
  at::Tensor target;
  const core::TensorBlob* source;
};

void Fail(const LoadReport& report, const std::string& sentence, const std::string& hint) {
  throw core::WeightsError(sentence + "\n" + report.Table(), hint);
}

void Judge(const LoadReport& report, const LoadRules& rules) {
  const std::string share = fmt::format("{:.1f} %", 100 * report.share_of_parameters);
  if (!report.mismatched.empty() && !rules.allow_mismatched) {
    Fail(report, "the weights do not fit the model: " + report.mismatched.front(),
         "choose the arch, stem and class count that the weights were made with");
  }
  if (report.share_of_parameters < rules.min_share) {
    Fail(report, "the weights match only " + share + " of the model",
         "check that the file holds this architecture; the table lists names of both sides");
  }
  if (rules.strict &&
      !(report.missing.empty() && report.unexpected.empty() && report.mismatched.empty())) {
    Fail(report, "the weights do not match the model exactly",
         "the table lists what is missing and what is too much");
  }
}

}  // namespace

core::StateDict ToStateDict(const torch::nn::Module& module, const std::string& prefix) {
  core::StateDict dict;
  Collect(module, prefix, &dict);
  return dict;
}

LoadReport LoadStateDict(torch::nn::Module& module, const core::StateDict& dict,
                         const LoadRules& rules) {
  std::unordered_map<std::string, const core::TensorBlob*> file;
  for (const auto& tensor : dict.tensors) file.emplace(tensor.name, &tensor);
  auto targets = module.named_parameters();
  for (const auto& item : module.named_buffers()) targets.insert(item.key(), item.value());

  LoadReport report;
  std::vector<Copy> copies;
  std::set<std::string> known;
  int64_t total = 0, matched = 0;
  for (const auto& item : targets) {
    const std::string& name = item.key();
    const at::Tensor& target = item.value();
    known.insert(name);
    if (!target.defined()) continue;
    if (Ignored(name, rules)) {
      report.ignored.push_back(name);
      continue;
    }
    const int64_t count = IsCounter(name) ? 0 : target.numel();
    total += count;
    const auto found = file.find(name);
    if (found == file.end()) {
      // Files from before torch 0.4 have no counters.
      if (!IsCounter(name)) report.missing.push_back(name);
      continue;
    }
    const core::TensorBlob& source = *found->second;
    if (target.sizes() != at::IntArrayRef(source.shape)) {
      report.mismatched.push_back(
          fmt::format("{}: file {}, model {}", name, Shape(source.shape), Shape(target.sizes())));
    } else if (target.is_floating_point() != core::IsFloating(source.dtype)) {
      report.mismatched.push_back(
          fmt::format("{}: file holds {}", name, core::DTypeName(source.dtype)));
    } else {
      report.matched.push_back(name);
      matched += count;
      copies.push_back({target, &source});
    }
  }
  for (const auto& tensor : dict.tensors) {
    if (known.count(tensor.name) != 0) continue;
    (Ignored(tensor.name, rules) ? report.ignored : report.unexpected).push_back(tensor.name);
  }
  report.share_of_parameters =
      total == 0 ? 1.0 : static_cast<double>(matched) / static_cast<double>(total);
  Judge(report, rules);

  const torch::NoGradGuard guard;
  for (auto& copy : copies) {
    // from_blob wants a mutable pointer; the values are only read.
    auto* data = const_cast<uint8_t*>(copy.source->data.data());
    if (copy.source->data.empty()) continue;
    copy.target.copy_(at::from_blob(data, copy.source->shape, ToTorch(copy.source->dtype)));
  }
  return report;
}

std::string LoadReport::Table() const {
  std::string text = fmt::format("  matched {} tensors, {:.1f} % of the model", matched.size(),
                                 100 * share_of_parameters);
  if (!dialect.empty()) text += " (" + dialect + ")";
  auto list = [&](const char* title, const std::vector<std::string>& names) {
    if (names.empty()) return;
    constexpr size_t kShown = 4;
    text += fmt::format(
        "\n  {} {}: {}", title, names.size(),
        fmt::join(names.begin(),
                  names.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, names.size())),
                  "; "));
    if (names.size() > kShown) text += "; ...";
  };
  list("missing", missing);
  list("mismatched", mismatched);
  list("unexpected", unexpected);
  list("left alone", ignored);
  return text;
}

LoadReport LoadEncoder(torch::nn::Module& encoder, const std::filesystem::path& path,
                       const LoadRules& rules, std::map<std::string, std::string>* metadata) {
  CheckHashInName(path);
  core::StateDict dict = core::ReadWeights(path, metadata);
  try {
    std::string dialect;
    dict = MapDialect(std::move(dict), &dialect);
    LoadReport report = LoadStateDict(encoder, dict, rules);
    report.dialect = dialect;
    return report;
  } catch (const core::WeightsError& error) {
    std::string hint = error.hint();
    const TrunkInfo info = DescribeTrunk(dict);
    if (!info.arch.empty()) {
      hint += fmt::format("; the file holds a {} with {} stem, width {}", info.arch, info.stem,
                          info.width);
    }
    throw core::WeightsError(path.string() + ": " + error.what(), hint);
  }
}

}  // namespace eosin::engine
