// SPDX-License-Identifier: Apache-2.0
#include "core/formats/pickle.h"

#include <bit>

namespace eosin::core {
namespace {

// Opcodes of pickle protocols 2 to 4 (Lib/pickletools.py), without protocol 0's text numbers.
enum Opcode : uint8_t {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNoneOp = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobalOp = 'c',
  kDictOp = 'd',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kListOp = 'l',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTupleOp = 't',
  kSetItems = 'u',
  kEmptyTuple = ')',
  kEmptyList = ']',
  kEmptyDict = '}',
  kBinFloat = 'G',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kProto = 0x80,
  kNewObj = 0x81,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes8 = 0x8e,
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kFrozenSet = 0x91,
  kNewObjEx = 0x92,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95
};

}  // namespace

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
    Refuse("holds the pickle opcode " + std::to_string(opcode) +
           ", which weights files do not use");
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
    case kNoneOp:
      Push(New(Kind::kNone));
      return true;
    case kNewTrue:
      integer(Kind::kBool, 1);
      return true;
    case kNewFalse:
      integer(Kind::kBool, 0);
      return true;
    case kBinInt:
      integer(Kind::kInt, cursor.Read<int32_t>());
      return true;
    case kBinInt1:
      integer(Kind::kInt, cursor.Read<uint8_t>());
      return true;
    case kBinInt2:
      integer(Kind::kInt, cursor.Read<uint16_t>());
      return true;
    case kLong1:
      Push(Long(cursor.Take(cursor.Read<uint8_t>())));
      return true;
    case kLong4:
      Push(Long(cursor.Take(cursor.Read<uint32_t>())));
      return true;
    case kBinFloat: {
      PickleValue* value = New(Kind::kFloat);
      value->real = std::bit_cast<double>(__builtin_bswap64(cursor.Read<uint64_t>()));
      Push(value);
      return true;
    }
    // Python 2 wrote names as byte strings; both become text.
    case kShortBinString:
    case kShortBinUnicode:
      Push(Text(Kind::kString, cursor.Take(cursor.Read<uint8_t>())));
      return true;
    case kBinString:
    case kBinUnicode:
      Push(Text(Kind::kString, cursor.Take(cursor.Read<uint32_t>())));
      return true;
    case kBinUnicode8:
      Push(Text(Kind::kString, cursor.Take(cursor.Read<uint64_t>())));
      return true;
    case kShortBinBytes:
      Push(Text(Kind::kBytes, cursor.Take(cursor.Read<uint8_t>())));
      return true;
    case kBinBytes:
      Push(Text(Kind::kBytes, cursor.Take(cursor.Read<uint32_t>())));
      return true;
    case kBinBytes8:
      Push(Text(Kind::kBytes, cursor.Take(cursor.Read<uint64_t>())));
      return true;
    default:
      return false;
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
    case kMark:
      marks_.push_back(stack_.size());
      return true;
    case kPop:
      // Python pops a mark when there is nothing above it.
      if (!marks_.empty() && stack_.size() == marks_.back())
        marks_.pop_back();
      else
        Pop();
      return true;
    case kPopMark:
      PopToMark();
      return true;
    case kDup:
      Push(Top());
      return true;
    case kEmptyTuple:
      Push(New(Kind::kTuple));
      return true;
    case kEmptyList:
    case kEmptySet:
      Push(New(Kind::kList));
      return true;
    case kEmptyDict:
      Push(New(Kind::kDict));
      return true;
    case kTuple1:
      collect(Kind::kTuple, pop(1));
      return true;
    case kTuple2:
      collect(Kind::kTuple, pop(2));
      return true;
    case kTuple3:
      collect(Kind::kTuple, pop(3));
      return true;
    case kTupleOp:
      collect(Kind::kTuple, PopToMark());
      return true;
    case kListOp:
    case kFrozenSet:
      collect(Kind::kList, PopToMark());
      return true;
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
    default:
      return false;
  }
}

bool Unpickler::StepMemo(ByteCursor& cursor, uint8_t opcode) {
  switch (opcode) {
    case kBinPut:
      Memoize(cursor.Read<uint8_t>());
      return true;
    case kLongBinPut:
      Memoize(cursor.Read<uint32_t>());
      return true;
    case kMemoize:
      Memoize(memo_.size());
      return true;
    case kBinGet:
      Push(Remember(cursor.Read<uint8_t>()));
      return true;
    case kLongBinGet:
      Push(Remember(cursor.Read<uint32_t>()));
      return true;
    default:
      return false;
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
    case kBuild:
      Pop(), Top();
      return true;  // the state of an object: not needed
    case kBinPersId:
      Push(persistent_load_(*Pop()));
      return true;
    default:
      return false;
  }
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
