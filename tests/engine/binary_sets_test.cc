// SPDX-License-Identifier: Apache-2.0
#include "engine/data/binary_sets.h"

#include <numeric>
#include <set>

#include "core/base/files.h"
#include "core/base/threads.h"
#include "tests/testing.h"

namespace eosin::engine {
namespace {

namespace fs = std::filesystem;
using core::ExitCode;
using testing::ExpectError;

void Write(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  core::WriteFileAtomic(path, bytes);
}

// Byte i of the pixels of record r is (7 r + i) mod 251.
std::string CifarBatch(const std::vector<int>& labels) {
  std::string bytes;
  for (size_t r = 0; r < labels.size(); ++r) {
    bytes += static_cast<char>(labels[r]);
    for (size_t i = 0; i < 3072; ++i) bytes += static_cast<char>((7 * r + i) % 251);
  }
  return bytes;
}

// Each value says where it is: 40 * channel + 2 * x + 3 * y, in a file of columns.
std::string StlPictures(int count) {
  std::string bytes;
  for (int n = 0; n < count; ++n) {
    for (int c = 0; c < 3; ++c) {
      for (int x = 0; x < 96; ++x) {
        for (int y = 0; y < 96; ++y) {
          bytes += static_cast<char>((n + 40 * c + 2 * x + 3 * y) % 256);
        }
      }
    }
  }
  return bytes;
}

TEST(Cifar10, BatchesOfAFolderWithoutTheTest) {
  testing::TempFolder folder;
  Write(folder / "data_batch_1.bin", CifarBatch({3, 9}));
  Write(folder / "data_batch_2.bin", CifarBatch({0, 1, 2}));
  Write(folder / "data_batch_10.bin", CifarBatch({5}));
  Write(folder / "test_batch.bin", CifarBatch({4}));
  const auto source = OpenImageSource(folder.path());
  ASSERT_EQ(source->size(), 6);
  const int64_t labels[] = {3, 9, 0, 1, 2, 5};
  for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(source->label(i), labels[i]);
  EXPECT_EQ(source->classes()[1], "automobile");
  EXPECT_EQ(source->name(1), "data_batch_1.bin#1");
  EXPECT_EQ(source->name(5), "data_batch_10.bin#0");
  EXPECT_EQ(source->uniform_size(), (std::pair<int, int>{32, 32}));
  std::set<std::string> groups;
  for (int64_t i = 0; i < 6; ++i) groups.insert(source->group(i));
  EXPECT_EQ(groups.size(), 6u);
  const core::Image image = source->Read(4);  // record 2 of its batch
  for (int y = 0; y < 32; ++y) {
    for (int x = 0; x < 32; ++x) {
      for (int c = 0; c < 3; ++c) {
        ASSERT_EQ(image.at(x, y)[c], (14 + 1024 * c + 32 * y + x) % 251);
      }
    }
  }
  EXPECT_THROW(source->Read(6), std::out_of_range);
  EXPECT_EQ(OpenImageSource(folder / "test_batch.bin")->label(0), 4);
  Write(folder / "list.txt", "test_batch.bin\ndata_batch_2.bin\n");
  EXPECT_EQ(OpenImageSource(folder / "list.txt")->size(), 4);
}

TEST(Cifar10, NamesFromTheFileBeside) {
  testing::TempFolder folder;
  Write(folder / "up/cifar-10-batches-bin/data_batch_1.bin", CifarBatch({1}));
  const fs::path names = folder / "up/cifar-10-batches-bin/batches.meta.txt";
  Write(names, "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  EXPECT_EQ(OpenImageSource(folder / "up")->classes()[9], "j");
  Write(names, "a\nb\n");
  ExpectError([&] { OpenImageSource(folder / "up"); }, ExitCode::kBadInput, "2 class names");
}

TEST(Cifar10, SaysWhatIsWrong) {
  testing::TempFolder folder;
  const fs::path file = folder / "data_batch_1.bin";
  Write(file, CifarBatch({1, 2}) + "x");
  ExpectError([&] { OpenImageSource(folder.path()); }, ExitCode::kBadInput,
              "data_batch_1.bin is 6147 bytes long");
  Write(file, "");
  ExpectError([&] { OpenImageSource(file); }, ExitCode::kBadInput, "is 0 bytes long");
  Write(file, CifarBatch({1, 10}));
  ExpectError([&] { OpenImageSource(file); }, ExitCode::kBadInput, "label 10 at byte 3073");
  Write(file, std::string(3074, '\1'));
  try {
    OpenImageSource(file);
    FAIL();
  } catch (const core::DataError& error) {
    EXPECT_THAT(error.hint(), ::testing::HasSubstr("CIFAR-100"));
  }
  Write(folder / "list.txt", "data_batch_1.bin\nother.png\n");
  Write(file, CifarBatch({1}));
  Write(folder / "other.png", "x");
  ExpectError([&] { OpenImageSource(folder / "list.txt"); }, ExitCode::kBadInput,
              "not a CIFAR-10 or STL-10 file");
  ExpectError([&] { OpenBinaryFiles({folder.path()}, folder.path()); }, ExitCode::kBadInput,
              "no regular file");
}

TEST(Cifar10, AFileCutShortWhileOpen) {
  testing::TempFolder folder;
  const fs::path file = folder / "data_batch_1.bin";
  Write(file, CifarBatch({1, 2, 3}));
  const auto source = OpenImageSource(file);
  fs::resize_file(file, 2 * 3073 + 100);
  EXPECT_EQ(source->Read(1).pixels[0], 7);
  ExpectError([&] { source->Read(2); }, ExitCode::kBadInput, "the file ends early");
}

TEST(Cifar10, RealTestImages) {
  const fs::path file = testing::DataFolder() / "cifar10" / "test_first_1000.bin";
  EOSIN_REQUIRE_DATA(file);
  const auto source = OpenImageSource(file);
  ASSERT_EQ(source->size(), 1000);
  // The test batch begins cat, ship, ship, airplane, frog, frog, automobile, frog, cat, automobile.
  const int64_t labels[] = {3, 8, 8, 0, 6, 6, 1, 6, 3, 1};
  for (int64_t i = 0; i < 10; ++i) EXPECT_EQ(source->label(i), labels[i]);
  // Its first pixels, as torchvision.datasets.CIFAR10 shows them.
  const core::Image cat = source->Read(0);
  EXPECT_EQ((std::vector<int>{cat.at(0, 0)[0], cat.at(0, 0)[1], cat.at(0, 0)[2]}),
            (std::vector<int>{158, 112, 49}));
  EXPECT_EQ((std::vector<int>{cat.at(1, 0)[0], cat.at(1, 0)[1], cat.at(1, 0)[2]}),
            (std::vector<int>{159, 111, 47}));
  // Neighbouring pixels of a photograph resemble each other in every direction.
  double across = 0, down = 0;
  for (int64_t i = 0; i < 100; ++i) {
    const core::Image image = source->Read(i);
    for (int y = 0; y < 31; ++y) {
      for (int x = 0; x < 31; ++x) {
        across += std::abs(image.at(x, y)[0] - image.at(x + 1, y)[0]);
        down += std::abs(image.at(x, y)[0] - image.at(x, y + 1)[0]);
      }
    }
  }
  EXPECT_LT(across / (100 * 31 * 31), 20);
  EXPECT_LT(down / (100 * 31 * 31), 20);
  core::ParallelFor(1000, 3, [&](int64_t i) {
    if (source->Read(i).pixels.size() != 3072) throw std::runtime_error("wrong image");
  });
}

TEST(Stl10, FolderIsTrainThenUnlabelled) {
  testing::TempFolder folder;
  Write(folder / "train_X.bin", StlPictures(3));
  Write(folder / "train_y.bin", std::string("\x0a\x01\x03"));
  Write(folder / "unlabeled_X.bin", StlPictures(2));
  Write(folder / "test_X.bin", StlPictures(1));
  Write(folder / "test_y.bin", std::string("\x02"));
  const auto source = OpenImageSource(folder.path());
  ASSERT_EQ(source->size(), 5);
  const int64_t labels[] = {9, 0, 2, -1, -1};
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(source->label(i), labels[i]);
  EXPECT_EQ(source->name(4), "unlabeled_X.bin#1");
  EXPECT_EQ(source->classes()[9], "truck");
  EXPECT_EQ(source->uniform_size(), (std::pair<int, int>{96, 96}));
  const core::Image image = source->Read(2);
  for (int y = 0; y < 96; y += 5) {
    for (int x = 0; x < 96; ++x) {
      for (int c = 0; c < 3; ++c) {
        ASSERT_EQ(image.at(x, y)[c], (2 + 40 * c + 2 * x + 3 * y) % 256) << x << " " << y;
      }
    }
  }
  EXPECT_EQ(OpenImageSource(folder / "test_X.bin")->label(0), 1);
  const auto unlabelled = OpenImageSource(folder / "unlabeled_X.bin");
  EXPECT_EQ(unlabelled->label(0), -1);
  EXPECT_TRUE(unlabelled->classes().empty());
}

TEST(Stl10, SaysWhatIsWrong) {
  testing::TempFolder folder;
  Write(folder / "train_X.bin", StlPictures(2));
  ExpectError([&] { OpenImageSource(folder.path()); }, ExitCode::kBadInput,
              "train_y.bin is missing");
  Write(folder / "train_y.bin", std::string("\x01"));
  ExpectError([&] { OpenImageSource(folder.path()); }, ExitCode::kBadInput, "is 1 bytes long, but");
  Write(folder / "train_y.bin", std::string("\x01\x0b"));
  ExpectError([&] { OpenImageSource(folder.path()); }, ExitCode::kBadInput, "label 11 at byte 1");
  Write(folder / "train_y.bin", std::string("\x01\x00", 2));
  ExpectError([&] { OpenImageSource(folder.path()); }, ExitCode::kBadInput, "label 0 at byte 1");
  Write(folder / "train_X.bin", StlPictures(2).substr(1));
  ExpectError([&] { OpenImageSource(folder.path()); }, ExitCode::kBadInput, "no whole number");
  Write(folder / "data_batch_1.bin", CifarBatch({1}));
  ExpectError([&] { OpenImageSource(folder.path()); }, ExitCode::kBadInput, "both CIFAR-10 and");
  Write(folder / "list.txt", "data_batch_1.bin\ntrain_X.bin\n");
  ExpectError([&] { OpenImageSource(folder / "list.txt"); }, ExitCode::kBadInput, "different sets");
}

TEST(Stl10, Folds) {
  testing::TempFolder folder;
  const fs::path file = folder / "fold_indices.txt";
  std::string text;
  for (int f = 0; f < 10; ++f) text += std::to_string(f) + " 4 19 \n";
  Write(file, text);
  ExpectError([&] { ReadStl10Folds(file, 20); }, ExitCode::kBadInput,
              "line 5: 4 stands there twice");
  text.replace(text.find("4 4"), 1, "8");
  Write(file, text);
  const auto folds = ReadStl10Folds(file, 20);
  ASSERT_EQ(folds.size(), 10u);
  EXPECT_EQ(folds[4], (std::vector<int64_t>{8, 4, 19}));
  ExpectError([&] { ReadStl10Folds(file, 19); }, ExitCode::kBadInput, "19 is no index below 19");
  Write(file, "1 2\n");
  ExpectError([&] { ReadStl10Folds(file); }, ExitCode::kBadInput, "1 folds");
  Write(file, "1 -2\n");
  ExpectError([&] { ReadStl10Folds(file); }, ExitCode::kBadInput, "-2 is no index");
  Write(file, "1 2x\n");
  ExpectError([&] { ReadStl10Folds(file); }, ExitCode::kBadInput, "2x is no index");
}

TEST(Stl10, RealFolds) {
  const fs::path folder = testing::DataFolder() / "stl10";
  EOSIN_REQUIRE_DATA(folder);
  const auto folds = ReadStl10Folds(folder / "fold_indices.txt");
  const std::string labels = core::ReadFile(folder / "train_y.bin");
  ASSERT_EQ(folds.size(), 10u);
  for (const auto& fold : folds) {
    ASSERT_EQ(fold.size(), 1000u);
    int per_class[11] = {};
    for (const int64_t index : fold)
      ++per_class[static_cast<int>(labels[static_cast<size_t>(index)])];
    for (int c = 1; c <= 10; ++c) EXPECT_EQ(per_class[c], 100);
  }
}

}  // namespace
}  // namespace eosin::engine
