// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <set>

#include "core/base/error.h"
#include "core/base/text.h"
#include "tiling/annotations/annotation_text.h"
#include "tiling/annotations/label_map.h"

namespace eosin::tiling {
namespace {

constexpr char kHint[] =
    "write NAME=ID (1 to 254) or NAME=background|ignore|include|exclude, parted by commas";

[[noreturn]] void Fail(const std::string& what) {
  throw core::ConfigError("classes: " + what, kHint);
}

// Parts at commas outside quotes.
std::vector<std::string> SplitEntries(const std::string& text) {
  std::vector<std::string> parts(1);
  bool quoted = false;
  for (const char c : text) {
    // A quote opens only at the start of a part; a doubled one closes and opens again.
    if (c == '"' && (quoted || core::Trimmed(parts.back()).empty() || parts.back().back() == '"')) {
      quoted = !quoted;
    }
    if (c == ',' && !quoted) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  if (quoted) Fail("a quote is not closed in '" + text + "'");
  return parts;
}

std::string Unquoted(const std::string& name) {
  if (name.empty() || name[0] != '"') return name;
  if (name.size() < 2 || name.back() != '"') Fail("text after the closing quote in '" + name + "'");
  std::string out;
  for (size_t i = 1; i + 1 < name.size(); ++i) {
    if (name[i] == '"') {
      if (name[i + 1] != '"' || i + 2 >= name.size()) Fail("a single quote inside '" + name + "'");
      ++i;
    }
    out += name[i];
  }
  return out;
}

std::string Quoted(const std::string& name) {
  const auto special = [](char c) { return c == ' ' || c == '\t' || c == '"'; };
  if (name.find(',') == std::string::npos && !special(name.front()) && !special(name.back())) {
    return name;
  }
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

ClassMap::Entry ParseValue(const std::string& name, const std::string& value) {
  using Role = ClassMap::Role;
  if (value == "background") return {Role::kClass, 0};
  if (value == "ignore") return {Role::kIgnore, 0};
  if (value == "include") return {Role::kInclude, 0};
  if (value == "exclude") return {Role::kExclude, 0};
  int id = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), id);
  if (value.empty() || end != value.data() + value.size() ||
      (error != std::errc() && error != std::errc::result_out_of_range)) {
    Fail(fmt::format("'{}' is neither an id nor a role for '{}'", value, name));
  }
  if (error != std::errc() || id < 1 || id > 254) {
    Fail(fmt::format("id {} of '{}' is outside 1 to 254 (0 is background, 255 is ignore)", value,
                     name));
  }
  return {Role::kClass, static_cast<uint8_t>(id)};
}

}  // namespace

ClassMap ClassMap::Parse(const std::string& text) {
  ClassMap map;
  if (core::Trimmed(text).empty()) return map;
  if (!IsUtf8(text)) Fail("it is not Unicode text");
  for (const std::string& part : SplitEntries(text)) {
    const size_t equals = part.rfind('=');
    if (equals == std::string::npos) Fail(fmt::format("'{}' has no '='", core::Trimmed(part)));
    const std::string name = Unquoted(core::Trimmed(part.substr(0, equals)));
    if (name.empty()) Fail(fmt::format("'{}' has no name", core::Trimmed(part)));
    const Entry entry = ParseValue(name, core::Trimmed(part.substr(equals + 1)));
    if (!map.entries.emplace(name, entry).second) Fail(fmt::format("'{}' stands twice", name));
  }
  return map;
}

ClassMap ClassMap::FromNames(const std::vector<std::string>& names) {
  std::set<std::string> sorted;
  for (const std::string& name : names) sorted.insert(name.empty() ? kUnclassified : name);
  if (sorted.size() > 254) {
    throw core::ConfigError(
        fmt::format("the annotations have {} classes; masks hold 254", sorted.size()),
        "say which classes count: several may share an id, others may be background or ignore");
  }
  ClassMap map;
  uint8_t id = 0;
  for (const std::string& name : sorted) map.entries[name] = {Role::kClass, ++id};
  return map;
}

std::string ClassMap::ToString() const {
  std::string out;
  for (const auto& [name, entry] : entries) {
    if (!out.empty()) out += ',';
    out += Quoted(name) + '=';
    switch (entry.role) {
      case Role::kClass:
        out += entry.id == 0 ? "background" : std::to_string(entry.id);
        break;
      case Role::kIgnore:
        out += "ignore";
        break;
      case Role::kInclude:
        out += "include";
        break;
      case Role::kExclude:
        out += "exclude";
        break;
    }
  }
  return out;
}

}  // namespace eosin::tiling
