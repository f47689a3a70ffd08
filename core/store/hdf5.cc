// SPDX-License-Identifier: Apache-2.0
#include "core/store/hdf5.h"

#include <hdf5.h>
#include <unistd.h>
#include <zlib.h>
#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#include "core/base/error.h"

namespace eosin::core::hdf5 {
namespace {

static_assert(std::is_same_v<hid_t, int64_t> && std::is_same_v<herr_t, int>);

// Debian's library is thread-safe, others are not; one lock serves both.
std::unique_lock<std::recursive_mutex> Lock() {
  static std::recursive_mutex mutex;
  std::unique_lock lock(mutex);
  static const bool ready = [] {
    // After a full disk the library's exit handler tries to flush again and crashes.
    H5dont_atexit();
    H5open();
    return true;
  }();
  (void)ready;
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // per thread in a thread-safe library
  return lock;
}

herr_t KeepInnermost(unsigned, const H5E_error2_t* error, void* out) {
  auto* text = static_cast<std::string*>(out);
  if (text->empty() && error->desc) *text = error->desc;
  return 0;
}

// HDF5's innermost reason, or the system's words inside it.
std::string LastError() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, KeepInnermost, &text);
  const std::string key = "error message = '";
  const size_t begin = text.find(key);
  if (begin != std::string::npos) {
    const size_t from = begin + key.size();
    text = text.substr(from, text.find('\'', from) - from);
  }
  return text.empty() ? "HDF5 gives no reason" : text;
}

hid_t FileType(Type type) {
  switch (type) {
    case Type::kUint8:
      return H5T_STD_U8LE;
    case Type::kInt64:
      return H5T_STD_I64LE;
    case Type::kUint64:
      return H5T_STD_U64LE;
    case Type::kFloat32:
      return H5T_IEEE_F32LE;
  }
  return H5T_STD_U8LE;
}

hid_t MemoryType(Type type) {
  switch (type) {
    case Type::kUint8:
      return H5T_NATIVE_UINT8;
    case Type::kInt64:
      return H5T_NATIVE_INT64;
    case Type::kUint64:
      return H5T_NATIVE_UINT64;
    case Type::kFloat32:
      return H5T_NATIVE_FLOAT;
  }
  return H5T_NATIVE_UINT8;
}

Handle Space(hid_t id) { return {id, H5Sclose}; }
Handle Properties(hid_t kind) { return {H5Pcreate(kind), H5Pclose}; }

// For what is created: no times, and attributes in the object's own header, however many.
Handle CreateProperties(hid_t kind) {
  Handle create = Properties(kind);
  H5Pset_obj_track_times(create.id(), false);
  H5Pset_attr_phase_change(create.id(), 1000, 0);
  return create;
}

Handle StringType(size_t size) {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.id(), size);
  H5Tset_cset(type.id(), H5T_CSET_UTF8);
  return type;
}

std::vector<hsize_t> Extents(const std::vector<int64_t>& shape) {
  return {shape.begin(), shape.end()};
}

// A zlib stream of `bytes` whose tail beyond `used` is zeros: what is used is stored as it is
// (pixels that are compressed already do not shrink), the tail as a few bytes.
std::vector<uint8_t> PackPartlyFull(const std::vector<uint8_t>& bytes, size_t used) {
  z_stream stream{};
  if (deflateInit(&stream, Z_NO_COMPRESSION) != Z_OK) throw std::bad_alloc();
  std::vector<uint8_t> packed(deflateBound(&stream, static_cast<uLong>(bytes.size())));
  stream.next_out = packed.data();
  stream.avail_out = static_cast<uInt>(packed.size());
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(used);
  deflate(&stream, Z_BLOCK);
  deflateParams(&stream, Z_DEFAULT_COMPRESSION, Z_DEFAULT_STRATEGY);
  stream.avail_in = static_cast<uInt>(bytes.size() - used);
  const int result = deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) throw std::bad_alloc();
  return packed;
}

bool OnlyDeflate(const Handle& create) {
  if (H5Pget_nfilters(create.id()) != 1) return false;
  unsigned flags = 0;
  size_t values = 0;
  return H5Pget_filter2(create.id(), 0, &flags, &values, nullptr, 0, nullptr, nullptr) ==
         H5Z_FILTER_DEFLATE;
}

Handle FileAccess() {
  Handle access = Properties(H5P_FILE_ACCESS);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(access.id(), false, true);
#endif
  // The format of HDF5 1.8 checks its headers by checksums; that of 1.6, the default, does not.
  H5Pset_libver_bounds(access.id(), H5F_LIBVER_V18, H5F_LIBVER_V18);
  return access;
}

}  // namespace

Handle& Handle::operator=(Handle&& other) noexcept {
  if (this == &other) return *this;
  Reset();
  id_ = std::exchange(other.id_, -1);
  close_ = std::exchange(other.close_, nullptr);
  return *this;
}

bool Handle::Reset() noexcept {
  if (id_ < 0) return true;
  const auto lock = Lock();
  const bool closed = close_(std::exchange(id_, -1)) >= 0;
  return closed;
}

void Object::Throw(const std::string& what) const {
  const std::string why = LastError();
  if (writing_) {
    throw MachineError("cannot write " + source_ + " (" + what + "): " + why,
                       "free some space, check the rights of the folder, or write to another disk");
  }
  throw StoreError("cannot read " + what + " of " + source_ + ": " + why,
                   "the file is damaged or was not made by eosin; make it again");
}

bool Object::HasAttribute(const std::string& name) const {
  const auto lock = Lock();
  return H5Aexists(handle_.id(), name.c_str()) > 0;
}

void Object::WriteAttribute(const std::string& name, int64_t type, const void* data,
                            int64_t count) {
  const hsize_t extent = static_cast<hsize_t>(std::max<int64_t>(count, 0));
  const Handle space =
      Space(count < 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &extent, nullptr));
  if (H5Aexists(handle_.id(), name.c_str()) > 0) H5Adelete(handle_.id(), name.c_str());
  Handle attribute(
      H5Acreate2(handle_.id(), name.c_str(), type, space.id(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  if (!attribute.open() || H5Awrite(attribute.id(), type, data) < 0) Throw("attribute " + name);
}

void Object::SetAttribute(const std::string& name, int64_t value) {
  const auto lock = Lock();
  WriteAttribute(name, H5T_NATIVE_INT64, &value, -1);
}

void Object::SetAttribute(const std::string& name, double value) {
  const auto lock = Lock();
  WriteAttribute(name, H5T_NATIVE_DOUBLE, &value, -1);
}

void Object::SetAttribute(const std::string& name, const std::string& value) {
  const auto lock = Lock();
  // Variable length, as h5py writes str: h5py reads it back as str.
  const Handle type = StringType(H5T_VARIABLE);
  const char* text = value.c_str();
  WriteAttribute(name, type.id(), &text, -1);
}

void Object::SetAttribute(const std::string& name, const std::vector<int64_t>& values) {
  const auto lock = Lock();
  WriteAttribute(name, H5T_NATIVE_INT64, values.data(), static_cast<int64_t>(values.size()));
}

void Object::SetAttribute(const std::string& name, const std::vector<double>& values) {
  const auto lock = Lock();
  WriteAttribute(name, H5T_NATIVE_DOUBLE, values.data(), static_cast<int64_t>(values.size()));
}

int64_t Object::AttributeCount(const std::string& name) const {
  const Handle attribute(H5Aopen(handle_.id(), name.c_str(), H5P_DEFAULT), H5Aclose);
  if (!attribute.open()) Throw("attribute " + name);
  const Handle space = Space(H5Aget_space(attribute.id()));
  const int64_t count = H5Sget_simple_extent_npoints(space.id());
  if (count < 0 || count > 4096) Throw("attribute " + name);
  return count;
}

void Object::ReadAttribute(const std::string& name, int64_t type, void* data, int64_t count) const {
  if (AttributeCount(name) != count) Throw("attribute " + name + " (wrong length)");
  const Handle attribute(H5Aopen(handle_.id(), name.c_str(), H5P_DEFAULT), H5Aclose);
  if (H5Aread(attribute.id(), type, data) < 0) Throw("attribute " + name);
}

int64_t Object::GetInt64(const std::string& name) const {
  const auto lock = Lock();
  int64_t value = 0;
  ReadAttribute(name, H5T_NATIVE_INT64, &value, 1);
  return value;
}

double Object::GetDouble(const std::string& name) const {
  const auto lock = Lock();
  double value = 0;
  ReadAttribute(name, H5T_NATIVE_DOUBLE, &value, 1);
  return value;
}

std::string Object::GetString(const std::string& name) const {
  const auto lock = Lock();
  if (AttributeCount(name) != 1) Throw("attribute " + name + " (wrong length)");
  const Handle attribute(H5Aopen(handle_.id(), name.c_str(), H5P_DEFAULT), H5Aclose);
  const Handle type(H5Aget_type(attribute.id()), H5Tclose);
  if (H5Tget_class(type.id()) != H5T_STRING) Throw("attribute " + name + " (not a string)");
  if (H5Tis_variable_str(type.id()) > 0) {
    char* text = nullptr;
    const Handle memory(H5Tcopy(type.id()), H5Tclose);
    if (H5Aread(attribute.id(), memory.id(), &text) < 0 || !text) Throw("attribute " + name);
    std::string value(text);
    H5free_memory(text);
    return value;
  }
  const size_t size = H5Tget_size(type.id());
  if (size > (size_t{1} << 20)) Throw("attribute " + name + " (too long)");
  std::string value(size, '\0');
  if (H5Aread(attribute.id(), type.id(), value.data()) < 0) Throw("attribute " + name);
  value.resize(std::strlen(value.c_str()));
  return value;
}

std::vector<int64_t> Object::GetInt64s(const std::string& name) const {
  const auto lock = Lock();
  std::vector<int64_t> values(static_cast<size_t>(AttributeCount(name)));
  ReadAttribute(name, H5T_NATIVE_INT64, values.data(), static_cast<int64_t>(values.size()));
  return values;
}

std::vector<double> Object::GetDoubles(const std::string& name) const {
  const auto lock = Lock();
  std::vector<double> values(static_cast<size_t>(AttributeCount(name)));
  ReadAttribute(name, H5T_NATIVE_DOUBLE, values.data(), static_cast<int64_t>(values.size()));
  return values;
}

std::vector<std::string> Object::AttributeNames() const {
  const auto lock = Lock();
  std::vector<std::string> names;
  auto take = [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->push_back(name);
    return 0;
  };
  if (H5Aiterate2(handle_.id(), H5_INDEX_NAME, H5_ITER_INC, nullptr, take, &names) < 0) {
    Throw("attribute names");
  }
  return names;
}

std::string Object::AttributeBytes(const std::string& name) const {
  const auto lock = Lock();
  const Handle attribute(H5Aopen(handle_.id(), name.c_str(), H5P_DEFAULT), H5Aclose);
  if (!attribute.open()) Throw("attribute " + name);
  const Handle type(H5Aget_type(attribute.id()), H5Tclose);
  const H5T_class_t kind = H5Tget_class(type.id());
  if (kind == H5T_STRING) return "s" + GetString(name);
  const auto bytes = [](char letter, const auto& values) {
    return letter + std::string(reinterpret_cast<const char*>(values.data()),
                                values.size() * sizeof values[0]);
  };
  if (kind == H5T_INTEGER) return bytes('i', GetInt64s(name));
  if (kind == H5T_FLOAT) return bytes('f', GetDoubles(name));
  Throw("attribute " + name + " (of an unknown kind)");
}

Dataset::Dataset(Handle handle, std::string source, bool writing)
    : Object(std::move(handle), std::move(source), writing) {
  const Handle space = Space(H5Dget_space(handle_.id()));
  const int rank = H5Sget_simple_extent_ndims(space.id());
  if (rank < 1 || rank > 2) Throw("a dataset (it has " + std::to_string(rank) + " dimensions)");
  hsize_t extents[2];
  H5Sget_simple_extent_dims(space.id(), extents, nullptr);
  shape_.assign(extents, extents + rank);
}

int64_t Dataset::ElementCount() const {
  int64_t count = 1;
  for (const int64_t extent : shape_) {
    // Extents are free to claim anything; memory is not.
    if (extent > (int64_t{1} << 32) || (extent > 0 && count > (int64_t{1} << 32) / extent)) {
      throw StoreError("a dataset of " + source_ + " is too large to read whole",
                       "the file is damaged; make it again");
    }
    count *= extent;
  }
  return count;
}

void Dataset::ReadAll(Type type, void* out) const {
  const auto lock = Lock();
  if (ElementCount() == 0) return;
  if (H5Dread(handle_.id(), MemoryType(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, out) < 0) {
    Throw("a dataset");
  }
}

void Dataset::ReadPart(Type type, int64_t start, int64_t count, void* out) const {
  if (count == 0) return;
  const auto lock = Lock();
  const Handle space = Space(H5Dget_space(handle_.id()));
  const hsize_t offset = static_cast<hsize_t>(start), size = static_cast<hsize_t>(count);
  const Handle memory = Space(H5Screate_simple(1, &size, nullptr));
  if (shape_.size() != 1 || start < 0 || count < 0 || start + count > shape_[0] ||
      H5Sselect_hyperslab(space.id(), H5S_SELECT_SET, &offset, nullptr, &size, nullptr) < 0 ||
      H5Dread(handle_.id(), MemoryType(type), memory.id(), space.id(), H5P_DEFAULT, out) < 0) {
    Throw("part of a dataset");
  }
}

std::vector<std::string> Dataset::ReadStrings() const {
  const auto lock = Lock();
  const Handle type(H5Dget_type(handle_.id()), H5Tclose);
  if (shape_.size() != 1 || H5Tis_variable_str(type.id()) <= 0) Throw("a dataset of strings");
  std::vector<std::string> values(static_cast<size_t>(ElementCount()));
  if (values.empty()) return values;
  std::vector<char*> texts(values.size(), nullptr);
  if (H5Dread(handle_.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, texts.data()) < 0) {
    Throw("a dataset of strings");
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (texts[i]) values[i] = texts[i];
    H5free_memory(texts[i]);
  }
  return values;
}

Type Dataset::type() const {
  const auto lock = Lock();
  const Handle type(H5Dget_type(handle_.id()), H5Tclose);
  for (const Type known : {Type::kUint8, Type::kInt64, Type::kUint64, Type::kFloat32}) {
    if (H5Tequal(type.id(), FileType(known)) > 0) return known;
  }
  Throw("a dataset (its element type)");
}

void Dataset::WriteChunk(int64_t start, const std::vector<uint8_t>& bytes, int64_t new_size) {
  const auto lock = Lock();
  const hsize_t extent = static_cast<hsize_t>(new_size), offset = static_cast<hsize_t>(start);
  const size_t used = static_cast<size_t>(new_size - start);
  const bool full = used >= bytes.size();
  std::vector<uint8_t> packed;
  if (!full) packed = PackPartlyFull(bytes, used);
  const std::vector<uint8_t>& data = full ? bytes : packed;
  constexpr uint32_t kSkipDeflate = 1;  // bit 0: the first filter was not applied
  if (H5Dset_extent(handle_.id(), &extent) < 0 ||
      H5Dwrite_chunk(handle_.id(), H5P_DEFAULT, full ? kSkipDeflate : 0, &offset, data.size(),
                     data.data()) < 0) {
    Throw("a chunk");
  }
  shape_[0] = new_size;
}

RawLayout Dataset::Layout() const {
  const auto lock = Lock();
  RawLayout raw;
  const Handle create(H5Dget_create_plist(handle_.id()), H5Pclose);
  const Handle file(H5Iget_file_id(handle_.id()), H5Fclose);
  const Handle file_create(H5Fget_create_plist(file.id()), H5Pclose);
  hsize_t user_block = 0;
  H5Pget_userblock(file_create.id(), &user_block);
  if (shape_.size() != 1 || type() != Type::kUint8 || user_block != 0) return raw;
  switch (H5Pget_layout(create.id())) {
    case H5D_CONTIGUOUS: {
      const haddr_t address = H5Dget_offset(handle_.id());
      raw.chunk = shape_[0];
      if (shape_[0] > 0 && (address == HADDR_UNDEF || H5Pget_external_count(create.id()) > 0)) {
        return raw;
      }
      if (shape_[0] > 0) raw.addresses = {static_cast<int64_t>(address)};
      break;
    }
    case H5D_CHUNKED: {
      hsize_t chunk = 0;
      H5Pget_chunk(create.id(), 1, &chunk);
      raw.chunk = static_cast<int64_t>(chunk);
      const bool filtered = H5Pget_nfilters(create.id()) > 0;
      for (int64_t start = 0; start < shape_[0]; start += raw.chunk) {
        const hsize_t offset = static_cast<hsize_t>(start);
        unsigned skipped = 0;
        haddr_t address = HADDR_UNDEF;
        hsize_t size = 0;
        if (H5Dget_chunk_info_by_coord(handle_.id(), &offset, &skipped, &address, &size) < 0) {
          Throw("the place of a chunk");
        }
        const bool plain = address != HADDR_UNDEF && size == chunk &&
                           (!filtered || skipped == (1U << H5Pget_nfilters(create.id())) - 1);
        raw.addresses.push_back(plain ? static_cast<int64_t>(address) : -1);
        const bool last = start + raw.chunk >= shape_[0];
        if (last && !plain && address != HADDR_UNDEF && skipped == 0 && OnlyDeflate(create)) {
          raw.packed_address = static_cast<int64_t>(address);
          raw.packed_size = static_cast<int64_t>(size);
        }
      }
      break;
    }
    default:
      return raw;
  }
  int* fd = nullptr;
  if (H5Fget_vfd_handle(file.id(), H5P_DEFAULT, reinterpret_cast<void**>(&fd)) < 0 || !fd) {
    return raw;
  }
  raw.fd = ::dup(*fd);
  return raw;
}

Group Group::CreateGroup(const std::string& name) {
  const auto lock = Lock();
  const Handle create = CreateProperties(H5P_GROUP_CREATE);
  Handle group(H5Gcreate2(handle_.id(), name.c_str(), H5P_DEFAULT, create.id(), H5P_DEFAULT),
               H5Gclose);
  if (!group.open()) Throw("group " + name);
  return {std::move(group), source_, writing_};
}

Group Group::OpenGroup(const std::string& name) const {
  const auto lock = Lock();
  Handle group(H5Gopen2(handle_.id(), name.c_str(), H5P_DEFAULT), H5Gclose);
  if (!group.open()) Throw("group " + name);
  return {std::move(group), source_, writing_};
}

Dataset Group::Create(const std::string& name, Type type, const std::vector<int64_t>& shape,
                      const std::vector<int64_t>& chunk, const void* values, bool deflate) {
  const auto lock = Lock();
  const Handle create = CreateProperties(H5P_DATASET_CREATE);
  const std::vector<hsize_t> extents = Extents(shape);
  std::vector<hsize_t> limits = extents;
  if (!chunk.empty()) {
    H5Pset_chunk(create.id(), static_cast<int>(chunk.size()), Extents(chunk).data());
    limits[0] = H5S_UNLIMITED;
  }
  if (deflate) H5Pset_deflate(create.id(), 1);
  const Handle space =
      Space(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), limits.data()));
  Handle dataset(H5Dcreate2(handle_.id(), name.c_str(), FileType(type), space.id(), H5P_DEFAULT,
                            create.id(), H5P_DEFAULT),
                 H5Dclose);
  if (!dataset.open()) Throw("dataset " + name);
  const bool empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
  if (!empty &&
      H5Dwrite(dataset.id(), MemoryType(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) {
    Throw("dataset " + name);
  }
  return {std::move(dataset), source_, writing_};
}

void Group::CreateStrings(const std::string& name, const std::vector<std::string>& values) {
  const auto lock = Lock();
  const Handle create = CreateProperties(H5P_DATASET_CREATE);
  const hsize_t count = values.size();
  const Handle space = Space(H5Screate_simple(1, &count, nullptr));
  const Handle type = StringType(H5T_VARIABLE);
  const Handle dataset(H5Dcreate2(handle_.id(), name.c_str(), type.id(), space.id(), H5P_DEFAULT,
                                  create.id(), H5P_DEFAULT),
                       H5Dclose);
  std::vector<const char*> texts;
  for (const std::string& value : values) texts.push_back(value.c_str());
  if (!dataset.open() || (count > 0 && H5Dwrite(dataset.id(), type.id(), H5S_ALL, H5S_ALL,
                                                H5P_DEFAULT, texts.data()) < 0)) {
    Throw("dataset " + name);
  }
}

Dataset Group::CreateBytes(const std::string& name, int64_t chunk) {
  return Create(name, Type::kUint8, {0}, {chunk}, nullptr, true);
}

Dataset Group::OpenDataset(const std::string& name) const {
  const auto lock = Lock();
  const Handle access = Properties(H5P_DATASET_ACCESS);
  // No chunk cache: a tile is a small part of a chunk, read straight from the file.
  H5Pset_chunk_cache(access.id(), 1, 0, 0);
  Handle dataset(H5Dopen2(handle_.id(), name.c_str(), access.id()), H5Dclose);
  if (!dataset.open()) Throw("dataset " + name);
  return {std::move(dataset), source_, writing_};
}

bool Group::Has(const std::string& name) const {
  const auto lock = Lock();
  return H5Lexists(handle_.id(), name.c_str(), H5P_DEFAULT) > 0 &&
         H5Oexists_by_name(handle_.id(), name.c_str(), H5P_DEFAULT) > 0;
}

bool Group::IsDataset(const std::string& name) const {
  if (!Has(name)) return false;
  const auto lock = Lock();
  const Handle object(H5Oopen(handle_.id(), name.c_str(), H5P_DEFAULT), H5Oclose);
  return object.open() && H5Iget_type(object.id()) == H5I_DATASET;
}

std::vector<std::string> Group::Names() const {
  const auto lock = Lock();
  std::vector<std::string> names;
  auto take = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->push_back(name);
    return 0;
  };
  if (H5Literate(handle_.id(), H5_INDEX_NAME, H5_ITER_INC, nullptr, take, &names) < 0) {
    Throw("names");
  }
  return names;
}

File File::Create(const std::filesystem::path& path) {
  const auto lock = Lock();
  const Handle create = CreateProperties(H5P_FILE_CREATE);
  const Handle access = FileAccess();
  Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, create.id(), access.id()), H5Fclose);
  File result(std::move(file), path.string(), true);
  if (!result.handle_.open()) result.Throw("create");
  return result;
}

File File::Open(const std::filesystem::path& path) {
  const auto lock = Lock();
  const Handle access = FileAccess();
  // Errors of a file that is no HDF5 at all read badly; say so in our own words.
  if (std::filesystem::exists(path) && H5Fis_hdf5(path.c_str()) <= 0) {
    throw StoreError(path.string() + " is not an HDF5 file, or its beginning is damaged",
                     "give a tile store (.h5) made by eosin tile");
  }
  Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.id()), H5Fclose);
  File result(std::move(file), path.string(), false);
  if (!result.handle_.open()) result.Throw("the header");
  return result;
}

void File::Close() {
  const auto lock = Lock();
  if (writing_ && H5Fflush(handle_.id(), H5F_SCOPE_GLOBAL) < 0) Throw("flush");
  if (!handle_.Reset()) Throw("close");
}

}  // namespace eosin::core::hdf5
