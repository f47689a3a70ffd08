// SPDX-License-Identifier: Apache-2.0
#include "engine/augment/apply.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/image/resample.h"
#include "engine/augment/view_job.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define EOSIN_X86 1
#endif

namespace eosin::engine {
namespace {

void RunBaseline(const ViewJob& job) { RunView(job); }

#ifdef EOSIN_X86
__attribute__((target("avx2,fma"))) void RunAvx2(const ViewJob& job) { RunView(job); }
__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"))) void
RunAvx512(const ViewJob& job) {
  RunView(job);
}
#endif

struct CropBox {
  double x, y, width, height;
};

CropBox CropOf(const core::Image& image, const ViewParams& params) {
  CropBox box = {params.crop_x, params.crop_y, params.crop_w, params.crop_h};
  if (box.width <= 0 || box.height <= 0) {
    box = {0, 0, static_cast<double>(image.width), static_cast<double>(image.height)};
  }
  return box;
}

void CheckCall(const core::Image& image, int channels, const ViewParams& params, int out_width,
               int out_height) {
  if (params.version != kViewParamsVersion) {
    throw core::ConfigError("view record of version " + std::to_string(params.version),
                            "this build executes version " + std::to_string(kViewParamsVersion));
  }
  if (image.channels != channels || image.empty() || out_width < 1 || out_height < 1) {
    throw core::ConfigError(
        "cannot make a view of " + std::to_string(out_width) + " x " + std::to_string(out_height) +
            " pixels from an image of " + std::to_string(image.width) + " x " +
            std::to_string(image.height) + " x " + std::to_string(image.channels),
        "views need " + std::to_string(channels) + "-channel images and sizes of at least 1");
  }
}

float* Grow(std::vector<float>& buffer, size_t size) {
  if (buffer.size() < size) buffer.resize(size);
  return buffer.data();
}

void SetBlur(double sigma, ViewJob* job) {
  const int radius = BlurRadius(sigma, job->width, job->height);
  job->blur_radius = radius;
  if (radius == 0) return;
  double weights[kMaxBlurRadius + 1], sum = 0;
  for (int k = 0; k <= radius; ++k) {
    weights[k] = std::exp(-0.5 * k * k / (sigma * sigma));
    sum += k == 0 ? weights[k] : 2 * weights[k];
  }
  for (int k = 0; k <= radius; ++k) job->blur_weights[k] = static_cast<float>(weights[k] / sum);
}

void SetColour(const ViewParams& params, ViewJob* job) {
  job->op_count = 0;
  if (params.jitter) {
    for (const uint8_t op : params.jitter_order) {
      if (op <= kHue) job->ops[job->op_count++] = op;
    }
  }
  job->factor[kBrightness] = params.brightness;
  job->factor[kContrast] = params.contrast;
  job->factor[kSaturation] = params.saturation;
  job->factor[kHue] = params.hue;
  job->gray = params.gray != 0;
  job->solarize = params.solarize * 255.0f;
  job->stain = params.stain;
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) job->stains.a[i][j] = params.stain_matrix[3 * i + j];
    job->stains.b[i] = params.stain_offset[i];
    job->channels.scale[i] = params.stain_matrix[i];
    job->channels.offset[i] = params.stain_offset[i];
  }
}

}  // namespace

struct ViewScratch::Impl {
  core::ResampleTaps across, down;
  std::vector<float> plane, ring, padded;
  std::vector<uint32_t> packed;
  std::vector<uint8_t> bytes;
};

ViewScratch::ViewScratch() : impl_(std::make_unique<Impl>()) {}
ViewScratch::~ViewScratch() = default;
ViewScratch::ViewScratch(ViewScratch&&) noexcept = default;
ViewScratch& ViewScratch::operator=(ViewScratch&&) noexcept = default;

SimdLevel BestSimd() {
#ifdef EOSIN_X86
  static const SimdLevel kBest = [] {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
      return SimdLevel::kBaseline;
    }
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return wide ? SimdLevel::kAvx512 : SimdLevel::kAvx2;
  }();
  return kBest;
#else
  return SimdLevel::kBaseline;
#endif
}

int BlurKernelSize(int out_width, int out_height) {
  return 2 * BlurKernelHalf(out_width, out_height) + 1;
}

void ApplyView(const core::Image& source, const ViewParams& params, int out_width, int out_height,
               uint8_t* out, ViewScratch& scratch) {
  ApplyView(source, params, out_width, out_height, out, scratch, BestSimd());
}

void ApplyView(const core::Image& source, const ViewParams& params, int out_width, int out_height,
               uint8_t* out, ViewScratch& scratch, SimdLevel simd) {
  CheckCall(source, 3, params, out_width, out_height);
  ViewScratch::Impl& memory = scratch.impl();
  const bool turned = params.rot90 & 1;
  ViewJob job;
  job.width = turned ? out_height : out_width;
  job.height = turned ? out_width : out_height;

  const CropBox box = CropOf(source, params);
  const core::Filter filter = params.bicubic ? core::Filter::kBicubic : core::Filter::kBilinear;
  job.clamp = params.bicubic != 0;
  core::ComputeTaps(source.width, box.x, box.width, job.width, &memory.across, filter);
  core::ComputeTaps(source.height, box.y, box.height, job.height, &memory.down, filter);
  const int left = memory.across.start.front();  // starts do not decrease
  job.source_width = memory.across.start.back() + memory.across.count - left;
  for (int& start : memory.across.start) start -= left;
  job.source = source.pixels.data() + 3 * static_cast<size_t>(left);
  job.source_stride = static_cast<int64_t>(source.stride());
  job.source_height = memory.down.start.back() + memory.down.count - memory.down.start.front();
  job.across = {memory.across.start.data(), memory.across.weights.data(), memory.across.count};
  job.down = {memory.down.start.data(), memory.down.weights.data(), memory.down.count};

  SetColour(params, &job);
  SetBlur(params.blur_sigma, &job);
  job.hflip = params.hflip;
  job.vflip = params.vflip;
  job.rot90 = params.rot90;

  const size_t width = static_cast<size_t>(job.width);
  job.plane = Grow(memory.plane, 3 * width * static_cast<size_t>(job.height));
  job.ring = Grow(memory.ring, 3 * std::max(width * static_cast<size_t>(job.down.count),
                                            static_cast<size_t>(job.source_width)));
  job.padded = Grow(memory.padded, 3 * (width + 2 * kMaxBlurRadius));
  if (memory.packed.size() < static_cast<size_t>(job.source_width)) {
    memory.packed.resize(static_cast<size_t>(job.source_width));
  }
  if (memory.bytes.size() < 3 * width) memory.bytes.resize(3 * width);
  job.packed = memory.packed.data();
  job.bytes = memory.bytes.data();
  job.out = out;

#ifdef EOSIN_X86
  if (simd == SimdLevel::kAvx512) return RunAvx512(job);
  if (simd == SimdLevel::kAvx2) return RunAvx2(job);
#endif
  (void)simd;
  RunBaseline(job);
}

void ApplyMask(const core::Image& mask, const ViewParams& params, int out_width, int out_height,
               uint8_t* out) {
  CheckCall(mask, 1, params, out_width, out_height);
  const bool turned = params.rot90 & 1;
  const int width = turned ? out_height : out_width, height = turned ? out_width : out_height;
  const CropBox box = CropOf(mask, params);
  std::vector<int> columns(static_cast<size_t>(width));
  for (int x = 0; x < width; ++x) {
    columns[x] =
        std::clamp(static_cast<int>(box.x + (x + 0.5) * box.width / width), 0, mask.width - 1);
  }
  for (int y = 0; y < height; ++y) {
    const int from =
        std::clamp(static_cast<int>(box.y + (y + 0.5) * box.height / height), 0, mask.height - 1);
    const uint8_t* in = mask.row(from);
    const pixel::RowPlacement at =
        pixel::PlaceRow(y, width, height, params.hflip, params.vflip, params.rot90);
    for (int x = 0; x < width; ++x) out[at.base + x * at.step] = in[columns[x]];
  }
}

}  // namespace eosin::engine
