// SPDX-License-Identifier: Apache-2.0
// Locks between processes, and budgets between slides.

#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <csignal>
#include <fstream>
#include <optional>
#include <thread>

#include "core/base/files.h"
#include "core/base/lock.h"
#include "tests/testing.h"
#include "tiling/batch/budget.h"

namespace eosin::tiling {
namespace {

namespace fs = std::filesystem;
using core::ExitCode;
using eosin::testing::ExpectError;
using eosin::testing::TempFolder;

class LockTest : public ::testing::TestWithParam<core::FileLock::Kind> {
 protected:
  std::optional<core::FileLock> Try() { return core::FileLock::Try(path_, GetParam()); }

  TempFolder temp_;
  fs::path path_ = temp_ / ".a.lock";
};

TEST_P(LockTest, IsHeldByOneAtATime) {
  auto lock = Try();
  ASSERT_TRUE(lock);
  EXPECT_FALSE(Try());
  EXPECT_TRUE(core::FileLock::Try(temp_ / ".b.lock", GetParam()));
  lock.reset();
  EXPECT_TRUE(fs::is_empty(temp_.path())) << "nothing is left behind";
  EXPECT_TRUE(Try());
}

TEST_P(LockTest, IsFreeAfterItsHolderWasKilled) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto lock = Try();
    const char said = lock ? 'y' : 'n';
    if (write(ready[1], &said, 1) == 1) pause();
    _exit(1);
  }
  char said = 0;
  ASSERT_EQ(read(ready[0], &said, 1), 1);
  EXPECT_EQ(said, 'y');
  EXPECT_FALSE(Try());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(Try());
  close(ready[0]);
  close(ready[1]);
}

// Counts of the file from many threads: no two are in at the same time, none is lost.
TEST_P(LockTest, LetsNoTwoInAtOnce) {
  std::atomic<int> inside{0}, collisions{0}, entered{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 200; ++i) {
          const auto lock = Try();
          if (!lock) continue;
          ++entered;
          if (++inside != 1) ++collisions;
          std::this_thread::yield();
          --inside;
        }
      });
    }
  }
  EXPECT_EQ(collisions, 0);
  EXPECT_GT(entered, 0);
  EXPECT_TRUE(fs::is_empty(temp_.path()));
}

TEST_P(LockTest, SaysWhyItCannotBe) {
  ExpectError([&] { core::FileLock::Try(temp_ / "none/.a.lock", GetParam()); }, ExitCode::kMachine,
              ".a.lock");
}

INSTANTIATE_TEST_SUITE_P(Kinds, LockTest,
                         ::testing::Values(core::FileLock::Kind::kFlock,
                                           core::FileLock::Kind::kOwnerFile),
                         [](const auto& info) {
                           return info.param == core::FileLock::Kind::kFlock ? "Flock"
                                                                             : "OwnerFile";
                         });

TEST(OwnerFile, OfAnotherHostIsBelieved) {
  TempFolder temp;
  std::ofstream(temp / ".a.lock.owner") << "elsewhere/boot/pid:[1] 1 100\n";
  EXPECT_FALSE(core::FileLock::Try(temp / ".a.lock", core::FileLock::Kind::kOwnerFile));
  EXPECT_TRUE(fs::exists(temp / ".a.lock.owner"));
}

TEST(OwnerFile, ThatIsEmptyIsTakenOverAfterAMinute) {
  TempFolder temp;
  const fs::path owner = temp / ".a.lock.owner";
  std::ofstream(owner).flush();
  EXPECT_FALSE(core::FileLock::Try(temp / ".a.lock", core::FileLock::Kind::kOwnerFile));
  fs::last_write_time(owner, fs::last_write_time(owner) - std::chrono::minutes(2));
  EXPECT_TRUE(core::FileLock::Try(temp / ".a.lock", core::FileLock::Kind::kOwnerFile));
}

TEST(MemoryBudget, HoldsNoMoreThanItsTotal) {
  MemoryBudget budget(100);
  std::atomic<int> held{0}, most{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 6; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 50; ++i) {
          const MemoryBudget::Share share(budget, 40);
          const int now = held += 40;
          int before = most;
          while (before < now && !most.compare_exchange_weak(before, now)) {
          }
          std::this_thread::yield();
          held -= 40;
        }
      });
    }
  }
  EXPECT_LE(most, 80);
}

TEST(MemoryBudget, LetsOneHolderHaveMoreWhileOthersWait) {
  MemoryBudget budget(100);
  std::atomic<bool> in{false};
  std::jthread second;
  {
    const MemoryBudget::Share large(budget, 1000);  // waits for nobody
    second = std::jthread([&] {
      const MemoryBudget::Share share(budget, 1);
      in = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_FALSE(in);
  }
  second.join();
  EXPECT_TRUE(in);
}

TEST(MemoryBudget, KnowsWhatTheMachineHas) {
  EXPECT_GT(AvailableMemory(), 1 << 20);
  EXPECT_LT(AvailableMemory(), int64_t{1} << 50);
}

TEST(DiskBudget, CountsWhatIsStillToBeWritten) {
  TempFolder temp;
  DiskBudget budget(temp.path());
  const int64_t free = budget.Free();
  ExpectError([&] { DiskBudget::Share(budget, "a.h5", temp / "a.part", free + (1 << 30)); },
              ExitCode::kMachine, "a.h5 needs about");
  const int64_t half = free / 2;
  const DiskBudget::Share first(budget, "a.h5", temp / "a.part", half);
  EXPECT_LT(budget.Free(), free - half + (int64_t{1} << 30));
  ExpectError([&] { DiskBudget::Share(budget, "b.h5", temp / "b.part", free - half / 2); },
              ExitCode::kMachine, "b.h5");
  // What the first has written is no longer to come (this file is sparse: it takes nothing).
  std::ofstream(temp / "a.part").flush();
  fs::resize_file(temp / "a.part", static_cast<uintmax_t>(half));
  EXPECT_GT(budget.Free(), free - half / 4);
}

}  // namespace
}  // namespace eosin::tiling
