// SPDX-License-Identifier: Apache-2.0
#include "eval/study/subject.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <fmt/format.h>
#include <algorithm>
#include <memory>
#include <set>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/progress.h"
#include "engine/models/init.h"
#include "eval/embed.h"
#include "eval/knn.h"
#include "eval/probe/few_shot.h"

namespace eosin::eval {
namespace {

// Part of every key of the feature cache. Raise it with each change to what features of given
// settings are: reading and resizing images, view recipes and their draws, stain shifts, networks.
constexpr int kFeatureVersion = 1;

std::string Architecture(const Encoder& encoder) {
  const engine::ResNetOptions& net = encoder.net->options();
  return fmt::format("{}, {} stem{}", net.arch, net.stem,
                     net.width == 64 ? "" : fmt::format(", width {}", net.width));
}

std::string KnnName(size_t i, const EvalOptions& options) {
  return fmt::format("kNN k={} T={}", static_cast<int64_t>(options.knn_ks[i]),
                     options.knn_temperatures[i]);
}

// Predictions of the test set for each k and its temperature, from one search.
std::vector<std::vector<int64_t>> Knn(const at::Tensor& train, const at::Tensor& test,
                                      const Bench& bench) {
  const EvalOptions& options = bench.options;
  const at::Tensor all = KnnPredictMany(
      train, bench.split.train.Labels(), test, static_cast<int64_t>(bench.split.classes.size()),
      {options.knn_ks.begin(), options.knn_ks.end()}, options.knn_temperatures, KnnOptions{});
  std::vector<std::vector<int64_t>> predicted;
  for (int64_t i = 0; i < all.size(0); ++i) predicted.push_back(ToVector(all[i]));
  return predicted;
}

// Accuracies of kNN; features: of the training and of the test images, one pair a repetition.
std::vector<Measure> MeasureKnn(const std::string& name,
                                const std::vector<std::pair<at::Tensor, at::Tensor>>& features,
                                const Bench& bench) {
  const EvalOptions& options = bench.options;
  std::vector<core::SeedPatientTable> tables(options.knn_ks.size());
  for (const auto& [train, test] : features) {
    const auto predicted = Knn(train, test, bench);
    for (size_t i = 0; i < tables.size(); ++i) {
      tables[i].push_back(GroupShares(predicted[i], bench.split.test.labels, bench.grouping));
    }
  }
  std::vector<Measure> measures;
  for (size_t i = 0; i < tables.size(); ++i) {
    measures.push_back(AccuracyMeasure(name, KnnName(i, options), std::move(tables[i]),
                                       bench.grouping, options.draws, options.seed()));
    const int64_t bank = bench.split.train.size();
    if (static_cast<int64_t>(options.knn_ks[i]) > bank) {
      measures.back().note = fmt::format("k = {}: no more training images", bank);
    }
  }
  return measures;
}

// The probe with the l2 that is best on val; of equal ones the strongest.
void FitProbe(Member* member, const Bench& bench) {
  const Split& split = bench.split;
  const auto classes = static_cast<int64_t>(split.classes.size());
  LinearProbeOptions options = bench.options.probe;
  options.seed = bench.options.seed();
  std::vector<double> l2s = bench.options.probe_l2s;
  if (options.solver != "lbfgs" || split.val.size() == 0 || l2s.empty()) l2s = {options.l2};
  std::sort(l2s.begin(), l2s.end(), std::greater<>());
  double best = -1;
  for (const double l2 : l2s) {
    options.l2 = l2;
    LinearModel model = FitLinear(member->train, split.train.Labels(), classes, options);
    const double score =
        l2s.size() == 1 ? 0 : Score(model.Predict(member->val), split.val.Labels(), classes).top1;
    if (score <= best) continue;
    best = score;
    member->l2 = l2;
    member->linear = std::move(model);
  }
  member->predicted = ToVector(member->linear.Predict(member->test));
}

}  // namespace

std::vector<int64_t> ToVector(const at::Tensor& values) {
  const at::Tensor row = values.to(at::kCPU, at::kLong).contiguous();
  return {row.const_data_ptr<int64_t>(), row.const_data_ptr<int64_t>() + row.numel()};
}

std::shared_ptr<core::Progress> Watch(const Encoder& encoder, const std::string& what,
                                      int64_t images) {
  return std::make_shared<core::Progress>(fmt::format("{}, {}", encoder.name, what), images,
                                          "images");
}

EmbedOptions Bench::Embedding(const Encoder& encoder,
                              std::shared_ptr<core::Progress> progress) const {
  EmbedOptions embedding{.size = size,
                         .batch = options.batch,
                         .workers = workers,
                         .normalization = encoder.normalization};
  embedding.progress = [progress](int64_t count) { progress->Advance(count); };
  return embedding;
}

std::string Bench::Settings(const Encoder& encoder) const {
  const engine::Normalization& n = encoder.normalization;
  return fmt::format("version {}, size {}, {}, {}, mean {} {} {}, std {} {} {}", kFeatureVersion,
                     size, compute.bf16 ? "bf16" : "fp32",
                     compute.device.is_cuda() ? "cuda" : "cpu", n.mean[0], n.mean[1], n.mean[2],
                     n.std[0], n.std[1], n.std[2]);
}

std::vector<Subject> MakeSubjects(const EvalOptions& options, int64_t size) {
  std::vector<Subject> subjects;
  std::set<std::string> names;
  for (const std::string& path : options.encoders) {
    Subject subject;
    subject.members.emplace_back();
    Encoder& encoder = subject.members[0].encoder;
    encoder = OpenEncoder(path, "", options.normalization);
    const std::string name = encoder.name;
    for (int i = 2; !names.insert(FileName(encoder.name)).second; ++i) {
      encoder.name = fmt::format("{}_{}", name, i);
    }
    subject.name = encoder.name;
    subject.like = Architecture(encoder);
    subjects.push_back(std::move(subject));
  }
  std::vector<Encoder> models;  // one an architecture
  std::set<std::string> known;
  for (const Subject& subject : subjects) {
    if (known.insert(subject.like).second) models.push_back(subject.members[0].encoder);
  }
  if (models.empty()) {
    Encoder model;
    engine::ResNetOptions net;
    net.arch = options.random_arch;
    net.stem = options.random_stem != "auto" ? options.random_stem
               : size <= 64                  ? "cifar"
                                             : "imagenet";
    net.width = static_cast<int>(options.random_width);
    model.net = engine::ResNet(net);
    models.push_back(std::move(model));
  }
  for (const Encoder& model : models) {
    Subject subject;
    subject.random = true;
    subject.like = Architecture(model);
    subject.name = models.size() == 1 ? "random init" : "random init (" + subject.like + ")";
    for (int64_t seed = 0; seed < options.random_seeds; ++seed) {
      Member member;
      member.encoder = RandomEncoderLike(model, static_cast<uint64_t>(seed));
      member.encoder.name = fmt::format("{}, seed {}", subject.name, seed);
      subject.members.push_back(std::move(member));
    }
    subjects.push_back(std::move(subject));
  }
  return subjects;
}

void EmbedSubject(Subject* subject, const Bench& bench) {
  for (Member& member : subject->members) {
    Encoder& encoder = member.encoder;
    member.fingerprint = Fingerprint(*encoder.net);
    encoder.net->to(bench.compute.device);
    engine::ToChannelsLast(*encoder.net);
    auto embed = [&](const char* name, const ImageSet& set,
                     const std::vector<std::string>& hashes) {
      if (set.size() == 0) return at::Tensor();
      const FeatureKey key{encoder.name, name, member.fingerprint, bench.hashes.Digest(hashes, set),
                           bench.Settings(encoder)};
      return bench.cache.Get(key, set, [&] {
        return Embed(encoder.net, *set.source, set.indices,
                     bench.Embedding(encoder, Watch(encoder, name, set.size())), bench.compute);
      });
    };
    member.train = embed("train", bench.split.train, bench.hashes.train);
    member.val = embed("val", bench.split.val, bench.hashes.val);
    member.test = embed("test", bench.split.test, bench.hashes.test);
    for (const at::Tensor* features : {&member.train, &member.val, &member.test}) {
      if (!features->defined() || features->isfinite().all().item<bool>()) continue;
      throw core::WeightsError("the features of " + encoder.name + " are not finite",
                               "the encoder is damaged or diverged in training");
    }
  }
}

std::vector<Measure> MeasureFrozen(Subject* subject, const Bench& bench,
                                   std::vector<std::string>* warnings) {
  const EvalOptions& options = bench.options;
  const Split& split = bench.split;
  const auto classes = static_cast<int64_t>(split.classes.size());
  std::vector<Measure> measures;
  auto add = [&](const std::string& name, core::SeedPatientTable table) {
    measures.push_back(AccuracyMeasure(subject->name, name, std::move(table), bench.grouping,
                                       options.draws, options.seed()));
  };
  auto shares = [&](const std::vector<int64_t>& predicted) {
    return GroupShares(predicted, split.test.labels, bench.grouping);
  };
  std::vector<std::pair<at::Tensor, at::Tensor>> features;
  for (const Member& member : subject->members) features.emplace_back(member.train, member.test);
  for (Measure& measure : MeasureKnn(subject->name, features, bench)) {
    measures.push_back(std::move(measure));
  }
  core::SeedPatientTable linear;
  std::string note;
  for (Member& member : subject->members) {
    FitProbe(&member, bench);
    linear.push_back(shares(member.predicted));
    if (member.linear.converged) continue;
    note = "not converged";
    warnings->push_back(fmt::format(
        "The linear probe of {} did not converge in {} iterations: raise probe.iterations.",
        member.encoder.name, member.linear.iterations));
  }
  add("linear probe", std::move(linear));
  measures.back().note = note;

  Measure balanced;
  balanced.encoder = subject->name;
  balanced.name = "linear probe, mean of classes";
  balanced.unit = "%";
  const std::vector<int64_t>& truth = split.test.labels;
  balanced.value = Jackknife(
      bench.grouping, options.seed(), &balanced.n, [&](const std::vector<int64_t>& images) {
        double sum = 0;
        for (const Member& member : subject->members) {
          std::vector<double> right(split.classes.size()), asked(split.classes.size());
          for (const int64_t i : images) {
            const auto label = static_cast<size_t>(truth[static_cast<size_t>(i)]);
            asked[label] += 1;
            right[label] +=
                member.predicted[static_cast<size_t>(i)] == truth[static_cast<size_t>(i)];
          }
          double mean = 0, present = 0;
          for (size_t c = 0; c < asked.size(); ++c) {
            if (asked[c] == 0) continue;
            mean += right[c] / asked[c];
            present += 1;
          }
          sum += 100 * mean / present;
        }
        return sum / static_cast<double>(subject->members.size());
      });
  balanced.n_of = "blocks of groups";
  balanced.note = note;
  measures.push_back(std::move(balanced));

  const std::vector<std::string> train_groups = split.train.Groups();
  std::vector<int64_t> counts(split.classes.size());
  for (const int64_t label : split.train.labels) ++counts[static_cast<size_t>(label)];
  const int64_t smallest = *std::min_element(counts.begin(), counts.end());
  for (const double shots : options.shots) {
    const auto count = static_cast<int64_t>(shots);
    if (count > smallest) {
      if (!subject->random) continue;
      warnings->push_back(
          fmt::format("No {}-shot score: a class has {} training images.", count, smallest));
      continue;
    }
    // All members see the same draws: their mean keeps a row a draw, to be paired with the same
    // draw of another encoder. A row a draw and member would count each draw once a member.
    std::vector<core::SeedPatientTable> nearest, logistic;
    for (const Member& member : subject->members) {
      const FewShotResult result =
          FewShot(member.train, split.train.labels, train_groups, member.test, classes,
                  {.shots = count, .draws = options.shot_draws, .seed = options.seed()});
      nearest.emplace_back();
      logistic.emplace_back();
      for (const auto& p : result.nearest) nearest.back().push_back(shares(ToVector(p)));
      for (const auto& p : result.logistic) logistic.back().push_back(shares(ToVector(p)));
    }
    add(fmt::format("{}-shot, nearest mean", count), MeanTable(nearest));
    add(fmt::format("{}-shot, logistic", count), MeanTable(logistic));
  }
  return measures;
}

std::vector<Measure> MeasurePixels(const Bench& bench) {
  EmbedOptions embedding{.size = bench.options.pixel_size, .batch = 256, .workers = bench.workers};
  const Split& split = bench.split;
  at::Tensor train = Pixels(*split.train.source, split.train.indices, embedding);
  at::Tensor test = Pixels(*split.test.source, split.test.indices, embedding);
  // Without the mean image every cosine is near 1.
  const at::Tensor mean = train.mean(0);
  train -= mean;
  test -= mean;
  return MeasureKnn("raw pixels", {{train, test}}, bench);
}

void ProveFrozen(const Subject& subject) {
  for (const Member& member : subject.members) {
    if (Fingerprint(*member.encoder.net) == member.fingerprint) continue;
    throw core::WeightsError(member.encoder.name + " changed while it was evaluated as frozen",
                             "this should not happen: please report it with the command line");
  }
}

}  // namespace eosin::eval
