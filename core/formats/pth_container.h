// SPDX-License-Identifier: Apache-2.0
// The three containers of PyTorch checkpoints, opened: the root value and the bytes of storages.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/formats/byte_view.h"
#include "core/formats/pickle.h"
#include "core/formats/zip.h"

namespace eosin::core {

enum class PthContainer { kZip, kLegacy, kTar };

// What the first bytes say; nothing when they are none of the three.
std::optional<PthContainer> DetectPth(std::string_view bytes);

class PthFile {
 public:
  // Maps the file and reads its pickles. Throws WeightsError.
  explicit PthFile(const std::filesystem::path& path);
  PthFile(const PthFile&) = delete;
  PthFile& operator=(const PthFile&) = delete;

  const PickleValue& root() const { return *root_; }
  const std::string& file() const { return file_; }
  size_t size() const { return map_.bytes().size(); }
  // The bytes of a kStorage value (its view only). Throws WeightsError when the file lacks them.
  std::string_view StorageBytes(const PickleValue& storage);

 private:
  struct Root {  // a storage as the file holds it
    DType dtype = DType::kF32;
    std::string_view bytes;
  };
  void OpenZip();
  void OpenLegacy();
  void OpenTar();
  PickleValue* LoadStorage(const PickleValue& id);
  PickleValue* LoadTarObject(const PickleValue& id);
  std::map<std::string, std::string_view> TarMembers();
  void ReadTarStorages(std::string_view bytes);
  void ReadTarTensors(std::string_view bytes);
  std::string_view TakeStorage(ByteCursor& cursor, DType dtype);

  std::string file_;
  MappedFile map_;
  Unpickler unpickler_;
  const PickleValue* root_ = nullptr;
  PthContainer container_ = PthContainer::kZip;
  std::optional<ZipIndex> zip_;
  std::string prefix_;                           // of zip records, e.g. "archive/"
  std::map<std::string, Root> roots_;            // by key
  std::map<std::string, PickleValue*> objects_;  // of a tar: storages and tensors by key
};

}  // namespace eosin::core
