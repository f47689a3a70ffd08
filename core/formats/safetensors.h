// SPDX-License-Identifier: Apache-2.0
// safetensors: u64 header length, JSON header {name: {dtype, shape, data_offsets}}, raw bytes.
// https://github.com/huggingface/safetensors. Hostile files are refused: header length and JSON,
// duplicate names, unknown dtypes, shapes that do not fit their bytes, overlaps and holes.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "core/formats/state_dict.h"

namespace eosin::core {

// Tensors come in the order of their bytes. Fills metadata (`__metadata__`) when given. Throws
// WeightsError naming the file and what is wrong with it.
StateDict ReadSafetensors(const std::filesystem::path& path,
                          std::map<std::string, std::string>* metadata = nullptr);

// Writes atomically. Tensors are sorted (wider dtypes first, then by name), so equal weights and
// metadata give equal bytes. Throws MachineError.
void WriteSafetensors(const std::filesystem::path& path, const StateDict& dict,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace eosin::core
