// SPDX-License-Identifier: Apache-2.0
#include "engine/data/resident_set.h"

#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "core/base/progress.h"
#include "engine/data/gpu_views.h"

namespace eosin::engine {
namespace {

constexpr int64_t kPieceBytes = 64 << 20;  // decoded on the host at a time
constexpr size_t kNamedDamage = 10;        // so many are named in the log

// Decodes images [begin, end) into `to`.
class Decoder {
 public:
  Decoder(const ImageSource& source, int width, int height)
      : source_(source),
        width_(width),
        height_(height),
        image_bytes_(size_t{3} * static_cast<size_t>(width) * static_cast<size_t>(height)) {}

  void Run(int64_t begin, int64_t end, int64_t workers, uint8_t* to) {
    std::atomic<int64_t> next{begin};
    auto work = [&] {
      for (int64_t i; (i = next++) < end && !core::InterruptRequested();) {
        Decode(i, to + static_cast<size_t>(i - begin) * image_bytes_);
      }
    };
    std::vector<std::thread> threads;
    for (int64_t t = 1; t < std::min(workers, end - begin); ++t) threads.emplace_back(work);
    work();
    for (std::thread& thread : threads) thread.join();
    if (error_) std::rethrow_exception(error_);
  }

  // What did not decode, and why; sorted, whatever the order of the threads.
  const std::map<int64_t, std::string>& damaged() const { return damaged_; }

 private:
  void Decode(int64_t index, uint8_t* to) {
    std::string why;
    try {
      const core::Image image = source_.Read(index);
      if (image.width == width_ && image.height == height_) {
        std::memcpy(to, image.pixels.data(), image_bytes_);
        return;
      }
      why = fmt::format("{} is {} x {} pixels, the set {} x {}", source_.name(index), image.width,
                        image.height, width_, height_);
    } catch (const core::DataError& error) {
      why = error.what();
    } catch (const core::StoreError& error) {
      why = error.what();
    } catch (...) {
      std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
      return;
    }
    std::memset(to, 0, image_bytes_);
    std::lock_guard lock(mutex_);
    damaged_.emplace(index, std::move(why));
  }

  const ImageSource& source_;
  const int width_, height_;
  const size_t image_bytes_;
  std::mutex mutex_;
  std::map<int64_t, std::string> damaged_;
  std::exception_ptr error_;
};

// As the loader says it of images that fail later, and with its limit.
void ReportDamage(const ImageSource& source, const std::map<int64_t, std::string>& damaged) {
  size_t named = 0;
  for (const auto& [index, why] : damaged) {
    if (++named > kNamedDamage) break;
    core::LogWarning(fmt::format("{} is replaced by other images: {}", source.name(index), why));
  }
  const auto count = static_cast<int64_t>(damaged.size());
  if (count <= 10 || count * 100 <= source.size()) return;
  throw core::DataError(
      fmt::format("{} of {} images could not be read, such as: {}", count, source.size(),
                  damaged.begin()->second),
      "more than 1 % is damaged; replace or remove those files (the log names the first ones)");
}

}  // namespace

ResidentSet LoadResident(const ImageSource& source, int64_t workers, c10::Device device) {
  const auto [width, height] = source.uniform_size();
  const int64_t image_bytes = int64_t{3} * width * height, count = source.size();
  const auto options = at::TensorOptions().dtype(at::kByte);
  ResidentSet set;
  set.images = at::empty({count, height, width, 3}, options.device(device));
  const int64_t piece =
      std::clamp<int64_t>(kPieceBytes / image_bytes, 1, std::max<int64_t>(count, 1));
  const at::Tensor staging = at::empty({piece * image_bytes}, options.pinned_memory(true));
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream(device.index()).stream();
  Decoder decoder(source, width, height);
  core::Progress progress("to the GPU", count, "images");
  for (int64_t begin = 0; begin < count; begin += piece) {
    const int64_t end = std::min(count, begin + piece);
    decoder.Run(begin, end, workers, staging.data_ptr<uint8_t>());
    if (core::InterruptRequested()) {
      throw core::InterruptedError("interrupted while images were copied to the GPU",
                                   "start it again; no step was made since it was started");
    }
    CheckCuda(cudaMemcpyAsync(
                  set.images.data_ptr<uint8_t>() + begin * image_bytes, staging.data_ptr<uint8_t>(),
                  static_cast<size_t>((end - begin) * image_bytes), cudaMemcpyHostToDevice, stream),
              "copying images to the GPU");
    // Decoding dominates: waiting for the copy before the piece is reused costs a few percent.
    CheckCuda(cudaStreamSynchronize(stream), "copying images to the GPU");
    progress.Advance(end - begin);
  }
  ReportDamage(source, decoder.damaged());
  for (const auto& [index, why] : decoder.damaged()) set.damaged.push_back(index);
  return set;
}

}  // namespace eosin::engine
