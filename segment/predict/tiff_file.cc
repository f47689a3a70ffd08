// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/tiff_file.h"

#include <fmt/format.h>
#include <zlib.h>
#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "core/base/error.h"
#include "segment/predict/predict_plan.h"

namespace eosin::segment {
namespace {

// Keeps the words instead of printing them.
int KeepMessage(TIFF*, void* user, const char* module, const char* format, va_list arguments) {
  char text[512];
  std::vsnprintf(text, sizeof(text), format, arguments);
  *static_cast<std::string*>(user) = std::string(module ? module : "libtiff") + ": " + text;
  return 1;
}

}  // namespace

TiffFile::TiffFile(const std::filesystem::path& path) : name_(path.string()), file_(path) {
  TIFFOpenOptions* options = TIFFOpenOptionsAlloc();
  TIFFOpenOptionsSetErrorHandlerExtR(options, KeepMessage, &message_);
  TIFFOpenOptionsSetWarningHandlerExtR(options, KeepMessage, &message_);
  tiff_ = TIFFOpenExt(file_.part_path().c_str(), "w8l", options);
  TIFFOpenOptionsFree(options);
  if (!tiff_) Fail();
}

TiffFile::~TiffFile() {
  if (tiff_) TIFFClose(tiff_);
}

void TiffFile::Fail() const {
  throw core::MachineError(fmt::format("cannot write {}: {}", name_, message_),
                           "check the free space and the rights of the folder");
}

void TiffFile::SetLayout(int64_t width, int64_t height, double um, int samples,
                         const std::string& description) {
  const double per_cm = 10000 / um;
  const bool ok = TIFFSetField(tiff_, TIFFTAG_IMAGEWIDTH, static_cast<uint32_t>(width)) &&
                  TIFFSetField(tiff_, TIFFTAG_IMAGELENGTH, static_cast<uint32_t>(height)) &&
                  TIFFSetField(tiff_, TIFFTAG_TILEWIDTH, kBlock) &&
                  TIFFSetField(tiff_, TIFFTAG_TILELENGTH, kBlock) &&
                  TIFFSetField(tiff_, TIFFTAG_BITSPERSAMPLE, 8) &&
                  TIFFSetField(tiff_, TIFFTAG_SAMPLESPERPIXEL, samples) &&
                  TIFFSetField(tiff_, TIFFTAG_PLANARCONFIG,
                               samples > 1 ? PLANARCONFIG_SEPARATE : PLANARCONFIG_CONTIG) &&
                  TIFFSetField(tiff_, TIFFTAG_COMPRESSION, COMPRESSION_ADOBE_DEFLATE) &&
                  TIFFSetField(tiff_, TIFFTAG_RESOLUTIONUNIT, RESUNIT_CENTIMETER) &&
                  TIFFSetField(tiff_, TIFFTAG_XRESOLUTION, per_cm) &&
                  TIFFSetField(tiff_, TIFFTAG_YRESOLUTION, per_cm) &&
                  TIFFSetField(tiff_, TIFFTAG_SOFTWARE, "eosin predict") &&
                  TIFFSetField(tiff_, TIFFTAG_IMAGEDESCRIPTION, description.c_str());
  if (!ok) Fail();
}

void TiffFile::WriteTile(int64_t index, const std::vector<uint8_t>& compressed) {
  if (TIFFWriteRawTile(tiff_, static_cast<uint32_t>(index), const_cast<uint8_t*>(compressed.data()),
                       static_cast<tmsize_t>(compressed.size())) < 0) {
    Fail();
  }
}

void TiffFile::EndDirectory() {
  if (!TIFFWriteDirectory(tiff_)) Fail();
}

void TiffFile::Commit() {
  if (!TIFFFlush(tiff_)) Fail();
  TIFFClose(tiff_);
  tiff_ = nullptr;
  file_.Commit();
}

const std::vector<uint8_t>& TileDeflater::Compress(const uint8_t* tile) {
  constexpr size_t kSize = size_t{kBlock} * kBlock;
  const bool same = std::all_of(tile, tile + kSize, [&](uint8_t v) { return v == *tile; });
  std::vector<uint8_t>& out = same ? uniform_[*tile] : buffer_;
  if (same && !out.empty()) return out;
  uLongf size = compressBound(kSize);
  out.resize(size);
  if (compress2(out.data(), &size, tile, kSize, 4) != Z_OK) {
    throw core::MachineError("out of memory while a tile was compressed", "free some memory");
  }
  out.resize(size);
  return out;
}

}  // namespace eosin::segment
