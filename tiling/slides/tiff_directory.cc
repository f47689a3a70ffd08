// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/tiff_directory.h"

#include <fmt/format.h>
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <set>

#include "core/base/error.h"

namespace eosin::tiling {
namespace {

constexpr uint64_t kMaxEntries = 65535;
constexpr size_t kMaxText = size_t{16} << 20;
constexpr size_t kMaxJpegTables = size_t{1} << 16;

enum Tag : uint16_t {
  kSubfileType = 254,
  kWidth = 256,
  kHeight = 257,
  kBits = 258,
  kCompression = 259,
  kPhotometric = 262,
  kFillOrder = 266,
  kOrientation = 274,
  kSamples = 277,
  kXResolution = 282,
  kYResolution = 283,
  kPlanar = 284,
  kResolutionUnit = 296,
  kPredictor = 317,
  kTileWidth = 322,
  kTileHeight = 323,
  kTileOffsets = 324,
  kTileBytes = 325,
  kSampleFormat = 339,
  kJpegTables = 347,
  kXmp = 700
};
// DocumentName, ImageDescription, Make, Model, Software, DateTime, Artist, HostComputer, Copyright
constexpr uint16_t kTexts[] = {269, 270, 271, 272, 305, 306, 315, 316, 33432};

size_t TypeSize(uint16_t type) {
  switch (type) {
    case 1:
    case 2:
    case 6:
    case 7:
      return 1;
    case 3:
    case 8:
      return 2;
    case 4:
    case 9:
    case 11:
    case 13:
      return 4;
    case 5:
    case 10:
    case 12:
    case 16:
    case 17:
    case 18:
      return 8;
    default:
      return 0;
  }
}

struct Entry {
  uint16_t tag = 0, type = 0;
  uint64_t count = 0;
  uint8_t inlined[8] = {};
};

class Parser {
 public:
  Parser(const ByteSource& source, const std::string& name)
      // Every byte of a sound file is read once; writers that share values between directories
      // need a little more.
      : source_(source), name_(name), budget_(4 * source.size() + (1u << 20)) {}

  // Where the first directory starts.
  uint64_t Header() {
    uint8_t head[16] = {};
    if (!source_.Read(0, head, 8)) Fail("is cut short");
    file_.big_endian = head[0] == 'M';
    const uint16_t magic = Get<uint16_t>(head + 2);
    file_.big_tiff = magic == 43;
    if ((std::memcmp(head, "II", 2) != 0 && std::memcmp(head, "MM", 2) != 0) ||
        (magic != 42 && magic != 43)) {
      Fail("is no TIFF file");
    }
    if (!file_.big_tiff) return Get<uint32_t>(head + 4);
    if (!source_.Read(8, head + 8, 8)) Fail("is cut short");
    if (Get<uint16_t>(head + 4) != 8 || Get<uint16_t>(head + 6) != 0) {
      Fail("has a damaged BigTIFF header");
    }
    return Get<uint64_t>(head + 8);
  }

  TiffFile Run() {
    uint64_t offset = Header();
    std::set<uint64_t> seen;
    while (offset != 0) {
      if (!seen.insert(offset).second) Fail("has directories that turn in a circle");
      if (static_cast<int>(seen.size()) > kMaxTiffDirectories) {
        Fail(fmt::format("has over {} directories", kMaxTiffDirectories));
      }
      std::vector<Entry> entries;
      offset = ReadEntries(offset, &entries);
      file_.directories.push_back(Interpret(entries));
    }
    if (file_.directories.empty()) Fail("has no directory");
    return std::move(file_);
  }

  // The entries of the directory at offset; returns where the next one starts, 0 at the end.
  uint64_t ReadEntries(uint64_t offset, std::vector<Entry>* entries) {
    uint8_t word[8] = {};
    const bool big = file_.big_tiff;
    const size_t count_size = big ? 8 : 2, entry_size = big ? 20 : 12, next_size = big ? 8 : 4;
    if (!source_.Read(offset, word, count_size)) Cut();
    const uint64_t count = big ? Get<uint64_t>(word) : Get<uint16_t>(word);
    if (count > kMaxEntries) Fail("has a directory with too many tags");
    const size_t size = static_cast<size_t>(count) * entry_size + next_size;
    std::vector<uint8_t> bytes;
    if (offset > source_.size() || size > source_.size() - offset) Cut();
    if (!Take(offset + count_size, size, &bytes)) Cut();
    entries->resize(static_cast<size_t>(count));
    const uint8_t* p = bytes.data();
    for (Entry& entry : *entries) {
      entry.tag = Get<uint16_t>(p);
      entry.type = Get<uint16_t>(p + 2);
      entry.count = big ? Get<uint64_t>(p + 4) : Get<uint32_t>(p + 4);
      std::memcpy(entry.inlined, p + (big ? 12 : 8), big ? 8 : 4);
      p += entry_size;
    }
    return big ? Get<uint64_t>(p) : Get<uint32_t>(p);
  }

 private:
  [[noreturn]] void Fail(const std::string& what) const {
    throw core::SlideError(name_ + " " + what,
                           "the file is damaged or was not copied whole; fetch it again");
  }
  [[noreturn]] void Cut() const {
    Fail("is cut short or damaged: a directory of the TIFF lies outside the file");
  }

  template <typename T>
  T Get(const uint8_t* p) const {
    uint8_t bytes[sizeof(T)];
    std::memcpy(bytes, p, sizeof(T));
    if (file_.big_endian != (std::endian::native == std::endian::big)) {
      std::reverse(bytes, bytes + sizeof(T));
    }
    T value;
    std::memcpy(&value, bytes, sizeof(T));
    return value;
  }

  bool Take(uint64_t offset, size_t size, std::vector<uint8_t>* bytes) {
    if (offset > source_.size() || size > source_.size() - offset) return false;
    if (size > budget_) Fail("claims more tables than it has bytes");
    budget_ -= size;
    bytes->resize(size);
    return source_.Read(offset, bytes->data(), size);
  }

  // The bytes of a value, in the file's order; of its first `most` parts where it has more.
  bool Raw(const Entry& entry, std::vector<uint8_t>* bytes, uint64_t most = UINT64_MAX) {
    const size_t each = TypeSize(entry.type);
    if (each == 0 || entry.count > source_.size() / each) return false;
    const size_t size = static_cast<size_t>(std::min(entry.count, most)) * each;
    if (entry.count * each <= (file_.big_tiff ? 8u : 4u)) {
      bytes->assign(entry.inlined, entry.inlined + size);
      return true;
    }
    const uint64_t offset =
        file_.big_tiff ? Get<uint64_t>(entry.inlined) : Get<uint32_t>(entry.inlined);
    return Take(offset, size, bytes);
  }

  // Unsigned integers of any width, the first `most` of them; those over `cap` become the largest
  // of T.
  template <typename T>
  bool Integers(const Entry& entry, uint64_t most, uint64_t cap, std::vector<T>* values) {
    std::vector<uint8_t> raw;
    const bool is_integer = entry.type == 1 || entry.type == 3 || entry.type == 4 ||
                            entry.type == 13 || entry.type == 16 || entry.type == 18;
    if (!is_integer || !Raw(entry, &raw, most)) return false;
    const size_t each = TypeSize(entry.type);
    values->resize(raw.size() / each);
    for (size_t i = 0; i < values->size(); ++i) {
      const uint8_t* p = &raw[i * each];
      const uint64_t value = each == 1   ? *p
                             : each == 2 ? Get<uint16_t>(p)
                             : each == 4 ? Get<uint32_t>(p)
                                         : Get<uint64_t>(p);
      (*values)[i] = value > cap ? static_cast<T>(-1) : static_cast<T>(value);
    }
    return true;
  }

  uint64_t Integer(const Entry& entry) {
    std::vector<uint64_t> values;
    if (entry.count == 0 || entry.count > 64 || !Integers(entry, 64, UINT64_MAX, &values)) return 0;
    return *std::max_element(values.begin(), values.end());
  }
  uint16_t Short(const Entry& entry) {
    return static_cast<uint16_t>(std::min<uint64_t>(Integer(entry), 0xFFFF));
  }
  int64_t Side(const Entry& entry) {
    return static_cast<int64_t>(std::min<uint64_t>(Integer(entry), kMaxTiffSide));
  }

  double Rational(const Entry& entry) {
    std::vector<uint8_t> raw;
    if (entry.count != 1 || !Raw(entry, &raw)) return 0;
    double value = 0;
    if (entry.type == 5) {
      const double over = Get<uint32_t>(raw.data() + 4);
      value = over > 0 ? Get<uint32_t>(raw.data()) / over : 0;
    } else if (entry.type == 11) {
      value = Get<float>(raw.data());
    } else if (entry.type == 12) {
      value = Get<double>(raw.data());
    }
    return std::isfinite(value) && value > 0 ? value : 0;
  }

  std::string Text(const Entry& entry) {
    std::vector<uint8_t> raw;
    const bool is_text = entry.type == 2 || entry.type == 1 || entry.type == 7;
    if (!is_text || entry.count > kMaxText || !Raw(entry, &raw)) return "";
    return {raw.begin(), std::find(raw.begin(), raw.end(), uint8_t{0})};
  }

  TiffDirectory Interpret(const std::vector<Entry>& entries) {
    TiffDirectory d;
    const Entry *offsets = nullptr, *bytes = nullptr;
    for (const Entry& entry : entries) {
      d.tags.push_back(entry.tag);
      switch (entry.tag) {
        case kSubfileType:
          d.has_subfile_type = true;
          d.subfile_type = static_cast<uint32_t>(Integer(entry));
          break;
        case kWidth:
          d.width = Side(entry);
          break;
        case kHeight:
          d.height = Side(entry);
          break;
        case kTileWidth:
          d.tile_width = Side(entry);
          break;
        case kTileHeight:
          d.tile_height = Side(entry);
          break;
        case kBits:
          d.bits = Short(entry);
          break;
        case kCompression:
          d.compression = Short(entry);
          break;
        case kPhotometric:
          d.photometric = Short(entry);
          break;
        case kFillOrder:
          d.fill_order = Short(entry);
          break;
        case kOrientation:
          d.orientation = Short(entry);
          break;
        case kSamples:
          d.samples = Short(entry);
          break;
        case kPlanar:
          d.planar = Short(entry);
          break;
        case kPredictor:
          d.predictor = Short(entry);
          break;
        case kSampleFormat:
          d.sample_format = Short(entry);
          break;
        case kXResolution:
          d.x_resolution = Rational(entry);
          break;
        case kYResolution:
          d.y_resolution = Rational(entry);
          break;
        case kResolutionUnit:
          d.resolution_unit = Short(entry);
          break;
        case kXmp:
          d.xmp = Text(entry);
          break;
        case kTileOffsets:
          offsets = &entry;
          break;
        case kTileBytes:
          bytes = &entry;
          break;
        case kJpegTables:
          if (entry.count <= kMaxJpegTables) Raw(entry, &d.jpeg_tables);
          break;
        default:
          if (std::find(std::begin(kTexts), std::end(kTexts), entry.tag) != std::end(kTexts)) {
            d.texts.emplace_back(entry.tag, Text(entry));
          }
      }
    }
    std::sort(d.tags.begin(), d.tags.end());
    if (d.tiled()) d.problem = ReadTiles(offsets, bytes, &d);
    return d;
  }

  // Returns what is wrong.
  std::string ReadTiles(const Entry* offsets, const Entry* bytes, TiffDirectory* d) {
    if (d->width <= 0 || d->height <= 0 || d->width >= kMaxTiffSide || d->height >= kMaxTiffSide) {
      return fmt::format("it claims {} x {} px", d->width, d->height);
    }
    if (d->tile_width <= 0 || d->tile_height <= 0 || d->tile_width > kMaxTileSide ||
        d->tile_height > kMaxTileSide || d->tile_width * d->tile_height > kMaxTilePixels) {
      return fmt::format("it claims tiles of {} x {} px", d->tile_width, d->tile_height);
    }
    if (!offsets || !bytes) return "it has no table of tiles";
    // Both sides are below 2^31: no overflow.
    const uint64_t tiles = static_cast<uint64_t>(d->columns()) * static_cast<uint64_t>(d->rows());
    if (offsets->count < tiles || bytes->count < tiles) {
      return fmt::format("its tables name {} of {} tiles", std::min(offsets->count, bytes->count),
                         tiles);
    }
    constexpr uint16_t kByte = 1;
    if (offsets->type == kByte || bytes->type == kByte) return "its tables of tiles are of bytes";
    // Either may name more than there are.
    if (!Integers(*offsets, tiles, UINT64_MAX, &d->tile_offsets) ||
        !Integers(*bytes, tiles, kMaxTileBytes, &d->tile_bytes)) {
      d->tile_offsets.clear();
      d->tile_bytes.clear();
      return "its tables of tiles lie outside the file";
    }
    return "";
  }

  const ByteSource& source_;
  const std::string& name_;
  uint64_t budget_;
  TiffFile file_;
};

}  // namespace

bool TiffDirectory::HasTag(uint16_t tag) const {
  return std::binary_search(tags.begin(), tags.end(), tag);
}

const std::string& TiffDirectory::Text(uint16_t tag) const {
  static const std::string kNone;
  for (const auto& [id, text] : texts) {
    if (id == tag) return text;
  }
  return kNone;
}

bool IsTiff(const ByteSource& source) {
  uint8_t head[4] = {};
  if (!source.Read(0, head, 4)) return false;
  const bool little = head[0] == 'I' && head[1] == 'I' && head[3] == 0;
  const bool big = head[0] == 'M' && head[1] == 'M' && head[2] == 0;
  const uint8_t magic = little ? head[2] : head[3];
  return (little || big) && (magic == 42 || magic == 43);
}

TiffFile ReadTiff(const ByteSource& source, const std::string& name) {
  return Parser(source, name).Run();
}

bool FirstDirectoryHasTag(const ByteSource& source, uint16_t tag) {
  if (!IsTiff(source)) return false;
  const std::string name;
  try {
    Parser parser(source, name);
    std::vector<Entry> entries;
    parser.ReadEntries(parser.Header(), &entries);
    return std::any_of(entries.begin(), entries.end(),
                       [tag](const Entry& entry) { return entry.tag == tag; });
  } catch (const core::SlideError&) {
    return false;
  }
}

}  // namespace eosin::tiling
