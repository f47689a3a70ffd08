// SPDX-License-Identifier: Apache-2.0
// TensorBoard event files, scalars only, without protobuf or TensorFlow: TFRecord framing
// (u64 length, masked CRC-32C of it, payload, masked CRC-32C of the payload; little endian) around
// hand-encoded Event messages.
//   Event   { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; }
//   Summary { repeated Value value = 1 { string tag = 1; float simple_value = 2; } }
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace eosin::core {

// CRC-32C (Castagnoli), and TFRecord's mask of it.
uint32_t Crc32c(std::string_view bytes);
uint32_t MaskCrc32c(uint32_t crc);

std::string TfRecord(std::string_view payload);
// The first event of a file: "brain.Event:2".
std::string TfVersionEvent(double wall_time);
std::string TfScalarEvent(double wall_time, int64_t step, std::string_view tag, float value);

struct TfScalar {
  double wall_time = 0;
  int64_t step = 0;
  std::string tag;
  float value = 0;
};

// The scalars of a file in order. Stops silently at a torn last record (a run that was killed while
// writing); throws DataError at a record whose checksum is wrong.
std::vector<TfScalar> ReadTfScalars(const std::filesystem::path& path);

}  // namespace eosin::core
