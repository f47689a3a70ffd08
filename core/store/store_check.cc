// SPDX-License-Identifier: Apache-2.0
#include "core/store/store_check.h"

#include <fmt/format.h>
#include <algorithm>
#include <functional>
#include <utility>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/store/byte_reader.h"
#include "core/store/schema.h"

namespace eosin::core {
namespace {

using Visit = std::function<void(const std::string& path, const hdf5::Object& object,
                                 hdf5::Dataset* dataset)>;

// Groups before their members, members by name; paths like "/tiles/bytes".
void Walk(const hdf5::Group& group, const std::string& path, int depth, const Visit& visit) {
  visit(path, group, nullptr);
  if (depth > 8) throw StoreError("groups nest too deep at " + path, schema::kMakeAgain);
  const std::string prefix = path == "/" ? path : path + "/";
  for (const std::string& name : group.Names()) {
    if (group.IsDataset(name)) {
      hdf5::Dataset dataset = group.OpenDataset(name);
      visit(prefix + name, dataset, &dataset);
    } else {
      Walk(group.OpenGroup(name), prefix + name, depth + 1, visit);
    }
  }
}

template <typename T>
std::string HashWhole(const hdf5::Dataset& dataset, int64_t* bytes) {
  const std::vector<T> values = dataset.Read<T>();
  *bytes += static_cast<int64_t>(values.size() * sizeof(T));
  return Xxh3Hex(values.data(), values.size() * sizeof(T));
}

std::string HashBytes(hdf5::Dataset dataset, const std::string& source, int64_t* bytes) {
  Xxh3 hash;
  const ByteReader reader(std::move(dataset), source);
  for (int64_t start = 0; start < reader.size(); start += schema::kBytesChunk) {
    const std::vector<uint8_t> part =
        reader.Read(start, std::min(schema::kBytesChunk, reader.size() - start));
    hash.Update(part.data(), part.size());
  }
  *bytes += reader.size();
  return hash.Hex();
}

std::string Hash(hdf5::Dataset& dataset, const std::string& source, int64_t* bytes) {
  switch (dataset.type()) {
    case hdf5::Type::kUint8:
      return dataset.shape().size() == 1 ? HashBytes(std::move(dataset), source, bytes)
                                         : HashWhole<uint8_t>(dataset, bytes);
    case hdf5::Type::kInt64:
      return HashWhole<int64_t>(dataset, bytes);
    case hdf5::Type::kUint64:
      return HashWhole<uint64_t>(dataset, bytes);
    case hdf5::Type::kFloat32:
      return HashWhole<float>(dataset, bytes);
  }
  return {};
}

}  // namespace

std::string AttributesHash(const hdf5::Group& root) {
  Xxh3 hash;
  Walk(root, "/", 0, [&](const std::string& path, const hdf5::Object& object, const auto*) {
    for (const std::string& name : object.AttributeNames()) {
      if (path == "/" && (name == schema::kHash || name == "complete")) continue;
      const std::string value = object.AttributeBytes(name);
      hash.Update(fmt::format("{} {} {} ", path, name, value.size()));
      hash.Update(value);
    }
  });
  return hash.Hex();
}

HashCheck CheckHashes(const std::filesystem::path& store) {
  HashCheck check;
  const hdf5::File file = hdf5::File::Open(store);
  const auto visit = [&](const std::string& path, const hdf5::Object& object,
                         hdf5::Dataset* dataset) {
    if (!dataset) return;
    const std::string name = path.substr(1);
    try {
      if (!object.HasAttribute(schema::kHash)) {
        check.problems.push_back(name + " has no hash");
        return;
      }
      ++check.datasets;
      const std::string expected = object.GetString(schema::kHash);
      if (Hash(*dataset, store.string(), &check.bytes) != expected) {
        check.problems.push_back(name + " is not what was written: its hash differs");
      }
    } catch (const StoreError& error) {
      check.problems.push_back(name + " cannot be read: " + error.what());
    }
  };
  try {
    Walk(file, "/", 0, visit);
    if (!file.HasAttribute(schema::kHash)) {
      check.problems.push_back("the attributes have no hash");
    } else if (AttributesHash(file) != file.GetString(schema::kHash)) {
      check.problems.push_back(
          "an attribute, or the list of datasets, is not what was written: the root's hash "
          "differs");
    }
  } catch (const StoreError& error) {
    check.problems.push_back(error.what());
  }
  return check;
}

}  // namespace eosin::core
