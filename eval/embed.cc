// SPDX-License-Identifier: Apache-2.0
#include "eval/embed.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "engine/data/view_loader.h"

namespace eosin::eval {
namespace {

// Some images of a source that somebody else owns.
class Subset : public engine::ImageSource {
 public:
  Subset(const engine::ImageSource& source, const std::vector<int64_t>& indices)
      : source_(source), indices_(indices) {}
  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  core::Image Read(int64_t i) const override { return source_.Read(At(i)); }
  std::string name(int64_t i) const override { return source_.name(At(i)); }
  std::string group(int64_t i) const override { return source_.group(At(i)); }
  bool has_groups() const override { return source_.has_groups(); }
  int64_t label(int64_t i) const override { return source_.label(At(i)); }
  const std::vector<std::string>& classes() const override { return source_.classes(); }
  std::pair<int, int> uniform_size() const override { return source_.uniform_size(); }
  std::optional<core::StainRow> stain(int64_t i) const override { return source_.stain(At(i)); }
  std::optional<engine::TilePlace> place(int64_t i) const override { return source_.place(At(i)); }

 private:
  int64_t At(int64_t i) const { return indices_.at(static_cast<size_t>(i)); }
  const engine::ImageSource& source_;
  const std::vector<int64_t>& indices_;
};

// Gives the net its training mode back, whatever happens.
class EvalMode {
 public:
  explicit EvalMode(engine::ResNet net) : net_(std::move(net)), training_(net_->is_training()) {
    net_->eval();
  }
  ~EvalMode() { net_->train(training_); }

 private:
  engine::ResNet net_;
  bool training_;
};

engine::ViewRecipe PlainRecipe(int64_t size) {
  engine::ViewRecipe recipe = engine::ViewRecipe::Preset("none");
  recipe.size = size;
  return recipe;
}

// Calls use(batch, first) for the batches of `indices` in order; first: place of its first image.
void ForBatches(const engine::ImageSource& source, const std::vector<int64_t>& indices,
                const std::vector<engine::ViewRecipe>& views, uint64_t seed,
                const EmbedOptions& options,
                const std::function<void(const engine::Batch&, int64_t first)>& use) {
  const Subset subset(source, indices);
  engine::LoaderOptions loading;
  loading.batch = options.batch;
  loading.workers = options.workers;
  loading.seed = seed;
  loading.drop_last = false;
  loading.shuffle = false;
  engine::ViewLoader loader(subset, views, loading);
  loader.StartEpoch(0);
  int64_t done = 0;
  while (const engine::Batch* batch = loader.Next()) {
    core::ThrowIfInterrupted();
    for (int64_t i = 0; i < batch->size(); ++i) {
      // The loader goes on with another image where one does not decode; features must not.
      if (batch->indices[static_cast<size_t>(i)] != done + i) {
        throw core::DataError(fmt::format("cannot read {}", subset.name(done + i)),
                              "remove the image or leave it out of the list");
      }
    }
    use(*batch, done);
    done += batch->size();
    if (options.progress) options.progress(batch->size());
  }
}

// Features of all views, view after view.
at::Tensor Run(engine::ResNet net, const engine::ImageSource& source,
               const std::vector<int64_t>& indices, const std::vector<engine::ViewRecipe>& views,
               uint64_t seed, const EmbedOptions& options, const engine::Compute& compute) {
  const at::NoGradGuard no_grad;
  const EvalMode eval_mode(net);
  const auto count = static_cast<int64_t>(indices.size());
  const auto view_count = static_cast<int64_t>(views.size());
  const int64_t width =
      net->options().num_classes > 0 ? net->options().num_classes : net->feature_dim();
  at::Tensor features = at::empty({view_count, count, width},
                                  at::TensorOptions().dtype(at::kFloat).device(compute.device));
  if (count == 0) return features.to(at::kCPU);
  ForBatches(source, indices, views, seed, options, [&](const engine::Batch& batch, int64_t first) {
    const int64_t n = batch.size();
    const at::Tensor input = engine::ToInput(batch.views, view_count * n, options.size,
                                             compute.device, options.normalization);
    const engine::AutocastGuard autocast(compute.device.type(), compute.bf16);
    features.narrow(1, first, n).copy_(net->forward(input).view({view_count, n, -1}));
  });
  return features.to(at::kCPU);
}

}  // namespace

at::Tensor Embed(engine::ResNet net, const engine::ImageSource& source,
                 const std::vector<int64_t>& indices, const EmbedOptions& options,
                 const engine::Compute& compute) {
  return Run(net, source, indices, {PlainRecipe(options.size)}, 0, options, compute).select(0, 0);
}

std::vector<at::Tensor> EmbedViews(engine::ResNet net, const engine::ImageSource& source,
                                   const std::vector<int64_t>& indices, engine::ViewRecipe recipe,
                                   int views, uint64_t seed, const EmbedOptions& options,
                                   const engine::Compute& compute) {
  recipe.size = options.size;
  const std::vector<engine::ViewRecipe> recipes(static_cast<size_t>(views), recipe);
  const at::Tensor features = Run(net, source, indices, recipes, seed, options, compute);
  std::vector<at::Tensor> result;
  for (int v = 0; v < views; ++v) result.push_back(features.select(0, v));
  return result;
}

at::Tensor Pixels(const engine::ImageSource& source, const std::vector<int64_t>& indices,
                  const EmbedOptions& options) {
  const int64_t bytes = 3 * options.size * options.size;
  at::Tensor pixels = at::empty({static_cast<int64_t>(indices.size()), bytes}, at::kFloat);
  if (indices.empty()) return pixels;
  ForBatches(source, indices, {PlainRecipe(options.size)}, 0, options,
             [&](const engine::Batch& batch, int64_t first) {
               // from_blob wants a mutable pointer; the bytes are only read.
               const at::Tensor rows = at::from_blob(const_cast<uint8_t*>(batch.views),
                                                     {batch.size(), bytes}, at::kByte);
               pixels.narrow(0, first, batch.size()).copy_(rows).div_(255);
             });
  return pixels;
}

}  // namespace eosin::eval
