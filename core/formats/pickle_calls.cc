// SPDX-License-Identifier: Apache-2.0
// What a pickle may name and what becomes of its calls.
#include <map>

#include "core/base/error.h"
#include "core/formats/pickle.h"

namespace eosin::core {
namespace {

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
  for (const char* prefix : {"torch.",
                             "numpy.",
                             "collections.",
                             "argparse.",
                             "pathlib.",
                             "datetime.",
                             "typing.",
                             "enum.",
                             "pytorch_lightning.",
                             "lightning.",
                             "lightning_fabric.",
                             "lightly.",
                             "solo.",
                             "omegaconf.",
                             "yacs.",
                             "addict.",
                             "mmcv.",
                             "mmengine.",
                             "timm.",
                             "torchvision."}) {
    if (name.starts_with(prefix)) return true;
  }
  for (const char* type :
       {"set", "frozenset", "list", "tuple", "int", "float", "bool", "str", "bytes", "bytearray",
        "complex", "slice", "range", "object", "long", "unicode"}) {
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
      {"DoubleStorage", DType::kF64}, {"FloatStorage", DType::kF32},
      {"HalfStorage", DType::kF16},   {"BFloat16Storage", DType::kBF16},
      {"LongStorage", DType::kI64},   {"IntStorage", DType::kI32},
      {"ShortStorage", DType::kI16},  {"CharStorage", DType::kI8},
      {"ByteStorage", DType::kU8},    {"BoolStorage", DType::kBool},
      {"float64", DType::kF64},       {"float32", DType::kF32},
      {"float16", DType::kF16},       {"bfloat16", DType::kBF16},
      {"int64", DType::kI64},         {"int32", DType::kI32},
      {"int16", DType::kI16},         {"int8", DType::kI8},
      {"uint8", DType::kU8},          {"bool", DType::kBool},
      {"UntypedStorage", DType::kU8}};
  const size_t dot = name.rfind('.');
  const std::string module = name.substr(0, dot);
  if (module != "torch" && module != "torch.cuda" && module != "torch.storage") return false;
  const auto found = known.find(name.substr(dot + 1));
  if (found == known.end()) return false;
  *dtype = found->second;
  return true;
}

PickleValue* Unpickler::Global(const std::string& name) {
  DType ignored;
  if (!DTypeOfGlobal(name, &ignored) && !IsDictType(name) && !IsRebuild(name) &&
      !IsParameter(name) && !IsBystander(name)) {
    throw WeightsError(
        file_ + " asks for " + name + ", which weights files do not need; it was not run",
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

}  // namespace eosin::core
