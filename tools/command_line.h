// SPDX-License-Identifier: Apache-2.0
// What the subcommands share on top of CLI11. Included by subcommand .cc files only (CLI11 is slow
// to compile).
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/config/option_set.h"

namespace eosin::tools {

// Parses; returns the exit code when the program is done already (--help), nothing to go on.
// Mistakes become ConfigError (exit code 2).
inline std::optional<int> Parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::ParseError& error) {
    throw core::ConfigError(error.what(), std::string("see eosin ") + argv[0] + " --help");
  }
}

// A flag that writes an option's key, e.g. --epochs -> train.epochs. Values are checked by the set.
inline void AddKeyFlag(CLI::App& app, core::OptionSet& set, const std::string& flag,
                       const std::string& key, const std::string& doc) {
  app.add_option_function<std::string>(
      flag, [&set, key](const std::string& value) { set.Set(key, value); }, doc);
}

}  // namespace eosin::tools
