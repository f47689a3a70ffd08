// SPDX-License-Identifier: Apache-2.0
// Options structs, bound once to TOML keys, `--set key=value` and the commented config that every
// run writes. An options struct has a method
//
//   void Bind(core::OptionSet& set) {
//     set.Add("train.epochs", &epochs, {.doc = "passes over the data", .min = 1});
//     set.Add("train.optimizer", &optimizer, {.doc = "...", .choices = {"sgd", "adamw", "lars"}});
//   }
//
// and a method `void Check() const` for rules over several fields. The set keeps pointers into the
// struct, which must outlive it. Unknown keys, wrong types and values out of range throw
// ConfigError naming the key, the value and the fix; unknown keys suggest the nearest known one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace eosin::core {

struct OptionInfo {
  std::string doc;   // one sentence; becomes the comment in config.toml
  std::string unit;  // e.g. "um/px", "steps"; may be empty
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices;  // for strings
};

using OptionPointer = std::variant<bool*, int64_t*, double*, std::string*, std::vector<double>*,
                                   std::vector<std::string>*>;

class OptionSet {
 public:
  void Add(std::string key, OptionPointer target, OptionInfo info);
  // A key of earlier versions: still unknown, but its error carries this hint.
  void Renamed(std::string old_key, std::string hint);

  // Reads a TOML file (tables flatten to dotted keys). Relative paths are left as they stand.
  void ReadToml(const std::filesystem::path& path);
  void ReadTomlText(std::string_view text, const std::string& source);
  // One `key=value` of the command line; value in TOML syntax, or a bare word for strings. Lists
  // may be given as a,b,c.
  void Set(std::string_view assignment);
  void Set(const std::string& key, const std::string& value);

  bool Has(const std::string& key) const;
  // All keys with values and comments, as TOML that ReadToml accepts.
  std::string ToToml() const;
  // All keys with values, a line each, without comments: for fingerprints, which must not change
  // with the wording of a comment.
  std::string Values() const;
  // A table of keys, defaults and docs for --help.
  std::string Help() const;
  // Keys assigned by ReadToml or Set, in order.
  const std::vector<std::string>& assigned() const { return assigned_; }

 private:
  struct Entry {
    std::string key;
    OptionPointer target;
    OptionInfo info;
  };
  const Entry& Find(const std::string& key, const std::string& source) const;
  static void CheckValue(const Entry& entry, const std::string& source);

  std::vector<Entry> entries_;
  std::vector<std::pair<std::string, std::string>> renamed_;  // key, hint
  std::vector<std::string> assigned_;
};

// The known word nearest to `word` by edit distance, or empty when none is near.
std::string NearestWord(const std::string& word, const std::vector<std::string>& known);

}  // namespace eosin::core
