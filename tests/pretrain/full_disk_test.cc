// SPDX-License-Identifier: Apache-2.0
// A pretraining that fills its disk: what it saved before stays whole, and it goes on from there.

#include "core/base/files.h"
#include "pretrain/run_state.h"
#include "tests/pretrain/small_run.h"
#include "tests/small_disk.h"
#include "tests/testing.h"

namespace eosin::pretrain {
namespace {

using engine::RunFolder;
using testing::SmallDisk;
using testing::TempFolder;

TEST(FullDiskTest, TheLastGoodCheckpointStaysAndTheRunGoesOn) {
  TempFolder temp;
  PretrainOptions options = Options("byol");
  options.checkpoint_every = 1;
  options.max_steps = 3;
  options.knn_every = 0;
  {
    RunFolder whole = MakeRun(temp / "whole", options);
    RunPretrain(options, Textures(), whole, false);
  }
  uintmax_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(temp / "whole/checkpoints/last")) {
    bytes += entry.file_size();
  }
  // Room for one checkpoint and a half: the second fails midway.
  SmallDisk disk(temp / "disk", std::to_string(bytes * 3 / 2));
  EOSIN_REQUIRE_DISK(disk);
  const fs::path path = temp / "disk/run";
  {
    RunFolder run = MakeRun(path, options);
    try {
      RunPretrain(options, Textures(), run, false);
      ADD_FAILURE() << "the disk was not full";
    } catch (const core::Error& error) {
      EXPECT_EQ(static_cast<int>(error.code()), 3) << error.what();
      EXPECT_FALSE(error.hint().empty());
    }
    EXPECT_FALSE(run.finished());
  }
  const engine::Checkpoint last = engine::LoadCheckpoint(path / "checkpoints/last");
  EXPECT_EQ(ParseRunState(last.state, "last").step, 1);
  EXPECT_EQ(last.tensors.size(),
            engine::LoadCheckpoint(temp / "whole/checkpoints/last").tensors.size());
  ASSERT_TRUE(disk.Grow("64m"));
  RunFolder run = RunFolder::Open(path, "pretrain");
  EXPECT_EQ(RunPretrain(options, Textures(), run, true).steps, 3);
  EXPECT_EQ(Hashes(path), Hashes(temp / "whole"));
  EXPECT_EQ(Metrics(path), Metrics(temp / "whole"));
}

}  // namespace
}  // namespace eosin::pretrain
