// SPDX-License-Identifier: Apache-2.0
// The files come from torch (tests/parity/make_weight_fixtures.py); the values are its formulas.
#include "core/formats/pth.h"

#include <cstring>
#include <fstream>

#include "core/base/files.h"
#include "core/formats/safetensors.h"
#include "tests/testing.h"

namespace eosin::core {
namespace {

using eosin::testing::ExpectError;
using eosin::testing::TempFolder;
using ::testing::ElementsAre;

// Thousands of damaged files: no fsync for each.
void WriteFast(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::remove(path);  // ext4 flushes a file that is truncated and written again
  std::ofstream(path, std::ios::binary) << bytes;
}

std::filesystem::path Fixture(const std::string& name) {
  return eosin::testing::FixtureFolder() / "weights" / name;
}

void ExpectTensor(const StateDict& dict, const std::string& name, DType dtype,
                  const std::vector<int64_t>& shape, const std::vector<float>& values) {
  SCOPED_TRACE(name);
  const TensorBlob* tensor = dict.Find(name);
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->dtype, dtype);
  EXPECT_EQ(tensor->shape, shape);
  const std::vector<float> got = ToFloats(*tensor);
  ASSERT_EQ(got.size(), values.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_FLOAT_EQ(got[i], values[i]);
}

class Containers : public ::testing::TestWithParam<const char*> {};

TEST_P(Containers, HoldEveryTypeAndLayout) {
  const StateDict dict = ReadPth(Fixture(GetParam()));
  EXPECT_EQ(dict.tensors.size(), 17u);
  ExpectTensor(dict, "f32", DType::kF32, {2, 3}, {-1, -0.5, 0, 0.5, 1, 1.5});
  ExpectTensor(dict, "scalar", DType::kI64, {}, {7});
  ExpectTensor(dict, "f16", DType::kF16, {4}, {0.5, -3, 65504, 0x1p-24f});
  ExpectTensor(dict, "i32", DType::kI32, {2}, {-5, 6});
  ExpectTensor(dict, "i16", DType::kI16, {2}, {-300, 301});
  ExpectTensor(dict, "i8", DType::kI8, {2}, {-128, 127});
  ExpectTensor(dict, "u8", DType::kU8, {2}, {0, 255});
  ExpectTensor(dict, "bool", DType::kBool, {3}, {1, 0, 1});
  ExpectTensor(dict, "transposed", DType::kF32, {3, 2}, {0, 3, 1, 4, 2, 5});
  std::vector<float> counting(24);
  for (size_t i = 0; i < counting.size(); ++i) counting[i] = static_cast<float>(i);
  ExpectTensor(dict, "channels_last", DType::kF32, {1, 2, 3, 4}, counting);
  ExpectTensor(dict, "view_a", DType::kF32, {3}, {2, 3, 4});
  ExpectTensor(dict, "view_b", DType::kF32, {3}, {1, 4, 7});
  ExpectTensor(dict, "expanded", DType::kF32, {3, 2}, {1, 2, 1, 2, 1, 2});
  ExpectTensor(dict, "parameter", DType::kF32, {2}, {0.25, 4});
  ExpectTensor(dict, "empty", DType::kF32, {0, 3}, {});
  const TensorBlob* wide = dict.Find("f64");
  ASSERT_NE(wide, nullptr);
  double values[3];
  ASSERT_EQ(wide->data.size(), sizeof(values));
  std::memcpy(values, wide->data.data(), sizeof(values));
  EXPECT_THAT(values, ElementsAre(1.5, -2.25, 1e300));
  const TensorBlob* brain = dict.Find("bf16");
  ASSERT_NE(brain, nullptr);
  EXPECT_EQ(brain->dtype, DType::kBF16);
  EXPECT_THAT(ToFloats(*brain), ElementsAre(1.0f, -2.5f, ::testing::FloatNear(3e38f, 2e36f)));
}

TEST_P(Containers, AreFoundByContent) {
  const TempFolder folder;
  std::filesystem::copy_file(Fixture(GetParam()), folder / "weights.bin");
  EXPECT_EQ(ReadWeights(folder / "weights.bin").Hash(), ReadPth(Fixture("zip.pth")).Hash());
}

// Truncated anywhere and with bits turned: an error or other values, never a crash.
TEST_P(Containers, SurviveAnyDamage) {
  const TempFolder folder;
  const std::string good = ReadFile(Fixture(GetParam()));
  int refused = 0;
  const auto read = [&](const std::string& bytes) {
    WriteFast(folder / "bad", bytes);
    try {
      ReadWeights(folder / "bad");
    } catch (const WeightsError& error) {
      EXPECT_FALSE(error.hint().empty());
      ++refused;
    }
  };
  const size_t step = 1 + good.size() / 600;
  int cuts = 0;
  for (size_t cut = 0; cut < good.size(); cut += step, ++cuts) read(good.substr(0, cut));
  // Only the end of a tar is padding that may be lost.
  EXPECT_GE(refused, std::string(GetParam()) == "tar.pth" ? cuts / 2 : cuts);
  for (size_t at = 0; at < good.size(); at += step) {
    for (const int mask : {1, 0x10, 0x80, 0xff}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ mask);
      read(bad);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Pth, Containers,
                         ::testing::Values("zip.pth", "legacy.pth", "tar.pth", "protocol4.pth"),
                         [](const auto& info) {
                           const std::string name = info.param;
                           return name.substr(0, name.find('.'));
                         });

TEST(Pth, OpensTheStateDictAmongOtherThings) {
  std::string wrapper;
  const StateDict dict = ReadPth(Fixture("wrapped.pth"), &wrapper);
  EXPECT_EQ(wrapper, "state_dict");
  ASSERT_EQ(dict.tensors.size(), 2u);
  ExpectTensor(dict, "model.weight", DType::kF32, {2, 2}, {0.5, 0.5, 0.5, 0.5});
  ExpectTensor(dict, "model.bias", DType::kF32, {2}, {-1, -1});
}

TEST(Pth, RunsNothingAndRefusesStrangers) {
  const std::filesystem::path trace = "/tmp/eosin-was-here";
  std::filesystem::remove(trace);
  ExpectError([] { ReadPth(Fixture("hostile.pth")); }, ExitCode::kBadInput, "posix.system");
  EXPECT_FALSE(std::filesystem::exists(trace));
  ExpectError([] { ReadPth(Fixture("whole_model.pth")); }, ExitCode::kBadInput,
              "whole torch.nn.modules.linear.Linear object");
}

TEST(Pth, NamesWhatIsNoCheckpoint) {
  const TempFolder folder;
  const auto expect = [&](const std::string& bytes, const std::string& text) {
    WriteFast(folder / "x.pth", bytes);
    ExpectError([&] { ReadWeights(folder / "x.pth"); }, ExitCode::kBadInput, text);
  };
  expect("", "empty");
  expect("<!doctype html>", "web page");
  expect("version https://git-lfs.github.com/spec/v1\n", "git-lfs");
  expect("hello, world, these are no weights", "neither");
  expect("PK\x03\x04", "cut short");
  expect(std::string("\x80\x02K\x01.", 5), "not one that torch.save wrote");
  ExpectError([&] { ReadWeights(folder / "missing"); }, ExitCode::kBadInput, "cannot read");
  ExpectError([&] { ReadWeights(folder.path()); }, ExitCode::kBadInput, "is not a file");
}

// A legacy file, which needs no checksums, with this pickle for its object.
void ExpectPickleRefused(const std::string& pickle, const std::string& text) {
  const std::string head(
      "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03."
      "\x80\x02}.",
      25);
  const TempFolder folder;
  WriteFast(folder / "x", head + pickle);
  ExpectError([&] { ReadPth(folder / "x"); }, ExitCode::kBadInput, text);
}

TEST(Pickle, RefusesDamagedAndBoundlessPrograms) {
  const std::string keys("\x80\x02].", 4);
  ExpectPickleRefused(".", "runs empty");
  ExpectPickleRefused("t.", "mark");
  ExpectPickleRefused("h\x05.", "recalls");
  ExpectPickleRefused("N)R.", "no function");
  ExpectPickleRefused("NNa.", "no list");
  ExpectPickleRefused(
      "}K\x01"
      "u.",
      "mark");
  ExpectPickleRefused("(K\x01K\x02K\x03u.", "runs empty");
  ExpectPickleRefused("}(K\x01u.", "no dict");
  ExpectPickleRefused("r\xff\xff\xff\xff.", "too many");
  ExpectPickleRefused("cbuiltins\neval\n.", "builtins.eval");
  ExpectPickleRefused("X\xff\xff\xff\x7f.", "cut short");
  ExpectPickleRefused("I1\n.", "opcode 73");
  ExpectPickleRefused("}." + keys, "no tensors");
  ExpectPickleRefused(std::string(5'000'000, 'N') + "." + keys, "too many");
  // A dict within itself, and one that doubles 40 times: neither recursion nor 2^40 visits.
  ExpectPickleRefused(
      "}q\x01U\x01"
      "ah\x01s." +
          keys,
      "no tensors");
  std::string doubling = "]q\x01";
  for (int i = 1; i < 40; ++i) {
    const char from = static_cast<char>(i), to = static_cast<char>(i + 1);
    doubling += std::string("](h") + from + "h" + from + "eq" + to;
  }
  ExpectPickleRefused(doubling + "." + keys, "no tensors");
  // Copying one list into ordered dicts again and again.
  std::string copies = "](";
  for (int i = 0; i < 20000; ++i) copies += "(K\x01K\x02t";
  copies += "eq\x01";
  for (int i = 0; i < 20000; ++i) copies += "ccollections\nOrderedDict\nh\x01\x85R";
  ExpectPickleRefused(copies + ".", "too many");
}

// A tensor whose offset, shape, strides or storage reach beyond the values.
TEST(Pickle, RefusesTensorsBeyondTheirStorage) {
  const auto make = [](const std::string& numel, const std::string& offset,
                       const std::string& shape, const std::string& strides) {
    std::string text =
        "}U\x01"
        "wctorch._utils\n_rebuild_tensor_v2\n(";
    text +=
        "(U\x07storagectorch\nFloatStorage\nU\x01"
        "0U\x03"
        "cpu" +
        numel + "NtQ" + offset;
    text += "(" + shape + "t(" + strides + "t\x89NtRs.";
    text += std::string(
        "\x80\x02]U\x01"
        "0a.",
        8);                                                                // storage keys
    text += std::string("\x04\0\0\0\0\0\0\0", 8) + std::string(16, '\0');  // four floats
    return text;
  };
  const std::string huge("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", 10);
  const std::string minus("J\xff\xff\xff\xff", 5);
  ExpectPickleRefused(make("K\x04", "K\x01", "K\x04", "K\x01"), "beyond");
  ExpectPickleRefused(make("K\x04", "K\x05", "K\x01", "K\x01"), "beyond");
  ExpectPickleRefused(make("K\x04", minus, "K\x01", "K\x01"), "beyond");
  ExpectPickleRefused(make("K\x04", std::string("K\0", 2), "K\x02", minus), "beyond");
  ExpectPickleRefused(make("K\x04", std::string("K\0", 2), huge, "K\x01"), "beyond");
  ExpectPickleRefused(make("K\x04", std::string("K\0", 2), "K\x02", huge), "beyond");
  ExpectPickleRefused(make("K\x04", std::string("K\0", 2), huge, std::string("K\0", 2)), "beyond");
  ExpectPickleRefused(make("K\x04", std::string("K\0", 2), "K\x02K\x02", "K\x01"), "beyond");
  ExpectPickleRefused(make("K\x05", std::string("K\0", 2), "K\x02", "K\x01"), "shorter");
  ExpectPickleRefused(make(minus, std::string("K\0", 2), "K\x02", "K\x01"), "shorter");
}

TEST(Pth, WritesWhatItReads) {
  const TempFolder folder;
  const StateDict dict = ReadPth(Fixture("zip.pth"));
  WritePth(folder / "a.pth", dict);
  WritePth(folder / "b.pth", dict);
  EXPECT_EQ(ReadFile(folder / "a.pth"), ReadFile(folder / "b.pth"));
  const StateDict back = ReadPth(folder / "a.pth");
  EXPECT_EQ(back.Hash(), dict.Hash());
  ASSERT_EQ(back.tensors.size(), dict.tensors.size());
  for (size_t i = 0; i < dict.tensors.size(); ++i) {
    EXPECT_EQ(back.tensors[i].name, dict.tensors[i].name);  // in the same order
  }
}

TEST(Pth, AlignsPayloads) {
  const TempFolder folder;
  StateDict dict;
  dict.Add("w", {3}, {1.25f, 2.5f, 5.0f});
  dict.Add("v", {1}, {9.75f});
  WritePth(folder / "w.pth", dict);
  const std::string bytes = ReadFile(folder / "w.pth");
  for (const float value : {1.25f, 9.75f}) {
    const std::string needle(reinterpret_cast<const char*>(&value), sizeof(value));
    const size_t at = bytes.find(needle);
    ASSERT_NE(at, bytes.npos);
    EXPECT_EQ(at % 64, 0u);
  }
}

TEST(Pth, ReportsWhereItCannotWrite) {
  ExpectError([] { WritePth("/nonexistent/x.pth", {}); }, ExitCode::kMachine, "cannot write");
}

}  // namespace
}  // namespace eosin::core
