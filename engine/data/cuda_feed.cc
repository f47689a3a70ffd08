// SPDX-License-Identifier: Apache-2.0
#include "engine/data/cuda_feed.h"

#include <ATen/cuda/CUDAEvent.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>

#include "core/base/error.h"
#include "engine/data/gpu_views.h"
#include "engine/data/placement.h"
#include "engine/data/resident_set.h"

namespace eosin::engine {
namespace {

BufferAllocator PinnedMemory() {
  return {[](size_t bytes) -> void* {
            void* memory = nullptr;
            // The loader says it with its numbers when this is null.
            return cudaHostAlloc(&memory, bytes, cudaHostAllocDefault) == cudaSuccess ? memory
                                                                                      : nullptr;
          },
          [](void* memory) { cudaFreeHost(memory); }};
}

class CudaFeed : public ViewFeed {
 public:
  CudaFeed(const ImageSource& source, const std::vector<ViewRecipe>& views,
           const FeedOptions& options, Placement placement, ResidentSet resident,
           c10::Device device)
      : placement_(placement),
        device_(device),
        picture_(PictureOf(source, placement)),
        normalization_(options.normalization),
        resident_(std::move(resident.images)),
        copies_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index())),
        loader_(source, views, Loading(options.loader, placement, std::move(resident.damaged))),
        groups_(loader_.groups()) {}

  ~CudaFeed() override {
    // The loader frees memory that a copy may still be reading.
    cudaStreamSynchronize(copies_.stream());
  }

  int64_t steps_per_epoch() const override { return loader_.steps_per_epoch(); }
  void StartEpoch(int64_t epoch, int64_t first_step) override {
    WaitForLastCopy();
    loader_.StartEpoch(epoch, first_step);
  }
  double wait_seconds() const override { return loader_.wait_seconds(); }
  int64_t bad_count() const override { return loader_.bad_count(); }

  std::optional<ViewBatch> Next() override {
    const c10::cuda::CUDAGuard guard(device_);
    WaitForLastCopy();
    const Batch* batch = loader_.Next();
    if (batch == nullptr) return std::nullopt;
    const auto stream = c10::cuda::getCurrentCUDAStream(device_.index());
    Slot& slot = slots_[turn_++ % slots_.size()];
    if (slot.was_used) slot.used.block(copies_);
    slot.filled = 0;
    std::vector<at::Tensor> groups;
    if (placement_ == Placement::kHost) {
      groups = NormalizedViews(*batch, slot, stream);
    } else {
      groups = MadeViews(*batch, slot, stream);
    }
    slot.used.record(stream);
    slot.was_used = true;
    return ViewBatch{batch->step, batch->indices, batch->labels, std::move(groups)};
  }

  std::string Describe() const override {
    const double ring = 1e-6 * static_cast<double>(loader_.buffer_bytes());
    switch (placement_) {
      case Placement::kResident:
        return fmt::format("resident on the GPU, {:.2f} GB, views made there",
                           1e-9 * static_cast<double>(resident_.nbytes()));
      case Placement::kStreamed:
        return fmt::format("streamed through {:.0f} MB of pinned memory, views made on the GPU",
                           ring);
      default:
        return fmt::format("views made by the loader's workers, through {:.0f} MB of pinned memory",
                           ring);
    }
  }

 private:
  struct Slot {
    at::Tensor device;   // uint8, grown on demand
    at::Tensor staging;  // pinned, for records
    at::cuda::CUDAEvent copied, used;
    bool was_used = false;
    int64_t filled = 0;  // bytes of `device`
  };

  // Of every image. Asking may open every picture, and views made by the host need no answer.
  static kernel::PictureSize PictureOf(const ImageSource& source, Placement placement) {
    if (placement == Placement::kHost) return {0, 0};
    return {source.uniform_size().first, source.uniform_size().second};
  }

  static LoaderOptions Loading(LoaderOptions options, Placement placement,
                               std::vector<int64_t> damaged) {
    if (placement != Placement::kResident) options.allocator = PinnedMemory();
    options.payload = placement == Placement::kResident   ? Payload::kRecords
                      : placement == Placement::kStreamed ? Payload::kImages
                                                          : Payload::kViews;
    options.damaged.insert(options.damaged.end(), damaged.begin(), damaged.end());
    return options;
  }

  void WaitForLastCopy() {
    if (last_copy_ != nullptr) last_copy_->synchronize();
    last_copy_ = nullptr;
  }

  // Room for `bytes` in the slot. Grows at the first batches alone: sizes of a run are fixed, but
  // for neighbours, whose number is bounded by twice the batch.
  void Reserve(Slot& slot, int64_t bytes) const {
    if (slot.device.defined() && slot.device.numel() >= bytes) return;
    if (slot.was_used) slot.used.synchronize();
    slot.device = at::empty({bytes}, at::TensorOptions().dtype(at::kByte).device(device_));
    // Memory that this stream gave back may still be in use there.
    at::cuda::CUDAEvent allocated;
    allocated.record(c10::cuda::getCurrentCUDAStream(device_.index()));
    allocated.block(copies_);
  }

  // Copies to the slot's next free bytes; returns where.
  uint8_t* Copy(Slot& slot, const void* from, int64_t bytes) {
    uint8_t* to = slot.device.data_ptr<uint8_t>() + slot.filled;
    CheckCuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice,
                              copies_.stream()),
              "copying a batch to the GPU");
    slot.filled += Padded(bytes);
    return to;
  }
  static int64_t Padded(int64_t bytes) { return (bytes + 255) / 256 * 256; }

  void FinishCopies(Slot& slot, const c10::cuda::CUDAStream& stream) {
    slot.copied.record(copies_);
    slot.copied.block(stream);
    last_copy_ = &slot.copied;
  }

  std::vector<at::Tensor> NormalizedViews(const Batch& batch, Slot& slot,
                                          const c10::cuda::CUDAStream& stream) {
    std::vector<int64_t> bytes;
    int64_t total = 0;
    for (const ViewGroup& group : groups_) {
      bytes.push_back(group.count * batch.size() * group.size * group.size * 3);
      total += Padded(bytes.back());
    }
    Reserve(slot, total);
    std::vector<const uint8_t*> pixels;
    for (size_t g = 0; g < groups_.size(); ++g) {
      pixels.push_back(Copy(slot, batch.groups[g].pixels, bytes[g]));
    }
    FinishCopies(slot, stream);
    const NormalizeConstants constants =
        MakeNormalizeConstants(normalization_.mean.data(), normalization_.std.data());
    std::vector<at::Tensor> out;
    for (size_t g = 0; g < groups_.size(); ++g) {
      const ViewGroup& group = groups_[g];
      out.push_back(at::empty({group.count * batch.size(), 3, group.size, group.size},
                              at::TensorOptions().dtype(at::kFloat).device(device_),
                              at::MemoryFormat::ChannelsLast));
      CheckCuda(NormalizeCuda(pixels[g], bytes[g], constants, out.back().data_ptr<float>(),
                              stream.stream()),
                "normalising views on the GPU");
    }
    return out;
  }

  std::vector<at::Tensor> MadeViews(const Batch& batch, Slot& slot,
                                    const c10::cuda::CUDAStream& stream) {
    const int64_t record_bytes = static_cast<int64_t>(batch.records.size() * sizeof(ViewParams));
    const int64_t index_bytes = static_cast<int64_t>(batch.record_images.size() * sizeof(int64_t));
    const bool streamed = placement_ == Placement::kStreamed;
    const int64_t image_bytes =
        streamed ? batch.image_count * picture_.width * picture_.height * 3 : 0;
    Reserve(slot, Padded(record_bytes) + Padded(index_bytes) + Padded(image_bytes));
    // Records are the loader's plain memory; its last user, kDeviceSlots batches ago, is done
    // because the copy after it is.
    if (!slot.staging.defined() || slot.staging.numel() < record_bytes + index_bytes) {
      slot.staging = at::empty({record_bytes + index_bytes},
                               at::TensorOptions().dtype(at::kByte).pinned_memory(true));
    }
    uint8_t* staged = slot.staging.data_ptr<uint8_t>();
    std::memcpy(staged, batch.records.data(), static_cast<size_t>(record_bytes));
    std::memcpy(staged + record_bytes, batch.record_images.data(),
                static_cast<size_t>(index_bytes));
    const uint8_t* records = Copy(slot, staged, record_bytes);
    const uint8_t* indices = Copy(slot, staged + record_bytes, index_bytes);
    const uint8_t* pictures =
        streamed ? Copy(slot, batch.images, image_bytes) : resident_.data_ptr<uint8_t>();
    FinishCopies(slot, stream);
    return MakeGpuViews(
        pictures, picture_, batch.records, reinterpret_cast<const ViewParams*>(records),
        reinterpret_cast<const int64_t*>(indices), batch.size(), groups_, device_, normalization_);
  }

  const Placement placement_;
  const c10::Device device_;
  const kernel::PictureSize picture_;
  const Normalization normalization_;
  const at::Tensor resident_;
  const c10::cuda::CUDAStream copies_;
  std::array<Slot, kDeviceSlots> slots_;
  size_t turn_ = 0;
  at::cuda::CUDAEvent* last_copy_ = nullptr;
  ViewLoader loader_;
  const std::vector<ViewGroup> groups_;
};

// Where the set goes with what the GPU has free now, and how much of it that takes.
Placement Place(const ImageSource& source, const std::vector<ViewRecipe>& views,
                const FeedOptions& options, int64_t* set_bytes) {
  size_t free = 0, total = 0;
  CheckCuda(cudaMemGetInfo(&free, &total), "asking for the GPU's memory");
  PlacementFacts facts;
  facts.images = source.size();
  if (options.placement != "host") {  // asking may open every picture
    std::tie(facts.width, facts.height) = source.uniform_size();
  }
  facts.gpu_free = static_cast<int64_t>(free);
  facts.gpu_total = static_cast<int64_t>(total);
  for (const ViewRecipe& view : views) facts.largest_view = std::max(facts.largest_view, view.size);
  *set_bytes = facts.set_bytes();
  return ChoosePlacement(options.placement, options.resident_share, facts);
}

}  // namespace

std::unique_ptr<ViewFeed> MakeCudaFeed(const ImageSource& source, std::vector<ViewRecipe> views,
                                       const FeedOptions& options, c10::Device device) {
  const c10::cuda::CUDAGuard guard(device);
  int64_t set_bytes = 0;
  const Placement placement = Place(source, views, options, &set_bytes);
  ResidentSet resident;
  if (placement == Placement::kResident) {
    // Decoding a set takes minutes: a wrong option is told before it. Records alone cost nothing.
    LoaderOptions trial = options.loader;
    trial.payload = Payload::kRecords;
    const ViewLoader refuses(source, views, std::move(trial));
    resident = LoadResident(source, options.loader.workers, device);
  }
  return std::make_unique<CudaFeed>(source, views, options, placement, std::move(resident), device);
}

int64_t CudaResidentBytes(const ImageSource& source, const std::vector<ViewRecipe>& views,
                          const FeedOptions& options, c10::Device device) {
  const c10::cuda::CUDAGuard guard(device);
  int64_t set_bytes = 0;
  return Place(source, views, options, &set_bytes) == Placement::kResident ? set_bytes : 0;
}

}  // namespace eosin::engine
