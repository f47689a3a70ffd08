// SPDX-License-Identifier: Apache-2.0
#include "engine/data/view_feed.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "engine/data/placement.h"

#ifdef EOSIN_WITH_CUDA
#include "engine/data/cuda_feed.h"
#endif

namespace eosin::engine {
namespace {

class CpuFeed : public ViewFeed {
 public:
  CpuFeed(const ImageSource& source, std::vector<ViewRecipe> views, const FeedOptions& options)
      : loader_(source, std::move(views), options.loader), normalization_(options.normalization) {}

  int64_t steps_per_epoch() const override { return loader_.steps_per_epoch(); }
  void StartEpoch(int64_t epoch, int64_t first_step) override {
    loader_.StartEpoch(epoch, first_step);
  }
  std::optional<ViewBatch> Next() override {
    const Batch* batch = loader_.Next();
    if (batch == nullptr) return std::nullopt;
    ViewBatch out{batch->step, batch->indices, batch->labels, {}};
    for (const ViewGroup& group : batch->groups) {
      out.groups.push_back(ToInput(group.pixels, group.count * batch->size(), group.size,
                                   c10::Device(c10::kCPU), normalization_));
    }
    return out;
  }
  double wait_seconds() const override { return loader_.wait_seconds(); }
  int64_t bad_count() const override { return loader_.bad_count(); }
  std::string Describe() const override {
    return fmt::format("views made by the loader's workers, a ring of {:.0f} MB",
                       1e-6 * static_cast<double>(loader_.buffer_bytes()));
  }

 private:
  ViewLoader loader_;
  const Normalization normalization_;
};

}  // namespace

std::unique_ptr<ViewFeed> MakeViewFeed(const ImageSource& source, std::vector<ViewRecipe> views,
                                       const FeedOptions& options, const Compute& compute) {
  CheckPlacement(options.placement);
#ifdef EOSIN_WITH_CUDA
  if (compute.device.is_cuda()) {
    return MakeCudaFeed(source, std::move(views), options, compute.device);
  }
#endif
  if (compute.device.is_cpu()) {
    if (options.placement == "resident" || options.placement == "streamed") {
      throw core::ConfigError(
          "placement = " + options.placement + " needs a GPU, and this run computes on the CPU",
          "leave placement at auto, or run with --device cuda");
    }
    FeedOptions on_cpu = options;
    on_cpu.loader.payload = Payload::kViews;
    return std::make_unique<CpuFeed>(source, std::move(views), on_cpu);
  }
  throw core::MachineError("no view feed for the device " + compute.device.str(),
                           "use --device cpu or cuda");
}

int64_t ResidentBytes(const ImageSource& source, const std::vector<ViewRecipe>& views,
                      const FeedOptions& options, const Compute& compute) {
#ifdef EOSIN_WITH_CUDA
  if (compute.device.is_cuda()) return CudaResidentBytes(source, views, options, compute.device);
#endif
  (void)source, (void)views, (void)options, (void)compute;  // of a CPU build
  return 0;
}

}  // namespace eosin::engine
