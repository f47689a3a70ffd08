// SPDX-License-Identifier: Apache-2.0
#include "core/formats/pth_container.h"

#include "core/base/error.h"

namespace eosin::core {
namespace {

using Kind = PickleValue::Kind;

// torch/serialization.py: MAGIC_NUMBER 0x1950a86a20f9469cfc6c, little endian.
constexpr std::string_view kLegacyMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
constexpr size_t kTarBlock = 512;
constexpr int64_t kMaxObjects = 1'000'000;

uint64_t Octal(std::string_view text) {
  uint64_t value = 0;
  for (const char c : text) {
    if (c >= '0' && c <= '7')
      value = value * 8 + static_cast<uint64_t>(c - '0');
    else if (c == '\0')
      break;
  }
  return value;
}

bool IsTarHeader(std::string_view block) {
  if (block.size() < kTarBlock) return false;
  uint64_t sum = 0;  // with the checksum field itself read as spaces
  for (size_t i = 0; i < kTarBlock; ++i) {
    sum += i >= 148 && i < 156 ? uint64_t{' '} : static_cast<uint8_t>(block[i]);
  }
  return sum == Octal(block.substr(148, 8));
}

std::string KeyText(const PickleValue& value) {
  if (value.Is(Kind::kInt)) return std::to_string(value.integer);
  return value.text;
}

bool IsIntegers(const PickleValue& value, size_t count) {
  if (!value.Is(Kind::kTuple) || value.items.size() != count) return false;
  for (const auto* item : value.items) {
    if (!item->Is(Kind::kInt)) return false;
  }
  return true;
}

}  // namespace

std::optional<PthContainer> DetectPth(std::string_view bytes) {
  if (bytes.starts_with("PK\x03\x04")) return PthContainer::kZip;
  if (bytes.starts_with("\x80\x02")) return PthContainer::kLegacy;
  if (IsTarHeader(bytes)) return PthContainer::kTar;
  return std::nullopt;
}

PthFile::PthFile(const std::filesystem::path& path)
    : file_(path.string()), map_(path), unpickler_(file_, [this](const PickleValue& id) {
        return container_ == PthContainer::kTar ? LoadTarObject(id) : LoadStorage(id);
      }) {
  const auto container = DetectPth(map_.bytes());
  if (!container) RefuseWeights(file_, "is no PyTorch checkpoint (no zip, pickle or tar)");
  container_ = *container;
  switch (container_) {
    case PthContainer::kZip:
      OpenZip();
      break;
    case PthContainer::kLegacy:
      OpenLegacy();
      break;
    case PthContainer::kTar:
      OpenTar();
      break;
  }
}

void PthFile::OpenZip() {
  zip_.emplace(map_.bytes(), file_);
  const std::string pickle = "data.pkl";
  std::string found;
  for (const auto& name : zip_->names()) {
    const size_t slash = name.find('/');
    const std::string tail = slash == name.npos ? name : name.substr(slash + 1);
    if (tail != pickle) continue;
    if (!found.empty()) RefuseWeights(file_, "holds two pickles");
    found = name;
  }
  if (found.empty()) RefuseWeights(file_, "is a zip file without data.pkl: no PyTorch checkpoint");
  prefix_ = found.substr(0, found.size() - pickle.size());
  if (zip_->Has(prefix_ + "constants.pkl")) {
    throw WeightsError(file_ + " is a TorchScript program, not a weights file",
                       "in Python: torch.save(torch.jit.load(path).state_dict(), new_path)");
  }
  if (zip_->Has(prefix_ + "byteorder") &&
      !zip_->Bytes(prefix_ + "byteorder").starts_with("little")) {
    RefuseWeights(file_, "was written on a big-endian machine");
  }
  ByteCursor cursor(zip_->Bytes(found), file_);
  root_ = unpickler_.Load(cursor);
}

// ('storage', type, key, location, elements[, view]) or ('module', class, ...).
PickleValue* PthFile::LoadStorage(const PickleValue& id) {
  if (!id.Is(Kind::kTuple) || id.items.size() < 2 || !id.items[0]->Is(Kind::kString)) {
    RefuseWeights(file_, "holds a damaged reference to a storage");
  }
  if (id.items[0]->text == "module") return id.items[1];
  DType dtype;
  if (id.items[0]->text != "storage" || id.items.size() < 5 || !id.items[1]->Is(Kind::kGlobal) ||
      !id.items[4]->Is(Kind::kInt)) {
    RefuseWeights(file_, "holds a damaged reference to a storage");
  }
  if (!DTypeOfGlobal(id.items[1]->text, &dtype)) {
    RefuseWeights(file_, "holds values of type " + id.items[1]->text + ", which is not supported");
  }
  PickleValue* storage = unpickler_.New(Kind::kStorage);
  storage->text = KeyText(*id.items[2]);
  storage->dtype = dtype;
  storage->integer = id.items[4]->integer;
  roots_.try_emplace(storage->text, Root{dtype, {}});
  if (id.items.size() > 5 && id.items[5]->Is(Kind::kTuple)) {  // (key, offset, elements)
    const auto& view = id.items[5]->items;
    if (view.size() != 3 || !view[1]->Is(Kind::kInt) || !view[2]->Is(Kind::kInt)) {
      RefuseWeights(file_, "holds a damaged view of a storage");
    }
    storage->offset = view[1]->integer;
    storage->integer = view[2]->integer;
  }
  return storage;
}

// u64 element count, then the elements.
std::string_view PthFile::TakeStorage(ByteCursor& cursor, DType dtype) {
  const auto count = cursor.Read<uint64_t>();
  if (count > map_.bytes().size()) RefuseWeights(file_, "is cut short or damaged");
  return cursor.Take(count * static_cast<uint64_t>(DTypeSize(dtype)));
}

void PthFile::OpenLegacy() {
  ByteCursor cursor(map_.bytes(), file_);
  const PickleValue* magic = unpickler_.Load(cursor);
  if (!magic->Is(Kind::kBigInt) || magic->text != kLegacyMagic) {
    RefuseWeights(file_, "is a pickle, but not one that torch.save wrote");
  }
  const PickleValue* version = unpickler_.Load(cursor);
  if (!version->Is(Kind::kInt) || version->integer != 1001) {
    RefuseWeights(file_, "has an unknown version of the old checkpoint format");
  }
  const PickleValue* system = unpickler_.Load(cursor);
  for (size_t i = 0; i + 1 < system->items.size(); i += 2) {
    if (system->items[i]->text == "little_endian" && system->items[i + 1]->integer == 0) {
      RefuseWeights(file_, "was written on a big-endian machine");
    }
  }
  root_ = unpickler_.Load(cursor);
  const PickleValue* keys = unpickler_.Load(cursor);
  if (!keys->Is(Kind::kList)) RefuseWeights(file_, "has a damaged list of storages");
  for (const PickleValue* key : keys->items) {
    const auto found = roots_.find(KeyText(*key));
    if (found == roots_.end()) RefuseWeights(file_, "lists a storage that no tensor uses");
    found->second.bytes = TakeStorage(cursor, found->second.dtype);
  }
}

std::map<std::string, std::string_view> PthFile::TarMembers() {
  const std::string_view bytes = map_.bytes();
  std::map<std::string, std::string_view> members;
  size_t at = 0;
  while (at + kTarBlock <= bytes.size()) {
    const std::string_view header = bytes.substr(at, kTarBlock);
    if (header.find_first_not_of('\0') == header.npos) break;  // the end
    if (!IsTarHeader(header)) RefuseWeights(file_, "is a damaged tar file");
    const uint64_t size = Octal(header.substr(124, 12));
    at += kTarBlock;
    if (size > bytes.size() - at) RefuseWeights(file_, "is cut short");
    std::string name(header.substr(0, 100));
    name.resize(name.find('\0') == name.npos ? name.size() : name.find('\0'));
    if (name.starts_with("./")) name = name.substr(2);
    members.emplace(name, bytes.substr(at, size));
    at += (size + kTarBlock - 1) / kTarBlock * kTarBlock;
  }
  for (const char* needed : {"storages", "tensors", "pickle"}) {
    if (members.count(needed) == 0) {
      RefuseWeights(file_, std::string("is a tar file without ") + needed + ": no checkpoint");
    }
  }
  return members;
}

void PthFile::OpenTar() {
  const auto members = TarMembers();
  ReadTarStorages(members.at("storages"));
  ReadTarTensors(members.at("tensors"));
  ByteCursor cursor(members.at("pickle"), file_);
  root_ = unpickler_.Load(cursor);
}

// A count; for each (key, location, type) and its elements; then views (key, root, offset,
// elements).
void PthFile::ReadTarStorages(std::string_view bytes) {
  ByteCursor cursor(bytes, file_);
  auto refuse = [&] { RefuseWeights(file_, "has a damaged list of storages"); };
  const PickleValue* count = unpickler_.Load(cursor);
  if (!count->Is(Kind::kInt) || count->integer > kMaxObjects) refuse();
  for (int64_t i = 0; i < count->integer; ++i) {
    const PickleValue* facts = unpickler_.Load(cursor);
    DType dtype;
    if (!facts->Is(Kind::kTuple) || facts->items.size() != 3 ||
        !facts->items[2]->Is(Kind::kGlobal) || !DTypeOfGlobal(facts->items[2]->text, &dtype)) {
      refuse();
    }
    PickleValue* storage = unpickler_.New(Kind::kStorage);
    storage->text = KeyText(*facts->items[0]);
    storage->dtype = dtype;
    const std::string_view payload = TakeStorage(cursor, dtype);
    storage->integer = static_cast<int64_t>(payload.size()) / DTypeSize(dtype);
    roots_[storage->text] = {dtype, payload};
    objects_[storage->text] = storage;
  }
  const PickleValue* views = unpickler_.Load(cursor);
  if (!views->Is(Kind::kList)) refuse();
  for (const PickleValue* facts : views->items) {
    if (!IsIntegers(*facts, 4)) refuse();
    const auto root = objects_.find(KeyText(*facts->items[1]));
    if (root == objects_.end()) refuse();
    PickleValue* view = unpickler_.New(Kind::kStorage);
    view->text = root->second->text;
    view->dtype = root->second->dtype;
    view->offset = facts->items[2]->integer;
    view->integer = facts->items[3]->integer;
    objects_[KeyText(*facts->items[0])] = view;
  }
}

// A count; for each (key, storage, type), then i32 dimensions, 4 unused bytes, i64 sizes, i64
// strides, i64 offset.
void PthFile::ReadTarTensors(std::string_view bytes) {
  ByteCursor cursor(bytes, file_);
  auto refuse = [&] { RefuseWeights(file_, "has a damaged list of tensors"); };
  const PickleValue* count = unpickler_.Load(cursor);
  if (!count->Is(Kind::kInt) || count->integer > kMaxObjects) refuse();
  for (int64_t i = 0; i < count->integer; ++i) {
    const PickleValue* facts = unpickler_.Load(cursor);
    if (!facts->Is(Kind::kTuple) || facts->items.size() != 3) refuse();
    const auto storage = objects_.find(KeyText(*facts->items[1]));
    const auto dimensions = cursor.Read<int32_t>();
    cursor.Take(4);
    if (storage == objects_.end() || !storage->second->Is(Kind::kStorage) || dimensions < 0 ||
        dimensions > 64) {
      refuse();
    }
    PickleTensor* tensor = unpickler_.NewTensor();
    tensor->storage = storage->second;
    tensor->dtype = storage->second->dtype;
    for (int d = 0; d < dimensions; ++d) tensor->shape.push_back(cursor.Read<int64_t>());
    for (int d = 0; d < dimensions; ++d) tensor->strides.push_back(cursor.Read<int64_t>());
    tensor->offset = cursor.Read<int64_t>();
    PickleValue* value = unpickler_.New(Kind::kTensor);
    value->tensor = tensor;
    objects_[KeyText(*facts->items[0])] = value;
  }
}

// The key of a storage or tensor as text, or (class, source file, source).
PickleValue* PthFile::LoadTarObject(const PickleValue& id) {
  if (id.Is(Kind::kTuple) && !id.items.empty()) return id.items[0];
  const auto found = objects_.find(KeyText(id));
  if (found == objects_.end()) RefuseWeights(file_, "refers to a tensor that it does not hold");
  return found->second;
}

std::string_view PthFile::StorageBytes(const PickleValue& storage) {
  Root& root = roots_.at(storage.text);
  if (container_ == PthContainer::kZip && root.bytes.empty()) {
    root.bytes = zip_->Bytes(prefix_ + "data/" + storage.text);
  }
  const uint64_t size = static_cast<uint64_t>(DTypeSize(storage.dtype));
  const uint64_t held = root.bytes.size() / size;
  const auto offset = static_cast<uint64_t>(storage.offset);
  const auto count = static_cast<uint64_t>(storage.integer);
  if (storage.offset < 0 || storage.integer < 0 || offset > held || count > held - offset) {
    RefuseWeights(file_, "has a storage that is shorter than it says");
  }
  return root.bytes.substr(offset * size, count * size);
}

}  // namespace eosin::core
