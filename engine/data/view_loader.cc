// SPDX-License-Identifier: Apache-2.0
#include "engine/data/view_loader.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/philox.h"
#include "engine/augment/apply.h"

namespace eosin::engine {
namespace {

constexpr int64_t kNamedBadImages = 10;   // that many are named in the log
constexpr int64_t kMostBadInARow = 1000;  // then nothing in reach decodes

BufferAllocator PlainMemory() {
  return {[](size_t bytes) { return std::aligned_alloc(64, (bytes + 63) / 64 * 64); },
          [](void* buffer) { std::free(buffer); }};
}

void CheckOptions(const ImageSource& source, const std::vector<ViewRecipe>& views,
                  const LoaderOptions& options) {
  auto positive = [](const char* what, int64_t value, int64_t least) {
    if (value >= least) return;
    throw core::ConfigError(fmt::format("{} = {} is out of range", what, value),
                            fmt::format("{} must be at least {}", what, least));
  };
  positive("batch", options.batch, 1);
  positive("workers", options.workers, 1);
  positive("prefetch", options.prefetch, 0);
  if (views.empty()) throw core::ConfigError("no views were asked for", "give at least one view");
  for (const ViewRecipe& view : views) {
    view.Check();
    if (view.size == views[0].size) continue;
    throw core::ConfigError(
        fmt::format("views of different sizes: {} and {} pixels", views[0].size, view.size),
        "all views of a batch have one size");
  }
  const int64_t size = source.size();
  if (size == 0) throw core::DataError("the set has no images", "check the folder and the filter");
  if (options.drop_last && options.batch > size) {
    throw core::ConfigError(
        fmt::format("batch = {} is larger than the set of {} images", options.batch, size),
        fmt::format("lower batch to {} or less, or add images", size));
  }
}

// Loader state of one batch in the making.
struct Slot {
  uint8_t* buffer = nullptr;
  Batch batch;
  int64_t step = -1;
  int64_t done = 0;          // samples made
  int64_t replaced = 0;      // of them
  std::exception_ptr error;  // of the first sample that failed, by place in the batch
  int64_t error_at = -1;
};

}  // namespace

std::vector<int64_t> EpochOrder(int64_t size, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), int64_t{0});
  core::Shuffle(
      order, core::PhiloxStream(seed, core::DrawPurpose::kOrder, static_cast<uint32_t>(epoch), 0));
  return order;
}

struct ViewLoader::Impl {
  Impl(const ImageSource& source_in, std::vector<ViewRecipe> views_in, LoaderOptions options_in)
      : source(source_in), views(std::move(views_in)), options(std::move(options_in)) {
    CheckOptions(source, views, options);
    if (!options.allocator.allocate) options.allocator = PlainMemory();
    slots.resize(
        static_cast<size_t>(options.prefetch == 0 ? 3 : std::max<int64_t>(2, options.prefetch)));
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
    slot.buffer = static_cast<uint8_t*>(options.allocator.allocate(SlotBytes()));
    if (slot.buffer) return;
    throw core::MachineError(
        fmt::format("no memory for the loader's ring of {} batches, {:.1f} GB", slots.size(),
                    1e-9 * static_cast<double>(SlotBytes() * slots.size())),
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
      if (slot.buffer) options.allocator.release(slot.buffer);
    }
  }

  size_t ViewBytes() const { return static_cast<size_t>(views[0].size * views[0].size * 3); }
  size_t SlotBytes() const {
    return ViewBytes() * views.size() * static_cast<size_t>(options.batch);
  }
  int64_t Steps() const {
    const int64_t size = source.size();
    return options.drop_last ? size / options.batch : (size + options.batch - 1) / options.batch;
  }
  int64_t SamplesOf(int64_t step) const {
    return std::min(options.batch, source.size() - step * options.batch);
  }

  // --- workers: one sample at a time, in order, as far ahead as the ring allows ---

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
      const int64_t task = next_task++;
      const int64_t step = task / options.batch, place = task % options.batch;
      Slot& slot = slots[static_cast<size_t>(step) % slots.size()];
      if (slot.step != step) Prepare(slot, step);
      ++active;
      lock.unlock();
      bool replaced = false;
      std::exception_ptr error;
      try {
        replaced = MakeSample(task, place, slot, scratch);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      --active;
      if (error && (slot.error_at < 0 || place < slot.error_at)) {
        slot.error = error;
        slot.error_at = place;
      }
      slot.replaced += replaced;
      ++slot.done;
      batch_ready.notify_all();
    }
  }

  void Prepare(Slot& slot, int64_t step) {
    const size_t count = static_cast<size_t>(SamplesOf(step));
    slot.step = step;
    slot.done = slot.replaced = 0;
    slot.error = nullptr;
    slot.error_at = -1;
    slot.batch.step = step;
    slot.batch.indices.assign(count, 0);
    slot.batch.labels.assign(count, -1);
    slot.batch.views = slot.buffer;
  }

  // Returns whether the image had to be replaced.
  bool MakeSample(int64_t task, int64_t place, Slot& slot, ViewScratch& scratch) {
    const int64_t wanted = order[static_cast<size_t>(task)];
    int64_t index = wanted;
    const core::Image image = ReadFrom(task, &index);
    const int size = static_cast<int>(views[0].size);
    const int64_t count = SamplesOf(slot.step);
    for (size_t v = 0; v < views.size(); ++v) {
      const core::PhiloxStream stream(options.seed, core::DrawPurpose::kView,
                                      static_cast<uint32_t>(epoch), static_cast<uint32_t>(wanted),
                                      static_cast<uint32_t>(v));
      const ViewParams params = DrawView(views[v], stream, image.width, image.height);
      const size_t row = v * static_cast<size_t>(count) + static_cast<size_t>(place);
      ApplyView(image, params, size, slot.buffer + row * ViewBytes(), scratch);
    }
    slot.batch.indices[static_cast<size_t>(place)] = index;
    slot.batch.labels[static_cast<size_t>(place)] = source.label(index);
    return index != wanted;
  }

  // The image at this place of the epoch's order, or the next one that decodes.
  core::Image ReadFrom(int64_t task, int64_t* index) {
    const int64_t size = source.size();
    const int64_t tries = std::min(size, kMostBadInARow);
    std::string last;
    for (int64_t attempt = 0; attempt < tries; ++attempt) {
      *index = order[static_cast<size_t>((task + attempt) % size)];
      {
        std::lock_guard lock(bad_mutex);
        if (bad_images.count(*index)) continue;
      }
      try {
        return source.Read(*index);
      } catch (const core::DataError& error) {
        NoteBad(*index, error.what());
      } catch (const core::StoreError& error) {
        NoteBad(*index, error.what());
      }
    }
    throw core::DataError(
        fmt::format("none of {} images in a row could be read, such as {}", tries,
                    source.name(order[static_cast<size_t>(task)])),
        "the log names the first damaged ones; check the folder and its permissions");
  }

  void NoteBad(int64_t index, const std::string& why) {
    std::lock_guard lock(bad_mutex);
    if (!bad_images.insert(index).second) return;
    if (first_bad.empty()) first_bad = why;
    if (static_cast<int64_t>(bad_images.size()) > kNamedBadImages) return;
    core::LogWarning(fmt::format("{} is replaced by another image: {}", source.name(index), why));
  }

  // --- the training loop's side ---

  void Start(int64_t new_epoch, int64_t first_step) {
    if (new_epoch < 0 || first_step < 0 || first_step > Steps()) {
      throw core::ConfigError(
          fmt::format("cannot start epoch {} at step {} of {}", new_epoch, first_step, Steps()),
          "the set or the batch changed since the run was saved; resume with the same ones");
    }
    std::unique_lock lock(mutex);
    end_task = next_task;  // nothing new; wait for what is under way
    batch_ready.wait(lock, [&] { return active == 0; });
    epoch = new_epoch;
    if (options.shuffle) {
      order = EpochOrder(source.size(), options.seed, epoch);
    } else {
      order.resize(static_cast<size_t>(source.size()));
      std::iota(order.begin(), order.end(), int64_t{0});
    }
    for (Slot& slot : slots) slot.step = -1;
    next_step = released = first_step;
    next_task = first_step * options.batch;
    end_task = std::min(Steps() * options.batch, source.size());
    work_ready.notify_all();
  }

  const Batch* Next() {
    std::unique_lock lock(mutex);
    released = next_step;  // the batch handed out before
    work_ready.notify_all();
    if (order.empty() || next_step >= Steps()) return nullptr;
    Slot& slot = slots[static_cast<size_t>(next_step) % slots.size()];
    const auto begin = std::chrono::steady_clock::now();
    batch_ready.wait(lock,
                     [&] { return slot.step == next_step && slot.done == slot.batch.size(); });
    waited += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (slot.error) std::rethrow_exception(slot.error);
    delivered += slot.done;
    replaced += slot.replaced;
    slot.replaced = 0;
    if (replaced > 10 && replaced * 100 > delivered) ThrowTooManyBad();
    ++next_step;
    return &slot.batch;
  }

  [[noreturn]] void ThrowTooManyBad() {
    std::lock_guard lock(bad_mutex);
    throw core::DataError(
        fmt::format("{} of {} samples could not be read, such as: {}", replaced, delivered,
                    first_bad),
        "more than 1 % is damaged; replace or remove those files (the log names the first ones)");
  }

  const ImageSource& source;
  const std::vector<ViewRecipe> views;
  LoaderOptions options;
  std::vector<std::thread> workers;

  std::mutex mutex;  // all below, up to bad_mutex; order and epoch change only with active == 0
  std::condition_variable work_ready, batch_ready;
  std::vector<Slot> slots;
  std::vector<int64_t> order;
  int64_t epoch = 0;
  int64_t next_task = 0, end_task = 0;  // samples of this epoch, by place in the order
  int64_t released = 0;                 // steps whose slots may be filled anew
  int64_t next_step = 0;                // to hand out
  int64_t active = 0;                   // workers making a sample
  bool stop = false;
  double waited = 0;
  int64_t delivered = 0, replaced = 0;

  std::mutex bad_mutex;
  std::set<int64_t> bad_images;
  std::string first_bad;
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
size_t ViewLoader::buffer_bytes() const { return impl_->SlotBytes() * impl_->slots.size(); }
int64_t ViewLoader::image_size() const { return impl_->views[0].size; }
int64_t ViewLoader::view_count() const { return static_cast<int64_t>(impl_->views.size()); }

}  // namespace eosin::engine
