// SPDX-License-Identifier: Apache-2.0
// PyTorch checkpoint files (.pth, .pt, .ckpt, .bin) without PyTorch.
//
// Reading: the zip container (torch >= 1.6), the stream of pickles before it (0.1.10 to 1.5) and
// the tar container before that. The pickle is read by our own interpreter (pickle.h): it knows the
// few functions that rebuild tensors and runs no code from the file, so a hostile file can do no
// more than be refused. Strided, expanded and shared tensors become contiguous.
//
// What is taken from a checkpoint: a dict may wrap the weights among other things ({'state_dict':
// {...}, 'epoch': 3}); the first of state_dict, model_state_dict, model, ... that holds tensors is
// opened, repeatedly; else the root is taken. Inside it nested dicts and lists flatten to dotted
// names and values that are no tensors are left out.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "core/formats/state_dict.h"

namespace eosin::core {

// Throws WeightsError naming the file and what is wrong. When given, `wrapper` gets the dotted path
// of the sub-dict that was opened ("" = the root), e.g. "state_dict".
StateDict ReadPth(const std::filesystem::path& path, std::string* wrapper = nullptr);

// Writes the zip container with an OrderedDict of tensors, in dict's order; torch.load reads it
// with weights_only=True. Payloads are aligned to 64 bytes; equal dicts give equal bytes. Atomic.
// Throws MachineError; WeightsError beyond 4 GiB (use safetensors).
void WritePth(const std::filesystem::path& path, const StateDict& dict);

// Reads safetensors or any .pth by content, whatever the name. `metadata` is filled from
// safetensors only.
StateDict ReadWeights(const std::filesystem::path& path,
                      std::map<std::string, std::string>* metadata = nullptr);

}  // namespace eosin::core
