// SPDX-License-Identifier: Apache-2.0
#include "core/formats/safetensors.h"

#include <cstring>
#include <fstream>

#include "core/base/files.h"
#include "core/formats/pth.h"
#include "tests/testing.h"

namespace eosin::core {
namespace {

using eosin::testing::ExpectError;
using ::testing::ElementsAre;

// Thousands of damaged files: no fsync for each.
void WriteFast(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::remove(path);  // ext4 flushes a file that is truncated and written again
  std::ofstream(path, std::ios::binary) << bytes;
}

// A file of this header and payload.
std::string Bytes(const std::string& header, const std::string& payload) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + payload;
}

void ExpectRefused(const std::string& bytes, const std::string& text) {
  const eosin::testing::TempFolder folder;
  WriteFast(folder / "x.safetensors", bytes);
  ExpectError([&] { ReadSafetensors(folder / "x.safetensors"); }, ExitCode::kBadInput, text);
}

StateDict Example() {
  StateDict dict;
  dict.Add("b", {2, 2}, {1, 2, 3, 4});
  dict.Add({"n", DType::kI64, {}, {7, 0, 0, 0, 0, 0, 0, 0}});
  dict.Add({"a", DType::kU8, {3}, {1, 2, 255}});
  dict.Add({"empty", DType::kF16, {0, 5}, {}});
  return dict;
}

TEST(StateDict, CountsElementsWithoutOverflow) {
  EXPECT_EQ(CountElements({}), 1);
  EXPECT_EQ(CountElements({2, 3}), 6);
  EXPECT_EQ(CountElements({int64_t{1} << 62, 0, int64_t{1} << 62}), 0);
  EXPECT_EQ(CountElements({int64_t{1} << 62, 2}), -1);
  EXPECT_EQ(CountElements({-1}), -1);
}

TEST(StateDict, RefusesBytesThatDoNotFit) {
  StateDict dict;
  ExpectError([&] { dict.Add({"x", DType::kF32, {2}, {0, 0, 0, 0}}); }, ExitCode::kBadInput, "fit");
}

TEST(StateDict, HashIgnoresOrderButNothingElse) {
  const std::string hash = Example().Hash();
  StateDict turned = Example();
  std::swap(turned.tensors[0], turned.tensors[2]);
  EXPECT_EQ(turned.Hash(), hash);
  for (int change = 0; change < 4; ++change) {
    StateDict other = Example();
    if (change == 0) other.tensors[0].data[0] ^= 1;
    if (change == 1) other.tensors[0].shape = {4, 1};
    if (change == 2) other.tensors[0].name = "c";
    if (change == 3) other.tensors[0].dtype = DType::kI32;
    EXPECT_NE(other.Hash(), hash) << change;
  }
}

TEST(StateDict, ConvertsHalvesToFloats) {
  const auto half = [](uint16_t bits, DType dtype) {
    TensorBlob blob{"h", dtype, {1}, std::vector<uint8_t>(2)};
    std::memcpy(blob.data.data(), &bits, 2);
    return ToFloats(blob)[0];
  };
  EXPECT_EQ(half(0x3c00, DType::kF16), 1.0f);
  EXPECT_EQ(half(0xc200, DType::kF16), -3.0f);
  EXPECT_EQ(half(0x7bff, DType::kF16), 65504.0f);
  EXPECT_EQ(half(0x8001, DType::kF16), -0x1p-24f);
  EXPECT_EQ(half(0xfc00, DType::kF16), -std::numeric_limits<float>::infinity());
  EXPECT_EQ(half(0xc020, DType::kBF16), -2.5f);
}

TEST(Safetensors, WritesTheDocumentedBytes) {
  const eosin::testing::TempFolder folder;
  StateDict dict;
  dict.Add({"w", DType::kU8, {2}, {5, 6}});
  WriteSafetensors(folder / "w.safetensors", dict, {{"k", "v"}});
  const std::string header =
      R"({"__metadata__":{"k":"v"},"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(ReadFile(folder / "w.safetensors"), Bytes(padded, "\x05\x06"));
}

TEST(Safetensors, ReadsBackWhatItWrote) {
  const eosin::testing::TempFolder folder;
  WriteSafetensors(folder / "x", Example(), {{"made", "here"}});
  std::map<std::string, std::string> metadata;
  const StateDict dict = ReadSafetensors(folder / "x", &metadata);
  EXPECT_EQ(dict.Hash(), Example().Hash());
  EXPECT_EQ(metadata.at("made"), "here");
  EXPECT_EQ(ReadWeights(folder / "x").Hash(), dict.Hash());
  // Order of the tensors does not matter to the bytes.
  StateDict turned = Example();
  std::swap(turned.tensors[0], turned.tensors[2]);
  WriteSafetensors(folder / "y", turned, {{"made", "here"}});
  EXPECT_EQ(ReadFile(folder / "x"), ReadFile(folder / "y"));
}

TEST(Safetensors, ReadsPythonsFile) {
  std::map<std::string, std::string> metadata;
  const StateDict dict =
      ReadSafetensors(eosin::testing::FixtureFolder() / "weights" / "small.safetensors", &metadata);
  ASSERT_NE(dict.Find("w"), nullptr);
  EXPECT_THAT(dict.Find("w")->shape, ElementsAre(2, 3));
  EXPECT_THAT(ToFloats(*dict.Find("w")), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(dict.Find("n")->dtype, DType::kI64);
  EXPECT_EQ(metadata.at("made_by"), "safetensors");
}

TEST(Safetensors, RefusesHostileHeaders) {
  const std::string four(4, '\0');
  const auto entry = [](const std::string& facts) { return R"({"x":{)" + facts + "}}"; };
  ExpectRefused("", "cut short");
  ExpectRefused(Bytes("{}", "").substr(0, 9), "cut short");
  ExpectRefused(std::string(8, '\xff') + "{}", "100 MB");
  ExpectRefused(Bytes("{", ""), "JSON");
  ExpectRefused(Bytes("[]", ""), "no object");
  ExpectRefused(Bytes("{}", "x"), "after its last");
  ExpectRefused(Bytes(std::string(200000, '['), ""), "nested");
  ExpectRefused(Bytes(entry(R"("dtype":"F32","shape":[1])"), four), "incompletely");
  ExpectRefused(Bytes(entry(R"("dtype":"F9","shape":[1],"data_offsets":[0,4])"), four), "F9");
  ExpectRefused(Bytes(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), four), "fit");
  ExpectRefused(Bytes(entry(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), four), "number");
  ExpectRefused(Bytes(entry(R"("dtype":"F32","shape":[1.5],"data_offsets":[0,4])"), four),
                "number");
  ExpectRefused(Bytes(entry(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])"), four), "fit");
  ExpectRefused(Bytes(entry(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"), four), "holes");
  ExpectRefused(Bytes(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])"), four), "short");
  ExpectRefused(
      Bytes(entry(R"("dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4])"), four),
      "fit");
  const std::string one = R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  ExpectRefused(Bytes(R"({"x":)" + one + R"(,"x":)" + one + "}", four), "twice");
  ExpectRefused(Bytes(R"({"x":)" + one + R"(,"y":)" + one + "}", four), "overlap");
  ExpectRefused(Bytes(R"({"__metadata__":{"k":1}})", ""), "strings");
}

TEST(Safetensors, SurvivesAnyDamage) {
  const eosin::testing::TempFolder folder;
  WriteSafetensors(folder / "good", Example());
  const std::string good = ReadFile(folder / "good");
  int refused = 0;
  const auto read = [&](const std::string& bytes) {
    WriteFast(folder / "bad", bytes);
    try {
      ReadSafetensors(folder / "bad");
    } catch (const WeightsError&) {
      ++refused;
    }
  };
  for (size_t cut = 0; cut < good.size(); ++cut) read(good.substr(0, cut));
  EXPECT_EQ(refused, static_cast<int>(good.size()));  // no cut goes unnoticed
  for (size_t at = 0; at < good.size(); ++at) {
    for (const int bit : {0, 3, 5, 7}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      read(bad);
    }
  }
}

TEST(Safetensors, ReportsWhereItCannotWrite) {
  ExpectError([] { WriteSafetensors("/nonexistent/x.safetensors", Example()); }, ExitCode::kMachine,
              "cannot write");
}

}  // namespace
}  // namespace eosin::core
