// SPDX-License-Identifier: Apache-2.0
// Bands on disk, so that a killed prediction goes on where it was: <name>.part/ with a file a band,
// compressed and checked, each there whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "segment/predict/blender.h"

namespace eosin::segment {

class BandStore {
 public:
  // settings: of all that decides the bands. Bands of other settings, and a folder (or file) of
  // this name that is not ours, are thrown away when `overwrite`, else refused by DataError.
  // MachineError.
  BandStore(std::filesystem::path folder, const std::string& settings, bool overwrite);

  // Is the folder of a prediction, and nobody else's?
  static bool IsOurs(const std::filesystem::path& folder);

  // Bands 0 to count() - 1 are there; not yet looked into.
  int64_t count() const { return count_; }
  // Nothing, with a warning in the log, when the file is damaged: it and all later ones are
  // forgotten and removed.
  std::optional<Band> Read(int64_t index);
  // Durable on return. MachineError.
  void Write(const Band& band);
  void Remove();  // the folder and all in it

  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path File(int64_t index) const;
  void Forget(int64_t from);

  std::filesystem::path folder_;
  int64_t count_ = 0;
};

}  // namespace eosin::segment
