// SPDX-License-Identifier: Apache-2.0
#include "segment/data/official_split.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/error.h"
#include "core/base/philox.h"

namespace eosin::segment {

using core::DataError;

OfficialSplit SplitAsPublished(const std::vector<MaskItem>& items, const SplitOptions& options) {
  OfficialSplit official;
  ImageSplit& split = official.split;
  for (size_t i = 0; i < items.size(); ++i) {
    const std::string& part = items[i].part;
    if (part.empty()) {
      throw DataError(
          fmt::format("image {} belongs to no part of a published split", items[i].name),
          "add the column split (train, val or test) to the table of patients, or "
          "leave split.official out");
    }
    (part == "test"  ? split.test
     : part == "val" ? split.val
                     : split.train)
        .push_back(static_cast<int64_t>(i));
  }
  if (split.train.empty() || split.test.empty()) {
    throw DataError(fmt::format("the published split has no image in {}",
                                split.train.empty() ? "train" : "test"),
                    "leave split.official out: eosin then splits by patient");
  }
  const std::vector<std::string> test = PatientsOf(items, split.test);
  if (split.val.empty()) {
    std::vector<std::string> patients = PatientsOf(items, split.train);
    if (patients.size() < 2) {
      throw DataError("all training images of the published split are of one patient",
                      "leave split.official out: eosin then splits by patient");
    }
    // Validation by patients whom the test does not show, as far as there are any.
    core::Shuffle(patients, core::PhiloxStream(static_cast<uint64_t>(options.seed),
                                               core::DrawPurpose::kSplit, 0, 0));
    std::stable_partition(patients.begin(), patients.end(), [&](const std::string& patient) {
      return !std::binary_search(test.begin(), test.end(), patient);
    });
    const auto wanted = static_cast<size_t>(
        std::max(1.0, std::round(options.val * static_cast<double>(patients.size()))));
    const size_t count = std::min(wanted, patients.size() - 1);
    const std::set<std::string> val(patients.begin(),
                                    patients.begin() + static_cast<std::ptrdiff_t>(count));
    std::vector<int64_t> rest;
    for (const int64_t i : split.train) {
      (val.contains(items[static_cast<size_t>(i)].patient) ? split.val : rest).push_back(i);
    }
    split.train = std::move(rest);
  }
  for (const std::string& patient : test) {
    for (const auto* part : {&split.train, &split.val}) {
      const auto others = PatientsOf(items, *part);
      if (std::binary_search(others.begin(), others.end(), patient) &&
          (official.shared.empty() || official.shared.back() != patient)) {
        official.shared.push_back(patient);
      }
    }
  }
  return official;
}

}  // namespace eosin::segment
