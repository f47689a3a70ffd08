// SPDX-License-Identifier: Apache-2.0
// What `eosin tile` lives through: kill -9, a full disk, a rival on the same folder, Ctrl-C,
// damaged and truncated slides. After each, what lies under a final name is whole, and running
// again gives the very bytes of an undisturbed run.
#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "core/base/files.h"
#include "core/base/philox.h"
#include "core/formats/csv.h"
#include "core/image/codec.h"
#include "core/store/tile_store.h"
#include "tests/small_disk.h"
#include "tests/tiling/made_slide.h"
#include "tests/tools/program.h"

namespace eosin::tools {
namespace {

namespace fs = std::filesystem;
using core::Image;
using core::TileStatus;
using core::TileStoreReader;
using eosin::testing::DiscPicture;
using eosin::testing::Outcome;
using eosin::testing::RunEosin;
using eosin::testing::RunningEosin;
using eosin::testing::SmallDisk;
using eosin::testing::TempFolder;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

constexpr int kSide = 1536;

std::map<std::string, std::string> Stores(const fs::path& out) {
  std::map<std::string, std::string> stores;
  for (const fs::path& path : core::ListFiles(out, {".h5"}, false)) {
    stores[path.filename()] = core::ReadFile(path);
  }
  return stores;
}

std::set<std::string> Names(const fs::path& out) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(out)) names.insert(entry.path().filename());
  return names;
}

bool HasPart(const fs::path& out) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(out, error)) {
    if (entry.path().extension() == ".part") return true;
  }
  return false;
}

class Survive : public ::testing::Test {
 protected:
  void SetUp() override {
    core::MakeFolder(temp_ / "slides");
    for (int i = 0; i < 3; ++i) {
      eosin::testing::WriteJpegSlide(
          temp_ / "slides" / (std::string(1, static_cast<char>('a' + i)) + ".svs"),
          {DiscPicture(kSide, kSide, 700 + 50 * i, 768, 600)}, 0.5);
    }
  }

  std::vector<std::string> Command(const fs::path& out, std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"tile",     (temp_ / "slides").string(),
                                      "--out",    out.string(),
                                      "--mpp",    "0.5",
                                      "--size",   "128",
                                      "--stride", "64",
                                      "--tissue", "otsu"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  // The stores of a run that nothing happens to.
  std::map<std::string, std::string> Undisturbed(std::vector<std::string> more = {}) {
    const fs::path out = temp_ / "undisturbed";
    const Outcome outcome = RunEosin(Command(out, std::move(more)));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    return Stores(out);
  }
  // What there is under final names is readable and as it should be.
  void ExpectWhole(const fs::path& out, const std::map<std::string, std::string>& expected) {
    if (!fs::exists(out)) return;
    for (const auto& [name, bytes] : Stores(out)) {
      EXPECT_TRUE(expected.at(name) == bytes) << name << " differs";
      EXPECT_NO_THROW(TileStoreReader(out / name)) << name;
    }
    for (const fs::path& path : core::ListFiles(out, {".jpg"}, false)) {
      EXPECT_NO_THROW(core::ReadRgb(path)) << path;
    }
    for (const fs::path& path : core::ListFiles(out, {".csv"}, false)) {
      EXPECT_NO_THROW(core::ReadCsv(path)) << path;
    }
  }
  void ExpectDone(const fs::path& out, const std::map<std::string, std::string>& expected) {
    EXPECT_TRUE(Stores(out) == expected) << "stores differ from an undisturbed run's";
    std::set<std::string> names = {"tiles.csv", "process_list_autogen.csv", "report.html"};
    for (const auto& [name, bytes] : expected) {
      names.insert(name);
      names.insert(fs::path(name).stem().string() + ".preview.jpg");
    }
    EXPECT_EQ(Names(out), names) << "something else is left behind";
    EXPECT_EQ(core::ReadCsv(out / "tiles.csv").rows.size(), expected.size());
  }

  TempFolder temp_;
};

TEST_F(Survive, KillAtAnyMoment) {
  const auto start = Clock::now();
  const auto expected = Undisturbed({"--quiet"});
  const auto whole = std::chrono::duration<double>(Clock::now() - start).count();
  ASSERT_EQ(expected.size(), 3u);
  core::PhiloxStream random(1, core::DrawPurpose::kTest, 0, 0);
  int killed = 0;
  for (int round = 0; round < 20; ++round) {
    const fs::path out = temp_ / ("out" + std::to_string(round));
    for (int kill = 0; kill < 2; ++kill) {  // the second on what the first left behind
      RunningEosin run(Command(out, {"--quiet"}), temp_ / "log");
      std::this_thread::sleep_for(std::chrono::duration<double>(random.Uniform() * whole));
      run.Signal(SIGKILL);
      killed += run.Wait().exit_code == 128 + SIGKILL;
      ExpectWhole(out, expected);
    }
    const Outcome again = RunEosin(Command(out, {"--quiet"}));
    EXPECT_EQ(again.exit_code, 0) << again.output;
    ExpectDone(out, expected);
    fs::remove_all(out);
  }
  EXPECT_GE(killed, 10) << "too few runs were hit";
}

TEST_F(Survive, InterruptSavesAndLeaves) {
  const std::vector<std::string> slow = {"--set", "stride=16", "--encoding", "png"};
  const fs::path out = temp_ / "out";
  for (const int signal : {SIGINT, SIGTERM}) {
    RunningEosin run(Command(out, slow), temp_ / "log");
    while (!HasPart(out) && !run.Ended()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    run.Signal(signal);
    const Outcome outcome = run.Wait();
    EXPECT_EQ(outcome.exit_code, 130) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("interrupted"));
    EXPECT_THAT(outcome.output, HasSubstr("hint: "));
    EXPECT_TRUE(fs::exists(out / "tiles.csv"));
    for (const std::string& name : Names(out)) {
      EXPECT_EQ(name.find(".part"), std::string::npos) << name;
      EXPECT_EQ(name.find(".lock"), std::string::npos) << name;
    }
  }
}

TEST_F(Survive, SameBytesAtAnyThreadsAndJobs) {
  const auto expected = Undisturbed({"--threads", "1", "--jobs", "1"});
  for (const auto& [threads, jobs] : {std::pair("2", "1"), {"5", "1"}, {"2", "2"}, {"5", "5"}}) {
    const fs::path out = temp_ / (std::string(threads) + jobs);
    const Outcome outcome = RunEosin(Command(out, {"--threads", threads, "--jobs", jobs}));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    ExpectDone(out, expected);
  }
}

TEST_F(Survive, TwoProcessesOnOneFolder) {
  const auto expected = Undisturbed();
  for (int round = 0; round < 4; ++round) {
    const fs::path out = temp_ / ("out" + std::to_string(round));
    RunningEosin one(Command(out), temp_ / "log1"), two(Command(out), temp_ / "log2");
    const Outcome first = one.Wait(), second = two.Wait();
    EXPECT_EQ(first.exit_code, 0) << first.output;
    EXPECT_EQ(second.exit_code, 0) << second.output;
    ExpectDone(out, expected);
  }
}

TEST_F(Survive, DiskTooSmallForThePlan) {
  const auto expected = Undisturbed();
  for (const char* size : {"4k", "64k", "512k", "1m", "2m", "2600k"}) {
    SmallDisk disk(temp_ / "disk", size);
    EOSIN_REQUIRE_DISK(disk);
    const fs::path out = temp_ / "disk/out";
    const Outcome outcome = RunEosin(Command(out));
    EXPECT_EQ(outcome.exit_code, 3) << size << ": " << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("error: "));
    EXPECT_THAT(outcome.output, HasSubstr("hint: free some space"));
    ExpectWhole(out, expected);
    EXPECT_FALSE(HasPart(out)) << size;
    ASSERT_TRUE(disk.Grow("256m"));
    const Outcome again = RunEosin(Command(out));
    EXPECT_EQ(again.exit_code, 0) << again.output;
    ExpectDone(out, expected);
  }
}

// Another program takes the space that was there when the slide began.
TEST_F(Survive, DiskFullWhileWriting) {
#ifdef __SANITIZE_ADDRESS__
  // HDF5 1.10 leaks the text of an error when a write fails; the program ends there.
  const std::string list = temp_ / "leaks";
  core::WriteFileAtomic(list, std::string("leak:libhdf5\n"));
  ::setenv("LSAN_OPTIONS", ("suppressions=" + list + ":print_suppressions=0").c_str(), 1);
#endif
  const std::vector<std::string> large = {"--encoding", "raw", "--set", "stride=32"};
  const auto expected = Undisturbed(large);
  for (const int64_t leave : {0, 100 << 10, 3 << 20}) {
    SmallDisk disk(temp_ / "disk", "512m");
    EOSIN_REQUIRE_DISK(disk);
    const fs::path out = temp_ / "disk/out";
    RunningEosin run(Command(out, large), temp_ / "log");
    while (!HasPart(out) && !run.Ended()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    run.Signal(SIGSTOP);  // or a busy machine is done before the disk is full
    const fs::path filler = temp_ / "disk/filler";
    const int fd = ::open(filler.c_str(), O_WRONLY | O_CREAT, 0644);
    for (int64_t step = 64 << 20; step >= 4096; step /= 2) {
      int64_t at = ::lseek(fd, 0, SEEK_END);
      while (core::FreeBytes(filler) > leave + step && ::posix_fallocate(fd, at, step) == 0) {
        at += step;
      }
    }
    run.Signal(SIGCONT);
    const Outcome outcome = run.Wait();
    EXPECT_EQ(outcome.exit_code, 3) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("hint: "));
    EXPECT_THAT(outcome.output, ::testing::Not(HasSubstr("should not happen")));
    ExpectWhole(out, expected);
    EXPECT_FALSE(HasPart(out));
    ::close(fd);
    fs::remove(filler);
    const Outcome again = RunEosin(Command(out, large));
    EXPECT_EQ(again.exit_code, 0) << again.output;
    ExpectDone(out, expected);
  }
}

// A generic TIFF with its directory in front, so that a truncated file still opens.
void WriteFrontTiff(const fs::path& path, const Image& picture) {
  constexpr int kTile = eosin::testing::kMadeTile;
  const int columns = (picture.width + kTile - 1) / kTile,
            rows = (picture.height + kTile - 1) / kTile;
  std::vector<std::string> tiles;
  for (int i = 0; i < rows * columns; ++i) {
    Image tile(kTile, kTile, 3);
    eosin::testing::CutTile(picture, i % columns * kTile, i / columns * kTile, kTile,
                            tile.pixels.data());
    const core::Bytes jpeg = core::EncodeJpeg(tile, 90);
    tiles.emplace_back(jpeg.begin(), jpeg.end());
  }
  std::string head("II*\0\10\0\0\0", 8), values;
  struct Entry {
    uint16_t tag, type;
    std::vector<uint32_t> data;  // type 3: short, 4: long, 5: rational (two numbers)
  };
  const uint32_t count = static_cast<uint32_t>(tiles.size());
  std::vector<Entry> entries = {{256, 4, {static_cast<uint32_t>(picture.width)}},
                                {257, 4, {static_cast<uint32_t>(picture.height)}},
                                {258, 3, {8, 8, 8}},
                                {259, 3, {7}},
                                {262, 3, {6}},
                                {277, 3, {3}},
                                {282, 5, {20000, 1}},
                                {283, 5, {20000, 1}},
                                {284, 3, {1}},
                                {296, 3, {3}},  // 0.5 um/px
                                {322, 3, {kTile}},
                                {323, 3, {kTile}},
                                {324, 4, std::vector<uint32_t>(count)},
                                {325, 4, {}},
                                {530, 3, {2, 2}}};
  for (const std::string& tile : tiles) {
    entries[13].data.push_back(static_cast<uint32_t>(tile.size()));
  }
  auto put = [](std::string* to, uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) to->push_back(static_cast<char>(value >> (8 * i)));
  };
  const uint32_t values_at = static_cast<uint32_t>(8 + 2 + 12 * entries.size() + 4);
  uint32_t data_at = values_at;  // after all values that do not fit into their entry
  for (const Entry& entry : entries) {
    const size_t bytes = entry.data.size() * (entry.type == 3 ? 2 : 4);
    if (bytes > 4) data_at += static_cast<uint32_t>(bytes);
  }
  for (uint32_t i = 0, at = data_at; i < count; at += static_cast<uint32_t>(tiles[i++].size())) {
    entries[12].data[i] = at;
  }
  put(&head, static_cast<uint32_t>(entries.size()), 2);
  for (const Entry& entry : entries) {
    const int width = entry.type == 3 ? 2 : 4;
    const uint32_t number = static_cast<uint32_t>(entry.data.size()) / (entry.type == 5 ? 2 : 1);
    put(&head, entry.tag, 2);
    put(&head, entry.type, 2);
    put(&head, number, 4);
    std::string data;
    for (const uint32_t value : entry.data) put(&data, value, width);
    if (data.size() <= 4) {
      data.resize(4);
      head += data;
    } else {
      put(&head, values_at + static_cast<uint32_t>(values.size()), 4);
      values += data;
    }
  }
  put(&head, 0, 4);
  std::string file = head + values;
  for (const std::string& tile : tiles) file += tile;
  core::WriteFileAtomic(path, file);
}

// Tiles `slide` and its damaged twin; exactly the patches that touch `bad` stored tiles have status
// 3, and all others the same bytes.
void ExpectDamage(const fs::path& slide, const fs::path& twin, const fs::path& work,
                  const std::set<uint32_t>& bad, const std::vector<std::string>& options) {
  std::map<fs::path, fs::path> outs;
  for (const fs::path& path : {slide, twin}) {
    outs[path] = work / path.stem();
    std::vector<std::string> words = {"tile",     path.string(), "--out", outs[path].string(),
                                      "--tissue", "none"};
    words.insert(words.end(), options.begin(), options.end());
    const Outcome outcome = RunEosin(words);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
    EXPECT_EQ(outcome.output.find("marked bad") != std::string::npos, path == twin);
  }
  const TileStoreReader whole(outs[slide] / (slide.stem().string() + ".h5"));
  const TileStoreReader damaged(outs[twin] / (twin.stem().string() + ".h5"));
  ASSERT_EQ(whole.size(), damaged.size());
  const int64_t side = whole.info().patch_size_level0;
  constexpr int64_t kTile = eosin::testing::kMadeTile;
  const int64_t columns = (whole.info().width + kTile - 1) / kTile;
  int64_t hit = 0;
  for (int64_t i = 0; i < whole.size(); ++i) {
    const auto [x, y] = whole.coords(i);
    const bool touches = std::any_of(bad.begin(), bad.end(), [&](uint32_t tile) {
      const int64_t left = tile % columns * kTile, top = tile / columns * kTile;
      return x + side > left && x < left + kTile && y + side > top && y < top + kTile;
    });
    EXPECT_EQ(damaged.status(i) == TileStatus::kBad, touches) << x << "," << y;
    EXPECT_EQ(damaged.ReadBytes(i) == whole.ReadBytes(i), !touches) << x << "," << y;
    hit += touches;
  }
  EXPECT_GT(hit, 0);
}

const std::vector<std::vector<std::string>> kGrids = {
    {"--mpp", "0.5", "--align", "tiles"}, {"--mpp", "0.5", "--size", "100", "--stride", "70"}};

TEST_F(Survive, TruncatedSlide) {
  const fs::path slide = temp_ / "whole.tif", twin = temp_ / "cut.tif";
  WriteFrontTiff(slide, DiscPicture(kSide, kSide, 768, 768, 700));
  fs::copy_file(slide, twin);
  const eosin::testing::StoredTile first = eosin::testing::FindTile(twin, 22);  // of 6 x 6
  fs::resize_file(twin, first.offset + first.bytes / 2);
  std::set<uint32_t> lost;
  for (uint32_t tile = 22; tile < 36; ++tile) lost.insert(tile);
  for (size_t i = 0; i < kGrids.size(); ++i) {
    ExpectDamage(slide, twin, temp_ / ("grid" + std::to_string(i)), lost, kGrids[i]);
  }
  // So short that its directory is gone.
  fs::resize_file(twin, 100);
  const Outcome outcome = RunEosin({"tile", twin.string(), "--out", (temp_ / "o").string()});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("cut.tif"));
  EXPECT_THAT(outcome.output, HasSubstr("hint: "));
}

TEST_F(Survive, DamagedTiles) {
  const fs::path slide = temp_ / "slides/a.svs";
  core::PhiloxStream random(2, core::DrawPurpose::kTest, 0, 0);
  std::string noise;
  for (int i = 0; i < 200; ++i) noise.push_back(static_cast<char>(random.Next()));
  const struct {
    const char* what;
    uint64_t offset;  // into the tile
    std::string bytes;
    bool in_stream;  // only decoding tells: copying alone does not look
  } kinds[] = {{"header", 0, std::string(16, '\0'), false},
               {"foreign", 0, "this is no JPEG stream", false},
               {"stream", 3000, noise, true}};
  for (const auto& kind : kinds) {
    SCOPED_TRACE(kind.what);
    const fs::path twin = temp_ / (std::string(kind.what) + ".svs");
    fs::copy_file(slide, twin);
    for (const uint32_t tile : {8u, 21u}) {  // inside the disc; not neighbours
      const auto stored = eosin::testing::FindTile(twin, tile);
      ASSERT_GT(stored.bytes, kind.offset + kind.bytes.size());
      eosin::testing::OverwriteFile(twin, stored.offset + kind.offset, kind.bytes);
    }
    for (size_t i = 0; i < kGrids.size(); ++i) {
      ExpectDamage(slide, twin, temp_ / (kind.what + std::to_string(i)), {8, 21}, kGrids[i]);
    }
  }
}

}  // namespace
}  // namespace eosin::tools
