// SPDX-License-Identifier: Apache-2.0
#include "eval/study/geometry.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_unique.h>
#include <ATen/ops/tensor.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "core/base/interrupt.h"
#include "core/report/svg.h"
#include "engine/augment/recipe.h"
#include "engine/weights/weights.h"
#include "eval/analysis/clusters.h"
#include "eval/analysis/drift.h"
#include "eval/analysis/projections.h"
#include "eval/analysis/spread.h"
#include "eval/embed.h"
#include "eval/study/subject.h"

namespace eosin::eval {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

at::Tensor Index(const std::vector<int64_t>& places) { return at::tensor(places, at::kLong); }

// A stratified part of the test set.
struct Part {
  std::vector<int64_t> places;
  ImageSet set;
  Grouping grouping;
};

Part TestPart(const Bench& bench, int64_t most) {
  Part part;
  part.places = StratifiedRows(bench.split.test.Labels(), most, bench.options.seed());
  part.set = bench.split.test.Take(part.places);
  part.grouping = MakeGrouping(part.set.Groups());
  return part;
}

std::string DigestOf(const Bench& bench, const Part& part) {
  std::vector<std::string> hashes;
  for (const int64_t p : part.places) hashes.push_back(bench.hashes.test[static_cast<size_t>(p)]);
  return bench.hashes.Digest(hashes, part.set);
}

}  // namespace

std::vector<Measure> MeasureGeometry(const Subject& subject, const Bench& bench) {
  const Part part = TestPart(bench, bench.options.geometry_images);
  const at::Tensor labels = part.set.Labels();
  std::vector<at::Tensor> features;
  std::vector<std::vector<at::Tensor>> views;
  for (const Member& member : subject.members) {
    features.push_back(member.test.index_select(0, Index(part.places)));
    const Encoder& encoder = member.encoder;
    views.emplace_back();
    std::vector<at::Tensor> made;  // both at once
    for (size_t v = 0; v < 2; ++v) {
      const FeatureKey key{encoder.name, v == 0 ? "view_a" : "view_b", member.fingerprint,
                           DigestOf(bench, part),
                           bench.Settings(encoder) + ", simclr views, seed 0"};
      views.back().push_back(bench.cache.Get(key, part.set, [&] {
        if (made.empty()) {
          made = EmbedViews(encoder.net, *part.set.source, part.set.indices,
                            engine::ViewRecipe::Preset("simclr"), 2, 0,
                            bench.Embedding(encoder, Watch(encoder, "views", part.set.size())),
                            bench.compute);
        }
        return made[v];
      }));
    }
  }

  std::vector<Measure> measures;
  auto add = [&](const std::string& name, bool interval, auto&& of_member,
                 const std::string& note = "no interval: too costly at this width") {
    core::ThrowIfInterrupted();
    Measure measure;
    measure.encoder = subject.name;
    measure.name = name;
    auto mean = [&](const std::vector<int64_t>& images) {
      const at::Tensor rows = Index(images);
      double sum = 0;
      for (size_t m = 0; m < subject.members.size(); ++m) sum += of_member(m, rows);
      return sum / static_cast<double>(subject.members.size());
    };
    if (interval) {
      measure.value = Jackknife(part.grouping, bench.options.seed(), &measure.n, mean);
      measure.n_of = "blocks of groups";
    } else {
      std::vector<int64_t> all(part.places.size());
      for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
      measure.value = {mean(all), kNan, kNan};
      measure.n = part.set.size();
      measure.n_of = "images";
      measure.note = note;
    }
    measures.push_back(std::move(measure));
  };
  // Four measures share each pass over all pairs.
  std::map<std::pair<size_t, std::vector<int64_t>>, ClassDistances> known;
  auto classes = [&](size_t m, const at::Tensor& rows) {
    const auto [entry, fresh] = known.try_emplace({m, ToVector(rows)});
    if (fresh) {
      entry->second = MeasureClasses(features[m].index_select(0, rows),
                                     labels.index_select(0, rows), Distance::kCosine);
    }
    return entry->second;
  };
  add("silhouette", true,
      [&](size_t m, const at::Tensor& rows) { return classes(m, rows).silhouette; });
  add("Davies-Bouldin", true, [&](size_t m, const at::Tensor& rows) {
    return DaviesBouldin(features[m].index_select(0, rows), labels.index_select(0, rows));
  });
  add("intra-class distance", true,
      [&](size_t m, const at::Tensor& rows) { return classes(m, rows).intra; });
  add("inter-class distance", true,
      [&](size_t m, const at::Tensor& rows) { return classes(m, rows).inter; });
  add("intra / inter", true,
      [&](size_t m, const at::Tensor& rows) { return classes(m, rows).ratio; });
  // Cosine geometry, as above; few starts, for all of it is done again a member.
  std::vector<Agreement> found;
  for (const at::Tensor& rows : features) {
    const int64_t present = std::get<0>(at::_unique(labels)).size(0);
    found.push_back(CompareLabels(
        labels,
        KMeans(UnitRows(rows), {.clusters = present, .starts = 4, .seed = bench.options.seed()})
            .labels));
  }
  const std::string anew = "no interval: clusters are found once";
  add("k-means clusters, NMI", false, [&](size_t m, const auto&) { return found[m].nmi; }, anew);
  add("k-means clusters, ARI", false, [&](size_t m, const auto&) { return found[m].ari; }, anew);
  const int64_t rank = std::min<int64_t>(part.set.size(), features[0].size(1));
  add("RankMe", rank <= 768, [&](size_t m, const at::Tensor& rows) {
    return RankMe(features[m].index_select(0, rows)).item<double>();
  });
  add("uniformity", true, [&](size_t m, const at::Tensor& rows) {
    return Uniformity(features[m].index_select(0, rows)).item<double>();
  });
  add("alignment", true, [&](size_t m, const at::Tensor& rows) {
    return Alignment(views[m][0].index_select(0, rows), views[m][1].index_select(0, rows))
        .item<double>();
  });
  return measures;
}

std::vector<DriftRow> MeasureDrift(const std::vector<Subject>& subjects, const Bench& bench) {
  const Part part = TestPart(bench, bench.options.geometry_images);
  const at::Tensor rows = Index(part.places), labels = part.set.Labels();
  std::vector<DriftRow> drift;
  auto compare = [&](const Subject& from, const Subject& to) {
    core::ThrowIfInterrupted();
    const Member &a = from.members[0], &b = to.members[0];
    const at::Tensor x = a.test.index_select(0, rows), y = b.test.index_select(0, rows);
    DriftRow row{from.name, to.name, part.set.size()};
    row.cka = LinearCka(x, y);
    row.cosine = x.size(1) == y.size(1) ? MeanCosine(x, y) : kNan;
    const CentroidFacts centroids = CompareCentroids(x, y, labels);
    row.centroid_cosine = centroids.mean_cosine;
    row.centroid_distance = centroids.mean_distance;
    row.centroid_geometry = centroids.geometry;
    if (from.like == to.like) {
      for (const StageDrift& stage : CompareWeights(engine::ToStateDict(*a.encoder.net),
                                                    engine::ToStateDict(*b.encoder.net))) {
        row.stages.push_back(stage.stage);
        row.weight_change.push_back(stage.relative);
      }
    }
    drift.push_back(std::move(row));
  };
  for (size_t i = 0; i < subjects.size(); ++i) {
    if (subjects[i].random) continue;
    for (const Subject& other : subjects) {
      if (other.random && other.like == subjects[i].like) compare(other, subjects[i]);
    }
    for (size_t j = i + 1; j < subjects.size(); ++j) {
      if (!subjects[j].random) compare(subjects[i], subjects[j]);
    }
  }
  return drift;
}

std::vector<Picture> DrawPictures(const Subject& subject, const Bench& bench) {
  const ImageSet& test = bench.split.test;
  ProjectionOptions options;
  options.rows = bench.options.picture_images;
  options.seed = bench.options.seed();
  std::vector<Picture> pictures;
  for (const char* method : {"pca", "tsne", "umap"}) {
    core::ThrowIfInterrupted();
    const Projection projection = Project(method, subject.members[0].test, test.Labels(), options);
    core::ScatterChart chart;
    chart.names = bench.split.classes;
    const at::Tensor points = projection.points.contiguous();
    const float* data = points.const_data_ptr<float>();
    for (size_t i = 0; i < projection.rows.size(); ++i) {
      chart.x.push_back(data[2 * i]);
      chart.y.push_back(data[2 * i + 1]);
      chart.groups.push_back(test.labels[static_cast<size_t>(projection.rows[i])]);
    }
    pictures.push_back({subject.name, method, chart.Svg(), projection.trustworthiness,
                        static_cast<int64_t>(projection.rows.size())});
  }
  return pictures;
}

}  // namespace eosin::eval
