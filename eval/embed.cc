// SPDX-License-Identifier: Apache-2.0
#include "eval/embed.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
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

}  // namespace

at::Tensor Embed(engine::ResNet net, const engine::ImageSource& source,
                 const std::vector<int64_t>& indices, const EmbedOptions& options,
                 const engine::Compute& compute) {
  const at::NoGradGuard no_grad;
  const EvalMode eval_mode(net);
  at::Tensor features =
      at::empty({static_cast<int64_t>(indices.size()), net->feature_dim()}, at::kFloat);
  if (indices.empty()) return features;
  const Subset subset(source, indices);
  engine::ViewRecipe recipe = engine::ViewRecipe::Preset("none");
  recipe.size = options.size;
  engine::LoaderOptions loading;
  loading.batch = options.batch;
  loading.workers = options.workers;
  loading.drop_last = false;
  loading.shuffle = false;
  engine::ViewLoader loader(subset, {recipe}, loading);
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
    const at::Tensor input = engine::ToInput(batch->views, batch->size(), options.size,
                                             compute.device, options.normalization);
    const engine::AutocastGuard autocast(compute.device.type(), compute.bf16);
    features.narrow(0, done, batch->size()).copy_(net->forward(input));
    done += batch->size();
  }
  return features;
}

}  // namespace eosin::eval
