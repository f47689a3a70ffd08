// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <numeric>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/philox.h"
#include "core/base/threads.h"
#include "tests/testing.h"

namespace eosin::core {
namespace {

using eosin::testing::ExpectError;
using eosin::testing::TempFolder;

// Known answers of Random123's kat_vectors for philox4x32-10.
TEST(Philox, KnownAnswers) {
  const Philox4 zero = Philox4x32({{0, 0, 0, 0}}, 0, 0);
  EXPECT_EQ(zero.v[0], 0x6627e8d5u);
  EXPECT_EQ(zero.v[1], 0xe169c58du);
  EXPECT_EQ(zero.v[2], 0xbc57ac4cu);
  EXPECT_EQ(zero.v[3], 0x9b00dbd8u);
  const Philox4 ones =
      Philox4x32({{0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu}}, 0xffffffffu, 0xffffffffu);
  EXPECT_EQ(ones.v[0], 0x408f276du);
  EXPECT_EQ(ones.v[1], 0x41c83b0eu);
  EXPECT_EQ(ones.v[2], 0xa20bc7c6u);
  EXPECT_EQ(ones.v[3], 0x6d5451fdu);
}

TEST(Philox, StreamsDifferByEveryPartOfTheKey) {
  std::set<uint32_t> first;
  for (uint64_t seed : {0ull, 1ull, 1ull << 32}) {
    for (auto purpose : {DrawPurpose::kView, DrawPurpose::kOrder}) {
      for (uint32_t epoch : {0u, 1u}) {
        for (uint32_t sample : {0u, 1u}) {
          for (uint32_t view : {0u, 1u}) {
            first.insert(PhiloxStream(seed, purpose, epoch, sample, view).Next());
          }
        }
      }
    }
  }
  EXPECT_EQ(first.size(), 48u);
}

TEST(Philox, MomentsOfUniformAndNormal) {
  PhiloxStream stream(7, DrawPurpose::kTest, 0, 0);
  double sum = 0, normal_sum = 0, normal_square = 0;
  const int n = 200000;
  for (int i = 0; i < n; ++i) {
    const float u = stream.Uniform();
    ASSERT_GE(u, 0.0f);
    ASSERT_LT(u, 1.0f);
    sum += u;
    const float z = stream.Normal();
    normal_sum += z;
    normal_square += z * z;
  }
  EXPECT_NEAR(sum / n, 0.5, 5 * 0.2887 / std::sqrt(n));
  EXPECT_NEAR(normal_sum / n, 0.0, 5 / std::sqrt(n));
  EXPECT_NEAR(normal_square / n, 1.0, 5 * 1.4142 / std::sqrt(n));
}

TEST(Philox, BelowIsUniformByChiSquare) {
  PhiloxStream stream(3, DrawPurpose::kTest, 0, 0);
  std::vector<int> count(10);
  for (int i = 0; i < 100000; ++i) ++count[stream.Below(10)];
  double chi = 0;
  for (int c : count) chi += (c - 10000.0) * (c - 10000.0) / 10000.0;
  EXPECT_LT(chi, 27.9);  // 9 degrees of freedom, p = 0.001
}

TEST(Philox, ShuffleIsAPermutation) {
  std::vector<int> items(100);
  std::iota(items.begin(), items.end(), 0);
  auto shuffled = items;
  Shuffle(shuffled, PhiloxStream(1, DrawPurpose::kOrder, 0, 0));
  EXPECT_NE(shuffled, items);
  std::sort(shuffled.begin(), shuffled.end());
  EXPECT_EQ(shuffled, items);
}

TEST(Files, AtomicWriteLeavesNoPart) {
  TempFolder temp;
  WriteFileAtomic(temp / "a.txt", "hello");
  EXPECT_EQ(ReadFile(temp / "a.txt"), "hello");
  EXPECT_FALSE(fs::exists(temp / "a.txt.part"));
  WriteFileAtomic(temp / "a.txt", "again");
  EXPECT_EQ(ReadFile(temp / "a.txt"), "again");
}

TEST(Files, UncommittedFileVanishes) {
  TempFolder temp;
  {
    AtomicFile file(temp / "b.bin");
    std::ofstream(file.part_path()) << "half";
  }
  EXPECT_TRUE(fs::is_empty(temp.path()));
}

TEST(Files, MissingFileAndFolderInTheWay) {
  TempFolder temp;
  ExpectError([&] { ReadFile(temp / "none"); }, ExitCode::kBadInput, "cannot read");
  WriteFileAtomic(temp / "file", "");
  ExpectError([&] { MakeFolder(temp / "file/inside"); }, ExitCode::kMachine, "cannot make folder");
  ExpectError([&] { WriteFileAtomic(temp / "no/such/x", "y"); }, ExitCode::kMachine,
              "cannot write");
}

TEST(Files, ReplaceFolderSwapsWhole) {
  TempFolder temp;
  MakeFolder(temp / "new");
  WriteFileAtomic(temp / "new/x", "1");
  ReplaceFolder(temp / "new", temp / "last");
  MakeFolder(temp / "new");
  WriteFileAtomic(temp / "new/x", "2");
  ReplaceFolder(temp / "new", temp / "last");
  EXPECT_EQ(ReadFile(temp / "last/x"), "2");
  EXPECT_FALSE(fs::exists(temp / "last.old"));
  EXPECT_FALSE(fs::exists(temp / "new"));
}

TEST(Hash, Sha256KnownAnswers) {
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  TempFolder temp;
  WriteFileAtomic(temp / "abc", "abc");
  EXPECT_EQ(Sha256File(temp / "abc"), Sha256Hex("abc"));
}

TEST(Threads, ParallelForVisitsEachOnceAndCarriesTheError) {
  std::vector<std::atomic<int>> seen(1000);
  ParallelFor(1000, 4, [&](int64_t i) { ++seen[static_cast<size_t>(i)]; });
  for (auto& s : seen) EXPECT_EQ(s.load(), 1);
  EXPECT_THROW(ParallelFor(100, 4,
                           [](int64_t i) {
                             if (i == 50) throw DataError("bad", "hint");
                           }),
               DataError);
}

TEST(Threads, QueueKeepsOrderAndDrainsAfterClose) {
  BoundedQueue<int> queue(2);
  std::jthread producer([&] {
    for (int i = 0; i < 100; ++i) queue.Push(i);
    queue.Close();
  });
  int expected = 0;
  while (auto item = queue.Pop()) EXPECT_EQ(*item, expected++);
  EXPECT_EQ(expected, 100);
  EXPECT_FALSE(queue.Push(1));
}

}  // namespace
}  // namespace eosin::core
