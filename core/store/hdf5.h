// SPDX-License-Identifier: Apache-2.0
// The part of HDF5 that eosin needs, as handles that close themselves: files, groups, attributes
// and datasets of one or two dimensions. Object times are off, so that equal content gives equal
// bytes. HDF5 prints nothing; its failures become StoreError when reading and MachineError when
// writing, with HDF5's own reason. Every call holds one process-wide lock: handles may be used from
// any thread. File locks are not taken (they fail on many network file systems).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace eosin::core::hdf5 {

// Element types of datasets, in memory and in the file (little-endian).
enum class Type { kUint8, kInt64, kUint64, kFloat32 };

template <typename T>
constexpr Type TypeOf() {
  if constexpr (std::is_same_v<T, uint8_t>) return Type::kUint8;
  if constexpr (std::is_same_v<T, int64_t>) return Type::kInt64;
  if constexpr (std::is_same_v<T, uint64_t>) return Type::kUint64;
  if constexpr (std::is_same_v<T, float>) return Type::kFloat32;
}

// Owns one HDF5 id. Move-only.
class Handle {
 public:
  using CloseFunction = int (*)(int64_t);
  Handle() = default;
  Handle(int64_t id, CloseFunction close) : id_(id), close_(close) {}
  ~Handle() { Reset(); }
  Handle(Handle&& other) noexcept { *this = std::move(other); }
  Handle& operator=(Handle&& other) noexcept;
  int64_t id() const { return id_; }
  bool open() const { return id_ >= 0; }
  // Closes now; false when HDF5 could not (the id is given up all the same).
  bool Reset() noexcept;

 private:
  int64_t id_ = -1;
  CloseFunction close_ = nullptr;
};

// What files, groups and datasets share: attributes.
class Object {
 public:
  bool HasAttribute(const std::string& name) const;
  void SetAttribute(const std::string& name, int64_t value);
  void SetAttribute(const std::string& name, double value);
  void SetAttribute(const std::string& name, const std::string& value);  // UTF-8
  void SetAttribute(const std::string& name, const std::vector<int64_t>& values);
  void SetAttribute(const std::string& name, const std::vector<double>& values);
  // StoreError when the attribute is absent or of another kind. Numbers convert.
  int64_t GetInt64(const std::string& name) const;
  double GetDouble(const std::string& name) const;
  std::string GetString(const std::string& name) const;
  std::vector<int64_t> GetInt64s(const std::string& name) const;
  std::vector<double> GetDoubles(const std::string& name) const;
  std::vector<std::string> AttributeNames() const;  // sorted
  // "i", "f" or "s" and the values as bytes: int64 or double, little-endian, or UTF-8.
  std::string AttributeBytes(const std::string& name) const;

 protected:
  Object() = default;
  Object(Handle handle, std::string source, bool writing)
      : handle_(std::move(handle)), source_(std::move(source)), writing_(writing) {}
  [[noreturn]] void Throw(const std::string& what) const;

  Handle handle_;
  std::string source_;  // file name, for messages
  bool writing_ = false;

 private:
  void WriteAttribute(const std::string& name, int64_t type, const void* data, int64_t count);
  void ReadAttribute(const std::string& name, int64_t type, void* data, int64_t count) const;
  int64_t AttributeCount(const std::string& name) const;
};

// Where the elements of a 1-d uint8 dataset lie in its file, for reading past the library.
struct RawLayout {
  int fd = -1;                     // the library's own descriptor, duplicated: the caller closes it
  int64_t chunk = 0;               // elements a chunk; a contiguous dataset is one chunk
  std::vector<int64_t> addresses;  // of each chunk; -1: compressed, or never written
  // The last chunk where deflate, and nothing else, has packed it.
  int64_t packed_address = -1, packed_size = 0;
};

class Dataset : public Object {
 public:
  Dataset() = default;
  // Extents; 1 or 2 of them.
  const std::vector<int64_t>& shape() const { return shape_; }
  bool open() const { return handle_.open(); }
  void Close() { handle_.Reset(); }
  Type type() const;  // StoreError when it is none of ours

  // All elements, row-major. Integers and floats convert to T where HDF5 can.
  template <typename T>
  std::vector<T> Read() const {
    std::vector<T> values(static_cast<size_t>(ElementCount()));
    ReadAll(TypeOf<T>(), values.data());
    return values;
  }
  // `count` elements of a 1-d dataset from `start`.
  template <typename T>
  std::vector<T> Read(int64_t start, int64_t count) const {
    std::vector<T> values(static_cast<size_t>(count));
    ReadPart(TypeOf<T>(), start, count, values.data());
    return values;
  }
  // A 1-d dataset of CreateStrings.
  std::vector<std::string> ReadStrings() const;
  // One chunk of a dataset of CreateBytes, from `start` (a multiple of the chunk length), where the
  // dataset then ends at `new_size`. `bytes` has the chunk's full length. A last chunk that is not
  // full (new_size < start + length) takes only as much of the file as it is full.
  void WriteChunk(int64_t start, const std::vector<uint8_t>& bytes, int64_t new_size);
  // fd is -1 when the layout is one that must be read through the library.
  RawLayout Layout() const;

 private:
  friend class Group;
  Dataset(Handle handle, std::string source, bool writing);
  int64_t ElementCount() const;
  void ReadAll(Type type, void* out) const;
  void ReadPart(Type type, int64_t start, int64_t count, void* out) const;

  std::vector<int64_t> shape_;
};

class Group : public Object {
 public:
  Group CreateGroup(const std::string& name);
  Group OpenGroup(const std::string& name) const;
  // Dataset with all its values. chunk empty: contiguous and fixed; else chunked, extendable in its
  // first dimension.
  template <typename T>
  Dataset CreateDataset(const std::string& name, const std::vector<T>& values,
                        const std::vector<int64_t>& shape, const std::vector<int64_t>& chunk = {}) {
    return Create(name, TypeOf<T>(), shape, chunk, values.data());
  }
  // The same from the elements of `shape` at `values`.
  template <typename T>
  Dataset CreateDataset(const std::string& name, const T* values,
                        const std::vector<int64_t>& shape) {
    return Create(name, TypeOf<T>(), shape, {}, values);
  }
  // 1-d dataset of UTF-8 strings of variable length, as h5py writes str.
  void CreateStrings(const std::string& name, const std::vector<std::string>& values);
  // Empty 1-d dataset to be filled by WriteChunk. It has HDF5's deflate filter, which full chunks
  // skip: they lie in the file as they are.
  Dataset CreateBytes(const std::string& name, int64_t chunk);
  Dataset OpenDataset(const std::string& name) const;
  bool Has(const std::string& name) const;  // a direct member, group or dataset
  bool IsDataset(const std::string& name) const;
  std::vector<std::string> Names() const;  // members, sorted

 protected:
  Group() = default;
  Group(Handle handle, std::string source, bool writing)
      : Object(std::move(handle), std::move(source), writing) {}

 private:
  Dataset Create(const std::string& name, Type type, const std::vector<int64_t>& shape,
                 const std::vector<int64_t>& chunk, const void* values, bool deflate = false);
};

// A file is its root group.
class File : public Group {
 public:
  static File Create(const std::filesystem::path& path);  // MachineError; replaces what is there
  static File Open(const std::filesystem::path& path);    // StoreError; read-only
  // Writes everything out and closes. Datasets and groups must be closed before. MachineError when
  // the disk did not take it all.
  void Close();

 private:
  File(Handle handle, std::string source, bool writing)
      : Group(std::move(handle), std::move(source), writing) {}
};

}  // namespace eosin::core::hdf5
