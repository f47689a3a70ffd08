// SPDX-License-Identifier: Apache-2.0
#include "eval/segmentation/object_scores.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "eval/segmentation/object_hausdorff.h"

namespace eosin::eval {
namespace {

constexpr double kNotApplicable = std::numeric_limits<double>::quiet_NaN();

double Ratio(double part, double whole) { return whole > 0 ? part / whole : kNotApplicable; }

struct Overlap {
  int other = 0;
  int64_t area = 0;
};
// [object - 1]: the objects of the other side that it touches, by number.
using OverlapLists = std::vector<std::vector<Overlap>>;

void FindOverlaps(const Objects& truth, const Objects& predicted, OverlapLists* of_truth,
                  OverlapLists* of_predicted) {
  std::unordered_map<uint64_t, int64_t> areas;
  const size_t size = truth.label.size();
  for (size_t i = 0; i < size;) {
    const int32_t t = truth.label[i], p = predicted.label[i];
    const size_t begin = i;
    while (i < size && truth.label[i] == t && predicted.label[i] == p) ++i;
    if (t == 0 || p == 0) continue;
    areas[(static_cast<uint64_t>(t) << 32) | static_cast<uint32_t>(p)] +=
        static_cast<int64_t>(i - begin);
  }
  of_truth->resize(truth.objects.size());
  of_predicted->resize(predicted.objects.size());
  for (const auto& [pair, area] : areas) {
    const int t = static_cast<int>(pair >> 32), p = static_cast<int>(pair & 0xFFFFFFFFu);
    (*of_truth)[static_cast<size_t>(t - 1)].push_back({p, area});
    (*of_predicted)[static_cast<size_t>(p - 1)].push_back({t, area});
  }
  for (OverlapLists* lists : {of_truth, of_predicted}) {
    for (auto& list : *lists) {
      std::sort(list.begin(), list.end(),
                [](const Overlap& a, const Overlap& b) { return a.other < b.other; });
    }
  }
}

// GlaS: the one that overlaps most; other = 0 without any.
Overlap Partner(const std::vector<Overlap>& list) {
  Overlap best;
  for (const Overlap& overlap : list) {
    if (overlap.area > best.area) best = overlap;
  }
  return best;
}

class GlasTerms {
 public:
  GlasTerms(const Objects& truth, const Objects& predicted, double mpp)
      : truth_(truth), predicted_(predicted), mpp_(mpp) {}

  // Area x Dice and area x distance of one side's objects.
  void Add(bool of_truth, const OverlapLists& lists, double* dice, double* hausdorff) {
    const Objects& own = of_truth ? truth_ : predicted_;
    const Objects& other = of_truth ? predicted_ : truth_;
    for (int k = 1; k <= own.count(); ++k) {
      const Overlap partner = Partner(lists[static_cast<size_t>(k - 1)]);
      const auto area = static_cast<double>(own.object(k).area);
      int64_t squared = 0;
      if (partner.other > 0) {
        const int64_t both = own.object(k).area + other.object(partner.other).area;
        *dice += area * 2 * static_cast<double>(partner.area) / static_cast<double>(both);
        squared = of_truth ? Squared(k, partner.other) : Squared(partner.other, k);
      } else {
        squared = FindNearest(own, k, other).squared;
      }
      *hausdorff += area * std::sqrt(static_cast<double>(squared)) * mpp_;
    }
  }

 private:
  // Most pairs are each other's partners and asked for twice.
  int64_t Squared(int t, int p) {
    const auto [place, is_new] = squared_.try_emplace(std::pair(t, p), 0);
    if (is_new) place->second = SquaredHausdorff(truth_, t, predicted_, p);
    return place->second;
  }

  const Objects& truth_;
  const Objects& predicted_;
  const double mpp_;
  std::map<std::pair<int, int>, int64_t> squared_;
};

void AddGlas(const Objects& truth, const Objects& predicted, const OverlapLists& of_truth,
             const OverlapLists& of_predicted, double mpp, ObjectScores* scores) {
  for (int p = 1; p <= predicted.count(); ++p) {
    const Overlap partner = Partner(of_predicted[static_cast<size_t>(p - 1)]);
    if (partner.other == 0 || 2 * partner.area <= truth.object(partner.other).area) continue;
    ++scores->right;
  }
  scores->found = scores->right;  // no two cover more than half of one
  if (truth.count() == 0 || predicted.count() == 0) return;
  GlasTerms terms(truth, predicted, mpp);
  terms.Add(true, of_truth, &scores->truth_dice, &scores->truth_hausdorff);
  terms.Add(false, of_predicted, &scores->predicted_dice, &scores->predicted_hausdorff);
  scores->truth_hausdorff_area = scores->truth_area;
  scores->predicted_hausdorff_area = scores->predicted_area;
}

void AddAjiAndPq(const Objects& truth, const Objects& predicted, const OverlapLists& of_truth,
                 ObjectScores* scores) {
  std::vector<bool> served(predicted.objects.size(), false);
  for (int t = 1; t <= truth.count(); ++t) {
    const int64_t area = truth.object(t).area;
    double best = 0;
    int64_t intersection = 0, joined = area;
    int partner = 0;
    for (const Overlap& overlap : of_truth[static_cast<size_t>(t - 1)]) {
      const int64_t both = area + predicted.object(overlap.other).area - overlap.area;
      const double iou = static_cast<double>(overlap.area) / static_cast<double>(both);
      if (iou <= best) continue;
      best = iou;
      intersection = overlap.area;
      joined = both;
      partner = overlap.other;
    }
    scores->aji_intersection += intersection;
    scores->aji_union += joined;
    if (partner > 0) served[static_cast<size_t>(partner - 1)] = true;
    if (best > 0.5) {
      ++scores->matched;
      scores->matched_iou += best;
    }
  }
  for (int p = 1; p <= predicted.count(); ++p) {
    if (!served[static_cast<size_t>(p - 1)]) scores->aji_union += predicted.object(p).area;
  }
}

}  // namespace

void ObjectScores::Merge(const ObjectScores& other) {
  truth += other.truth;
  predicted += other.predicted;
  truth_area += other.truth_area;
  predicted_area += other.predicted_area;
  right += other.right;
  found += other.found;
  truth_dice += other.truth_dice;
  predicted_dice += other.predicted_dice;
  truth_hausdorff += other.truth_hausdorff;
  predicted_hausdorff += other.predicted_hausdorff;
  truth_hausdorff_area += other.truth_hausdorff_area;
  predicted_hausdorff_area += other.predicted_hausdorff_area;
  aji_intersection += other.aji_intersection;
  aji_union += other.aji_union;
  matched += other.matched;
  matched_iou += other.matched_iou;
  missed += other.missed;
  spurious += other.spurious;
}

double ObjectScores::F1() const {
  if (truth + predicted == 0) return kNotApplicable;
  if (right == 0) return 0;
  const double precision = static_cast<double>(right) / static_cast<double>(predicted);
  const double recall = static_cast<double>(found) / static_cast<double>(truth);
  return 2 * precision * recall / (precision + recall);
}

double ObjectScores::Dice() const {
  if (truth + predicted == 0) return kNotApplicable;
  if (truth == 0 || predicted == 0) return 0;
  return (truth_dice / static_cast<double>(truth_area) +
          predicted_dice / static_cast<double>(predicted_area)) /
         2;
}

double ObjectScores::Hausdorff() const {
  return (Ratio(truth_hausdorff, static_cast<double>(truth_hausdorff_area)) +
          Ratio(predicted_hausdorff, static_cast<double>(predicted_hausdorff_area))) /
         2;
}

double ObjectScores::Aji() const {
  return Ratio(static_cast<double>(aji_intersection), static_cast<double>(aji_union));
}

double ObjectScores::Pq() const {
  return Ratio(matched_iou, static_cast<double>(truth + predicted) / 2);
}

double ObjectScores::Sq() const { return Ratio(matched_iou, static_cast<double>(matched)); }

double ObjectScores::Rq() const {
  return Ratio(static_cast<double>(matched), static_cast<double>(truth + predicted) / 2);
}

ObjectScores CompareObjects(const Objects& truth, const Objects& predicted, double mpp) {
  ObjectScores scores;
  scores.truth = truth.count();
  scores.predicted = predicted.count();
  for (const Object& object : truth.objects) scores.truth_area += object.area;
  for (const Object& object : predicted.objects) scores.predicted_area += object.area;
  scores.missed = scores.truth > 0 && scores.predicted == 0;
  scores.spurious = scores.truth == 0 && scores.predicted > 0;
  OverlapLists of_truth, of_predicted;
  FindOverlaps(truth, predicted, &of_truth, &of_predicted);
  AddGlas(truth, predicted, of_truth, of_predicted, mpp, &scores);
  AddAjiAndPq(truth, predicted, of_truth, &scores);
  return scores;
}

}  // namespace eosin::eval
