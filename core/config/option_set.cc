// SPDX-License-Identifier: Apache-2.0
#include "core/config/option_set.h"

#include <fmt/format.h>
#include <toml++/toml.h>
#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "core/base/files.h"

namespace eosin::core {
namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

std::string Quote(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string Number(double value) {
  const std::string text = fmt::format("{}", value);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

std::string ValueText(const OptionPointer& target) {
  auto list = [](const auto& items, auto print) {
    std::string text = "[";
    for (const auto& item : items) text += (text.size() > 1 ? ", " : "") + print(item);
    return text + "]";
  };
  return std::visit(
      Overloaded{[](bool* v) -> std::string { return *v ? "true" : "false"; },
                 [](int64_t* v) { return std::to_string(*v); },
                 [](double* v) { return Number(*v); }, [](std::string* v) { return Quote(*v); },
                 [&](std::vector<double>* v) { return list(*v, Number); },
                 [&](std::vector<std::string>* v) { return list(*v, Quote); }},
      target);
}

const char* TypeName(const OptionPointer& target) {
  static const char* const kNames[] = {"true or false", "a whole number",    "a number",
                                       "a string",      "a list of numbers", "a list of strings"};
  return kNames[target.index()];
}

// Returns false when the node's type does not fit.
bool Assign(const OptionPointer& target, const toml::node& node) {
  auto list = [&](auto* out) {
    const toml::array* array = node.as_array();
    if (!array) return false;
    using T = typename std::remove_pointer_t<decltype(out)>::value_type;
    std::remove_pointer_t<decltype(out)> values;
    for (const auto& item : *array) {
      const auto value = item.value<T>();
      if (!value) return false;
      values.push_back(*value);
    }
    *out = std::move(values);
    return true;
  };
  return std::visit(
      Overloaded{
          [&](bool* out) { return node.is_boolean() && (*out = *node.value<bool>(), true); },
          [&](int64_t* out) { return node.is_integer() && (*out = *node.value<int64_t>(), true); },
          [&](double* out) { return node.is_number() && (*out = *node.value<double>(), true); },
          [&](std::string* out) {
            return node.is_string() && (*out = *node.value<std::string>(), true);
          },
          [&](std::vector<double>* out) { return list(out); },
          [&](std::vector<std::string>* out) { return list(out); }},
      target);
}

toml::table Parse(std::string_view text, const std::string& source) {
  try {
    return toml::parse(text, source);
  } catch (const toml::parse_error& error) {
    throw ConfigError(fmt::format("{} line {}: {}", source, error.source().begin.line,
                                  std::string(error.description())),
                      "the file must be TOML; see configs/ for examples");
  }
}

}  // namespace

void OptionSet::Add(std::string key, OptionPointer target, OptionInfo info) {
  entries_.push_back({std::move(key), target, std::move(info)});
}

void OptionSet::Renamed(std::string old_key, std::string hint) {
  renamed_.emplace_back(std::move(old_key), std::move(hint));
}

bool OptionSet::Has(const std::string& key) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& entry) { return entry.key == key; });
}

const OptionSet::Entry& OptionSet::Find(const std::string& key, const std::string& source) const {
  std::vector<std::string> known;
  for (const Entry& entry : entries_) {
    if (entry.key == key) return entry;
    known.push_back(entry.key);
  }
  for (const auto& [old_key, hint] : renamed_) {
    if (old_key == key) throw ConfigError(fmt::format("unknown key {} in {}", key, source), hint);
  }
  const std::string nearest = NearestWord(key, known);
  throw ConfigError(fmt::format("unknown key {} in {}", key, source),
                    nearest.empty() ? "the run's --help lists the keys"
                                    : fmt::format("did you mean {}?", nearest));
}

void OptionSet::CheckValue(const Entry& entry, const std::string& source) {
  const OptionInfo& info = entry.info;
  auto fail = [&](const std::string& rule) {
    throw ConfigError(
        fmt::format("{} = {} in {} is out of range", entry.key, ValueText(entry.target), source),
        fmt::format("{} must be {}", entry.key, rule));
  };
  auto range = [&](double value) {
    if (value >= info.min && value <= info.max) return;
    if (info.max == std::numeric_limits<double>::infinity()) fail(fmt::format(">= {}", info.min));
    if (info.min == -std::numeric_limits<double>::infinity()) fail(fmt::format("<= {}", info.max));
    fail(fmt::format("from {} to {}", info.min, info.max));
  };
  auto choice = [&](const std::string& value) {
    if (info.choices.empty()) return;
    if (std::find(info.choices.begin(), info.choices.end(), value) != info.choices.end()) return;
    fail(fmt::format("one of {}", fmt::join(info.choices, ", ")));
  };
  std::visit(
      Overloaded{[](bool*) {}, [&](int64_t* v) { range(static_cast<double>(*v)); },
                 [&](double* v) { range(*v); }, [&](std::string* v) { choice(*v); },
                 [&](std::vector<double>* v) { std::for_each(v->begin(), v->end(), range); },
                 [&](std::vector<std::string>* v) { std::for_each(v->begin(), v->end(), choice); }},
      entry.target);
}

void OptionSet::ReadToml(const std::filesystem::path& path) {
  std::string text;
  try {
    text = ReadFile(path);
  } catch (const DataError& error) {
    throw ConfigError(error.what(), "--config takes the path of a TOML file; see configs/");
  }
  ReadTomlText(text, path.string());
}

void OptionSet::ReadTomlText(std::string_view text, const std::string& source) {
  const toml::table root = Parse(text, source);
  auto walk = [&](auto&& self, const toml::table& table, const std::string& prefix) -> void {
    for (const auto& [name, node] : table) {
      const std::string key = prefix + std::string(name.str());
      if (const toml::table* inner = node.as_table()) {
        self(self, *inner, key + ".");
        continue;
      }
      const Entry& entry = Find(key, source);
      if (!Assign(entry.target, node)) {
        throw ConfigError(fmt::format("{} in {} has the wrong type", key, source),
                          fmt::format("{} must be {}", key, TypeName(entry.target)));
      }
      CheckValue(entry, source);
      assigned_.push_back(key);
    }
  };
  walk(walk, root, "");
}

void OptionSet::Set(std::string_view assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    throw ConfigError(fmt::format("--set {} is not key=value", assignment),
                      "write for example --set train.epochs=20");
  }
  Set(std::string(assignment.substr(0, equals)), std::string(assignment.substr(equals + 1)));
}

void OptionSet::Set(const std::string& key, const std::string& value) {
  const Entry& entry = Find(key, "the command line");
  std::string text = value;
  const bool is_list = std::holds_alternative<std::vector<double>*>(entry.target) ||
                       std::holds_alternative<std::vector<std::string>*>(entry.target);
  const bool has_strings = std::holds_alternative<std::string*>(entry.target) ||
                           std::holds_alternative<std::vector<std::string>*>(entry.target);
  if (is_list && (value.empty() || value[0] != '[')) {
    text = "[";
    size_t begin = 0;
    while (begin <= value.size() && !value.empty()) {
      const size_t end = std::min(value.find(',', begin), value.size());
      const std::string item = value.substr(begin, end - begin);
      text += (text.size() > 1 ? ", " : "") + (has_strings ? Quote(item) : item);
      begin = end + 1;
    }
    text += "]";
  } else if (has_strings && !is_list &&
             (value.size() < 2 || (value[0] != '"' && value[0] != '\''))) {
    text = Quote(value);
  }
  bool fits = false;
  try {
    const toml::table table = toml::parse("value = " + text);
    fits =
        table.contains("value") && table.size() == 1 && Assign(entry.target, *table.get("value"));
  } catch (const toml::parse_error&) {
  }
  if (!fits) {
    throw ConfigError(fmt::format("{} = {} on the command line has the wrong type", key, value),
                      fmt::format("{} must be {}", key, TypeName(entry.target)));
  }
  CheckValue(entry, "the command line");
  assigned_.push_back(key);
}

std::string OptionSet::Values() const {
  std::string text;
  for (const Entry& entry : entries_) {
    text += fmt::format("{} = {}\n", entry.key, ValueText(entry.target));
  }
  return text;
}

std::string OptionSet::ToToml() const {
  std::string text, table;
  // Root keys first: TOML tables last until the next header.
  std::vector<const Entry*> sorted;
  for (const Entry& entry : entries_) sorted.push_back(&entry);
  auto table_of = [](const std::string& key) {
    const size_t dot = key.rfind('.');
    return dot == std::string::npos ? std::string() : key.substr(0, dot);
  };
  std::vector<std::string> tables;
  for (const Entry* entry : sorted) {
    const std::string name = table_of(entry->key);
    if (std::find(tables.begin(), tables.end(), name) == tables.end()) tables.push_back(name);
  }
  std::stable_sort(sorted.begin(), sorted.end(), [&](const Entry* a, const Entry* b) {
    auto rank = [&](const Entry* e) {
      const std::string name = table_of(e->key);
      if (name.empty()) return std::ptrdiff_t{-1};
      return std::find(tables.begin(), tables.end(), name) - tables.begin();
    };
    return rank(a) < rank(b);
  });
  for (const Entry* entry : sorted) {
    const std::string name = table_of(entry->key);
    if (name != table) text += fmt::format("\n[{}]\n", name);
    table = name;
    std::string comment = entry->info.doc;
    if (!entry->info.unit.empty()) comment += " [" + entry->info.unit + "]";
    if (!entry->info.choices.empty()) {
      comment += fmt::format(" ({})", fmt::join(entry->info.choices, ", "));
    }
    const std::string key = name.empty() ? entry->key : entry->key.substr(name.size() + 1);
    text += fmt::format("# {}\n{} = {}\n", comment, key, ValueText(entry->target));
  }
  return text;
}

std::string OptionSet::Help() const {
  std::string text;
  for (const Entry& entry : entries_) {
    text += fmt::format("  {} = {}\n      {}", entry.key, ValueText(entry.target), entry.info.doc);
    if (!entry.info.unit.empty()) text += fmt::format(" [{}]", entry.info.unit);
    if (!entry.info.choices.empty()) {
      text += fmt::format(" ({})", fmt::join(entry.info.choices, ", "));
    }
    text += "\n";
  }
  return text;
}

std::string NearestWord(const std::string& word, const std::vector<std::string>& known) {
  auto distance = [](const std::string& a, const std::string& b) {
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 1; i <= a.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j <= b.size(); ++j) {
        const size_t above = row[j];
        row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
        diagonal = above;
      }
    }
    return row[b.size()];
  };
  auto last_part = [](const std::string& key) { return key.substr(key.rfind('.') + 1); };
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    size_t d = distance(word, candidate);
    // "epochs" for "train.epochs" is the commonest slip.
    d = std::min(d, distance(last_part(word), last_part(candidate)) + 1);
    if (d < best_distance) {
      best = candidate;
      best_distance = d;
    }
  }
  return best;
}

}  // namespace eosin::core
