// SPDX-License-Identifier: Apache-2.0
#include "eval/encoder.h"

#include <torch/types.h>

#include "core/base/files.h"
#include "core/formats/pth.h"
#include "core/formats/safetensors.h"
#include "engine/weights/weights.h"
#include "tests/eval/made_images.h"
#include "tests/testing.h"

namespace eosin::eval {
namespace {

at::Tensor Probe(engine::ResNet net) {
  torch::NoGradGuard no_grad;
  return net->forward(torch::linspace(-1, 1, 2 * 3 * 32 * 32).view({2, 3, 32, 32}));
}

TEST(EncoderTest, OpensRunFoldersAndFilesOfAnyDialect) {
  const testing::TempFolder folder;
  engine::ResNet net = testing::TinyNet(4);
  core::MakeFolder(folder / "my_run");
  engine::Normalization normalization{{0.1f, 0.2f, 0.3f}, {0.5f, 0.6f, 0.7f}};
  std::map<std::string, std::string> metadata;
  engine::AddToMetadata(normalization, &metadata);
  core::WriteSafetensors(folder.path() / "my_run" / "encoder.safetensors",
                         engine::ToStateDict(*net), metadata);
  core::WritePth(folder / "moco.pth", engine::ToStateDict(*net, "module.encoder_q."));

  const Encoder run = OpenEncoder(folder / "my_run");
  EXPECT_EQ(run.name, "my_run");
  EXPECT_EQ(run.normalization, normalization);
  EXPECT_EQ(run.normalization_from, "file");
  EXPECT_EQ(OpenEncoder(folder / "my_run", "", "none").normalization, normalization);
  EXPECT_EQ(run.net->options().width, 8);
  EXPECT_TRUE(at::equal(Probe(run.net), Probe(net)));
  EXPECT_FALSE(run.net->is_training());

  const Encoder moco = OpenEncoder(folder / "moco.pth");
  EXPECT_EQ(moco.name, "moco");
  EXPECT_EQ(moco.normalization, engine::Normalization());
  EXPECT_EQ(moco.normalization_from, "assumed ImageNet");
  const Encoder own = OpenEncoder(folder / "moco.pth", "", "0.1,0.2,0.3,0.5,0.6,0.7");
  EXPECT_EQ(own.normalization, normalization);
  EXPECT_EQ(own.normalization_from, "eval.normalization");
  EXPECT_EQ(RandomEncoderLike(own, 0).normalization_from, "eval.normalization");
  EXPECT_EQ(Fingerprint(*moco.net), Fingerprint(*net));
  EXPECT_EQ(OpenEncoder(folder / "moco.pth", "mine").name, "mine");
}

TEST(EncoderTest, NormalizationsAsTheyAreWritten) {
  EXPECT_EQ(ParseNormalization("auto"), engine::Normalization());
  EXPECT_EQ(ParseNormalization("imagenet"), engine::Normalization());
  EXPECT_EQ(ParseNormalization("none"), (engine::Normalization{{0, 0, 0}, {1, 1, 1}}));
  EXPECT_EQ(ParseNormalization("0.5, 0.25,0, 1,2,4"),
            (engine::Normalization{{0.5f, 0.25f, 0}, {1, 2, 4}}));
  for (const std::string bad : {"", "clip", "1,2,3", "1,2,3,1,1,0", "1,2,3,1,1,1,1",
                                "1,2,3,1,1,nan", "1;2;3;1;1;1", "1,2,3,1,1,"}) {
    testing::ExpectError([&] { ParseNormalization(bad); }, core::ExitCode::kUsage,
                         "eval.normalization");
  }
}

TEST(EncoderTest, FingerprintSeesEveryTensor) {
  engine::ResNet net = testing::TinyNet(1);
  const std::string before = Fingerprint(*net);
  EXPECT_EQ(before, Fingerprint(*net));
  net->train();
  Probe(net);  // moves the statistics of batch normalisation, no parameter
  EXPECT_NE(before, Fingerprint(*net));
  net = testing::TinyNet(1);
  EXPECT_EQ(before, Fingerprint(*net));
  torch::NoGradGuard no_grad;
  at::Tensor last = net->named_parameters()["layer4.1.bn2.bias"];
  last[0] += 1e-7f;
  EXPECT_NE(before, Fingerprint(*net));
}

TEST(EncoderTest, RandomLikeHasTheArchitectureAndItsOwnDraws) {
  Encoder trained;
  trained.net = testing::TinyNet(9);
  trained.normalization.mean = {0, 0, 0};
  const Encoder a = RandomEncoderLike(trained, 0), b = RandomEncoderLike(trained, 1);
  EXPECT_EQ(a.net->options().width, 8);
  EXPECT_EQ(a.net->options().stem, "cifar");
  EXPECT_EQ(a.normalization, trained.normalization);
  EXPECT_NE(Fingerprint(*a.net), Fingerprint(*b.net));
  EXPECT_EQ(Fingerprint(*a.net), Fingerprint(*RandomEncoderLike(trained, 0).net));
  EXPECT_EQ(b.name, "random 1");
}

TEST(EncoderTest, SaysWhatIsWrong) {
  const testing::TempFolder folder;
  auto expect = [](const std::filesystem::path& path, const std::string& text) {
    testing::ExpectError([&] { OpenEncoder(path); }, core::ExitCode::kBadInput, text);
  };
  expect(folder / "none", "no such weights file or run folder");
  core::MakeFolder(folder / "empty");
  expect(folder / "empty", "there is no encoder in");
  core::WriteFileAtomic(folder / "text.pth", "not weights");
  expect(folder / "text.pth", "text.pth");
  core::StateDict other;
  other.Add("fc.weight", {2, 2}, {1, 2, 3, 4});
  core::WriteSafetensors(folder / "linear.safetensors", other);
  expect(folder / "linear.safetensors", "linear.safetensors");
  // A file that lacks one tensor of the trunk.
  core::StateDict part = engine::ToStateDict(*testing::TinyNet(1));
  std::erase_if(part.tensors,
                [](const auto& tensor) { return tensor.name == "layer3.0.bn1.running_mean"; });
  core::WriteSafetensors(folder / "part.safetensors", part);
  expect(folder / "part.safetensors", "part.safetensors");
}

}  // namespace
}  // namespace eosin::eval
