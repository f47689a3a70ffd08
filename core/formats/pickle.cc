// SPDX-License-Identifier: Apache-2.0
#include "core/formats/pickle.h"

#include <bit>
#include <charconv>
#include <map>

#include "core/base/error.h"

namespace eosin::core {
namespace {

// Opcodes of pickle protocols 2 to 4 (Lib/pickletools.py), without protocol 0's text numbers.
enum Opcode : uint8_t {
  kMark = '(', kStop = '.', kPop = '0', kPopMark = '1', kDup = '2', kBinInt = 'J', kBinInt1 = 'K',
  kBinInt2 = 'M', kNoneOp = 'N', kBinPersId = 'Q', kReduce = 'R', kBinString = 'T',
  kShortBinString = 'U', kBinUnicode = 'X', kAppend = 'a', kBuild = 'b', kGlobalOp = 'c',
  kDictOp = 'd', kAppends = 'e', kBinGet = 'h', kLongBinGet = 'j', kListOp = 'l', kBinPut = 'q',
  kLongBinPut = 'r', kSetItem = 's', kTupleOp = 't', kSetItems = 'u', kEmptyTuple = ')',
  kEmptyList = ']', kEmptyDict = '}', kBinFloat = 'G', kBinBytes = 'B', kShortBinBytes = 'C',
  kProto = 0x80, kNewObj = 0x81, kTuple1 = 0x85, kTuple2 = 0x86, kTuple3 = 0x87, kNewTrue = 0x88,
  kNewFalse = 0x89, kLong1 = 0x8a, kLong4 = 0x8b, kShortBinUnicode = 0x8c, kBinUnicode8 = 0x8d,
  kBinBytes8 = 0x8e, kEmptySet = 0x8f, kAddItems = 0x90, kFrozenSet = 0x91, kNewObjEx = 0x92,
  kStackGlobal = 0x93, kMemoize = 0x94, kFrame = 0x95
};

// Calls that give back their first argument.
bool IsParameter(const std::string& name) {
  return name == "torch._utils._rebuild_parameter" ||
         name == "torch._utils._rebuild_parameter_with_state" ||
         name == "torch.nn.parameter.Parameter" || name == "torch.nn.parameter.Buffer" ||
         name == "torch.autograd.variable.Variable";
}

bool IsDictType(const std::string& name) {
  return name == "collections.OrderedDict" || name == "collections.defaultdict" ||
         name == "collections.Counter" || name == "builtins.dict" || name == "__builtin__.dict";
}

bool IsRebuild(const std::string& name) {
  return name == "torch._utils._rebuild_tensor" || name == "torch._utils._rebuild_tensor_v2" ||
         name == "torch._utils._rebuild_tensor_v3" || name == "torch._tensor._rebuild_from_type_v2";
}

// Bystanders of training checkpoints: their values are never looked at, and nothing is called.
bool IsBystander(const std::string& name) {
  for (const char* prefix :
       {"torch.", "numpy.", "collections.", "argparse.", "pathlib.", "datetime.", "typing.", "enum.",
        "pytorch_lightning.", "lightning.", "lightning_fabric.", "lightly.", "solo.", "omegaconf.",
        "yacs.", "addict.", "mmcv.", "mmengine.", "timm.", "torchvision."}) {
    if (name.starts_with(prefix)) return true;
  }
  for (const char* type : {"set", "frozenset", "list", "tuple", "int", "float", "bool", "str", "bytes",
                           "bytearray", "complex", "slice", "range", "object", "long", "unicode"}) {
    if (name == std::string("builtins.") + type || name == std::string("__builtin__.") + type) {
      return true;
    }
  }
  return name == "_codecs.encode" || name == "copyreg._reconstructor" ||
         name == "copy_reg._reconstructor" || name == "functools.partial";
}

}  // namespace

bool DTypeOfGlobal(const std::string& name, DType* dtype) {
  static const std::map<std::string, DType> known = {
      {"DoubleStorage", DType::kF64}, {"FloatStorage", DType::kF32}, {"HalfStorage", DType::kF16},
      {"BFloat16Storage", DType::kBF16}, {"LongStorage", DType::kI64}, {"IntStorage", DType::kI32},
      {"ShortStorage", DType::kI16}, {"CharStorage", DType::kI8}, {"ByteStorage", DType::kU8},
      {"BoolStorage", DType::kBool}, {"float64", DType::kF64}, {"float32", DType::kF32},
      {"float16", DType::kF16}, {"bfloat16", DType::kBF16}, {"int64", DType::kI64},
      {"int32", DType::kI32}, {"int16", DType::kI16}, {"int8", DType::kI8}, {"uint8", DType::kU8},
      {"bool", DType::kBool}, {"UntypedStorage", DType::kU8}};
  const size_t dot = name.rfind('.');
  const std::string module = name.substr(0, dot);
  if (module != "torch" && module != "torch.cuda" && module != "torch.storage") return false;
  const auto found = known.find(name.substr(dot + 1));
  if (found == known.end()) return false;
  *dtype = found->second;
  return true;
}

Unpickler::Unpickler(const std::string& file, PersistentLoad persistent_load)
    : file_(file), persistent_load_(std::move(persistent_load)) {}

void Unpickler::Refuse(const std::string& what) const { RefuseWeights(file_, what); }

PickleValue* Unpickler::New(Kind kind) {
  if (values_.size() >= kMaxValues) Refuse("holds too many values for a weights file");
  values_.emplace_back().kind = kind;
  return &values_.back();
}

PickleTensor* Unpickler::NewTensor() { return &tensors_.emplace_back(); }

const PickleValue* Unpickler::Load(ByteCursor& cursor) {
  stack_.clear();
  marks_.clear();
  memo_.clear();
  while (Step(cursor, cursor.Read<uint8_t>())) {
  }
  const PickleValue* result = Pop();
  return result;
}

PickleValue* Unpickler::Pop() {
  PickleValue* top = Top();
  stack_.pop_back();
  return top;
}

PickleValue* Unpickler::Top() {
  const size_t floor = marks_.empty() ? 0 : marks_.back();
  if (stack_.size() <= floor) Refuse("holds a damaged pickle: its stack runs empty");
  return stack_.back();
}

std::vector<PickleValue*> Unpickler::PopToMark() {
  if (marks_.empty()) Refuse("holds a damaged pickle: a mark is missing");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PickleValue*> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

void Unpickler::Memoize(size_t index) {
  if (index >= kMaxValues) Refuse("holds too many values for a weights file");
  if (index >= memo_.size()) memo_.resize(index + 1, nullptr);
  memo_[index] = Top();
}

PickleValue* Unpickler::Remember(size_t index) {
  if (index >= memo_.size() || memo_[index] == nullptr) {
    Refuse("holds a damaged pickle: it recalls what it never stored");
  }
  return memo_[index];
}

PickleValue* Unpickler::Text(Kind kind, std::string_view text) {
  PickleValue* value = New(kind);
  value->text = text;
  return value;
}

PickleValue* Unpickler::Long(std::string_view bytes) {
  if (bytes.size() > 8) return Text(Kind::kBigInt, bytes);
  uint64_t bits = !bytes.empty() && (bytes.back() & 0x80) != 0 ? ~uint64_t{0} : 0;
  for (size_t i = bytes.size(); i-- > 0;) bits = (bits << 8) | static_cast<uint8_t>(bytes[i]);
  PickleValue* value = New(Kind::kInt);
  value->integer = static_cast<int64_t>(bits);
  return value;
}

bool Unpickler::Step(ByteCursor& cursor, uint8_t opcode) {
  if (opcode == kStop) return false;
  if (opcode == kProto) {
    const auto version = cursor.Read<uint8_t>();
    if (version < 2 || version > 5) {
      Refuse("uses pickle protocol " + std::to_string(version) + ", which is not supported");
    }
  } else if (opcode == kFrame) {
    cursor.Read<uint64_t>();
  } else if (!StepScalar(cursor, opcode) && !StepContainer(opcode) && !StepMemo(cursor, opcode) &&
             !StepObject(cursor, opcode)) {
    Refuse("holds the pickle opcode " + std::to_string(opcode) + ", which weights files do not use");
  }
  return true;
}

bool Unpickler::StepScalar(ByteCursor& cursor, uint8_t opcode) {
  auto integer = [&](Kind kind, int64_t number) {
    PickleValue* value = New(kind);
    value->integer = number;
    Push(value);
  };
  switch (opcode) {
    case kNoneOp: Push(New(Kind::kNone)); return true;
    case kNewTrue: integer(Kind::kBool, 1); return true;
    case kNewFalse: integer(Kind::kBool, 0); return true;
    case kBinInt: integer(Kind::kInt, cursor.Read<int32_t>()); return true;
    case kBinInt1: integer(Kind::kInt, cursor.Read<uint8_t>()); return true;
    case kBinInt2: integer(Kind::kInt, cursor.Read<uint16_t>()); return true;
    case kLong1: Push(Long(cursor.Take(cursor.Read<uint8_t>()))); return true;
    case kLong4: Push(Long(cursor.Take(cursor.Read<uint32_t>()))); return true;
    case kBinFloat: {
      PickleValue* value = New(Kind::kFloat);
      value->real = std::bit_cast<double>(__builtin_bswap64(cursor.Read<uint64_t>()));
      Push(value);
      return true;
    }
    // Python 2 wrote names as byte strings; both become text.
    case kShortBinString:
    case kShortBinUnicode: Push(Text(Kind::kString, cursor.Take(cursor.Read<uint8_t>()))); return true;
    case kBinString:
    case kBinUnicode: Push(Text(Kind::kString, cursor.Take(cursor.Read<uint32_t>()))); return true;
    case kBinUnicode8: Push(Text(Kind::kString, cursor.Take(cursor.Read<uint64_t>()))); return true;
    case kShortBinBytes: Push(Text(Kind::kBytes, cursor.Take(cursor.Read<uint8_t>()))); return true;
    case kBinBytes: Push(Text(Kind::kBytes, cursor.Take(cursor.Read<uint32_t>()))); return true;
    case kBinBytes8: Push(Text(Kind::kBytes, cursor.Take(cursor.Read<uint64_t>()))); return true;
    default: return false;
  }
}

bool Unpickler::StepContainer(uint8_t opcode) {
  auto collect = [&](Kind kind, std::vector<PickleValue*> items) {
    PickleValue* value = New(kind);
    value->items = std::move(items);
    Push(value);
  };
  auto pop = [&](size_t count) {
    std::vector<PickleValue*> items(count);
    while (count > 0) items[--count] = Pop();
    return items;
  };
  switch (opcode) {
    case kMark: marks_.push_back(stack_.size()); return true;
    case kPop:
      // Python pops a mark when there is nothing above it.
      if (!marks_.empty() && stack_.size() == marks_.back()) marks_.pop_back();
      else Pop();
      return true;
    case kPopMark: PopToMark(); return true;
    case kDup: Push(Top()); return true;
    case kEmptyTuple: Push(New(Kind::kTuple)); return true;
    case kEmptyList:
    case kEmptySet: Push(New(Kind::kList)); return true;
    case kEmptyDict: Push(New(Kind::kDict)); return true;
    case kTuple1: collect(Kind::kTuple, pop(1)); return true;
    case kTuple2: collect(Kind::kTuple, pop(2)); return true;
    case kTuple3: collect(Kind::kTuple, pop(3)); return true;
    case kTupleOp: collect(Kind::kTuple, PopToMark()); return true;
    case kListOp:
    case kFrozenSet: collect(Kind::kList, PopToMark()); return true;
    case kDictOp: {
      const auto items = PopToMark();
      PickleValue* dict = New(Kind::kDict);
      SetItems(dict, items);
      Push(dict);
      return true;
    }
    case kAppend: {
      const auto items = pop(1);
      Append(Top(), items);
      return true;
    }
    case kAppends:
    case kAddItems: {
      const auto items = PopToMark();
      Append(Top(), items);
      return true;
    }
    case kSetItem: {
      const auto items = pop(2);
      SetItems(Top(), items);
      return true;
    }
    case kSetItems: {
      const auto items = PopToMark();
      SetItems(Top(), items);
      return true;
    }
    default: return false;
  }
}

bool Unpickler::StepMemo(ByteCursor& cursor, uint8_t opcode) {
  switch (opcode) {
    case kBinPut: Memoize(cursor.Read<uint8_t>()); return true;
    case kLongBinPut: Memoize(cursor.Read<uint32_t>()); return true;
    case kMemoize: Memoize(memo_.size()); return true;
    case kBinGet: Push(Remember(cursor.Read<uint8_t>())); return true;
    case kLongBinGet: Push(Remember(cursor.Read<uint32_t>())); return true;
    default: return false;
  }
}

bool Unpickler::StepObject(ByteCursor& cursor, uint8_t opcode) {
  switch (opcode) {
    case kGlobalOp: {
      const std::string module(cursor.TakeLine());
      Push(Global(module + "." + std::string(cursor.TakeLine())));
      return true;
    }
    case kStackGlobal: {
      const PickleValue* name = Pop();
      const PickleValue* module = Pop();
      if (!name->Is(Kind::kString) || !module->Is(Kind::kString)) {
        Refuse("holds a damaged pickle: a name is no text");
      }
      Push(Global(module->text + "." + name->text));
      return true;
    }
    case kReduce:
    case kNewObj: {
      const PickleValue* arguments = Pop();
      const PickleValue* function = Pop();
      if (!arguments->Is(Kind::kTuple)) Refuse("holds a damaged pickle: arguments are no tuple");
      Push(Call(*function, arguments->items));
      return true;
    }
    case kNewObjEx: {
      Pop();
      const PickleValue* arguments = Pop();
      const PickleValue* function = Pop();
      Push(Call(*function, arguments->items));
      return true;
    }
    case kBuild: Pop(), Top(); return true;  // the state of an object: not needed
    case kBinPersId: Push(persistent_load_(*Pop())); return true;
    default: return false;
  }
}

PickleValue* Unpickler::Global(const std::string& name) {
  DType ignored;
  if (!DTypeOfGlobal(name, &ignored) && !IsDictType(name) && !IsRebuild(name) &&
      !IsParameter(name) && !IsBystander(name)) {
    throw WeightsError(file_ + " asks for " + name + ", which weights files do not need; it was not run",
                       "if you trust the file, open it in Python and save only the weights: "
                       "torch.save(dict(state_dict), path)");
  }
  return Text(Kind::kGlobal, name);
}

PickleValue* Unpickler::Call(const PickleValue& function,
                             const std::vector<PickleValue*>& arguments) {
  if (function.Is(Kind::kOpaque)) return Text(Kind::kOpaque, function.text);
  if (!function.Is(Kind::kGlobal)) Refuse("holds a damaged pickle: it calls what is no function");
  const std::string& name = function.text;
  if (IsDictType(name)) {
    PickleValue* dict = New(Kind::kDict);
    const PickleValue* pairs = arguments.empty() ? nullptr : arguments[0];
    if (pairs != nullptr) copied_ += pairs->items.size();
    if (copied_ > kMaxValues) Refuse("holds too many values for a weights file");
    if (pairs != nullptr && (pairs->Is(Kind::kList) || pairs->Is(Kind::kTuple))) {
      for (const PickleValue* pair : pairs->items) {
        if (pair->items.size() != 2) Refuse("holds a damaged pickle: a dict of no pairs");
        SetItems(dict, pair->items);
      }
    } else if (pairs != nullptr && pairs->Is(Kind::kDict)) {
      dict->items = pairs->items;
    }
    return dict;
  }
  if (IsParameter(name)) {
    // The empty Parameter of NEWOBJ without arguments has no values to lose: its state holds them.
    if (arguments.empty()) return Text(Kind::kOpaque, name);
    return arguments[0];
  }
  if (IsRebuild(name)) return RebuildTensor(name, arguments);
  if (name == "torch.Size") {
    if (arguments.size() != 1) Refuse("holds a damaged torch.Size");
    return arguments[0];
  }
  return Text(Kind::kOpaque, name);
}

PickleValue* Unpickler::RebuildTensor(const std::string& name,
                                      const std::vector<PickleValue*>& arguments) {
  auto refuse = [&] { Refuse("holds a damaged tensor description"); };
  if (name == "torch._tensor._rebuild_from_type_v2") {  // (function, type, arguments, state)
    if (arguments.size() != 4 || !arguments[2]->Is(Kind::kTuple)) refuse();
    // One level only: what it calls must be a plain rebuild, so recursion is bounded.
    if (arguments[0]->Is(Kind::kGlobal) && arguments[0]->text == name) refuse();
    return Call(*arguments[0], arguments[2]->items);
  }
  if (arguments.size() < 4 || !arguments[0]->Is(Kind::kStorage) || !arguments[1]->Is(Kind::kInt)) {
    refuse();
  }
  PickleTensor* tensor = NewTensor();
  tensor->storage = arguments[0];
  tensor->offset = arguments[1]->integer;
  tensor->dtype = arguments[0]->dtype;
  auto numbers = [&](const PickleValue& value) {
    if (!value.Is(Kind::kTuple) && !value.Is(Kind::kList)) refuse();
    if (value.items.size() > 64) refuse();
    std::vector<int64_t> result;
    for (const PickleValue* item : value.items) {
      if (!item->Is(Kind::kInt)) refuse();
      result.push_back(item->integer);
    }
    return result;
  };
  tensor->shape = numbers(*arguments[2]);
  tensor->strides = numbers(*arguments[3]);
  if (name == "torch._utils._rebuild_tensor_v3") {
    // (storage, offset, shape, strides, requires_grad, hooks, dtype, ...); the storage is untyped.
    if (arguments.size() < 7 || !arguments[6]->Is(Kind::kGlobal) ||
        !DTypeOfGlobal(arguments[6]->text, &tensor->dtype)) {
      Refuse("holds a tensor of a type that is not supported");
    }
  }
  PickleValue* value = New(Kind::kTensor);
  value->tensor = tensor;
  return value;
}

void Unpickler::Append(PickleValue* container, const std::vector<PickleValue*>& items) {
  if (container->Is(Kind::kOpaque)) return;
  if (!container->Is(Kind::kList)) Refuse("holds a damaged pickle: it appends to what is no list");
  container->items.insert(container->items.end(), items.begin(), items.end());
}

void Unpickler::SetItems(PickleValue* container, const std::vector<PickleValue*>& items) {
  if (container->Is(Kind::kOpaque)) return;
  if (!container->Is(Kind::kDict) || items.size() % 2 != 0) {
    Refuse("holds a damaged pickle: it sets items of what is no dict");
  }
  container->items.insert(container->items.end(), items.begin(), items.end());
}

}  // namespace eosin::core
