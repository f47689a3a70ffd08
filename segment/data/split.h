// SPDX-License-Identifier: Apache-2.0
// Who is trained on and who is tested. Patients are split once by split.seed; a run seed draws the
// nested label subsets of the training images. Torch-free and pure: the same input gives the same
// split on every machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/option_set.h"
#include "segment/data/mask_dataset.h"

namespace eosin::segment {

struct SplitOptions {
  int64_t seed = 1;
  double val = 0.2;  // share of the patients
  double test = 0.3;
  std::string file;       // a split.json that is used as it stands; empty: drawn
  bool official = false;  // the published parts (official_split.h); eosin segment alone

  void Bind(core::OptionSet& set);
  void BindOfficial(core::OptionSet& set);
  void Check() const;
};

// Indices into the dataset, ascending.
struct ImageSplit {
  std::vector<int64_t> train, val, test;
};

// Patients are shuffled by Philox (seed, kSplit) and dealt: test first, then val, each at least
// one; the rest trains. With options.file the parts are those of the file (split_file.h). Throws
// DataError when fewer than three patients are there or when a part would be empty.
ImageSplit SplitByPatient(const std::vector<MaskItem>& items, const SplitOptions& options);

// K splits: patients are shuffled the same way and dealt to K folds in turn, by falling number of
// images, so that folds are alike in size; fold k tests its own, draws options.val of the others to
// validate and trains on the rest. Every patient is tested once.
std::vector<ImageSplit> FoldsByPatient(const std::vector<MaskItem>& items,
                                       const SplitOptions& options, int64_t folds);

// Sorted patient ids of the given images.
std::vector<std::string> PatientsOf(const std::vector<MaskItem>& items,
                                    const std::vector<int64_t>& indices);

// Refuses leaks: a patient in two parts, a slide in two parts (under two patients), or the same
// file (hash of the content) in two parts under two names. Throws DataError naming both images.
// Copies that are no longer the same file are found by segment/study/leaks.h.
void CheckNoLeak(const std::vector<MaskItem>& items, const std::vector<MaskDataset::Hashes>& hashes,
                 const ImageSplit& split);

// The first `sizes[k]` training images for each k, smaller inside larger: images are ordered at
// random by the run seed, with those first that together show every class but `background` (-1 =
// none); a subset never has fewer than needed to show them, so it may be larger than asked for.
// class_pixels[i] belongs to the dataset's image i. A class that no training image shows is
// DataError.
std::vector<std::vector<int64_t>> NestedSubsets(
    const std::vector<int64_t>& train, const std::vector<std::vector<int64_t>>& class_pixels,
    const std::vector<int64_t>& sizes, uint64_t run_seed,
    const std::vector<std::string>& class_names, int64_t background);

}  // namespace eosin::segment
