// SPDX-License-Identifier: Apache-2.0
#include "segment/model/trained_model.h"

#include <fstream>

#include "core/base/files.h"
#include "core/formats/safetensors.h"
#include "engine/training/run_folder.h"
#include "segment/data/split.h"
#include "segment/predict/dihedral.h"
#include "segment/train/trainer.h"
#include "tests/segment/made_data.h"
#include "tests/segment/predict/made_network.h"

namespace eosin::testing {
namespace {

using namespace segment;

// A run as `eosin segment` leaves it: discs, 32 px crops, a tiny net.
SegmentOptions TrainRun(const fs::path& folder, int64_t steps) {
  MakeMaskData(folder / "data", 4, 2, 64);
  SegmentOptions options;
  options.data.data = (folder / "data").string();
  options.data.mpp = 0.5;
  options.data.scale = 0.5;
  options.arch = "resnet18";
  options.width = 8;
  options.head_channels = 16;
  options.rates = {1, 2, 3};
  options.crop = 32;
  options.batch = 4;
  options.steps = steps;
  options.keep_predictions = 0;
  options.compute = {.device = "cpu", .threads = 1};
  SplitOptions split;
  core::OptionSet set;
  options.Bind(set);
  split.Bind(set);
  const fs::path run = folder / "run";
  core::MakeFolder(run);
  core::WriteFileAtomic(run / "config.toml", set.ToToml());
  const MaskDataset data(options.data);
  TrainSegmenter(options, data, SplitByPatient(data.items(), split), run,
                 {.save_model = true, .hook = [](int64_t, double) {}});
  return options;
}

TEST(TrainedModel, PredictsAndRefuses) {
  const TempFolder folder;
  TrainRun(folder.path(), 30);
  const engine::Compute compute = engine::ResolveCompute({.device = "cpu", .threads = 1});
  TrainedModel model(folder / "run", compute);
  EXPECT_EQ(model.options().crop, 32);
  EXPECT_DOUBLE_EQ(model.options().data.ReadMpp(), 1.0);

  // Probabilities of a pixel sum to one, within rounding; the same window gives the same bytes.
  std::vector<uint8_t> images(2 * 32 * 32 * 3);
  for (size_t i = 0; i < images.size(); ++i) {
    images[i] = FakeSlide::Tissue(0, static_cast<int64_t>(i % 3072), 0, 1);
  }
  std::vector<uint16_t> a(2 * 2 * 1024), b(a.size());
  model.Predict(images.data(), 2, 32, kOneProbability, a.data());
  model.Predict(images.data(), 2, 32, kOneProbability, b.data());
  EXPECT_EQ(a, b);
  for (size_t p = 0; p < 1024; ++p) EXPECT_NEAR(a[p] + a[1024 + p], kOneProbability, 1);

  // Windows of another size than the crops: those of one size smaller, of one larger; none more
  // than asked for is written.
  for (const int64_t side : {16, 48}) {
    const auto pixels = static_cast<size_t>(side * side);
    std::vector<uint8_t> first(pixels * 3), both, swapped;
    for (size_t i = 0; i < first.size(); ++i) first[i] = static_cast<uint8_t>(i * 7 % 251);
    std::vector<uint8_t> second(first.rbegin(), first.rend());
    both.insert(both.end(), first.begin(), first.end());
    both.insert(both.end(), second.begin(), second.end());
    swapped.insert(swapped.end(), second.begin(), second.end());
    swapped.insert(swapped.end(), first.begin(), first.end());
    std::vector<uint16_t> out(4 * pixels + 1, 7), other(out);
    model.Predict(both.data(), 2, side, kOneProbability, out.data());
    model.Predict(swapped.data(), 2, side, kOneProbability, other.data());
    EXPECT_EQ(out.back(), 7);
    for (size_t p = 0; p < pixels; ++p) {
      EXPECT_NEAR(out[p] + out[pixels + p], kOneProbability, 1);
      EXPECT_NEAR(out[p], other[2 * pixels + p], 1);
      EXPECT_NEAR(out[2 * pixels + p], other[p], 1);
    }
  }

  // A real network through the pipeline: seams, measured.
  const auto slide =
      SlideOf(512, 512, [](int64_t x, int64_t y) { return (x / 40 + y / 40) % 2 ? 4 : 2; });
  const Network network = [&](const uint8_t* in, int64_t count, uint16_t* out) {
    model.Predict(in, count, 32, kOneProbability, out);
  };
  MapOptions options;
  options.window = 32;
  options.stride = 16;
  options.classes = 2;
  const std::vector<uint8_t> plain = LabelsOf(*slide, network, options);
  options.shift = 8;
  const std::vector<uint8_t> shifted = LabelsOf(*slide, network, options);
  int64_t changed = 0;
  for (size_t i = 0; i < plain.size(); ++i) changed += plain[i] != shifted[i];
  std::printf("a tiny network, grid moved by a quarter window: %.3f %% of labels changed\n",
              100.0 * static_cast<double>(changed) / static_cast<double>(plain.size()));

  // Killed and gone on: the same bytes with a real network too.
  {
    KeepingSink whole, failing(6), resumed;
    RunMap(*slide, network, options, folder / "whole", &whole);
    EXPECT_THROW(RunMap(*slide, network, options, folder / "bands", &failing), core::MachineError);
    RunMap(*slide, network, options, folder / "bands", &resumed);
    EXPECT_EQ(whole.labels, resumed.labels);
  }

  // The hash knows all that the numbers come from, not only the weights.
  const auto hash_with = [&](const std::string& from, const std::string& to) {
    const fs::path changed = folder / "changed";
    fs::remove_all(changed);
    fs::copy(folder / "run", changed, fs::copy_options::recursive);
    std::string config = core::ReadFile(changed / "config.toml");
    const size_t at = config.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    if (at != std::string::npos) config.replace(at, from.size(), to);
    std::ofstream(changed / "config.toml") << config;
    return TrainedModel(changed, compute).hash();
  };
  EXPECT_EQ(hash_with("seed = 0", "seed = 1"), model.hash());
  EXPECT_NE(hash_with("output_stride = 16", "output_stride = 32"), model.hash());
  // Dilations are the file's, whatever the config says.
  EXPECT_EQ(hash_with("rates = [1.0, 2.0, 3.0]", "rates = [1.0, 2.0, 4.0]"), model.hash());

  fs::remove(folder.path() / "run" / "model.pth");
  core::MakeFolder(folder / "empty");
  const auto refused = [&](const fs::path& run, const std::string& words) {
    ExpectError([&] { TrainedModel(run, compute); }, core::ExitCode::kBadInput, words);
  };
  refused(folder / "nowhere", "no run folder");
  refused(folder / "empty", "no config.toml");
  fs::copy(folder / "run", folder / "other", fs::copy_options::recursive);
  fs::remove(folder.path() / "other" / "model.safetensors");
  refused(folder / "other", "no model.safetensors");
  std::map<std::string, std::string> metadata;
  const auto state = core::ReadSafetensors(folder / "run/model.safetensors", &metadata);
  core::WriteSafetensors(folder / "other/model.safetensors", state);
  refused(folder / "other", "does not say how its input is normalised");
  // Dilations that the config leaves to the crop are the file's.
  metadata["eosin.rates"] = "1,1,2";
  core::WriteSafetensors(folder / "other/model.safetensors", state, metadata);
  EXPECT_EQ(TrainedModel(folder / "other", compute).options().rates,
            (std::vector<double>{1, 1, 2}));
  std::ofstream(folder.path() / "other" / "model.safetensors") << "not weights";
  refused(folder / "other", "model.safetensors");
  std::ofstream(folder.path() / "other" / "config.toml") << "[method]\nname = \"simclr\"\n";
  refused(folder / "other", "no config of eosin segment");
}

}  // namespace
}  // namespace eosin::testing
