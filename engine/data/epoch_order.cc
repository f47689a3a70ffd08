// SPDX-License-Identifier: Apache-2.0
#include "engine/data/epoch_order.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/philox.h"

namespace eosin::engine {
namespace {

core::PhiloxStream OrderStream(uint64_t seed, int64_t epoch, uint32_t part) {
  return {seed, core::DrawPurpose::kOrder, static_cast<uint32_t>(epoch), part};
}

// Places [begin, begin + count) of the endless row of permutations of one set.
void AppendShare(const std::vector<int64_t>& images, int64_t begin, int64_t count, uint64_t seed,
                 uint32_t part, std::vector<int64_t>* order) {
  const auto size = static_cast<int64_t>(images.size());
  for (int64_t place = begin; place < begin + count;) {
    std::vector<int64_t> round = images;
    core::Shuffle(round, OrderStream(seed, place / size, part));
    const int64_t from = place % size, taken = std::min(size - from, begin + count - place);
    order->insert(order->end(), round.begin() + from, round.begin() + from + taken);
    place += taken;
  }
}

}  // namespace

std::vector<int64_t> EpochOrder(int64_t size, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), int64_t{0});
  core::Shuffle(order, OrderStream(seed, epoch, 0));
  return order;
}

std::vector<int64_t> MixShares(int64_t total, const std::vector<double>& weights,
                               const std::vector<int64_t>& sizes) {
  double sum = 0;
  for (size_t p = 0; p < sizes.size(); ++p) sum += sizes[p] > 0 ? weights[p] : 0;
  std::vector<int64_t> shares(sizes.size(), 0);
  std::vector<std::pair<double, size_t>> rests;  // largest first, then the earlier set
  int64_t left = total;
  for (size_t p = 0; p < sizes.size(); ++p) {
    if (sizes[p] == 0) continue;
    const double exact = static_cast<double>(total) * (weights[p] / sum);
    shares[p] = std::min(left, static_cast<int64_t>(std::floor(exact)));
    left -= shares[p];
    rests.emplace_back(static_cast<double>(shares[p]) - exact, p);
  }
  std::sort(rests.begin(), rests.end());
  for (size_t i = 0; left > 0 && !rests.empty(); i = (i + 1) % rests.size(), --left) {
    ++shares[rests[i].second];
  }
  return shares;
}

std::vector<int64_t> EpochOrder(const ImageSource& source, uint64_t seed, int64_t epoch) {
  const std::vector<double> weights = source.part_weights();
  if (weights.size() < 2) return EpochOrder(source.size(), seed, epoch);
  std::vector<std::vector<int64_t>> parts(weights.size());
  for (int64_t i = 0; i < source.size(); ++i) {
    parts[static_cast<size_t>(source.part(i))].push_back(i);
  }
  std::vector<int64_t> sizes;
  for (const auto& part : parts) sizes.push_back(static_cast<int64_t>(part.size()));
  const std::vector<int64_t> shares = MixShares(source.size(), weights, sizes);
  std::vector<int64_t> order;
  order.reserve(static_cast<size_t>(source.size()));
  for (size_t p = 0; p < parts.size(); ++p) {
    AppendShare(parts[p], epoch * shares[p], shares[p], seed, static_cast<uint32_t>(p + 1), &order);
  }
  core::Shuffle(order, OrderStream(seed, epoch, 0));
  return order;
}

std::vector<uint32_t> RepeatCounts(const std::vector<int64_t>& order, int64_t size) {
  std::vector<bool> seen(static_cast<size_t>(size));
  bool repeats = false;
  for (const int64_t index : order) {
    const auto i = static_cast<size_t>(index);
    repeats = repeats || seen[i];
    seen[i] = true;
  }
  std::vector<uint32_t> counts;
  if (!repeats) return counts;
  std::vector<uint32_t> times(static_cast<size_t>(size), 0);
  counts.reserve(order.size());
  for (const int64_t index : order) counts.push_back(times[static_cast<size_t>(index)]++);
  return counts;
}

}  // namespace eosin::engine
