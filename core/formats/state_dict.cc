// SPDX-License-Identifier: Apache-2.0
#include "core/formats/state_dict.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "core/base/error.h"
#include "core/base/hash.h"

namespace eosin::core {
namespace {

struct DTypeFacts {
  const char* name;
  int64_t size;
  bool floating;
};

constexpr DTypeFacts kFacts[] = {{"float64", 8, true},  {"float32", 4, true}, {"float16", 2, true},
                                 {"bfloat16", 2, true}, {"int64", 8, false},  {"int32", 4, false},
                                 {"int16", 2, false},   {"int8", 1, false},   {"uint8", 1, false},
                                 {"bool", 1, false}};

const DTypeFacts& Facts(DType dtype) { return kFacts[static_cast<int>(dtype)]; }

float HalfToFloat(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16;
  const uint32_t exponent = (half >> 10) & 31, mantissa = half & 1023;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0)
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float value = static_cast<float>(mantissa) * 0x1p-24f;  // subnormal
  return sign != 0 ? -value : value;
}

template <typename T, typename Convert>
void Fill(const TensorBlob& tensor, std::vector<float>& out, Convert&& convert) {
  for (size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, tensor.data.data() + i * sizeof(T), sizeof(T));
    out[i] = convert(value);
  }
}

}  // namespace

int64_t DTypeSize(DType dtype) { return Facts(dtype).size; }
const char* DTypeName(DType dtype) { return Facts(dtype).name; }
bool IsFloating(DType dtype) { return Facts(dtype).floating; }

int64_t CountElements(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    if (size < 0) return -1;
    if (size == 0) count = 0;
  }
  if (count == 0) return 0;
  for (const int64_t size : shape) {
    if (count > std::numeric_limits<int64_t>::max() / size) return -1;
    count *= size;
  }
  return count;
}

const TensorBlob* StateDict::Find(std::string_view name) const {
  for (const auto& tensor : tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

void StateDict::Add(TensorBlob tensor) {
  const int64_t count = tensor.NumElements();
  if (count < 0 || static_cast<uint64_t>(count) * static_cast<uint64_t>(DTypeSize(tensor.dtype)) !=
                       tensor.data.size()) {
    throw WeightsError("tensor " + tensor.name + " has " + std::to_string(tensor.data.size()) +
                           " bytes, which do not fit its shape",
                       "this is a defect of the program that made the weights");
  }
  tensors.push_back(std::move(tensor));
}

void StateDict::Add(const std::string& name, std::vector<int64_t> shape,
                    const std::vector<float>& values) {
  TensorBlob tensor{name, DType::kF32, std::move(shape), {}};
  tensor.data.resize(values.size() * sizeof(float));
  if (!values.empty()) std::memcpy(tensor.data.data(), values.data(), tensor.data.size());
  Add(std::move(tensor));
}

int64_t StateDict::NumElements() const {
  int64_t count = 0;
  for (const auto& tensor : tensors) count += tensor.NumElements();
  return count;
}

std::string StateDict::Hash() const {
  std::vector<const TensorBlob*> sorted;
  for (const auto& tensor : tensors) sorted.push_back(&tensor);
  std::sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return a->name < b->name; });
  Sha256 hash;
  for (const auto* tensor : sorted) {
    std::string head = tensor->name + '\n' + DTypeName(tensor->dtype);
    for (const int64_t size : tensor->shape) head += ' ' + std::to_string(size);
    hash.Update(head + '\n');
    hash.Update(tensor->data.data(), tensor->data.size());
  }
  return hash.Hex();
}

std::vector<float> ToFloats(const TensorBlob& tensor) {
  std::vector<float> out(static_cast<size_t>(tensor.NumElements()));
  auto plain = [](auto value) { return static_cast<float>(value); };
  switch (tensor.dtype) {
    case DType::kF64:
      Fill<double>(tensor, out, plain);
      break;
    case DType::kF32:
      Fill<float>(tensor, out, plain);
      break;
    case DType::kF16:
      Fill<uint16_t>(tensor, out, HalfToFloat);
      break;
    case DType::kBF16:
      Fill<uint16_t>(tensor, out,
                     [](uint16_t v) { return std::bit_cast<float>(uint32_t{v} << 16); });
      break;
    case DType::kI64:
      Fill<int64_t>(tensor, out, plain);
      break;
    case DType::kI32:
      Fill<int32_t>(tensor, out, plain);
      break;
    case DType::kI16:
      Fill<int16_t>(tensor, out, plain);
      break;
    case DType::kI8:
      Fill<int8_t>(tensor, out, plain);
      break;
    case DType::kU8:
    case DType::kBool:
      Fill<uint8_t>(tensor, out, plain);
      break;
  }
  return out;
}

}  // namespace eosin::core
