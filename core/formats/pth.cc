// SPDX-License-Identifier: Apache-2.0
#include "core/formats/pth.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <unordered_set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/formats/pth_container.h"
#include "core/formats/safetensors.h"

namespace eosin::core {
namespace {

using Kind = PickleValue::Kind;

constexpr int kMaxDepth = 16;
constexpr size_t kMaxVisits = 1'000'000;

// Keys under which training programs put the weights, best first.
constexpr const char* kWrappers[] = {
    "state_dict", "model_state_dict", "model", "online_network_state_dict",
    "teacher",    "student",          "net",   "network",
    "module",     "weights",          "params"};

bool HoldsTensor(const PickleValue& root) {
  std::vector<const PickleValue*> open = {&root};
  std::unordered_set<const PickleValue*> seen = {&root};
  while (!open.empty()) {
    const PickleValue* value = open.back();
    open.pop_back();
    if (value->Is(Kind::kTensor)) return true;
    for (const PickleValue* item : value->items) {
      if (seen.insert(item).second) open.push_back(item);
    }
  }
  return false;
}

const PickleValue* Lookup(const PickleValue& dict, const char* key) {
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    if (dict.items[i]->Is(Kind::kString) && dict.items[i]->text == key) return dict.items[i + 1];
  }
  return nullptr;
}

const PickleValue* Unwrap(const PickleValue* root, std::string* wrapper) {
  for (int depth = 0; depth < 4 && root->Is(Kind::kDict); ++depth) {
    const PickleValue* inner = nullptr;
    for (const char* key : kWrappers) {
      const PickleValue* value = Lookup(*root, key);
      if (value == nullptr || !value->Is(Kind::kDict) || !HoldsTensor(*value)) continue;
      inner = value;
      *wrapper += (wrapper->empty() ? "" : ".") + std::string(key);
      break;
    }
    if (inner == nullptr) break;
    root = inner;
  }
  return root;
}

class Reader {
 public:
  explicit Reader(PthFile& file) : file_(file), budget_(8 * uint64_t{file.size()} + (64u << 20)) {}

  StateDict Read(const PickleValue& root) {
    Flatten(root, "", 0);
    return std::move(dict_);
  }

 private:
  void Flatten(const PickleValue& value, const std::string& name, int depth) {
    if (++visits_ > kMaxVisits || depth > kMaxDepth || name.size() > 4096) {
      RefuseWeights(file_.file(), "nests its weights too deeply");
    }
    const std::string dot = name.empty() ? "" : name + ".";
    if (value.Is(Kind::kTensor)) {
      Add(*value.tensor, name.empty() ? "tensor" : name);
    } else if (value.Is(Kind::kList) || value.Is(Kind::kTuple)) {
      for (size_t i = 0; i < value.items.size(); ++i) {
        Flatten(*value.items[i], dot + std::to_string(i), depth + 1);
      }
    } else if (value.Is(Kind::kDict)) {
      for (size_t i = 0; i + 1 < value.items.size(); i += 2) {
        const PickleValue& key = *value.items[i];
        const PickleValue& item = *value.items[i + 1];
        if (key.Is(Kind::kString))
          Flatten(item, dot + key.text, depth + 1);
        else if (key.Is(Kind::kInt))
          Flatten(item, dot + std::to_string(key.integer), depth + 1);
        else if (HoldsTensor(item))
          RefuseWeights(file_.file(), "holds tensors without names");
      }
    } else if (value.Is(Kind::kOpaque) && value.text.starts_with("torch._")) {
      RefuseWeights(file_.file(), "holds " + name + " as " + value.text +
                                      " (sparse, quantised or the like), which is not supported");
    }
  }

  void Add(const PickleTensor& tensor, const std::string& name) {
    if (!names_.insert(name).second) RefuseWeights(file_.file(), "holds " + name + " twice");
    auto refuse = [&] {
      RefuseWeights(file_.file(), "has the tensor " + name + " reach beyond its values");
    };
    const std::string_view bytes = file_.StorageBytes(*tensor.storage);
    const int64_t size = DTypeSize(tensor.dtype);
    const int64_t held = static_cast<int64_t>(bytes.size()) / size;
    const int64_t count = CountElements(tensor.shape);
    if (count < 0 || tensor.offset < 0 || tensor.shape.size() != tensor.strides.size()) refuse();
    TensorBlob blob{name, tensor.dtype, tensor.shape, {}};
    if (count > 0) {
      int64_t last = tensor.offset;  // the furthest element
      for (size_t d = 0; d < tensor.shape.size(); ++d) {
        const int64_t steps = tensor.shape[d] - 1, stride = tensor.strides[d];
        if (stride < 0 || last >= held || (steps > 0 && stride > (held - 1 - last) / steps)) {
          refuse();
        }
        last += steps * stride;
      }
      if (last >= held) refuse();
      // Expanded tensors can be larger than the file, within reason.
      if (static_cast<uint64_t>(count) > budget_ / static_cast<uint64_t>(size)) refuse();
      budget_ -= static_cast<uint64_t>(count * size);
      blob.data.resize(static_cast<size_t>(count * size));
      Gather(tensor, bytes.data(), size, count, blob.data.data());
    }
    dict_.Add(std::move(blob));
  }

  // Row-major copy of a strided tensor, in runs of the innermost contiguous dimensions.
  static void Gather(const PickleTensor& tensor, const char* from, int64_t size, int64_t count,
                     uint8_t* to) {
    int64_t run = 1;
    size_t outer = tensor.shape.size();
    while (outer > 0 && (tensor.strides[outer - 1] == run || tensor.shape[outer - 1] == 1)) {
      run *= tensor.shape[--outer];
    }
    std::vector<int64_t> index(outer, 0);
    int64_t at = tensor.offset;
    for (int64_t done = 0; done < count; done += run) {
      std::memcpy(to + done * size, from + at * size, static_cast<size_t>(run * size));
      for (size_t d = outer; d-- > 0;) {
        at += tensor.strides[d];
        if (++index[d] < tensor.shape[d]) break;
        at -= tensor.strides[d] * tensor.shape[d];
        index[d] = 0;
      }
    }
  }

  PthFile& file_;
  uint64_t budget_;
  StateDict dict_;
  std::set<std::string> names_;
  size_t visits_ = 0;
};

const char* StorageName(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return "DoubleStorage";
    case DType::kF32:
      return "FloatStorage";
    case DType::kF16:
      return "HalfStorage";
    case DType::kBF16:
      return "BFloat16Storage";
    case DType::kI64:
      return "LongStorage";
    case DType::kI32:
      return "IntStorage";
    case DType::kI16:
      return "ShortStorage";
    case DType::kI8:
      return "CharStorage";
    case DType::kU8:
      return "ByteStorage";
    case DType::kBool:
      return "BoolStorage";
  }
  return "";
}

// The pickle of an OrderedDict of tensors, protocol 2, without a memo.
class PickleText {
 public:
  std::string Make(const StateDict& dict) {
    out_ = "\x80\x02";
    OrderedDict();
    out_ += '(';
    for (size_t i = 0; i < dict.tensors.size(); ++i) Tensor(dict.tensors[i], i);
    out_ += "u.";
    return std::move(out_);
  }

 private:
  void OrderedDict() { out_ += "ccollections\nOrderedDict\n)R"; }
  void Text(const std::string& text) {
    out_ += 'X';
    Raw(static_cast<uint32_t>(text.size()));
    out_ += text;
  }
  void Integer(int64_t value) {
    if (value >= 0 && value <= 0x7fffffff) {
      out_ += 'J';
      Raw(static_cast<int32_t>(value));
    } else {
      out_ += "\x8a\x08";
      Raw(value);
    }
  }
  template <typename T>
  void Raw(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  void Tuple(const std::vector<int64_t>& values) {
    out_ += '(';
    for (const int64_t value : values) Integer(value);
    out_ += 't';
  }
  void Tensor(const TensorBlob& tensor, size_t key) {
    Text(tensor.name);
    out_ += "ctorch._utils\n_rebuild_tensor_v2\n((";
    Text("storage");
    out_ += std::string("ctorch\n") + StorageName(tensor.dtype) + "\n";
    Text(std::to_string(key));
    Text("cpu");
    Integer(tensor.NumElements());
    out_ += "tQ";
    Integer(0);
    std::vector<int64_t> strides(tensor.shape.size());
    int64_t stride = 1;
    for (size_t d = strides.size(); d-- > 0;) {
      strides[d] = stride;
      stride *= std::max<int64_t>(tensor.shape[d], 1);
    }
    Tuple(tensor.shape);
    Tuple(strides);
    out_ += '\x89';  // requires_grad = False
    OrderedDict();   // hooks
    out_ += "tR";
  }

  std::string out_;
};

std::string_view View(const std::vector<uint8_t>& data) {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}

}  // namespace

StateDict ReadPth(const std::filesystem::path& path, std::string* wrapper) {
  PthFile file(path);
  std::string opened;
  const PickleValue* root = Unwrap(&file.root(), &opened);
  if (!HoldsTensor(*root)) {
    std::string what = "holds no tensors";
    if (root->Is(Kind::kOpaque) || root->Is(Kind::kGlobal)) {
      what = "holds a whole " + root->text + " object instead of a state dict";
    }
    throw WeightsError(file.file() + " " + what,
                       "save the weights alone in Python: torch.save(model.state_dict(), path)");
  }
  if (wrapper != nullptr) *wrapper = opened;
  return Reader(file).Read(*root);
}

void WritePth(const std::filesystem::path& path, const StateDict& dict) {
  uint64_t total = 0;
  for (const auto& tensor : dict.tensors) total += tensor.data.size() + 1024 + tensor.name.size();
  if (total > 0xfff00000u || dict.tensors.size() > 60000) {
    throw WeightsError("the weights for " + path.string() + " are too large for eosin's .pth",
                       "write .safetensors instead");
  }
  AtomicFile file(path);
  std::ofstream out(file.part_path(), std::ios::binary | std::ios::trunc);
  ZipWriter zip(out);
  zip.Add("archive/data.pkl", PickleText().Make(dict));
  zip.Add("archive/.format_version", "1");
  zip.Add("archive/.storage_alignment", "64");
  zip.Add("archive/byteorder", "little");
  for (size_t i = 0; i < dict.tensors.size(); ++i) {
    zip.Add("archive/data/" + std::to_string(i), View(dict.tensors[i].data));
  }
  zip.Add("archive/version", "3\n");
  zip.Finish();
  out.close();
  if (!out) {
    throw MachineError("cannot write " + path.string() + ": " + std::strerror(errno),
                       "check the folder, its rights and the free space");
  }
  file.Commit();
}

StateDict ReadWeights(const std::filesystem::path& path,
                      std::map<std::string, std::string>* metadata) {
  enum class Content { kSafetensors, kPth, kOther } content;
  {
    const MappedFile map(path);
    const std::string_view bytes = map.bytes();
    const std::string file = path.string();
    if (bytes.empty()) RefuseWeights(file, "is empty");
    if (bytes.starts_with("<"))
      RefuseWeights(file, "is a web page, not weights: the download failed");
    if (bytes.starts_with("version https://git-lfs")) {
      throw WeightsError(file + " is a git-lfs pointer, not the weights", "run git lfs pull");
    }
    if (DetectPth(bytes))
      content = Content::kPth;
    else if (bytes.size() > 8 && bytes[8] == '{')
      content = Content::kSafetensors;
    else
      content = Content::kOther;
  }
  switch (content) {
    case Content::kPth:
      return ReadPth(path);
    case Content::kSafetensors:
      return ReadSafetensors(path, metadata);
    case Content::kOther:
      break;
  }
  throw WeightsError(path.string() + " is neither a PyTorch checkpoint nor a safetensors file",
                     "give a .pth, .pt, .ckpt or .safetensors file");
}

}  // namespace eosin::core
