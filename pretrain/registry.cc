// SPDX-License-Identifier: Apache-2.0
#include "pretrain/registry.h"

#include <fmt/format.h>
#include <algorithm>
#include <stdexcept>

#include "core/base/error.h"

namespace eosin::pretrain {
namespace {

// Made by the first registration, before main: no order of initialisation matters.
std::vector<MethodEntry>& Register() {
  static std::vector<MethodEntry> entries;
  return entries;
}

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const MethodEntry& entry : Register()) names.push_back(entry.name);
  return names;
}

}  // namespace

bool RegisterMethod(MethodEntry entry) {
  std::vector<MethodEntry>& entries = Register();
  const auto place = std::lower_bound(
      entries.begin(), entries.end(), entry.name,
      [](const MethodEntry& known, const std::string& name) { return known.name < name; });
  if (place != entries.end() && place->name == entry.name) {
    throw std::logic_error("two methods are called " + entry.name);
  }
  entries.insert(place, std::move(entry));
  return true;
}

const std::vector<MethodEntry>& Methods() { return Register(); }

const MethodEntry& FindMethod(const std::string& name) {
  for (const MethodEntry& entry : Register()) {
    if (entry.name == name) return entry;
  }
  throw core::ConfigError(fmt::format("unknown method {}", name),
                          fmt::format("one of {}", fmt::join(Names(), ", ")));
}

MethodSettings::MethodSettings() {
  for (const MethodEntry& entry : Register()) by_name_[entry.name] = entry.make_options();
}

MethodSettings::MethodSettings(const MethodSettings& other) {
  for (const auto& [name, options] : other.by_name_) by_name_[name] = options->Clone();
}

MethodSettings& MethodSettings::operator=(const MethodSettings& other) {
  if (this != &other) *this = MethodSettings(other);
  return *this;
}

MethodSettings::MethodSettings(MethodSettings&&) noexcept = default;
MethodSettings& MethodSettings::operator=(MethodSettings&&) noexcept = default;
MethodSettings::~MethodSettings() = default;

MethodOptions& MethodSettings::Get(const std::string& method) const {
  FindMethod(method);
  return *by_name_.at(method);
}

void MethodSettings::Bind(core::OptionSet& set) {
  for (const auto& [name, options] : by_name_) options->Bind(set, name);
}

void MethodSettings::Bind(core::OptionSet& set, const std::string& method) {
  Get(method).Bind(set, method);
}

std::vector<std::string> PresetNames() {
  std::vector<std::string> names;
  for (const MethodEntry& entry : Register()) {
    for (const MethodPreset& preset : entry.presets) names.push_back(preset.name);
  }
  return names;
}

PretrainOptions Preset(const std::string& name) {
  for (const MethodEntry& entry : Register()) {
    for (const MethodPreset& preset : entry.presets) {
      if (preset.name != name &&
          std::find(preset.aliases.begin(), preset.aliases.end(), name) == preset.aliases.end()) {
        continue;
      }
      PretrainOptions options;
      options.method = entry.name;
      preset.apply(options);
      return options;
    }
  }
  const std::string nearest = core::NearestWord(name, PresetNames());
  throw core::ConfigError(
      "unknown preset " + name,
      fmt::format("{}presets are {}",
                  nearest.empty() ? "" : fmt::format("did you mean {}? ", nearest),
                  fmt::join(PresetNames(), ", ")));
}

std::string PresetHelp() {
  std::string text;
  for (const MethodEntry& entry : Register()) {
    for (const MethodPreset& preset : entry.presets) {
      text += fmt::format("  {:<24} {}\n", preset.name, preset.summary);
    }
  }
  return text;
}

PretrainOptions StartOf(const std::string& method) {
  const MethodEntry& entry = FindMethod(method);
  if (!entry.presets.empty()) return Preset(entry.presets.front().name);
  PretrainOptions options;
  options.method = method;
  return options;
}

}  // namespace eosin::pretrain
