// SPDX-License-Identifier: Apache-2.0
#include "eval/probe/linear_probe.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/philox.h"
#include "eval/probe/lbfgs.h"

namespace eosin::eval {
namespace {

constexpr int64_t kBlock = 4096;                   // rows a product
constexpr int64_t kCacheBytes = int64_t{1} << 30;  // of features kept as doubles

// Standardised features as doubles, by blocks of rows: kept when they fit, else made anew.
class Blocks {
 public:
  Blocks(const at::Tensor& features, at::Tensor mean, at::Tensor std)
      : features_(features), mean_(std::move(mean)), std_(std::move(std)) {
    if (features.numel() * 8 > kCacheBytes) return;
    for (int64_t i = 0; i < count(); ++i) kept_.push_back(Make(i));
  }
  int64_t count() const { return (features_.size(0) + kBlock - 1) / kBlock; }
  int64_t begin(int64_t i) const { return i * kBlock; }
  int64_t rows(int64_t i) const { return std::min(kBlock, features_.size(0) - begin(i)); }
  at::Tensor At(int64_t i) const { return kept_.empty() ? Make(i) : kept_[static_cast<size_t>(i)]; }

 private:
  at::Tensor Make(int64_t i) const {
    return (features_.narrow(0, begin(i), rows(i)).to(at::kDouble) - mean_) / std_;
  }
  at::Tensor features_, mean_, std_;
  std::vector<at::Tensor> kept_;
};

// In double precision, two passes; population deviation as scikit-learn's scaler.
void Moments(const at::Tensor& x, at::Tensor* mean, at::Tensor* std) {
  const int64_t n = x.size(0);
  *mean = x.sum({0}, false, at::kDouble) / n;
  at::Tensor variance = at::zeros({x.size(1)}, at::kDouble);
  for (int64_t i = 0; i < n; i += kBlock) {
    const at::Tensor centred = x.narrow(0, i, std::min(kBlock, n - i)).to(at::kDouble) - *mean;
    variance += (centred * centred).sum(0);
  }
  *std = (variance / n).sqrt();
  // What rounding leaves of a constant channel is no spread.
  *std = at::where(*std > 1e-6 * mean->abs() + 1e-12, *std, at::ones_like(*std));
}

LinearModel FitLbfgs(const at::Tensor& x, const at::Tensor& y, int64_t classes,
                     const LinearProbeOptions& options) {
  const int64_t n = x.size(0), d = x.size(1);
  at::Tensor mean = at::zeros({d}, at::kDouble), std = at::ones({d}, at::kDouble);
  if (options.standardise) Moments(x, &mean, &std);
  const Blocks blocks(x, mean, std);

  auto function = [&](const at::Tensor& parameters, at::Tensor& gradient) {
    const at::Tensor weight = parameters.narrow(0, 0, classes * d).view({classes, d});
    const at::Tensor bias = parameters.narrow(0, classes * d, classes);
    at::Tensor weight_gradient = gradient.narrow(0, 0, classes * d).view({classes, d});
    at::Tensor bias_gradient = gradient.narrow(0, classes * d, classes);
    gradient.zero_();
    double loss = 0;
    for (int64_t i = 0; i < blocks.count(); ++i) {
      const at::Tensor block = blocks.At(i);
      const at::Tensor target = y.narrow(0, blocks.begin(i), blocks.rows(i)).unsqueeze(1);
      const at::Tensor log_p = at::log_softmax(at::addmm(bias, block, weight.t()), 1);
      loss -= log_p.gather(1, target).sum().item<double>();
      at::Tensor residual = log_p.exp();
      residual.scatter_add_(1, target, -at::ones(target.sizes(), residual.options()));
      weight_gradient += at::matmul(residual.t(), block);
      bias_gradient += residual.sum(0);
    }
    gradient /= static_cast<double>(n);
    weight_gradient += options.l2 * weight;
    return loss / static_cast<double>(n) +
           0.5 * options.l2 * (weight * weight).sum().item<double>();
  };
  at::Tensor parameters = at::zeros({classes * (d + 1)}, at::kDouble);
  const LbfgsResult solved = MinimizeLbfgs(
      parameters, function, {.iterations = options.iterations, .tolerance = options.tolerance});
  LinearModel model;
  model.mean = mean.to(at::kFloat);
  model.std = std.to(at::kFloat);
  model.weight = parameters.narrow(0, 0, classes * d).view({classes, d}).to(at::kFloat);
  model.bias = parameters.narrow(0, classes * d, classes).to(at::kFloat);
  model.converged = solved.converged;
  model.iterations = solved.iterations;
  model.loss = solved.value;
  return model;
}

LinearModel FitSgd(const at::Tensor& x, const at::Tensor& y, int64_t classes,
                   const LinearProbeOptions& options) {
  const int64_t n = x.size(0), d = x.size(1), batch = std::min(options.batch, n);
  LinearModel model{at::zeros({d}), at::ones({d}), at::zeros({classes, d}), at::zeros({classes})};
  at::Tensor weight_speed = at::zeros_like(model.weight), bias_speed = at::zeros_like(model.bias);
  const int64_t steps = (n + batch - 1) / batch;
  const double peak = options.lr * static_cast<double>(batch) / 256;
  const auto total = static_cast<double>(steps * options.epochs);
  std::vector<int64_t> order(static_cast<size_t>(n));
  for (int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    core::ThrowIfInterrupted();
    std::iota(order.begin(), order.end(), 0);
    core::Shuffle(order, core::PhiloxStream(options.seed, core::DrawPurpose::kOrder,
                                            static_cast<uint32_t>(epoch), 0));
    for (int64_t step = 0; step < steps; ++step) {
      const int64_t begin = step * batch, count = std::min(batch, n - begin);
      const at::Tensor rows = at::from_blob(order.data() + begin, {count}, at::kLong);
      const at::Tensor input = x.index_select(0, rows);
      const at::Tensor target = y.index_select(0, rows).unsqueeze(1);
      at::Tensor residual = at::softmax(at::addmm(model.bias, input, model.weight.t()), 1);
      residual.scatter_add_(1, target, -at::ones(target.sizes(), residual.options()));
      residual /= count;
      const double done = static_cast<double>(epoch * steps + step) / total;
      const double lr = 0.5 * peak * (1 + std::cos(std::numbers::pi * done));
      weight_speed.mul_(0.9).add_(at::matmul(residual.t(), input));
      bias_speed.mul_(0.9).add_(residual.sum(0));
      model.weight.sub_(weight_speed, lr);
      model.bias.sub_(bias_speed, lr);
    }
  }
  return model;
}

}  // namespace

void LinearProbeOptions::Bind(core::OptionSet& set, const std::string& prefix) {
  set.Add(prefix + ".solver", &solver,
          {.doc = "lbfgs: logistic regression solved to convergence; sgd: the papers' protocol",
           .choices = {"lbfgs", "sgd"}});
  set.Add(prefix + ".l2", &l2,
          {.doc = "lbfgs: weight of |W|^2 / 2 beside the mean cross-entropy, standardised features",
           .min = 0});
  set.Add(prefix + ".iterations", &iterations,
          {.doc = "lbfgs: at most so many; the report says when it was not enough", .min = 1});
  set.Add(prefix + ".tolerance", &tolerance,
          {.doc = "lbfgs: done when no component of the gradient is larger", .min = 1e-12});
  set.Add(prefix + ".epochs", &epochs, {.doc = "sgd: passes over the features", .min = 1});
  set.Add(prefix + ".batch", &batch, {.doc = "sgd: images a step", .min = 1});
  set.Add(prefix + ".lr", &lr, {.doc = "sgd: learning rate, times batch / 256", .min = 0});
}

LinearModel FitLinear(const at::Tensor& features, const at::Tensor& labels, int64_t classes,
                      const LinearProbeOptions& options) {
  const at::NoGradGuard no_grad;
  if (features.dim() != 2 || features.size(0) == 0 || labels.dim() != 1 ||
      labels.size(0) != features.size(0)) {
    throw core::DataError("a linear probe needs features (N,D) with N labels, N > 0",
                          "give it at least one labelled image");
  }
  const at::Tensor x = features.detach().to(at::kCPU, at::kFloat).contiguous();
  const at::Tensor y = labels.detach().to(at::kCPU, at::kLong).contiguous();
  if (y.min().item<int64_t>() < 0 || y.max().item<int64_t>() >= classes) {
    throw core::DataError(fmt::format("a label lies outside of 0..{}", classes - 1),
                          "leave images without a label out of the probe");
  }
  // A sum is finite only where all values are, and needs no second copy.
  if (!std::isfinite(x.sum(at::kDouble).item<double>())) {
    throw core::DataError("the features are not finite",
                          "the encoder is damaged or diverged in training");
  }
  return options.solver == "sgd" ? FitSgd(x, y, classes, options)
                                 : FitLbfgs(x, y, classes, options);
}

at::Tensor LinearModel::Logits(const at::Tensor& features) const {
  const at::NoGradGuard no_grad;
  const at::Tensor x = features.detach().to(at::kCPU, at::kFloat);
  return at::addmm(bias, (x - mean) / std, weight.t());
}

at::Tensor LinearModel::Predict(const at::Tensor& features) const {
  return Logits(features).argmax(1);
}

Accuracy Score(const at::Tensor& predicted, const at::Tensor& labels, int64_t classes) {
  if (predicted.numel() == 0 || predicted.numel() != labels.numel()) {
    throw core::DataError("accuracy needs one prediction a label, and at least one",
                          "give it at least one labelled image");
  }
  const at::Tensor p = predicted.to(at::kCPU, at::kLong).contiguous();
  const at::Tensor y = labels.to(at::kCPU, at::kLong).contiguous();
  std::vector<int64_t> right(static_cast<size_t>(classes)), asked(static_cast<size_t>(classes));
  for (int64_t i = 0; i < y.numel(); ++i) {
    const int64_t label = y.const_data_ptr<int64_t>()[i];
    if (label < 0 || label >= classes) continue;
    ++asked[static_cast<size_t>(label)];
    right[static_cast<size_t>(label)] += p.const_data_ptr<int64_t>()[i] == label;
  }
  const auto sum = [](const std::vector<int64_t>& v) {
    return static_cast<double>(std::accumulate(v.begin(), v.end(), int64_t{0}));
  };
  Accuracy accuracy;
  if (sum(asked) == 0) {
    throw core::DataError("accuracy of images without labels", "give it labelled images");
  }
  accuracy.top1 = sum(right) / sum(asked);
  int64_t present = 0;
  for (size_t c = 0; c < asked.size(); ++c) {
    if (asked[c] == 0) continue;
    accuracy.balanced += static_cast<double>(right[c]) / static_cast<double>(asked[c]);
    ++present;
  }
  accuracy.balanced /= static_cast<double>(present);
  return accuracy;
}

}  // namespace eosin::eval
