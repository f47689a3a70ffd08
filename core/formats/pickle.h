// SPDX-License-Identifier: Apache-2.0
// A restricted interpreter of Python's pickle streams, enough for PyTorch checkpoints. It builds
// plain values; it imports and calls nothing. Functions that a stream names are either understood
// here (those that rebuild tensors and ordered dicts), or known to be harmless bystanders (numpy
// scalars, optimiser and Lightning objects: they become kOpaque), or refused.
//
// Limits against hostile streams: values, memo entries and copied items (4 million each); every
// read is checked; nothing recurses over nested values.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "core/formats/byte_view.h"
#include "core/formats/state_dict.h"

namespace eosin::core {

struct PickleValue;

struct PickleTensor {
  const PickleValue* storage = nullptr;  // kStorage
  int64_t offset = 0;                    // in elements
  std::vector<int64_t> shape, strides;
  DType dtype = DType::kF32;
};

struct PickleValue {
  enum class Kind {
    kNone,
    kBool,
    kInt,
    kBigInt,
    kFloat,
    kString,
    kBytes,
    kTuple,
    kList,
    kDict,
    kGlobal,   // text = "module.name"
    kStorage,  // text = key; dtype; integer = elements; offset = first element in the root storage
    kTensor,
    kOpaque  // text = "module.name" of what would have been called
  };
  Kind kind = Kind::kNone;
  DType dtype = DType::kF32;
  int64_t integer = 0;  // kInt, kBool
  int64_t offset = 0;
  double real = 0;
  std::string text;  // kString, kBytes, kBigInt (little-endian bytes), kGlobal, kStorage
  std::vector<PickleValue*> items;  // kTuple, kList; kDict: key, value, key, value, ...
  PickleTensor* tensor = nullptr;

  bool Is(Kind wanted) const { return kind == wanted; }
};

// The dtype of "torch.FloatStorage", "torch.cuda.HalfStorage", "torch.float32", ...; false if none.
bool DTypeOfGlobal(const std::string& name, DType* dtype);

class Unpickler {
 public:
  // What a persistent id stands for; called with the id.
  using PersistentLoad = std::function<PickleValue*(const PickleValue& id)>;

  // Values live as long as the Unpickler. `file` names the file in errors.
  Unpickler(const std::string& file, PersistentLoad persistent_load);

  // Reads one pickle; leaves the cursor behind its STOP. Throws WeightsError.
  const PickleValue* Load(ByteCursor& cursor);

  PickleValue* New(PickleValue::Kind kind);
  PickleTensor* NewTensor();

 private:
  using Kind = PickleValue::Kind;
  static constexpr size_t kMaxValues = 4'000'000;

  [[noreturn]] void Refuse(const std::string& what) const;
  bool Step(ByteCursor& cursor, uint8_t opcode);  // false for STOP
  bool StepScalar(ByteCursor& cursor, uint8_t opcode);
  bool StepContainer(uint8_t opcode);
  bool StepMemo(ByteCursor& cursor, uint8_t opcode);
  bool StepObject(ByteCursor& cursor, uint8_t opcode);

  void Push(PickleValue* value) { stack_.push_back(value); }
  PickleValue* Pop();
  PickleValue* Top();
  std::vector<PickleValue*> PopToMark();
  void Memoize(size_t index);
  PickleValue* Remember(size_t index);
  PickleValue* Text(Kind kind, std::string_view text);
  PickleValue* Long(std::string_view bytes);
  PickleValue* Global(const std::string& name);
  PickleValue* Call(const PickleValue& function, const std::vector<PickleValue*>& arguments);
  PickleValue* RebuildTensor(const std::string& name, const std::vector<PickleValue*>& arguments);
  void Append(PickleValue* container, const std::vector<PickleValue*>& items);
  void SetItems(PickleValue* container, const std::vector<PickleValue*>& items);

  std::string file_;
  PersistentLoad persistent_load_;
  std::deque<PickleValue> values_;
  std::deque<PickleTensor> tensors_;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;
  std::vector<PickleValue*> memo_;
  size_t copied_ = 0;  // items copied from one container to another
};

}  // namespace eosin::core
