// SPDX-License-Identifier: Apache-2.0
// Who is trained on and who is tested. Patients are split once by split.seed; a run seed draws the
// nested label subsets of the training images. Torch-free and pure: the same input gives the same
// split on every machine.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/config/option_set.h"
#include "segment/data/mask_dataset.h"

namespace eosin::segment {

struct SplitOptions {
  int64_t seed = 1;
  double val = 0.2;  // share of the patients
  double test = 0.3;

  void Bind(core::OptionSet& set);
  void Check() const;
};

// Indices into the dataset, ascending.
struct ImageSplit {
  std::vector<int64_t> train, val, test;
};

// Patients are shuffled by Philox (seed, kSplit) and dealt: test first, then val, each at least
// one; the rest trains. Throws DataError when fewer than three patients are there or when a part
// would be empty.
ImageSplit SplitByPatient(const std::vector<MaskItem>& items, const SplitOptions& options);

// Sorted patient ids of the given images.
std::vector<std::string> PatientsOf(const std::vector<MaskItem>& items,
                                    const std::vector<int64_t>& indices);

// Refuses leaks: a patient in two parts, or the same picture (hash of the file's content) in two
// parts under two names. Throws DataError naming both.
void CheckNoLeak(const std::vector<MaskItem>& items, const std::vector<MaskDataset::Hashes>& hashes,
                 const ImageSplit& split);

// split.json: the parts with patients, names and hashes.
std::string SplitToJson(const std::vector<MaskItem>& items,
                        const std::vector<MaskDataset::Hashes>& hashes, const ImageSplit& split,
                        const SplitOptions& options);

// Training images for each fraction, smaller inside larger: images are ordered at random by the run
// seed, with those first that together show every class; a fraction takes the first
// max(1, round(fraction * n)), never fewer than needed to show every class. class_pixels[i] belongs
// to the dataset's image i. A class that no training image shows is DataError.
std::vector<std::vector<int64_t>> NestedSubsets(
    const std::vector<int64_t>& train, const std::vector<std::vector<int64_t>>& class_pixels,
    const std::vector<double>& fractions, uint64_t run_seed,
    const std::vector<std::string>& class_names);

}  // namespace eosin::segment
