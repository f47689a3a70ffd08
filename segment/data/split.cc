// SPDX-License-Identifier: Apache-2.0
#include "segment/data/split.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/base/philox.h"

namespace eosin::segment {
namespace {

using core::DataError;

constexpr uint32_t kPatientDraw = 0;  // epochs of the kSplit streams
constexpr uint32_t kSubsetDraw = 1;

int64_t CountOf(double share, size_t patients) {
  return std::max<int64_t>(1, std::lround(share * static_cast<double>(patients)));
}

}  // namespace

void SplitOptions::Bind(core::OptionSet& set) {
  set.Add("split.seed", &seed,
          {.doc = "draws the patients of train, val and test", .min = 0, .max = 1e9});
  set.Add("split.val", &val,
          {.doc = "share of patients that choose the best model", .min = 0.01, .max = 0.9});
  set.Add("split.test", &test,
          {.doc = "share of patients that are scored once, at the end", .min = 0.01, .max = 0.9});
}

void SplitOptions::Check() const {
  if (val + test > 0.95) {
    throw core::ConfigError(
        fmt::format("split.val = {} and split.test = {} leave nobody to train on", val, test),
        "their sum must stay below 0.95");
  }
}

std::vector<std::string> PatientsOf(const std::vector<MaskItem>& items,
                                    const std::vector<int64_t>& indices) {
  std::set<std::string> patients;
  for (const int64_t i : indices) patients.insert(items[static_cast<size_t>(i)].patient);
  return {patients.begin(), patients.end()};
}

ImageSplit SplitByPatient(const std::vector<MaskItem>& items, const SplitOptions& options) {
  options.Check();
  std::set<std::string> unique;
  for (const MaskItem& item : items) unique.insert(item.patient);
  std::vector<std::string> patients(unique.begin(), unique.end());
  const int64_t test = CountOf(options.test, patients.size());
  const int64_t val = CountOf(options.val, patients.size());
  if (test + val >= static_cast<int64_t>(patients.size())) {
    throw DataError(
        fmt::format("{} patients cannot be split into train, val ({}) and test ({})",
                    patients.size(), val, test),
        "at least three patients are needed; lower split.val and split.test, or check patient_id");
  }
  core::Shuffle(patients, core::PhiloxStream(static_cast<uint64_t>(options.seed),
                                             core::DrawPurpose::kSplit, kPatientDraw, 0));
  const std::set<std::string> test_set(patients.begin(), patients.begin() + test);
  const std::set<std::string> val_set(patients.begin() + test, patients.begin() + test + val);
  ImageSplit split;
  for (size_t i = 0; i < items.size(); ++i) {
    auto& part = test_set.contains(items[i].patient)  ? split.test
                 : val_set.contains(items[i].patient) ? split.val
                                                      : split.train;
    part.push_back(static_cast<int64_t>(i));
  }
  return split;
}

void CheckNoLeak(const std::vector<MaskItem>& items, const std::vector<MaskDataset::Hashes>& hashes,
                 const ImageSplit& split) {
  struct Seen {
    const char* part;
    std::string name;
  };
  std::map<std::string, Seen> by_patient, by_content;
  auto visit = [&](const char* part, const std::vector<int64_t>& indices) {
    for (const int64_t i : indices) {
      const MaskItem& item = items[static_cast<size_t>(i)];
      const auto patient = by_patient.try_emplace(item.patient, Seen{part, item.name}).first;
      if (std::string(patient->second.part) != part) {
        throw DataError(fmt::format("patient {} is in {} ({}) and in {} ({})", item.patient,
                                    patient->second.part, patient->second.name, part, item.name),
                        "split by patient");
      }
      const auto content =
          by_content.try_emplace(hashes[static_cast<size_t>(i)].image, Seen{part, item.name}).first;
      if (std::string(content->second.part) != part) {
        throw DataError(
            fmt::format("images {} ({}) and {} ({}) are the same picture", content->second.name,
                        content->second.part, item.name, part),
            "remove one, or give both the same patient_id: a test picture must not be trained on");
      }
    }
  };
  visit("train", split.train);
  visit("val", split.val);
  visit("test", split.test);
}

std::string SplitToJson(const std::vector<MaskItem>& items,
                        const std::vector<MaskDataset::Hashes>& hashes, const ImageSplit& split,
                        const SplitOptions& options) {
  auto part = [&](const std::vector<int64_t>& indices) {
    nlohmann::ordered_json images = nlohmann::ordered_json::array();
    for (const int64_t i : indices) {
      const auto at = static_cast<size_t>(i);
      images.push_back({{"name", items[at].name},
                        {"patient", items[at].patient},
                        {"image_sha256", hashes[at].image},
                        {"mask_sha256", hashes[at].mask}});
    }
    return nlohmann::ordered_json{{"patients", PatientsOf(items, indices)}, {"images", images}};
  };
  const nlohmann::ordered_json root = {{"format", "eosin-split"},    {"version", 1},
                                       {"split_seed", options.seed}, {"val_share", options.val},
                                       {"test_share", options.test}, {"train", part(split.train)},
                                       {"val", part(split.val)},     {"test", part(split.test)}};
  return root.dump(1) + "\n";
}

std::vector<std::vector<int64_t>> NestedSubsets(
    const std::vector<int64_t>& train, const std::vector<std::vector<int64_t>>& class_pixels,
    const std::vector<double>& fractions, uint64_t run_seed,
    const std::vector<std::string>& class_names) {
  std::vector<int64_t> order = train;
  core::Shuffle(order, core::PhiloxStream(run_seed, core::DrawPurpose::kSplit, kSubsetDraw, 0));
  // Images that show a class for the first time come first, so that even the smallest subset has
  // every class; the others keep their random order.
  std::vector<bool> shown(class_names.size(), false);
  std::vector<int64_t> first, rest;
  for (const int64_t i : order) {
    bool is_new = false;
    for (size_t c = 0; c < class_names.size(); ++c) {
      if (shown[c] || class_pixels[static_cast<size_t>(i)][c] == 0) continue;
      shown[c] = is_new = true;
    }
    (is_new ? first : rest).push_back(i);
  }
  for (size_t c = 0; c < class_names.size(); ++c) {
    if (shown[c]) continue;
    throw DataError(fmt::format("no training image shows the class {}", class_names[c]),
                    "another split.seed, more images, or leave the class out of mask.classes");
  }
  const size_t needed = first.size();
  first.insert(first.end(), rest.begin(), rest.end());
  std::vector<std::vector<int64_t>> subsets;
  for (const double fraction : fractions) {
    const auto wanted = static_cast<size_t>(
        std::max<int64_t>(1, std::lround(fraction * static_cast<double>(first.size()))));
    const size_t count = std::min(first.size(), std::max(needed, wanted));
    subsets.emplace_back(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(count));
  }
  return subsets;
}

}  // namespace eosin::segment
