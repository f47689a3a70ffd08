// SPDX-License-Identifier: Apache-2.0
#include "engine/training/input.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <cstdio>
#include <cstring>

#include "core/base/error.h"
#include "engine/kernels/normalize.h"

#ifdef EOSIN_WITH_CUDA
#include <c10/cuda/CUDAStream.h>
#endif

namespace eosin::engine {
namespace {

std::string ToText(const std::array<float, 3>& values) {
  return fmt::format("{},{},{}", values[0], values[1], values[2]);
}

std::array<float, 3> FromText(const std::string& key, const std::string& text) {
  std::array<float, 3> values{};
  char rest = 0;
  if (std::sscanf(text.c_str(), "%f,%f,%f%c", &values[0], &values[1], &values[2], &rest) != 3) {
    throw core::WeightsError(
        fmt::format("the metadata {} = \"{}\" is not three numbers", key, text),
        "the weights file was edited or damaged; export it again");
  }
  return values;
}

}  // namespace

void AddToMetadata(const Normalization& normalization,
                   std::map<std::string, std::string>* metadata) {
  (*metadata)["eosin.mean"] = ToText(normalization.mean);
  (*metadata)["eosin.std"] = ToText(normalization.std);
}

std::optional<Normalization> NormalizationOf(const std::map<std::string, std::string>& metadata) {
  const auto mean = metadata.find("eosin.mean"), std = metadata.find("eosin.std");
  if (mean == metadata.end() || std == metadata.end()) return std::nullopt;
  Normalization normalization{FromText("eosin.mean", mean->second),
                              FromText("eosin.std", std->second)};
  for (const float value : normalization.std) {
    if (!(value > 0)) {
      throw core::WeightsError("the metadata eosin.std holds a value that is not above 0",
                               "the weights file was edited or damaged; export it again");
    }
  }
  return normalization;
}

at::Tensor ToInput(const uint8_t* nhwc, int64_t n, int64_t size, c10::Device device,
                   const Normalization& normalization) {
  const NormalizeConstants constants =
      MakeNormalizeConstants(normalization.mean.data(), normalization.std.data());
  const int64_t pixels = n * size * size;
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  // channels_last memory is NHWC: the bytes' own order.
  at::Tensor input = at::empty({n, 3, size, size}, options, at::MemoryFormat::ChannelsLast);
#ifdef EOSIN_WITH_CUDA
  if (device.is_cuda()) {
    // The caching host allocator keeps the pinned buffer until the copy is done.
    at::Tensor pinned =
        at::empty({pixels * 3}, at::TensorOptions().dtype(at::kByte).pinned_memory(true));
    std::memcpy(pinned.data_ptr<uint8_t>(), nhwc, static_cast<size_t>(pixels) * 3);
    const at::Tensor bytes = pinned.to(device, /*non_blocking=*/true);
    const int error =
        NormalizeCuda(bytes.data_ptr<uint8_t>(), pixels * 3, constants, input.data_ptr<float>(),
                      c10::cuda::getCurrentCUDAStream().stream());
    if (error != 0) {
      throw core::MachineError(fmt::format("the GPU refused a kernel (CUDA error {})", error),
                               "is the GPU of an architecture this build was made for?");
    }
    return input;
  }
#endif
  float* out = input.data_ptr<float>();
  at::parallel_for(0, pixels, 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * 3; i < end * 3; i += 3) {
      out[i] = NormalizeValue(nhwc[i], 0, constants);
      out[i + 1] = NormalizeValue(nhwc[i + 1], 1, constants);
      out[i + 2] = NormalizeValue(nhwc[i + 2], 2, constants);
    }
  });
  return input;
}

}  // namespace eosin::engine
