// SPDX-License-Identifier: Apache-2.0
// Named tensors as plain bytes: what a weights file holds, without LibTorch. Readers and writers
// (safetensors.h, pth.h) and engine/weights meet here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace eosin::core {

enum class DType { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kBool };

int64_t DTypeSize(DType dtype);      // bytes of one element
const char* DTypeName(DType dtype);  // "float32", "bfloat16", ... as PyTorch says them
bool IsFloating(DType dtype);

// The number of elements of a shape; -1 when it overflows int64 or a size is negative. An empty
// shape is a scalar: 1.
int64_t CountElements(const std::vector<int64_t>& shape);

struct TensorBlob {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::vector<uint8_t> data;  // row-major, contiguous, little endian

  int64_t NumElements() const { return CountElements(shape); }
};

struct StateDict {
  std::vector<TensorBlob> tensors;  // in file or module order; names are unique

  const TensorBlob* Find(std::string_view name) const;  // nullptr when absent; linear search
  // Appends. Throws WeightsError when data's size does not fit dtype and shape.
  void Add(TensorBlob tensor);
  // Appends float32 values.
  void Add(const std::string& name, std::vector<int64_t> shape, const std::vector<float>& values);
  int64_t NumElements() const;
  // SHA-256 over names, dtypes, shapes and bytes, in name order: the same for the same weights in
  // any file format and order.
  std::string Hash() const;
};

// The values of a tensor as float (from any dtype); for tests and inspection.
std::vector<float> ToFloats(const TensorBlob& tensor);

}  // namespace eosin::core
