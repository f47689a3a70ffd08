// SPDX-License-Identifier: Apache-2.0
// JPEG streams as TIFF stores them (TIFF Technical Note 2): each tile an abbreviated stream, the
// tables they share in the JPEGTables tag. Headers are parsed and streams made to stand alone here;
// nothing is decoded.
//
// Colour: TIFF's PhotometricInterpretation says what the samples are, whatever the stream's markers
// say, and OpenSlide reads them so. A stream on its own is read by libjpeg's rules (JFIF means
// YCbCr; else Adobe's APP14 decides; else the component ids), so one that would be misread gets an
// APP14: Aperio's RGB tiles carry no marker and would be taken for YCbCr.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "core/image/codec.h"

namespace eosin::tiling {

enum class JpegColour { kGrey, kYCbCr, kRgb };

// What the markers up to the first scan say.
struct JpegHeader {
  int width = 0, height = 0, precision = 0;
  uint8_t frame = 0;  // the SOF marker: 0xC0 baseline, 0xC1 extended, 0xC2 progressive
  int components = 0;
  struct Component {
    uint8_t id = 0, horizontal = 1, vertical = 1, quant = 0, dc = 0, ac = 0;
  };
  std::array<Component, 4> component;
  int scan_components = 0;  // of the first scan
  int restart_interval = 0;
  bool jfif = false, adobe = false;
  int adobe_transform = 0;
  uint8_t quant_tables = 0, dc_tables = 0, ac_tables = 0;  // bit masks of those defined
  bool own_tables() const { return (quant_tables | dc_tables | ac_tables) != 0; }
  size_t scan = 0;  // where entropy-coded data starts

  // One interleaved scan of Huffman-coded sequential JPEG: what can be checked without decoding.
  bool sequential() const { return frame != 0xC2 && scan_components == components; }
  // libjpeg's reading of the markers.
  JpegColour Guess() const;
  // MCUs of the whole picture.
  int64_t mcus() const;
};

// False, with the reason, when the markers are damaged or no JPEG of 8-bit samples in 1 or 3
// components follows.
bool ParseJpegHeader(std::span<const uint8_t> bytes, JpegHeader* header, std::string* error);

// The JPEGTables tag: DQT and DHT segments, whole and in order, without anything else (libtiff and
// OpenSlide forget a DRI there, too).
struct JpegTables {
  core::Bytes segments;
  uint8_t quant_tables = 0, dc_tables = 0, ac_tables = 0;
};
// Empty bytes give empty tables. False when damaged.
bool ParseJpegTables(std::span<const uint8_t> bytes, JpegTables* tables, std::string* error);

// Are all tables that the stream's first scan uses in the stream or in `shared`?
bool TablesPresent(const JpegHeader& header, const JpegTables& shared, std::string* error);

// Walks the entropy-coded data of a sequential stream from header.scan: stuffed bytes, the restart
// markers that the interval asks for in their order, EOI at the end (zeros may follow). `end` is
// the position after EOI. Damage that keeps to these rules is not found.
bool CheckScan(std::span<const uint8_t> bytes, const JpegHeader& header, size_t* end,
               std::string* error);

// Makes the tiles of one level stand alone. Immutable, thread-safe.
class JpegWrapper {
 public:
  JpegWrapper(JpegTables tables, JpegColour colour, int width, int height);

  // Bytes to leave free in front of a stored tile, for tables and APP14.
  size_t room() const { return prefix_.size() - 2; }
  // bytes[begin, begin + room()) is free and a stored tile follows it to the end. On success
  // bytes[begin, end) is a JPEG that stands alone; on failure bytes ends at begin.
  bool Wrap(core::Bytes* bytes, size_t begin, std::string* error) const;

 private:
  // Takes the stream's own JFIF and Adobe markers out and puts ours in.
  bool Recolour(core::Bytes* bytes, size_t begin, std::string* error) const;

  const JpegTables tables_;
  const JpegColour colour_;
  const int width_, height_;
  core::Bytes prefix_;  // SOI, APP14 for RGB, tables
};

}  // namespace eosin::tiling
