// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/jpeg_decoder.h"

#include <fmt/format.h>
#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
// after <cstdio>
#include <jerror.h>
#include <jpeglib.h>

namespace eosin::tiling {
namespace {

constexpr JDIMENSION kRows = 16;  // handed over at a time
constexpr int kMaxScans = 100;    // progressive streams of a few bytes a scan take minutes

// The head of libjpeg's Huffman decoder (jdhuff.c, jdphuff.c: the same since 1995): the only place
// that knows how many bits are left when a picture is complete.
struct EntropyHead {
  void (*start_pass)(j_decompress_ptr);
  boolean (*decode_mcu)(j_decompress_ptr, JBLOCKROW*);
  boolean insufficient_data;
  size_t get_buffer;
  int bits_left;
};

}  // namespace

struct JpegDecoder::State {
  jpeg_error_mgr errors{};  // first: libjpeg hands its address around
  jpeg_decompress_struct info{};
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX] = {};
  bool made = false;
  bool own_tables = false;  // the last stream brought tables; they must not reach the next one
  int leftover = 0;

  static State* Of(j_common_ptr common) { return reinterpret_cast<State*>(common->err); }

  // The first warning is damage enough.
  static void OnError(j_common_ptr common) {
    State* state = Of(common);
    common->err->format_message(common, state->message);
    std::longjmp(state->jump, 1);
  }
  static void OnMessage(j_common_ptr common, int level) {
    if (level < 0) OnError(common);
  }
  static void OnScan(j_common_ptr common) {
    if (reinterpret_cast<j_decompress_ptr>(common)->input_scan_number > kMaxScans) {
      std::snprintf(Of(common)->message, sizeof State::message, "over %d scans", kMaxScans);
      std::longjmp(Of(common)->jump, 1);
    }
  }

  ~State() { Destroy(); }
  void Destroy() {
    if (made) jpeg_destroy_decompress(&info);
    made = false;
  }

  // No objects with destructors live in the two functions that longjmp returns to.
  bool Create(const uint8_t* tables, size_t size) {
    Destroy();
    info.err = jpeg_std_error(&errors);
    errors.error_exit = OnError;
    errors.emit_message = OnMessage;
    if (setjmp(jump)) return false;
    jpeg_create_decompress(&info);
    made = true;
    progress.progress_monitor = OnScan;
    info.progress = &progress;
    if (size > 0) {
      jpeg_mem_src(&info, tables, static_cast<unsigned long>(size));
      jpeg_read_header(&info, FALSE);
    }
    own_tables = false;
    return true;
  }

  bool Decode(const uint8_t* bytes, size_t size, const JpegHeader& header, JpegColour colour,
              int shrink, uint8_t* rgb, ptrdiff_t stride) {
    if (setjmp(jump)) return false;
    jpeg_mem_src(&info, bytes, static_cast<unsigned long>(size));
    jpeg_read_header(&info, TRUE);
    info.jpeg_color_space = colour == JpegColour::kGrey    ? JCS_GRAYSCALE
                            : colour == JpegColour::kYCbCr ? JCS_YCbCr
                                                           : JCS_RGB;
    info.out_color_space = JCS_RGB;
    info.scale_num = 1;
    info.scale_denom = static_cast<unsigned>(shrink);
    jpeg_start_decompress(&info);
    while (info.output_scanline < info.output_height) {
      JSAMPROW rows[kRows];
      const JDIMENSION first = info.output_scanline;
      for (JDIMENSION i = 0; i < kRows; ++i)
        rows[i] = rgb + static_cast<ptrdiff_t>(first + i) * stride;
      const JDIMENSION wanted = info.output_height - first;
      jpeg_read_scanlines(&info, rows, wanted < kRows ? wanted : kRows);
    }
    leftover = 0;
    if (header.sequential()) leftover = reinterpret_cast<EntropyHead*>(info.entropy)->bits_left / 8;
    jpeg_finish_decompress(&info);
    return true;
  }

  jpeg_progress_mgr progress{};
};

bool JpegDecoder::SeesLeftover() {
  static const bool sees = [] {
    // One grey block of one colour; then with three bytes too many.
    jpeg_compress_struct info{};
    jpeg_error_mgr errors{};
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    uint8_t* made = nullptr;
    unsigned long size = 0;
    jpeg_mem_dest(&info, &made, &size);
    info.image_width = info.image_height = 8;
    info.input_components = 1;
    info.in_color_space = JCS_GRAYSCALE;
    jpeg_set_defaults(&info);
    jpeg_start_compress(&info, TRUE);
    uint8_t pixels[8] = {9, 9, 9, 9, 9, 9, 9, 9};
    JSAMPROW row = pixels;
    for (int y = 0; y < 8; ++y) jpeg_write_scanlines(&info, &row, 1);
    jpeg_finish_compress(&info);
    core::Bytes stream(made, made + size);
    jpeg_destroy_compress(&info);
    std::free(made);
    const auto leftover = [&stream] {
      State state;
      JpegHeader header;
      std::string ignored;
      uint8_t out[8 * 8 * 3];
      return ParseJpegHeader(stream, &header, &ignored) && state.Create(nullptr, 0) &&
                     state.Decode(stream.data(), stream.size(), header, JpegColour::kGrey, 1, out,
                                  8 * 3)
                 ? state.leftover
                 : -1;
    };
    if (leftover() != 0) return false;
    stream.insert(stream.end() - 2, {0x12, 0x34, 0x56});
    return leftover() == 3;
  }();
  return sees;
}

JpegDecoder::JpegDecoder(JpegTables tables, JpegColour colour, int width, int height)
    : tables_(std::move(tables)), colour_(colour), width_(width), height_(height) {}

JpegDecoder::~JpegDecoder() = default;

bool JpegDecoder::Prepare(std::string* error) {
  if (state_ && state_->made && !state_->own_tables) return true;
  if (!state_) state_ = std::make_unique<State>();
  core::Bytes stream;
  if (!tables_.segments.empty()) {
    stream = {0xFF, 0xD8};
    stream.insert(stream.end(), tables_.segments.begin(), tables_.segments.end());
    stream.insert(stream.end(), {0xFF, 0xD9});
  }
  if (state_->Create(stream.data(), stream.size())) return true;
  state_->Destroy();
  if (error) *error = fmt::format("JPEGTables: {}", state_->message);
  return false;
}

bool JpegDecoder::Decode(std::span<const uint8_t> bytes, int shrink, uint8_t* rgb, ptrdiff_t stride,
                         std::string* error) {
  JpegHeader header;
  if (!ParseJpegHeader(bytes, &header, error) || !TablesPresent(header, tables_, error))
    return false;
  const auto fail = [&](const std::string& why) {
    if (error) *error = "JPEG: " + why;
    return false;
  };
  if (header.width != width_ || header.height != height_) {
    return fail(
        fmt::format("{} x {} px instead of {} x {}", header.width, header.height, width_, height_));
  }
  if ((header.components == 1) != (colour_ == JpegColour::kGrey)) {
    return fail(fmt::format("{} components", header.components));
  }
  if (!Prepare(error)) return false;
  state_->own_tables = header.own_tables();
  if (!state_->Decode(bytes.data(), bytes.size(), header, colour_, shrink, rgb, stride)) {
    state_->own_tables = true;  // whatever it read of them
    return fail(state_->message);
  }
  if (state_->leftover > 0 && SeesLeftover())
    return fail(fmt::format("{} bytes left over", state_->leftover));
  return true;
}

}  // namespace eosin::tiling
