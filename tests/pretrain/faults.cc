// SPDX-License-Identifier: Apache-2.0
#include "tests/pretrain/faults.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <torch/nn/modules/linear.h>
#include <cmath>

#include "pretrain/heads.h"
#include "pretrain/losses.h"
#include "pretrain/method.h"
#include "pretrain/registry.h"

namespace eosin::pretrain {
namespace {

struct FaultOptions : CloneableOptions<FaultOptions> {
  std::string fault;
  explicit FaultOptions(std::string name) : fault(std::move(name)) {}
  void Bind(core::OptionSet&, const std::string&) override {}
  std::unique_ptr<Method> Make(const MethodSetup& setup) const override;
};

at::Tensor Negative(const at::Tensor& p, const at::Tensor& z) {
  const at::Tensor a = p / p.norm(2, {1}, true).clamp_min(1e-12);
  const at::Tensor b = z / z.norm(2, {1}, true).clamp_min(1e-12);
  return 2.0 - 2.0 * (a * b).sum(1).mean();
}

class SimSiam : public Method {
 public:
  SimSiam(const MethodSetup& setup, bool stop) : Method(setup.encoder), stop_(stop) {
    HeadOptions head;
    head.in = encoder_->feature_dim();
    head.hidden = 64;
    head.out = 64;
    head.out_norm = HeadNorm::kAffine;
    projector_ = MakeHead(head, setup.seed, "projector");
    head.in = 64;
    head.hidden = 16;
    head.out_norm = HeadNorm::kNone;
    predictor_ = MakeHead(head, setup.seed, "predictor");
    parts_ = {{"encoder", encoder_.ptr()},
              {"projector", projector_.ptr()},
              {"predictor", predictor_.ptr()}};
  }
  StepOutput Forward(const std::vector<at::Tensor>& groups) override {
    const int64_t n = groups.at(0).size(0) / 2;
    const at::Tensor z = projector_->forward(encoder_->forward(groups[0]));
    const at::Tensor p = predictor_->forward(z);
    const at::Tensor target = stop_ ? z.detach() : z;
    return {Negative(p.narrow(0, 0, n), target.narrow(0, n, n)) +
                Negative(p.narrow(0, n, n), target.narrow(0, 0, n)),
            z.detach()};
  }
  void AfterStep(double) override {}
  double ChanceLoss(int64_t) const override { return 4.0; }

 private:
  bool stop_;
  torch::nn::Sequential projector_, predictor_;
};

class FaultySimClr : public Method {
 public:
  FaultySimClr(const MethodSetup& setup, int64_t loss_parts, int64_t norm_images)
      : Method(setup.encoder), loss_parts_(loss_parts), norm_images_(norm_images) {
    HeadOptions head;
    head.in = encoder_->feature_dim();
    head.hidden = 64;
    head.out = 32;
    projector_ = MakeHead(head, setup.seed, "projector");
    parts_ = {{"encoder", encoder_.ptr()}, {"projector", projector_.ptr()}};
  }
  StepOutput Forward(const std::vector<at::Tensor>& groups) override {
    const int64_t n = groups.at(0).size(0) / 2;
    const at::Tensor z = Rows(n, norm_images_, [&](const at::Tensor& rows) {
      return projector_->forward(encoder_->forward(groups[0].index_select(0, rows)));
    });
    std::vector<at::Tensor> losses;
    for (int64_t part = 0; part < loss_parts_; ++part) {
      const int64_t m = n / loss_parts_;
      losses.push_back(
          NtXent(at::cat({z.narrow(0, part * m, m), z.narrow(0, n + part * m, m)}), 0.5));
    }
    at::Tensor loss = losses[0];
    for (size_t i = 1; i < losses.size(); ++i) loss = loss + losses[i];
    return {loss / static_cast<double>(loss_parts_), z.detach()};
  }
  void AfterStep(double) override {}
  double ChanceLoss(int64_t batch) const override {
    return std::log(2.0 * static_cast<double>(batch) - 1.0);
  }
  Contrast contrast() const override { return {0.5, 1.0}; }

 private:
  // f over groups of `images` images with both views each; rows come back view-major.
  template <typename F>
  at::Tensor Rows(int64_t n, int64_t images, F f) {
    if (images == 0) images = n;
    std::vector<at::Tensor> first, second;
    const auto all = at::arange(2 * n, at::kLong);
    for (int64_t at = 0; at < n; at += images) {
      const at::Tensor out = f(at::cat({all.narrow(0, at, images), all.narrow(0, n + at, images)}));
      first.push_back(out.narrow(0, 0, images));
      second.push_back(out.narrow(0, images, images));
    }
    first.insert(first.end(), second.begin(), second.end());
    return at::cat(first);
  }
  int64_t loss_parts_, norm_images_;
  torch::nn::Sequential projector_;
};

std::unique_ptr<Method> FaultOptions::Make(const MethodSetup& setup) const {
  if (fault == "simclr-split") return std::make_unique<FaultySimClr>(setup, 2, 0);
  if (fault == "simclr-leak") return std::make_unique<FaultySimClr>(setup, 1, 4);
  return std::make_unique<SimSiam>(setup, fault != "simsiam-no-stop");
}

}  // namespace

void RegisterFaults() {
  static const bool once = [] {
    for (const char* name : {"simsiam", "simsiam-no-stop", "simclr-split", "simclr-leak"}) {
      const std::string fault = name;
      RegisterMethod({.name = fault,
                      .summary = "for tests",
                      .make_options = [fault] { return std::make_unique<FaultOptions>(fault); },
                      .presets = {{fault + "-start", "for tests", [](PretrainOptions&) {}}}});
    }
    return true;
  }();
  (void)once;
}

}  // namespace eosin::pretrain
