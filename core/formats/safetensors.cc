// SPDX-License-Identifier: Apache-2.0
#include "core/formats/safetensors.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/formats/byte_view.h"

namespace eosin::core {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxHeader = 100'000'000;  // the format's own limit

constexpr std::pair<const char*, DType> kNames[] = {
    {"F64", DType::kF64}, {"F32", DType::kF32},  {"F16", DType::kF16}, {"BF16", DType::kBF16},
    {"I64", DType::kI64}, {"I32", DType::kI32},  {"I16", DType::kI16}, {"I8", DType::kI8},
    {"U8", DType::kU8},   {"BOOL", DType::kBool}};

const char* NameOf(DType dtype) {
  for (const auto& [name, value] : kNames) {
    if (value == dtype) return name;
  }
  return "";
}

// nlohmann keeps the last of two equal keys; here they are refused, and so is deep nesting.
json ParseHeader(std::string_view text, const std::string& file) {
  std::vector<std::set<std::string>> keys;
  auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > 4) RefuseWeights(file, "has a safetensors header nested too deeply");
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key &&
        !keys.back().insert(parsed.get<std::string>()).second) {
      RefuseWeights(file, "names " + parsed.get<std::string>() + " twice");
    }
    return true;
  };
  json header;
  try {
    header = json::parse(text.begin(), text.end(), check);
  } catch (const json::exception&) {
    RefuseWeights(file, "has a safetensors header that is not valid JSON");
  }
  if (!header.is_object()) RefuseWeights(file, "has a safetensors header that is no object");
  return header;
}

int64_t Size(const json& value, const std::string& file, const std::string& name) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > uint64_t{1} << 62) {
    RefuseWeights(file, "gives tensor " + name + " a size or offset that is no valid number");
  }
  return static_cast<int64_t>(value.get<uint64_t>());
}

struct Entry {
  TensorBlob tensor;
  int64_t begin = 0, end = 0;
};

Entry ParseEntry(const std::string& name, const json& value, const std::string& file) {
  Entry entry;
  entry.tensor.name = name;
  const bool complete =
      value.is_object() && value.contains("dtype") && value["dtype"].is_string() &&
      value.contains("shape") && value["shape"].is_array() && value.contains("data_offsets") &&
      value["data_offsets"].is_array() && value["data_offsets"].size() == 2 && value.size() == 3;
  if (!complete) RefuseWeights(file, "describes tensor " + name + " incompletely");
  const auto& dtype = value["dtype"].get_ref<const std::string&>();
  const auto* known = std::find_if(std::begin(kNames), std::end(kNames),
                                   [&](const auto& item) { return dtype == item.first; });
  if (known == std::end(kNames)) {
    RefuseWeights(file, "holds tensor " + name + " of type " + dtype + ", which is not supported");
  }
  entry.tensor.dtype = known->second;
  for (const auto& size : value["shape"]) entry.tensor.shape.push_back(Size(size, file, name));
  entry.begin = Size(value["data_offsets"][0], file, name);
  entry.end = Size(value["data_offsets"][1], file, name);
  const int64_t count = entry.tensor.NumElements();
  const int64_t bytes = entry.end - entry.begin;
  const int64_t size = DTypeSize(entry.tensor.dtype);
  if (count < 0 || bytes < 0 || bytes % size != 0 || bytes / size != count) {
    RefuseWeights(file, "gives tensor " + name + " a shape that does not fit its bytes");
  }
  return entry;
}

}  // namespace

StateDict ReadSafetensors(const std::filesystem::path& path,
                          std::map<std::string, std::string>* metadata) {
  const std::string file = path.string();
  const MappedFile map(path);
  ByteCursor cursor(map.bytes(), file);
  const auto length = cursor.Read<uint64_t>();
  if (length > kMaxHeader) RefuseWeights(file, "claims a safetensors header beyond 100 MB");
  const json header = ParseHeader(cursor.Take(length), file);
  const std::string_view payload = map.bytes().substr(cursor.position());

  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      entries.push_back(ParseEntry(name, value, file));
      continue;
    }
    if (!value.is_object()) RefuseWeights(file, "has metadata that are no object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) RefuseWeights(file, "has metadata that are no strings");
      if (metadata != nullptr) (*metadata)[key] = text.get<std::string>();
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.tensor.name) < std::tie(b.begin, b.end, b.tensor.name);
  });
  int64_t at = 0;
  StateDict dict;
  for (auto& entry : entries) {
    if (entry.begin != at) {
      RefuseWeights(file, "has tensors that overlap or leave holes at " + entry.tensor.name);
    }
    at = entry.end;
    if (static_cast<uint64_t>(at) > payload.size()) RefuseWeights(file, "is cut short");
    const auto* begin = reinterpret_cast<const uint8_t*>(payload.data()) + entry.begin;
    entry.tensor.data.assign(begin, begin + (entry.end - entry.begin));
    dict.Add(std::move(entry.tensor));
  }
  if (static_cast<uint64_t>(at) != payload.size()) {
    RefuseWeights(file, "has bytes after its last tensor");
  }
  return dict;
}

void WriteSafetensors(const std::filesystem::path& path, const StateDict& dict,
                      const std::map<std::string, std::string>& metadata) {
  std::vector<const TensorBlob*> sorted;
  for (const auto& tensor : dict.tensors) sorted.push_back(&tensor);
  // Wider dtypes first, so that every tensor is aligned to its element.
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
    const int64_t size_a = DTypeSize(a->dtype), size_b = DTypeSize(b->dtype);
    return size_a != size_b ? size_a > size_b : a->name < b->name;
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t at = 0;
  for (const auto* tensor : sorted) {
    const uint64_t end = at + tensor->data.size();
    header[tensor->name] = {
        {"dtype", NameOf(tensor->dtype)}, {"shape", tensor->shape}, {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const json::exception&) {
    throw WeightsError("a tensor name or metadata text for " + path.string() + " is not UTF-8",
                       "write .pth instead, or rename the tensors in Python");
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();

  AtomicFile file(path);
  std::ofstream out(file.part_path(), std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(&length), sizeof(length));
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  for (const auto* tensor : sorted) {
    out.write(reinterpret_cast<const char*>(tensor->data.data()),
              static_cast<std::streamsize>(tensor->data.size()));
  }
  out.close();
  if (!out) {
    throw MachineError("cannot write " + path.string() + ": " + std::strerror(errno),
                       "check the folder, its rights and the free space");
  }
  file.Commit();
}

}  // namespace eosin::core
