// SPDX-License-Identifier: Apache-2.0
#include "tiling/synth/pyramid_writer.h"

#include <fmt/format.h>
#include <tiffio.h>
#include <cstdarg>
#include <cstdio>
#include <string>

#include "core/base/error.h"
#include "core/base/files.h"

namespace eosin::tiling {

struct PyramidWriter::File {
  File(const std::filesystem::path& path, int64_t w, int64_t h, double um, double objective)
      : name(path.string()), atomic(path), width(w), height(h), mpp(um), power(objective) {}
  ~File() {
    if (tiff) TIFFClose(tiff);
  }

  std::string name;
  core::AtomicFile atomic;
  TIFF* tiff = nullptr;
  std::string message;    // libtiff's last word
  int64_t width, height;  // level 0
  double mpp, power;
  int levels = 0;
};

namespace {

// libtiff's handler of one handle: keeps the words instead of printing them.
int KeepMessage(TIFF*, void* user, const char* module, const char* format, va_list arguments) {
  char text[512];
  std::vsnprintf(text, sizeof(text), format, arguments);
  *static_cast<std::string*>(user) = std::string(module ? module : "libtiff") + ": " + text;
  return 1;
}

}  // namespace

PyramidWriter::PyramidWriter(const std::filesystem::path& path, int64_t width, int64_t height,
                             double mpp, double power)
    : file_(std::make_unique<File>(path, width, height, mpp, power)) {
  TIFFOpenOptions* options = TIFFOpenOptionsAlloc();
  TIFFOpenOptionsSetErrorHandlerExtR(options, KeepMessage, &file_->message);
  TIFFOpenOptionsSetWarningHandlerExtR(options, KeepMessage, &file_->message);
  // At this quality a pixel takes well under a byte.
  const bool big = width * height > int64_t{3'000'000'000};
  file_->tiff = TIFFOpenExt(file_->atomic.part_path().c_str(), big ? "w8l" : "wl", options);
  TIFFOpenOptionsFree(options);
  if (!file_->tiff) Fail();
  StartLevel(width, height);
}

PyramidWriter::~PyramidWriter() = default;

void PyramidWriter::Fail() const {
  throw core::MachineError(fmt::format("cannot write {}: {}", file_->name, file_->message),
                           "check the free space and the rights of the folder");
}

void PyramidWriter::StartLevel(int64_t width, int64_t height) {
  TIFF* tiff = file_->tiff;
  std::string description = fmt::format(
      "Aperio Image Library (synthetic slide made by eosin)\n{0}x{1} [0,0 {0}x{1}] ({2}x{2})",
      file_->width, file_->height, kTile);
  if (file_->levels > 0) description += fmt::format(" -> {}x{}", width, height);
  description += fmt::format(" JPEG/YCC|AppMag = {}|MPP = {}", file_->power, file_->mpp);
  ++file_->levels;
  const double per_cm =
      10000 / file_->mpp * static_cast<double>(width) / static_cast<double>(file_->width);
  const bool ok = TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, static_cast<uint32_t>(width)) &&
                  TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, static_cast<uint32_t>(height)) &&
                  TIFFSetField(tiff, TIFFTAG_TILEWIDTH, kTile) &&
                  TIFFSetField(tiff, TIFFTAG_TILELENGTH, kTile) &&
                  TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8) &&
                  TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 3) &&
                  TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) &&
                  TIFFSetField(tiff, TIFFTAG_COMPRESSION, COMPRESSION_JPEG) &&
                  TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_YCBCR) &&
                  TIFFSetField(tiff, TIFFTAG_YCBCRSUBSAMPLING, 2, 2) &&
                  // Tiles bring their own tables.
                  TIFFSetField(tiff, TIFFTAG_JPEGTABLESMODE, 0) &&
                  TIFFSetField(tiff, TIFFTAG_RESOLUTIONUNIT, RESUNIT_CENTIMETER) &&
                  TIFFSetField(tiff, TIFFTAG_XRESOLUTION, per_cm) &&
                  TIFFSetField(tiff, TIFFTAG_YRESOLUTION, per_cm) &&
                  TIFFSetField(tiff, TIFFTAG_SOFTWARE, "eosin synth") &&
                  TIFFSetField(tiff, TIFFTAG_IMAGEDESCRIPTION, description.c_str());
  if (!ok) Fail();
}

void PyramidWriter::WriteTile(int64_t index, const std::vector<uint8_t>& jpeg) {
  if (TIFFWriteRawTile(file_->tiff, static_cast<uint32_t>(index), const_cast<uint8_t*>(jpeg.data()),
                       static_cast<tmsize_t>(jpeg.size())) < 0) {
    Fail();
  }
}

void PyramidWriter::NextLevel(int64_t width, int64_t height) {
  if (!TIFFWriteDirectory(file_->tiff)) Fail();
  StartLevel(width, height);
}

void PyramidWriter::Finish() {
  if (!TIFFWriteDirectory(file_->tiff) || !TIFFFlush(file_->tiff)) Fail();
  TIFFClose(file_->tiff);
  file_->tiff = nullptr;
  file_->atomic.Commit();
}

}  // namespace eosin::tiling
