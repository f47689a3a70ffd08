// SPDX-License-Identifier: Apache-2.0
// The C++ side of tests/parity/test_weights.py, test_segmentation.py and test_embedding.py.
//
//   parity_tool forward --arch ARCH --weights FILE --input X.safetensors --output Y.safetensors
//   parity_tool image --weights MODEL.safetensors --image X.png --output Y.safetensors
//   parity_tool init --arch ARCH --seed N --out FILE.pth|FILE.safetensors
//   parity_tool convert --in FILE --out FILE.pth|FILE.safetensors
//   parity_tool time --arch ARCH --input X.safetensors --rounds N      (milliseconds a step, lines)
//   parity_tool embed --data D --out FOLDER      (made features: i, i / 2, i / 4 of image i)
//
// ARCH: resnet18|34|50 with a 1000-way fc; deeplabv3_resnet50[_aux] or
// deeplabv3plus_resnet18|34|50_os8|16[_plain], with 21 classes. X holds "x"; Y gets "out" (and
// "aux"). image: a model of eosin segment, built from what its metadata says.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <sstream>
#include <string>

#include <torch/torch.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/formats/pth.h"
#include "core/formats/safetensors.h"
#include "core/image/codec.h"
#include "engine/data/image_source.h"
#include "engine/models/init.h"
#include "engine/training/input.h"
#include "engine/weights/weights.h"
#include "eval/embedding_file.h"
#include "segment/model/deeplab.h"

namespace {

using namespace eosin;  // NOLINT: a test program

struct Net {
  engine::ResNet resnet{nullptr};
  segment::SegmentationNet deeplab{nullptr};

  explicit Net(const std::string& arch) {
    if (arch.starts_with("deeplabv3plus")) {
      segment::DeepLabOptions options{.head = "deeplabv3plus", .classes = 21};
      options.backbone.arch = arch.substr(14, 8);
      options.backbone.output_stride = arch.find("os8") != arch.npos ? 8 : 16;
      options.separable = !arch.ends_with("_plain");
      deeplab = segment::SegmentationNet(options);
    } else if (arch.starts_with("deeplab")) {
      deeplab = segment::SegmentationNet(
          segment::DeepLabOptions{.classes = 21, .aux = arch.ends_with("_aux")});
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

void Image(std::map<std::string, std::string>& options) {
  const torch::NoGradGuard guard;
  std::map<std::string, std::string> facts;
  const core::StateDict weights = core::ReadSafetensors(options["--weights"], &facts);
  segment::DeepLabOptions net_options{.head = facts.at("eosin.head")};
  net_options.backbone.arch = facts.at("eosin.arch");
  net_options.backbone.output_stride = std::stoi(facts.at("eosin.output_stride"));
  net_options.separable = facts.at("eosin.separable") == "true";
  net_options.aux = weights.Find("aux_classifier.0.weight") != nullptr;
  const std::string& classes = facts.at("eosin.classes");
  net_options.classes = 1 + static_cast<int>(std::count(classes.begin(), classes.end(), ','));
  net_options.rates.clear();
  std::istringstream rates(facts.at("eosin.rates"));
  for (std::string rate; std::getline(rates, rate, ',');) {
    net_options.rates.push_back(std::stoll(rate));
  }
  segment::SegmentationNet net(net_options);
  engine::LoadStateDict(*net, weights, {.strict = true, .ignore_prefixes = {}});
  net->eval();
  const std::string png = core::ReadFile(options["--image"]);
  const core::Image image = core::DecodeRgb(
      {reinterpret_cast<const uint8_t*>(png.data()), png.size()}, options["--image"]);
  const at::Tensor x = engine::ToInput(image.pixels.data(), 1, image.width, c10::kCPU,
                                       engine::NormalizationOf(facts).value());
  core::StateDict result;
  Put(&result, "out", net->forward(x).out);
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
    else if (command == "image")
      Image(options);
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
