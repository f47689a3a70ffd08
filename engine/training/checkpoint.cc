// SPDX-License-Identifier: Apache-2.0
#include "engine/training/checkpoint.h"

#include <cstring>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/formats/safetensors.h"

namespace eosin::engine {
namespace {

namespace fs = std::filesystem;

fs::path Beside(const fs::path& folder, const char* suffix) {
  fs::path path = folder;
  path += suffix;
  return path;
}

}  // namespace

void SaveCheckpoint(const fs::path& folder, const Checkpoint& checkpoint) {
  const fs::path part = Beside(folder, ".part");
  std::error_code ignored;
  fs::remove_all(part, ignored);
  core::MakeFolder(part);
  for (const auto& [name, dict] : checkpoint.tensors) {
    core::WriteSafetensors(part / (name + ".safetensors"), dict, checkpoint.metadata);
  }
  core::WriteFileAtomic(part / "state.json", checkpoint.state);
  core::ReplaceFolder(part, folder);
}

bool HasCheckpoint(const fs::path& folder) {
  if (fs::exists(folder / "state.json")) return true;
  // Killed between the two renames of a replacement: the previous checkpoint is still whole.
  const fs::path old = Beside(folder, ".old");
  if (!fs::exists(old / "state.json")) return false;
  std::error_code error;
  fs::rename(old, folder, error);
  if (error) {
    throw core::MachineError("cannot restore " + folder.string() + ": " + error.message(),
                             "check the rights of the folder");
  }
  return true;
}

Checkpoint LoadCheckpoint(const fs::path& folder) {
  if (!HasCheckpoint(folder)) {
    throw core::WeightsError("no checkpoint in " + folder.string(), "check the path of the run");
  }
  Checkpoint checkpoint;
  checkpoint.state = core::ReadFile(folder / "state.json");
  for (const fs::path& file : core::ListFiles(folder, {".safetensors"}, false)) {
    checkpoint.tensors[file.stem().string()] = core::ReadSafetensors(file, &checkpoint.metadata);
  }
  return checkpoint;
}

core::TensorBlob FloatBlob(std::string name, const at::Tensor& tensor) {
  const at::Tensor values = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
  core::TensorBlob blob{std::move(name), core::DType::kF32, values.sizes().vec(), {}};
  blob.data.resize(values.nbytes());
  std::memcpy(blob.data.data(), values.data_ptr(), blob.data.size());
  return blob;
}

}  // namespace eosin::engine
