// SPDX-License-Identifier: Apache-2.0
// The C++ side of tests/parity/test_weights.py and test_embedding.py.
//
//   parity_tool forward --arch ARCH --weights FILE --input X.safetensors --output Y.safetensors
//   parity_tool init --arch ARCH --seed N --out FILE.pth|FILE.safetensors
//   parity_tool convert --in FILE --out FILE.pth|FILE.safetensors
//   parity_tool time --arch ARCH --input X.safetensors --rounds N      (milliseconds a step, lines)
//   parity_tool embed --data D --out FOLDER      (made features: i, i / 2, i / 4 of image i)
//
// ARCH: resnet18|34|50 with a 1000-way fc, or deeplabv3_resnet50[_aux] with 21 classes. X holds
// "x"; Y gets "out" (and "aux").
#include <chrono>
#include <cstdio>
#include <map>
#include <string>

#include <torch/torch.h>

#include "core/base/error.h"
#include "core/formats/pth.h"
#include "core/formats/safetensors.h"
#include "engine/data/image_source.h"
#include "engine/models/init.h"
#include "engine/weights/weights.h"
#include "eval/embedding_file.h"
#include "segment/model/deeplab.h"

namespace {

using namespace eosin;  // NOLINT: a test program

struct Net {
  engine::ResNet resnet{nullptr};
  segment::DeepLabV3 deeplab{nullptr};

  explicit Net(const std::string& arch) {
    if (arch.starts_with("deeplab")) {
      deeplab =
          segment::DeepLabV3(segment::DeepLabOptions{.classes = 21, .aux = arch.ends_with("_aux")});
    } else {
      resnet = engine::ResNet(engine::ResNetOptions{.arch = arch, .num_classes = 1000});
    }
  }
  torch::nn::Module& module() {
    return deeplab.is_empty() ? static_cast<torch::nn::Module&>(*resnet) : *deeplab;
  }
};

at::Tensor ReadInput(const std::string& path) {
  const core::StateDict dict = core::ReadSafetensors(path);
  const core::TensorBlob* x = dict.Find("x");
  if (x == nullptr) throw core::DataError(path + " holds no x", "write the input as x");
  return torch::tensor(core::ToFloats(*x)).reshape(x->shape);
}

void Put(core::StateDict* dict, const std::string& name, const at::Tensor& tensor) {
  const at::Tensor plain = tensor.contiguous();
  const auto* data = plain.data_ptr<float>();
  dict->Add(name, plain.sizes().vec(), std::vector<float>(data, data + plain.numel()));
}

void Write(const std::string& path, const core::StateDict& dict) {
  if (path.ends_with(".safetensors"))
    core::WriteSafetensors(path, dict);
  else
    core::WritePth(path, dict);
}

void Forward(std::map<std::string, std::string>& options) {
  const torch::NoGradGuard guard;
  Net net(options["--arch"]);
  const auto report = engine::LoadStateDict(net.module(), core::ReadWeights(options["--weights"]),
                                            {.strict = true, .ignore_prefixes = {}});
  std::printf("%s\n", report.Table().c_str());
  net.module().eval();
  const at::Tensor x = ReadInput(options["--input"]);
  core::StateDict result;
  if (net.deeplab.is_empty()) {
    Put(&result, "out", net.resnet->forward(x));
  } else {
    const auto y = net.deeplab->forward(x);
    Put(&result, "out", y.out);
    if (y.aux.defined()) Put(&result, "aux", y.aux);
  }
  core::WriteSafetensors(options["--output"], result);
}

void Init(std::map<std::string, std::string>& options) {
  Net net(options["--arch"]);
  const auto seed = static_cast<uint64_t>(std::stoull(options["--seed"]));
  if (net.deeplab.is_empty())
    engine::InitResNet(net.resnet, seed);
  else
    segment::InitDeepLab(net.deeplab, seed, seed + 1);
  Write(options["--out"], engine::ToStateDict(net.module()));
}

// Forward and backward in training, channels_last; one line of milliseconds a round.
void Time(std::map<std::string, std::string>& options) {
  Net net(options["--arch"]);
  engine::ToChannelsLast(net.module());
  net.module().train();
  const at::Tensor x = ReadInput(options["--input"]).contiguous(at::MemoryFormat::ChannelsLast);
  for (int round = 0; round < std::stoi(options["--rounds"]); ++round) {
    const auto start = std::chrono::steady_clock::now();
    const at::Tensor y =
        net.deeplab.is_empty() ? net.resnet->forward(x) : net.deeplab->forward(x).out;
    y.square().mean().backward();
    for (auto& parameter : net.module().parameters()) parameter.mutable_grad().reset();
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    std::printf("%.3f\n", time.count());
  }
}

void Embed(std::map<std::string, std::string>& options) {
  const auto source = engine::OpenImageSource(options["--data"]);
  std::vector<int64_t> all;
  for (int64_t i = 0; i < source->size(); ++i) all.push_back(i);
  const at::Tensor features =
      torch::arange(source->size()).unsqueeze(1) / torch::tensor({1.0f, 2.0f, 4.0f});
  eval::WriteEmbeddings(options["--out"], options["--data"], *source, all, features,
                        {.encoder = "made"});
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> options;
  for (int i = 2; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  const std::string command = argc > 1 ? argv[1] : "";
  try {
    if (command == "forward")
      Forward(options);
    else if (command == "init")
      Init(options);
    else if (command == "convert")
      Write(options["--out"], core::ReadWeights(options["--in"]));
    else if (command == "time")
      Time(options);
    else if (command == "embed")
      Embed(options);
    else
      return 2;
  } catch (const core::Error& error) {
    std::fprintf(stderr, "error: %s\nhint: %s\n", error.what(), error.hint().c_str());
    return static_cast<int>(error.code());
  }
  return 0;
}
