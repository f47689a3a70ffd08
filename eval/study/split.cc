// SPDX-License-Identifier: Apache-2.0
#include "eval/study/split.h"

#include <ATen/ops/tensor.h>
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/interrupt.h"
#include "core/base/philox.h"
#include "core/base/progress.h"
#include "core/base/threads.h"
#include "eval/analysis/distance.h"

namespace eosin::eval {
namespace {

namespace fs = std::filesystem;

std::set<std::string> GroupSet(const ImageSet& set) {
  const std::vector<std::string> groups = set.Groups();
  return {groups.begin(), groups.end()};
}

// All labelled images of a source; `classes` maps its labels, or takes them.
ImageSet Labelled(const fs::path& path, std::vector<std::string>* classes) {
  ImageSet set;
  set.source = engine::OpenImageSource(path);
  const std::vector<std::string>& own = set.source->classes();
  const bool first = classes->empty();
  if (first) *classes = own;
  std::vector<int64_t> map;
  for (const std::string& name : own) {
    const auto found = std::find(classes->begin(), classes->end(), name);
    map.push_back(found == classes->end() ? -1 : found - classes->begin());
  }
  for (int64_t i = 0; i < set.source->size(); ++i) {
    const int64_t label = set.source->label(i);
    if (label < 0) continue;
    const int64_t mapped = map[static_cast<size_t>(label)];
    if (mapped < 0) {
      throw core::DataError(fmt::format("{} has the class {}, which the training set has not",
                                        path.string(), own[static_cast<size_t>(label)]),
                            "both sets must name their classes alike");
    }
    set.indices.push_back(i);
    set.labels.push_back(mapped);
  }
  if (set.indices.empty()) {
    throw core::DataError("the images of " + path.string() + " have no labels",
                          "use one subfolder a class, or an index.csv with a column `class`");
  }
  return set;
}

// What the images' own column `split` says, one value an image of the source; empty when there is
// none, or nothing in it.
std::vector<std::string> SplitColumn(const fs::path& data, const engine::ImageSource& source) {
  std::vector<std::string> values;
  bool any = false;
  for (int64_t i = 0; i < source.size(); ++i) {
    values.push_back(source.split(i));
    any = any || !values.back().empty();
  }
  if (!any) return {};
  for (int64_t i = 0; i < source.size(); ++i) {
    std::string& value = values[static_cast<size_t>(i)];
    if (value == "valid" || value == "validation") value = "val";
    if (value != "train" && value != "val" && value != "test") {
      throw core::DataError(fmt::format("{}: {} has split = \"{}\"", (data / "index.csv").string(),
                                        source.name(i), value),
                            "the column `split` holds train, val or test for every image");
    }
  }
  return values;
}

void SplitByColumn(const ImageSet& all, const std::vector<std::string>& column, Split* split) {
  std::vector<int64_t> train, val, test;
  for (int64_t p = 0; p < all.size(); ++p) {
    const std::string& value = column[static_cast<size_t>(all.indices[static_cast<size_t>(p)])];
    (value == "train" ? train : value == "val" ? val : test).push_back(p);
  }
  split->train = all.Take(train);
  split->val = all.Take(val);
  split->test = all.Take(test);
}

void SplitByGroup(const ImageSet& all, const SplitOptions& options, Split* split) {
  const std::vector<std::string> groups = all.Groups();
  std::map<std::string, std::vector<int64_t>> places;
  for (int64_t p = 0; p < all.size(); ++p) places[groups[static_cast<size_t>(p)]].push_back(p);
  if (places.size() < 2) {
    throw core::DataError("all labelled images belong to one group (patient or slide)",
                          "give more slides, or another set with --test");
  }
  std::vector<std::string> names;
  for (const auto& [name, list] : places) names.push_back(name);
  core::Shuffle(names, core::PhiloxStream(options.seed, core::DrawPurpose::kSplit, 0, 2));
  const auto count = static_cast<int64_t>(names.size());
  auto share = [&](double part) { return std::llround(part * static_cast<double>(count)); };
  const int64_t test = std::clamp<int64_t>(share(options.test_share), 1, count - 1);
  const int64_t val = std::clamp<int64_t>(share(options.val_share), 0, count - test - 1);
  std::vector<int64_t> parts[3];
  for (int64_t g = 0; g < count; ++g) {
    auto& part = parts[g < test ? 0 : g < test + val ? 1 : 2];
    const auto& list = places[names[static_cast<size_t>(g)]];
    part.insert(part.end(), list.begin(), list.end());
  }
  for (auto& part : parts) std::sort(part.begin(), part.end());
  split->test = all.Take(parts[0]);
  split->val = all.Take(parts[1]);
  split->train = all.Take(parts[2]);
}

void RefuseLeak(const ImageSet& a, const char* a_name, const ImageSet& b, const char* b_name) {
  if (a.size() == 0 || b.size() == 0) return;
  // Across two sources a picture's own name is no group: 1.png may lie in both.
  if (a.source != b.source && !a.source->has_groups() && !b.source->has_groups()) return;
  const std::set<std::string> first = GroupSet(a);
  std::vector<std::string> common;
  for (const std::string& group : GroupSet(b)) {
    if (first.count(group) != 0) common.push_back(group);
  }
  if (common.empty()) return;
  std::string hint =
      "what is tested on must come from other patients: correct the column `split` or `group`, or "
      "leave the split to eosin";
  ImageSet first_by_class = a, second_by_class = b;
  first_by_class.groups_per_class = second_by_class.groups_per_class = true;
  const std::set<std::string> by_class = GroupSet(first_by_class);
  const std::set<std::string> others = GroupSet(second_by_class);
  if (std::none_of(others.begin(), others.end(),
                   [&](const std::string& group) { return by_class.count(group) != 0; })) {
    hint =
        "no class has a group on both sides: if groups are numbered anew in each class, "
        "--set eval.groups_per_class=true; if they are patients, correct the split";
  }
  throw core::DataError(
      fmt::format("{} of the groups (patients, slides) are in {} and in {}, e.g. {}", common.size(),
                  a_name, b_name, common.front()),
      hint);
}

ImageSet Thin(const ImageSet& set, int64_t most, uint64_t seed) {
  if (most <= 0 || set.size() <= most) return set;
  return set.Take(StratifiedRows(set.Labels(), most, seed));
}

}  // namespace

at::Tensor ImageSet::Labels() const { return at::tensor(labels, at::kLong); }

std::vector<std::string> ImageSet::Groups() const {
  std::vector<std::string> groups;
  groups.reserve(indices.size());
  for (size_t p = 0; p < indices.size(); ++p) {
    std::string group = source->group(indices[p]);
    if (groups_per_class) group = fmt::format("{} of class {}", group, labels[p]);
    groups.push_back(std::move(group));
  }
  return groups;
}

ImageSet ImageSet::Take(const std::vector<int64_t>& places) const {
  ImageSet taken;
  taken.source = source;
  taken.groups_per_class = groups_per_class;
  for (const int64_t p : places) {
    taken.indices.push_back(indices.at(static_cast<size_t>(p)));
    taken.labels.push_back(labels.at(static_cast<size_t>(p)));
  }
  return taken;
}

std::string Split::Describe() const {
  std::string text = how;
  for (const auto& [name, set] :
       {std::pair{"train", &train}, std::pair{"val", &val}, std::pair{"test", &test}}) {
    if (set->size() == 0) continue;
    std::vector<int64_t> counts(classes.size());
    for (const int64_t label : set->labels) ++counts[static_cast<size_t>(label)];
    text += fmt::format("\n  {:5} {} images, {} groups", name, set->size(), GroupSet(*set).size());
    if (classes.size() <= 12) {
      std::string each;
      for (size_t c = 0; c < classes.size(); ++c) {
        each += fmt::format("{}{} {}", c == 0 ? "" : ", ", classes[c], counts[c]);
      }
      text += " (" + each + ")";
    }
  }
  return text;
}

Split MakeSplit(const fs::path& data, const fs::path& test, const SplitOptions& options) {
  Split split;
  ImageSet all = Labelled(data, &split.classes);
  all.groups_per_class = options.groups_per_class;
  if (split.classes.size() < 2) {
    throw core::DataError("the images of " + data.string() + " are all of one class",
                          "an evaluation needs two classes or more");
  }
  if (!test.empty()) {
    split.train = all;
    split.test = Labelled(test, &split.classes);
    split.test.groups_per_class = options.groups_per_class;
    split.how = fmt::format("Trained on {}, tested on {}.", data.filename().string(),
                            test.filename().string());
  } else if (const auto column = SplitColumn(data, *all.source); !column.empty()) {
    SplitByColumn(all, column, &split);
    split.how = "Split by the column `split` of index.csv.";
  } else {
    SplitByGroup(all, options, &split);
    split.how = fmt::format("Groups drawn with seed {}: {:.0f} % test, {:.0f} % val, rest train.",
                            options.seed, 100 * options.test_share, 100 * options.val_share);
  }
  split.grouped = all.source->has_groups() && split.test.source->has_groups();
  RefuseLeak(split.train, "train", split.test, "test");
  RefuseLeak(split.val, "val", split.test, "test");
  RefuseLeak(split.train, "train", split.val, "val");
  split.train = Thin(split.train, options.train_images, options.seed);
  split.val = Thin(split.val, options.test_images, options.seed);
  split.test = Thin(split.test, options.test_images, options.seed);
  for (const auto& [name, set] :
       {std::pair{"train", &split.train}, std::pair{"test", &split.test}}) {
    if (set->size() == 0) {
      throw core::DataError(fmt::format("the split has no {} images", name),
                            "correct the column `split` of index.csv, or give more groups");
    }
  }
  CheckClasses(split);
  return split;
}

std::vector<std::string> CheckClasses(const Split& split) {
  const std::set<int64_t> learnt(split.train.labels.begin(), split.train.labels.end());
  const std::set<int64_t> tested(split.test.labels.begin(), split.test.labels.end());
  if (learnt.size() < 2) {
    throw core::DataError("the training part holds images of one class only",
                          "give more groups, or another --set eval.seed");
  }
  const auto missing = [&](const std::set<int64_t>& has, const std::set<int64_t>& lacks) {
    std::string names;
    for (const int64_t label : has) {
      if (lacks.count(label) != 0) continue;
      names += (names.empty() ? "" : ", ") + split.classes[static_cast<size_t>(label)];
    }
    return names;
  };
  std::vector<std::string> sentences;
  if (const std::string names = missing(tested, learnt); !names.empty()) {
    sentences.push_back(fmt::format(
        "Test images of {} have no training image of their class and cannot be told right: give "
        "more groups or images, or another --set eval.seed.",
        names));
  }
  if (const std::string names = missing(learnt, tested); !names.empty()) {
    sentences.push_back(
        fmt::format("The test part holds no image of {}: the scores say nothing about it.", names));
  }
  return sentences;
}

ImageHashes HashImages(const Split& split, int workers) {
  ImageHashes hashes;
  core::Progress progress("reading", split.train.size() + split.val.size() + split.test.size(),
                          "images");
  auto part = [&](const ImageSet& set) {
    std::vector<std::string> result(set.indices.size());
    core::ParallelFor(set.size(), workers, [&](int64_t p) {
      core::ThrowIfInterrupted();
      const core::Image image = set.source->Read(set.indices[static_cast<size_t>(p)]);
      core::Xxh3 hash;
      hash.Update(fmt::format("{}x{} ", image.width, image.height));
      hash.Update(image.pixels.data(), image.pixels.size());
      result[static_cast<size_t>(p)] = hash.Hex();
      progress.Advance();
    });
    return result;
  };
  hashes.train = part(split.train);
  hashes.val = part(split.val);
  hashes.test = part(split.test);
  return hashes;
}

std::string ImageHashes::Digest(const std::vector<std::string>& part, const ImageSet& set) const {
  core::Xxh3 digest;
  for (size_t p = 0; p < part.size(); ++p)
    digest.Update(fmt::format("{} {}\n", part[p], set.labels[p]));
  return digest.Hex();
}

std::vector<Duplicate> FindDuplicates(const ImageHashes& hashes) {
  std::unordered_map<std::string, int64_t> test;
  for (size_t p = 0; p < hashes.test.size(); ++p) test.emplace(hashes.test[p], p);
  std::vector<Duplicate> duplicates;
  auto search = [&](const std::vector<std::string>& part, bool in_val) {
    for (size_t p = 0; p < part.size(); ++p) {
      const auto found = test.find(part[p]);
      if (found == test.end()) continue;
      duplicates.push_back({in_val, static_cast<int64_t>(p), found->second});
    }
  };
  search(hashes.train, false);
  search(hashes.val, true);
  return duplicates;
}

}  // namespace eosin::eval
