// SPDX-License-Identifier: Apache-2.0
#include "engine/data/view_loader.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>

#include "core/base/error.h"
#include "engine/data/sample_maker.h"

namespace eosin::engine {
namespace {

constexpr int64_t kLongestRun = 16;  // samples claimed at once

BufferAllocator PlainMemory() {
  return {[](size_t bytes) { return std::aligned_alloc(64, (bytes + 63) / 64 * 64); },
          [](void* buffer) { std::free(buffer); }};
}

void CheckOptions(const ImageSource& source, const LoaderOptions& options) {
  auto positive = [](const char* what, int64_t value, int64_t least) {
    if (value >= least) return;
    throw core::ConfigError(fmt::format("{} = {} is out of range", what, value),
                            fmt::format("{} must be at least {}", what, least));
  };
  positive("batch", options.batch, 1);
  positive("workers", options.workers, 1);
  positive("prefetch", options.prefetch, 0);
  const int64_t size = source.size();
  if (options.drop_last && size > 0 && options.batch > size) {
    throw core::ConfigError(
        fmt::format("batch = {} is larger than the set of {} images", options.batch, size),
        fmt::format("lower batch to {} or less, or add images", size));
  }
}

// Loader state of one batch in the making.
struct Slot {
  BatchSpace space;
  int64_t step = -1;
  int64_t done = 0;          // samples made
  int64_t replaced = 0;      // of them
  std::exception_ptr error;  // of the first sample that failed, by place in the batch
  int64_t error_at = -1;
};

// Samples of one batch, next to each other, that one worker makes.
struct Run {
  int64_t first = 0, count = 0;  // places in the batch
  int64_t replaced = 0;
  std::exception_ptr error;
  int64_t error_at = -1;
};

}  // namespace

struct ViewLoader::Impl {
  Impl(const ImageSource& source_in, std::vector<ViewRecipe> views, LoaderOptions options_in)
      : source(source_in),
        options(std::move(options_in)),
        maker(source, std::move(views), (CheckOptions(source, options), options)),
        slot_bytes(maker.BufferBytes(options.batch)) {
    if (!options.allocator.allocate) options.allocator = PlainMemory();
    slots.resize(
        static_cast<size_t>(options.prefetch == 0 ? 3 : std::max<int64_t>(2, options.prefetch)));
    // Long enough to make the lock cheap, short enough that all workers end a batch together.
    run_length = std::clamp<int64_t>(options.batch / (4 * options.workers), 1, kLongestRun);
    try {
      for (Slot& slot : slots) AllocateBuffer(slot);
      for (int64_t i = 0; i < options.workers; ++i) workers.emplace_back([this] { Work(); });
    } catch (...) {
      Stop();
      throw;
    }
  }
  ~Impl() { Stop(); }

  void AllocateBuffer(Slot& slot) {
    if (slot_bytes == 0) return;
    slot.space.buffer = static_cast<uint8_t*>(options.allocator.allocate(slot_bytes));
    if (slot.space.buffer) return;
    throw core::MachineError(
        fmt::format("no memory for the loader's ring of {} batches, {:.1f} GB", slots.size(),
                    1e-9 * static_cast<double>(slot_bytes * slots.size())),
        "lower the batch, the size of the views or prefetch");
  }

  void Stop() {
    {
      std::lock_guard lock(mutex);
      stop = true;
      work_ready.notify_all();
    }
    for (std::thread& worker : workers) worker.join();
    for (Slot& slot : slots) {
      if (slot.space.buffer) options.allocator.release(slot.space.buffer);
    }
  }

  int64_t Steps() const {
    const int64_t size = source.size();
    return options.drop_last ? size / options.batch : (size + options.batch - 1) / options.batch;
  }
  int64_t SamplesOf(int64_t step) const {
    return std::min(options.batch, source.size() - step * options.batch);
  }

  // --- workers: runs of samples, in order, as far ahead as the ring allows ---

  bool CanClaim() const {
    return next_task < end_task &&
           next_task / options.batch < released + static_cast<int64_t>(slots.size());
  }

  void Work() {
    ViewScratch scratch;
    std::unique_lock lock(mutex);
    while (true) {
      work_ready.wait(lock, [&] { return stop || CanClaim(); });
      if (stop) return;
      const int64_t step = next_task / options.batch, samples = SamplesOf(step);
      Run run;
      run.first = next_task % options.batch;
      run.count = std::min(run_length, samples - run.first);
      next_task =
          run.first + run.count == samples ? (step + 1) * options.batch : next_task + run.count;
      Slot& slot = slots[static_cast<size_t>(step) % slots.size()];
      if (slot.step != step) Prepare(slot, step);
      ++active;
      lock.unlock();
      MakeRun(step * options.batch, slot, &run, scratch);
      lock.lock();
      --active;
      Finish(run, slot);
    }
  }

  void Prepare(Slot& slot, int64_t step) {
    slot.step = step;
    slot.done = slot.replaced = 0;
    slot.error = nullptr;
    slot.error_at = -1;
    maker.Plan(step, step * options.batch, SamplesOf(step), &slot.space);
  }

  void MakeRun(int64_t first_task, Slot& slot, Run* run, ViewScratch& scratch) {
    for (int64_t place = run->first; place < run->first + run->count; ++place) {
      try {
        run->replaced += maker.Make(first_task, place, &slot.space, scratch);
      } catch (...) {
        if (run->error) continue;
        run->error = std::current_exception();
        run->error_at = place;
      }
    }
  }

  void Finish(const Run& run, Slot& slot) {
    if (run.error && (slot.error_at < 0 || run.error_at < slot.error_at)) {
      slot.error = run.error;
      slot.error_at = run.error_at;
    }
    slot.replaced += run.replaced;
    slot.done += run.count;
    if (slot.done == slot.space.batch.size() || active == 0) batch_ready.notify_all();
  }

  // --- the training loop's side ---

  void Start(int64_t new_epoch, int64_t first_step) {
    if (new_epoch < 0 || new_epoch > int64_t{std::numeric_limits<uint32_t>::max()} ||
        first_step < 0 || first_step > Steps()) {
      throw core::ConfigError(
          fmt::format("cannot start epoch {} at step {} of {}", new_epoch, first_step, Steps()),
          "the set or the batch changed since the run was saved; resume with the same ones");
    }
    std::unique_lock lock(mutex);
    end_task = next_task;  // nothing new; wait for what is under way
    batch_ready.wait(lock, [&] { return active == 0; });
    maker.StartEpoch(new_epoch);
    for (Slot& slot : slots) slot.step = -1;
    next_step = released = first_step;
    next_task = first_step * options.batch;
    end_task = std::min(Steps() * options.batch, source.size());
    work_ready.notify_all();
  }

  const Batch* Next() {
    std::unique_lock lock(mutex);
    if (released != next_step) {
      released = next_step;  // the batch handed out before
      work_ready.notify_all();
    }
    if (!maker.started() || next_step >= Steps()) return nullptr;
    Slot& slot = slots[static_cast<size_t>(next_step) % slots.size()];
    const auto begin = std::chrono::steady_clock::now();
    batch_ready.wait(
        lock, [&] { return slot.step == next_step && slot.done == slot.space.batch.size(); });
    waited += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (slot.error) std::rethrow_exception(slot.error);
    delivered += slot.done;
    replaced += slot.replaced;
    slot.replaced = 0;
    const int64_t bad = options.replaced_before + replaced;
    const int64_t all = options.delivered_before + delivered;
    if (bad > 10 && bad * 100 > all) ThrowTooManyBad(bad, all);
    ++next_step;
    return &slot.space.batch;
  }

  [[noreturn]] void ThrowTooManyBad(int64_t bad, int64_t all) {
    throw core::DataError(
        fmt::format("{} of {} samples could not be read, such as: {}", bad, all,
                    maker.FirstDamage()),
        "more than 1 % is damaged; replace or remove those files (the log names the first ones)");
  }

  const ImageSource& source;
  LoaderOptions options;
  SampleMaker maker;  // its epoch changes only with active == 0
  const size_t slot_bytes;
  int64_t run_length = 1;
  std::vector<std::thread> workers;

  std::mutex mutex;  // all below
  std::condition_variable work_ready, batch_ready;
  std::vector<Slot> slots;
  int64_t next_task = 0, end_task = 0;  // samples of this epoch, by place in the order
  int64_t released = 0;                 // steps whose slots may be filled anew
  int64_t next_step = 0;                // to hand out
  int64_t active = 0;                   // workers making samples
  bool stop = false;
  double waited = 0;
  int64_t delivered = 0, replaced = 0;
};

ViewLoader::ViewLoader(const ImageSource& source, std::vector<ViewRecipe> views,
                       LoaderOptions options)
    : impl_(std::make_unique<Impl>(source, std::move(views), std::move(options))) {}
ViewLoader::~ViewLoader() = default;

int64_t ViewLoader::steps_per_epoch() const { return impl_->Steps(); }
void ViewLoader::StartEpoch(int64_t epoch, int64_t first_step) { impl_->Start(epoch, first_step); }
const Batch* ViewLoader::Next() { return impl_->Next(); }
double ViewLoader::wait_seconds() const { return impl_->waited; }
int64_t ViewLoader::bad_count() const { return impl_->replaced; }
size_t ViewLoader::buffer_bytes() const { return impl_->slot_bytes * impl_->slots.size(); }
int64_t ViewLoader::image_size() const { return impl_->maker.groups()[0].size; }
int64_t ViewLoader::view_count() const { return impl_->maker.view_count(); }
const std::vector<ViewGroup>& ViewLoader::groups() const { return impl_->maker.groups(); }

}  // namespace eosin::engine
