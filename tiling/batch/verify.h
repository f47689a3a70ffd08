// SPDX-License-Identifier: Apache-2.0
// Is a store what it says it is? Re-derives its hashes and, given the slide, its settings.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace eosin::tiling {

struct VerifyOptions {
  std::filesystem::path slide;       // a slide file or a folder of slides; empty: the store alone
  std::filesystem::path mask;        // where the store was made with a mask: the file or folder
  std::filesystem::path annotation;  // likewise
  int64_t tiles = 64;                // tiles made anew from the slide and compared, evenly spread;
                                     // 0: all
  int threads = 0;                   // 0: all cores
};

struct VerifyReport {
  std::vector<std::string> checked;   // one short line each, "1,234 tiles decode"
  std::vector<std::string> skipped;   // what could not be checked, and what it would take
  std::vector<std::string> problems;  // empty: the store is what it says
};

// Checks the hashes of every dataset and of the attributes, that every tile and mask decodes to its
// size, that attributes follow from `settings` and coordinates lie on their grid; and with the
// slide: its hash, the plan made anew from `settings`, and the bytes, scores and masks of tiles
// (made in a temporary folder). StoreError only when the file is no tile store at all;
// MachineError, InterruptedError.
VerifyReport VerifyStore(const std::filesystem::path& store, const VerifyOptions& options);

}  // namespace eosin::tiling
