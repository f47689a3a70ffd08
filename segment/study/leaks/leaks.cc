// SPDX-License-Identifier: Apache-2.0
#include "segment/study/leaks/leaks.h"

#include <fmt/format.h>
#include <algorithm>
#include <mutex>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/threads.h"
#include "core/image/codec.h"

namespace eosin::segment {
namespace {

using core::DataError;

// 0 train, 1 val, 2 test, -1 in no part; by image.
std::vector<int> PartsOf(const ImageSplit& split, size_t count) {
  std::vector<int> parts(count, -1);
  int part = 0;
  for (const auto* indices : {&split.train, &split.val, &split.test}) {
    for (const int64_t i : *indices) parts[static_cast<size_t>(i)] = part;
    ++part;
  }
  return parts;
}

constexpr const char* kPartNames[] = {"train", "val", "test"};

std::string How(const Fingerprint& a, const Fingerprint& b, double resemblance) {
  if (a.pixels == b.pixels) return "have the same pixels";
  return fmt::format("are copies of one picture (resemblance {:.2f}, from {:.2f} on)", resemblance,
                     kCopyThreshold);
}

}  // namespace

std::vector<Fingerprint> FingerprintImages(const std::vector<MaskItem>& items, int threads) {
  std::vector<Fingerprint> prints(items.size());
  core::ParallelFor(static_cast<int64_t>(items.size()), threads, [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    prints[at] = MakeFingerprint(core::ReadRgb(items[at].image));
  });
  return prints;
}

void CheckNoCopies(const std::vector<MaskItem>& items, const std::vector<Fingerprint>& prints,
                   const std::vector<ImageSplit>& splits, int threads, LeakFacts* facts) {
  facts->images = static_cast<int64_t>(prints.size());
  facts->blank_images =
      std::count_if(prints.begin(), prints.end(), [](const auto& print) { return print.blank; });
  std::vector<std::vector<int>> parts;
  for (const ImageSplit& split : splits) parts.push_back(PartsOf(split, items.size()));
  facts->copies_inside = 0;
  for (const CopyPair& pair : FindCopies(prints, threads, 1e-6)) {
    const auto a = static_cast<size_t>(pair.a), b = static_cast<size_t>(pair.b);
    bool across = false;
    for (const auto& part : parts) {
      if (part[a] < 0 || part[b] < 0 || part[a] == part[b]) continue;
      across = true;
      if (pair.resemblance < kCopyThreshold) break;
      throw DataError(
          fmt::format("images {} ({}, patient {}) and {} ({}, patient {}) {}", items[a].name,
                      kPartNames[part[a]], items[a].patient, items[b].name, kPartNames[part[b]],
                      items[b].patient, How(prints[a], prints[b], pair.resemblance)),
          "remove one, or give both the same patient_id: a test picture must not be trained on");
    }
    if (pair.resemblance >= kCopyThreshold) {
      ++facts->copies_inside;
    } else if (across) {
      facts->closest = std::max(facts->closest, pair.resemblance);
    }
  }
}

void CheckTilesHeldOut(const std::vector<MaskItem>& items, const std::vector<Fingerprint>& prints,
                       const ImageSplit& split, const TileList& tiles, int threads,
                       LeakFacts* facts) {
  std::vector<size_t> held_out;
  for (const auto* part : {&split.val, &split.test}) {
    for (const int64_t i : *part) held_out.push_back(static_cast<size_t>(i));
  }
  const std::vector<int> parts = PartsOf(split, items.size());
  std::mutex mutex;
  core::ParallelFor(tiles.size, threads, [&](int64_t t) {
    core::Image tile;
    try {
      tile = tiles.read(t);
    } catch (const core::Error&) {
      return;
    }
    const Fingerprint print = MakeFingerprint(tile);
    double closest = 0;
    for (const size_t i : held_out) {
      const double resemblance = Resemblance(print, prints[i]);
      if (resemblance >= kCopyThreshold) {
        throw DataError(
            fmt::format("the pretraining tile {} and the image {} ({}, patient {}) {}",
                        tiles.name(t), items[i].name, kPartNames[parts[i]], items[i].patient,
                        How(print, prints[i], resemblance)),
            "leave it out of ssl.data, or correct its patient in ssl.patients: pretraining must "
            "not see validation and test patients");
      }
      closest = std::max(closest, resemblance);
    }
    std::lock_guard lock(mutex);
    ++facts->tiles;
    facts->blank_tiles += print.blank;
    facts->closest = std::max(facts->closest, closest);
  });
}

std::string LeakFactsJson(const LeakFacts& facts) {
  const nlohmann::ordered_json root = {{"format", "eosin-leaks"},
                                       {"version", 1},
                                       {"threshold", kCopyThreshold},
                                       {"images", facts.images},
                                       {"blank_images", facts.blank_images},
                                       {"copies_inside", facts.copies_inside},
                                       {"tiles", facts.tiles},
                                       {"blank_tiles", facts.blank_tiles},
                                       {"tiles_key", facts.tiles_key},
                                       {"closest", facts.closest}};
  return root.dump(1) + "\n";
}

LeakFacts ReadLeakFacts(const std::filesystem::path& path) {
  try {
    const auto root = nlohmann::json::parse(core::ReadFile(path));
    LeakFacts facts;
    facts.images = root.at("images");
    facts.blank_images = root.at("blank_images");
    facts.copies_inside = root.at("copies_inside");
    facts.tiles = root.at("tiles");
    facts.blank_tiles = root.at("blank_tiles");
    facts.tiles_key = root.value("tiles_key", "");
    facts.closest = root.at("closest");
    return facts;
  } catch (const nlohmann::json::exception&) {
    throw DataError(fmt::format("{} is not a leak check of eosin study", path.string()),
                    "delete it: the check is then made again");
  }
}

}  // namespace eosin::segment
