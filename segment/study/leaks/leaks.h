// SPDX-License-Identifier: Apache-2.0
// Pictures that are in two parts of a split, or in the pretraining data and in the test set, under
// other names and other patients: what a table of patients cannot show. Torch-free.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "segment/data/split.h"
#include "segment/study/leaks/fingerprint.h"

namespace eosin::segment {

// What was looked at and found; goes into leaks.json and the report.
struct LeakFacts {
  int64_t images = 0, blank_images = 0;
  int64_t copies_inside = 0;  // pairs of copies that lie in one part of every split: allowed
  int64_t tiles = 0, blank_tiles = 0;  // of the pretraining data, compared with held-out images
  std::string tiles_key;               // which tiles these were
  double closest = 0;  // largest resemblance below the threshold across parts, or tile and image
};

// Fingerprints of all images as they are on disk, in parallel.
std::vector<Fingerprint> FingerprintImages(const std::vector<MaskItem>& items, int threads);

// Throws DataError naming both images, their parts and the fix when a picture of one part is a copy
// of a picture of another. Fills the first three facts and `closest`.
void CheckNoCopies(const std::vector<MaskItem>& items, const std::vector<Fingerprint>& prints,
                   const std::vector<ImageSplit>& splits, int threads, LeakFacts* facts);

// A picture of the pretraining data by number, and its name.
struct TileList {
  int64_t size = 0;
  std::function<core::Image(int64_t)> read;  // thread-safe
  std::function<std::string(int64_t)> name;
};

// Throws DataError naming both when a tile is a copy of a validation or test image. Tiles that
// cannot be read are left to the pretraining.
void CheckTilesHeldOut(const std::vector<MaskItem>& items, const std::vector<Fingerprint>& prints,
                       const ImageSplit& split, const TileList& tiles, int threads,
                       LeakFacts* facts);

std::string LeakFactsJson(const LeakFacts& facts);
// Throws DataError on other text.
LeakFacts ReadLeakFacts(const std::filesystem::path& path);

}  // namespace eosin::segment
