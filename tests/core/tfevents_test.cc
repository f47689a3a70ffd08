// SPDX-License-Identifier: Apache-2.0
#include "core/formats/tfevents.h"

#include "core/base/files.h"
#include "tests/testing.h"

namespace eosin::core {
namespace {

TEST(TfEventsTest, CrcIsCastagnoli) {
  // RFC 3720 B.4: 32 bytes of zeros, 32 bytes of ones; and the usual check string.
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62A8AB43u);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(MaskCrc32c(0), 0xA282EAD8u);
  EXPECT_EQ(MaskCrc32c(0x8000u), 0xA282EAD9u);  // rotated right by 15
}

TEST(TfEventsTest, EncodesAScalarByHand) {
  using namespace std::string_literals;
  // wall_time 1.0, step 300 (varint AC 02), Summary{ Value{ "a", 0.5f } }.
  const std::string expected =
      "\x09\0\0\0\0\0\0\xF0\x3F\x10\xAC\x02\x2A\x0A\x0A\x08\x0A\x01\x61\x15\0\0\0\x3F"s;
  EXPECT_EQ(TfScalarEvent(1.0, 300, "a", 0.5f), expected);
  const std::string record = TfRecord("abc");
  ASSERT_EQ(record.size(), 8u + 4 + 3 + 4);
  EXPECT_EQ(record.substr(0, 8), "\3\0\0\0\0\0\0\0"s);
}

TEST(TfEventsTest, ReadsBackAndStopsAtATornRecord) {
  testing::TempFolder folder;
  std::string bytes = TfRecord(TfVersionEvent(5.0));
  bytes += TfRecord(TfScalarEvent(6.0, 1, "loss", 2.5f));
  bytes += TfRecord(TfScalarEvent(7.0, int64_t{1} << 40, "lr", -1.0f));
  WriteFileAtomic(folder / "events", bytes);
  const auto scalars = ReadTfScalars(folder / "events");
  ASSERT_EQ(scalars.size(), 2u);
  EXPECT_EQ(scalars[0].tag, "loss");
  EXPECT_EQ(scalars[0].wall_time, 6.0);
  EXPECT_EQ(scalars[1].step, int64_t{1} << 40);
  EXPECT_EQ(scalars[1].value, -1.0f);

  WriteFileAtomic(folder / "torn", bytes.substr(0, bytes.size() - 3));
  EXPECT_EQ(ReadTfScalars(folder / "torn").size(), 1u);

  bytes[bytes.size() - 6] ^= 1;
  WriteFileAtomic(folder / "bad", bytes);
  testing::ExpectError([&] { ReadTfScalars(folder / "bad"); }, ExitCode::kBadInput, "checksum");
}

}  // namespace
}  // namespace eosin::core
