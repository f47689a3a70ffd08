// SPDX-License-Identifier: Apache-2.0
// MeasureStainShift of geometry.h.
#include <ATen/ops/tensor.h>
#include <algorithm>
#include <limits>
#include <numeric>

#include "core/stain/stain_shift.h"
#include "eval/analysis/distance.h"
#include "eval/analysis/drift.h"
#include "eval/embed.h"
#include "eval/knn.h"
#include "eval/study/geometry.h"
#include "eval/study/subject.h"

namespace eosin::eval {
namespace {

class ShiftedSource : public engine::ImageSource {
 public:
  ShiftedSource(const engine::ImageSource& source, const core::StainShift& shift)
      : source_(source), shift_(shift) {}
  int64_t size() const override { return source_.size(); }
  core::Image Read(int64_t i) const override { return core::ApplyShift(source_.Read(i), shift_); }
  std::string name(int64_t i) const override { return source_.name(i); }
  std::string group(int64_t i) const override { return source_.group(i); }
  bool has_groups() const override { return source_.has_groups(); }
  int64_t label(int64_t i) const override { return source_.label(i); }
  const std::vector<std::string>& classes() const override { return source_.classes(); }
  std::pair<int, int> uniform_size() const override { return source_.uniform_size(); }

 private:
  const engine::ImageSource& source_;
  const core::StainShift& shift_;
};

}  // namespace

ShiftResult MeasureStainShift(const Subject& subject, const Bench& bench) {
  const Member& member = subject.members[0];
  const EvalOptions& options = bench.options;
  const std::vector<int64_t> places =
      StratifiedRows(bench.split.test.Labels(), options.stain_images, options.seed());
  const ImageSet set = bench.split.test.Take(places);
  const Grouping grouping = MakeGrouping(set.Groups());
  std::vector<std::string> hashes;
  for (const int64_t p : places) hashes.push_back(bench.hashes.test[static_cast<size_t>(p)]);
  const std::string digest = bench.hashes.Digest(hashes, set);
  const at::Tensor plain = member.test.index_select(0, at::tensor(places, at::kLong));

  const KnnOptions knn{.k = static_cast<int64_t>(options.knn_ks[0]),
                       .temperature = options.knn_temperatures[0]};
  const auto groups = static_cast<size_t>(grouping.count());
  std::vector<double> knn_sum(groups), linear_sum(groups), knn_worst, linear_worst;
  double cosine_sum = 0, cosine_worst = 1;
  ShiftResult result{subject.name};
  double least_knn = 2, least_linear = 2;
  auto score = [&](const at::Tensor& features, const std::string& name, bool shifted) {
    const std::vector<double> by_knn =
        GroupShares(ToVector(KnnPredict(member.train, bench.split.train.Labels(), features,
                                        static_cast<int64_t>(bench.split.classes.size()), knn)),
                    set.labels, grouping);
    const std::vector<double> by_linear =
        GroupShares(ToVector(member.linear.Predict(features)), set.labels, grouping);
    auto mean = [&](const std::vector<double>& shares) {
      return std::inner_product(shares.begin(), shares.end(), grouping.sizes.begin(), 0.0) /
             static_cast<double>(set.size());
    };
    const double knn_mean = mean(by_knn), linear_mean = mean(by_linear);
    const double cosine = shifted ? MeanCosine(plain, features) : 1.0;
    result.shifts.push_back({name, 100 * knn_mean, 100 * linear_mean, cosine});
    if (!shifted) return;
    for (size_t g = 0; g < groups; ++g) {
      knn_sum[g] += by_knn[g];
      linear_sum[g] += by_linear[g];
    }
    cosine_sum += cosine;
    cosine_worst = std::min(cosine_worst, cosine);
    if (knn_mean < least_knn) least_knn = knn_mean, knn_worst = by_knn;
    if (linear_mean < least_linear) least_linear = linear_mean, linear_worst = by_linear;
  };
  score(plain, "as it is", false);
  const std::vector<core::StainShift> shifts = core::StandardShifts();
  std::shared_ptr<core::Progress> progress;  // one line for all shifts, none where all are known
  for (const core::StainShift& shift : shifts) {
    const FeatureKey key{member.encoder.name, "stain " + shift.name, member.fingerprint, digest,
                         bench.Settings(member.encoder) + ", stain " + shift.name};
    const at::Tensor features = bench.cache.Get(key, set, [&] {
      if (!progress) {
        progress = Watch(member.encoder, "stain-shifted",
                         set.size() * static_cast<int64_t>(shifts.size()));
      }
      const ShiftedSource shifted(*set.source, shift);
      return Embed(member.encoder.net, shifted, set.indices,
                   bench.Embedding(member.encoder, progress), bench.compute);
    });
    score(features, shift.name, true);
  }
  const auto count = static_cast<double>(shifts.size());
  for (size_t g = 0; g < groups; ++g) {
    knn_sum[g] /= count;
    linear_sum[g] /= count;
  }
  auto add = [&](const std::string& name, const std::vector<double>& shares) {
    result.measures.push_back(
        AccuracyMeasure(subject.name, name, {shares}, grouping, options.draws, options.seed()));
  };
  add("kNN, stain-shifted, mean", knn_sum);
  add("kNN, stain-shifted, worst", knn_worst);
  add("linear, stain-shifted, mean", linear_sum);
  add("linear, stain-shifted, worst", linear_worst);
  for (const auto& [name, value] :
       {std::pair{"feature cosine under stain shift, mean", cosine_sum / count},
        std::pair{"feature cosine under stain shift, worst", cosine_worst}}) {
    Measure measure;
    measure.encoder = subject.name;
    measure.name = name;
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    measure.value = {value, kNone, kNone};
    measure.n = set.size();
    measure.n_of = "images";
    result.measures.push_back(std::move(measure));
  }
  return result;
}

}  // namespace eosin::eval
