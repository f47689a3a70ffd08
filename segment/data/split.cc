// SPDX-License-Identifier: Apache-2.0
#include "segment/data/split.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "segment/data/split_file.h"

namespace eosin::segment {
namespace {

using core::DataError;

constexpr uint32_t kPatientDraw = 0;  // epochs of the kSplit streams
constexpr uint32_t kSubsetDraw = 1;
constexpr uint32_t kFoldDraw = 2;

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
  set.Add("split.file", &file,
          {.doc = "a split.json of another study or a published one, used as it stands; empty = "
                  "drawn by split.seed"});
}

void SplitOptions::BindOfficial(core::OptionSet& set) {
  set.Add(
      "split.official", &official,
      {.doc = "the parts that the data set was published with (names that begin with train, val "
              "or test, or the column split); GlaS' share patients"});
}

void SplitOptions::Check() const {
  if (val + test > 0.95) {
    throw core::ConfigError(
        fmt::format("split.val = {} and split.test = {} leave nobody to train on", val, test),
        "their sum must stay below 0.95");
  }
  if (official && !file.empty()) {
    throw core::ConfigError("split.file and split.official both say who is in which part",
                            "leave one of them out");
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
  if (!options.file.empty()) return ReadSplit(options.file, items);
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

std::vector<ImageSplit> FoldsByPatient(const std::vector<MaskItem>& items,
                                       const SplitOptions& options, int64_t folds) {
  options.Check();
  std::map<std::string, int64_t> images;
  for (const MaskItem& item : items) ++images[item.patient];
  std::vector<std::string> patients;
  for (const auto& [patient, count] : images) patients.push_back(patient);
  const auto count = static_cast<int64_t>(patients.size());
  const int64_t largest = (count + folds - 1) / folds;
  const int64_t val = CountOf(options.val, patients.size());
  if (folds > count || largest + val >= count) {
    throw DataError(fmt::format("{} patients cannot be dealt into {} folds with {} to validate in "
                                "each and somebody left to train on",
                                count, folds, val),
                    "lower study.folds or split.val, or check patient_id");
  }
  const auto seed = static_cast<uint64_t>(options.seed);
  core::Shuffle(patients, core::PhiloxStream(seed, core::DrawPurpose::kSplit, kPatientDraw, 0));
  std::stable_sort(patients.begin(), patients.end(),
                   [&](const auto& a, const auto& b) { return images.at(a) > images.at(b); });
  std::map<std::string, int64_t> fold_of;
  for (int64_t i = 0; i < count; ++i) {
    // There and back again: 0 1 2 2 1 0 0 1 ...
    const int64_t turn = i / folds, place = i % folds;
    fold_of[patients[static_cast<size_t>(i)]] = turn % 2 == 0 ? place : folds - 1 - place;
  }
  std::vector<ImageSplit> splits(static_cast<size_t>(folds));
  for (int64_t fold = 0; fold < folds; ++fold) {
    std::vector<std::string> others;
    for (const auto& [patient, own] : fold_of) {
      if (own != fold) others.push_back(patient);
    }
    core::Shuffle(others, core::PhiloxStream(seed, core::DrawPurpose::kSplit, kFoldDraw,
                                             static_cast<uint32_t>(fold)));
    const std::set<std::string> val_set(others.begin(), others.begin() + val);
    ImageSplit& split = splits[static_cast<size_t>(fold)];
    for (size_t i = 0; i < items.size(); ++i) {
      auto& part = fold_of.at(items[i].patient) == fold ? split.test
                   : val_set.contains(items[i].patient) ? split.val
                                                        : split.train;
      part.push_back(static_cast<int64_t>(i));
    }
  }
  return splits;
}

void CheckNoLeak(const std::vector<MaskItem>& items, const std::vector<MaskDataset::Hashes>& hashes,
                 const ImageSplit& split) {
  struct Seen {
    const char* part;
    std::string name;
  };
  std::map<std::string, Seen> by_patient, by_slide, by_content;
  // True when `key` was seen in another part; `seen` tells where.
  auto elsewhere = [](std::map<std::string, Seen>& map, const std::string& key, const char* part,
                      const std::string& name, Seen* seen) {
    *seen = map.try_emplace(key, Seen{part, name}).first->second;
    return std::string(seen->part) != part;
  };
  auto visit = [&](const char* part, const std::vector<int64_t>& indices) {
    for (const int64_t i : indices) {
      const MaskItem& item = items[static_cast<size_t>(i)];
      Seen seen;
      if (elsewhere(by_patient, item.patient, part, item.name, &seen)) {
        throw DataError(fmt::format("patient {} is in {} ({}) and in {} ({})", item.patient,
                                    seen.part, seen.name, part, item.name),
                        "split by patient: leave split.file out, or correct it");
      }
      if (!item.slide.empty() && elsewhere(by_slide, item.slide, part, item.name, &seen)) {
        throw DataError(fmt::format("slide {} is in {} ({}) and in {} ({})", item.slide, seen.part,
                                    seen.name, part, item.name),
                        "a slide has one patient: correct patient_id or slide in the table of "
                        "patients");
      }
      if (elsewhere(by_content, hashes[static_cast<size_t>(i)].image, part, item.name, &seen)) {
        throw DataError(
            fmt::format("images {} ({}) and {} ({}) are the same picture", seen.name, seen.part,
                        item.name, part),
            "remove one, or give both the same patient_id: a test picture must not be trained on");
      }
    }
  };
  visit("train", split.train);
  visit("val", split.val);
  visit("test", split.test);
}

std::vector<std::vector<int64_t>> NestedSubsets(
    const std::vector<int64_t>& train, const std::vector<std::vector<int64_t>>& class_pixels,
    const std::vector<int64_t>& sizes, uint64_t run_seed,
    const std::vector<std::string>& class_names, int64_t background) {
  std::vector<int64_t> order = train;
  core::Shuffle(order, core::PhiloxStream(run_seed, core::DrawPurpose::kSplit, kSubsetDraw, 0));
  // Images that show a class for the first time come first, so that even the smallest subset has
  // every class; the others keep their random order.
  std::vector<bool> shown(class_names.size(), false);
  if (background >= 0) shown[static_cast<size_t>(background)] = true;  // not asked for
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
  for (const int64_t size : sizes) {
    const auto wanted = static_cast<size_t>(std::max<int64_t>(1, size));
    const size_t count = std::min(first.size(), std::max(needed, wanted));
    subsets.emplace_back(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(count));
  }
  return subsets;
}

}  // namespace eosin::segment
