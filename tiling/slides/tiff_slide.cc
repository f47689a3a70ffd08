// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/tiff_slide.h"

#include <fmt/format.h>
#include <algorithm>

#include "core/base/error.h"
#include "tiling/slides/openslide_slide.h"
#include "tiling/slides/tiff_properties.h"

namespace eosin::tiling {
namespace {

constexpr uint16_t kMaxSamples = 64;  // libtiff allocates whatever is claimed

bool Fail(std::string* error, const std::string& why) {
  if (error) *error = why;
  return false;
}

// libtiff ignores the tag elsewhere.
bool Predicts(const TiffDirectory& d) {
  return d.compression == kTiffLzw || d.compression == kTiffDeflate ||
         d.compression == kTiffOldDeflate;
}

// Why OpenSlide should read the level; empty when we can.
std::string Unsupported(const TiffDirectory& d) {
  const bool jpeg = d.compression == kTiffJpeg;
  const bool packed = Predicts(d) || d.compression == kTiffNone;
  if (!jpeg && !packed) return fmt::format("its compression is {}", d.compression);
  if (d.bits != 8 || d.sample_format != 1) return fmt::format("it has {} bits a sample", d.bits);
  const bool grey = d.samples == 1 && d.photometric == kTiffBlackIsZero;
  const bool colour = d.samples == 3 && d.planar == 1 &&
                      (d.photometric == kTiffRgb || (jpeg && d.photometric == kTiffYCbCr));
  if (!grey && !colour) {
    return fmt::format("it has {} samples a pixel of kind {}", d.samples, d.photometric);
  }
  if (Predicts(d) && d.predictor != 1 && d.predictor != 2) return "its predictor is not supported";
  if (d.orientation > 1) return "it is turned";
  if (d.fill_order > 1) return "its bits are reversed";
  return "";
}

// By the first tile whose header is sound: sequential JPEG in one scan can be checked and copied.
bool Copyable(const ByteSource& source, const std::vector<uint64_t>& offsets,
              const std::vector<uint32_t>& bytes) {
  constexpr size_t kTries = 16;
  constexpr uint32_t kHeader = 1 << 14;
  core::Bytes head;
  for (size_t i = 0, tries = 0; i < offsets.size() && tries < kTries; ++i) {
    if (bytes[i] == 0) continue;
    ++tries;
    head.resize(std::min(bytes[i], kHeader));
    JpegHeader header;
    if (source.Read(offsets[i], head.data(), head.size()) &&
        ParseJpegHeader(head, &header, nullptr)) {
      return header.sequential();
    }
  }
  return true;
}

}  // namespace

// Holds no reference but the slide's, which outlives it.
class TiffTileDecoder : public TileDecoder {
 public:
  explicit TiffTileDecoder(const TiffSlide& slide) : slide_(slide), codecs_(slide.stored_.size()) {}

  bool Decode(int level, int64_t index, int shrink, uint8_t* rgb, ptrdiff_t stride,
              std::string* error) override {
    stored_.clear();
    if (!slide_.ReadStored(level, index, 0, &stored_, error)) return false;
    auto& codec = codecs_[static_cast<size_t>(level)];
    if (!codec) {
      codec = std::make_unique<TileCodec>(slide_.stored_[static_cast<size_t>(level)].format);
    }
    return codec->Decode(stored_, shrink, rgb, stride, error);
  }

 private:
  const TiffSlide& slide_;
  std::vector<std::unique_ptr<TileCodec>> codecs_;  // by level, made when needed
  core::Bytes stored_;
};

std::unique_ptr<TiffSlide> TiffSlide::Open(const fs::path& path, std::string* why_not) {
  return Open(std::make_unique<FileSource>(path), path, why_not);
}

std::unique_ptr<TiffSlide> TiffSlide::Open(std::unique_ptr<ByteSource> source, const fs::path& path,
                                           std::string* why_not) {
  if (!IsTiff(*source)) {
    *why_not = "it is no TIFF";
    return nullptr;
  }
  constexpr uint16_t kNdpi = 65420;
  if (FirstDirectoryHasTag(*source, kNdpi)) {
    *why_not = "it is a Hamamatsu NDPI slide";
    return nullptr;
  }
  TiffFile file = ReadTiff(*source, path.string());
  const std::string vendor = TiffVendor(file, why_not);
  if (vendor.empty()) return nullptr;
  const std::vector<size_t> levels = LevelDirectories(file, vendor);
  for (const size_t i : levels) {
    if (file.directories[i].samples > kMaxSamples) {
      throw core::SlideError(fmt::format("{} is damaged: it claims {} samples a pixel",
                                         path.string(), file.directories[i].samples),
                             "fetch it again; a picture has 1 to 4");
    }
    *why_not = Unsupported(file.directories[i]);
    if (!why_not->empty()) return nullptr;
  }
  std::unique_ptr<TiffSlide> slide(new TiffSlide);
  slide->path_ = path;
  slide->reader_ = "tiff";
  slide->source_ = std::move(source);
  for (const size_t i : levels) {
    const TiffDirectory& directory = file.directories[i];
    if (!directory.problem.empty()) {
      throw core::SlideError(fmt::format("{} is damaged: level {} cannot be read, {}",
                                         path.string(), slide->stored_.size(), directory.problem),
                             "the file was not copied whole or is no sound TIFF; fetch it again");
    }
    slide->AddLevel(&file.directories[i]);
  }
  slide->associated_names_ = AssociatedNames(file, vendor);
  slide->properties_ = TiffProperties(file, vendor, slide->geometry_.levels);
  slide->FinishGeometry();
  return slide;
}

void TiffSlide::AddLevel(TiffDirectory* directory) {
  TiffDirectory& d = *directory;
  SlideLevel level;
  level.width = d.width;
  level.height = d.height;
  level.tile_width = static_cast<int>(d.tile_width);
  level.tile_height = static_cast<int>(d.tile_height);
  if (!geometry_.levels.empty()) {
    const SlideLevel& base = geometry_.levels[0];
    level.downsample = (static_cast<double>(base.height) / static_cast<double>(d.height) +
                        static_cast<double>(base.width) / static_cast<double>(d.width)) /
                       2;
  }
  geometry_.levels.push_back(level);

  Level stored;
  stored.offsets = std::move(d.tile_offsets);
  stored.bytes = std::move(d.tile_bytes);
  stored.format.width = level.tile_width;
  stored.format.height = level.tile_height;
  stored.format.compression = d.compression;
  stored.format.predictor = Predicts(d) ? d.predictor : 1;
  stored.format.samples = d.samples;
  const uint64_t raw =
      static_cast<uint64_t>(d.tile_width) * static_cast<uint64_t>(d.tile_height) * d.samples;
  stored.largest = 2 * raw + (1u << 16);
  if (d.compression == kTiffJpeg) {
    std::string error;
    if (!ParseJpegTables(d.jpeg_tables, &stored.format.tables, &error)) {
      throw core::SlideError(fmt::format("{} is damaged: the tables of level {} cannot be read, {}",
                                         path_.string(), stored_.size(), error),
                             "the file was not copied whole or is no sound TIFF; fetch it again");
    }
    stored.format.colour = d.samples == 1                ? JpegColour::kGrey
                           : d.photometric == kTiffYCbCr ? JpegColour::kYCbCr
                                                         : JpegColour::kRgb;
    if (Copyable(*source_, stored.offsets, stored.bytes)) {
      stored.wrapper = std::make_unique<JpegWrapper>(stored.format.tables, stored.format.colour,
                                                     stored.format.width, stored.format.height);
      geometry_.levels.back().jpeg_tiles = true;
    } else {
      warnings_.push_back(fmt::format(
          "level {} stores its JPEG tiles in several scans: they are decoded, not copied",
          stored_.size()));
    }
    if (!JpegDecoder::SeesLeftover() && stored_.empty()) {
      warnings_.push_back(
          "this libjpeg does not tell how many bytes of a tile it left over: damage that shortens "
          "a tile by under eight bytes is not found");
    }
  }
  stored_.push_back(std::move(stored));
}

bool TiffSlide::ReadStored(int level, int64_t index, size_t room, core::Bytes* out,
                           std::string* error) const {
  if (level < 0 || level >= static_cast<int>(stored_.size())) return Fail(error, "no such level");
  const Level& stored = stored_[static_cast<size_t>(level)];
  if (index < 0 || index >= geometry_.levels[static_cast<size_t>(level)].tile_count()) {
    return Fail(error, "no such tile");
  }
  const uint64_t offset = stored.offsets[static_cast<size_t>(index)];
  const uint32_t count = stored.bytes[static_cast<size_t>(index)];
  if (count == 0) return Fail(error, "the tile is empty (no bytes are stored)");
  if (offset > source_->size() || count > source_->size() - offset) {
    return Fail(error, "the tile lies outside the file");
  }
  if (count > stored.largest) {
    return Fail(error, fmt::format("the tile claims {} bytes, more than its pixels have", count));
  }
  const size_t begin = out->size();
  out->resize(begin + room + count);
  if (!source_->Read(offset, out->data() + begin + room, count)) {
    out->resize(begin);
    return Fail(error, "the tile cannot be read from the file");
  }
  return true;
}

std::unique_ptr<TileDecoder> TiffSlide::NewDecoder() const {
  return std::make_unique<TiffTileDecoder>(*this);
}

bool TiffSlide::StoresJpeg(int level) const {
  return level >= 0 && level < static_cast<int>(stored_.size()) &&
         stored_[static_cast<size_t>(level)].wrapper != nullptr;
}

int64_t TiffSlide::StoredBytes(int level, int64_t index) const {
  if (level < 0 || level >= static_cast<int>(stored_.size()) || index < 0) return 0;
  const auto& bytes = stored_[static_cast<size_t>(level)].bytes;
  return index < static_cast<int64_t>(bytes.size()) ? bytes[static_cast<size_t>(index)] : 0;
}

bool TiffSlide::AppendJpeg(int level, int64_t index, core::Bytes* out, std::string* error) const {
  if (!StoresJpeg(level)) return Slide::AppendJpeg(level, index, out, error);
  const JpegWrapper& wrapper = *stored_[static_cast<size_t>(level)].wrapper;
  const size_t begin = out->size();
  return ReadStored(level, index, wrapper.room(), out, error) && wrapper.Wrap(out, begin, error);
}

core::Image TiffSlide::ReadAssociated(const std::string& name) const {
  return ReadOpenSlideAssociated(path_, name);
}

}  // namespace eosin::tiling
