// SPDX-License-Identifier: Apache-2.0
#include "eval/study/run.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/threads.h"
#include "core/formats/csv.h"
#include "engine/training/run_folder.h"
#include "eval/embedding_file.h"
#include "eval/study/report.h"
#include "eval/study/seen.h"
#include "eval/study/subject.h"

namespace eosin::eval {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kExports = "embeddings.part";  // until all encoders are there

// A new folder, or one of an evaluation that goes on: it stays as it is until StartOver.
engine::RunFolder OpenOut(const std::string& out, const std::string& config) {
  if (!fs::exists(fs::path(out) / "state.json")) {
    return engine::RunFolder::Create(out, "eval", config);
  }
  engine::RunFolder run = engine::RunFolder::Open(out, "eval");
  run.Lock();  // a finished one is begun anew
  return run;
}

// From here on the folder is of this config: no longer finished, and without another's results.
void StartOver(const engine::RunFolder& run, const std::string& config) {
  // As RunFolder writes it.
  core::WriteFileAtomic(run / "state.json",
                        Json{{"kind", "eval"}, {"finished", false}}.dump(2) + "\n");
  if (core::ReadFile(run.config()) != config) {
    for (const char* name : {"results.csv", "report.html"}) fs::remove(run / name);
  }
  core::WriteFileAtomic(run.config(), config);
  fs::remove_all(run / kExports);
}

void Warn(const std::string& sentence, EvalResult* result) {
  core::LogWarning(sentence);
  result->warnings.push_back(sentence);
}

int64_t InputSize(const EvalOptions& options, const Split& split) {
  if (options.size > 0) return options.size;
  const auto [width, height] = split.train.source->uniform_size();
  const int64_t side = std::min(width, height);
  return side > 0 && side <= 224 ? side : 224;
}

void WriteSplit(const Split& split, const fs::path& path) {
  std::string text = core::CsvRow({"image", "class", "group", "part"});
  for (const auto& [part, set] : {std::pair{"train", &split.train}, std::pair{"val", &split.val},
                                  std::pair{"test", &split.test}}) {
    for (size_t p = 0; p < set->indices.size(); ++p) {
      const int64_t i = set->indices[p];
      text +=
          core::CsvRow({set->source->name(i), split.classes[static_cast<size_t>(set->labels[p])],
                        set->source->group(i), part});
    }
  }
  core::WriteFileAtomic(path, text);
}

// Reports images that are on both sides; leaves them out of training where that was asked for.
void HandleDuplicates(const EvalOptions& options, Split* split, ImageHashes* hashes,
                      EvalResult* result) {
  const std::vector<Duplicate> duplicates = FindDuplicates(*hashes);
  if (duplicates.empty()) return;
  const Duplicate& first = duplicates.front();
  const ImageSet& part = first.in_val ? split->val : split->train;
  std::string text = fmt::format(
      "{} images are in the training part and in the test part, pixel for pixel, e.g. {} and {}",
      duplicates.size(), part.source->name(part.indices[static_cast<size_t>(first.place)]),
      split->test.source->name(split->test.indices[static_cast<size_t>(first.test)]));
  if (options.drop_duplicates) {
    auto drop = [&](bool in_val, ImageSet* set, std::vector<std::string>* set_hashes) {
      std::vector<bool> dropped(set->indices.size());
      for (const Duplicate& d : duplicates) {
        if (d.in_val == in_val) dropped[static_cast<size_t>(d.place)] = true;
      }
      std::vector<int64_t> kept;
      std::vector<std::string> kept_hashes;
      for (size_t p = 0; p < dropped.size(); ++p) {
        if (dropped[p]) continue;
        kept.push_back(static_cast<int64_t>(p));
        kept_hashes.push_back((*set_hashes)[p]);
      }
      *set = set->Take(kept);
      *set_hashes = std::move(kept_hashes);
    };
    drop(false, &split->train, &hashes->train);
    drop(true, &split->val, &hashes->val);
    if (split->train.size() == 0) {
      throw core::DataError("all training images are in the test set too", "check --test");
    }
    text += "; they were left out of training.";
  } else {
    text += ": scores are too good. --set eval.drop_duplicates=true leaves them out of training.";
  }
  Warn(text, result);
}

// The features of the split's images in the layout that CLAM and TRIDENT users read. Returns how
// many files are of a slide whose tiles are not all there.
int64_t ExportEmbeddings(const Subject& subject, const Bench& bench, const fs::path& folder) {
  const Member& member = subject.members[0];
  const Split& split = bench.split;
  const EmbeddingMaker maker{subject.name, member.fingerprint, member.encoder.normalization,
                             bench.size};
  std::vector<int64_t> indices = split.train.indices;
  std::vector<at::Tensor> features = {member.train};
  auto append = [&](const ImageSet& set, const at::Tensor& rows) {
    if (set.size() == 0) return;
    indices.insert(indices.end(), set.indices.begin(), set.indices.end());
    features.push_back(rows);
  };
  append(split.val, member.val);
  const bool other = !bench.options.test.empty();
  if (!other) append(split.test, member.test);
  int64_t incomplete = 0;
  // In the order of the source, whatever the split.
  const at::Tensor order = at::tensor(indices, at::kLong).argsort();
  WriteEmbeddings(folder, bench.options.data, *split.train.source,
                  ToVector(at::tensor(indices, at::kLong).index_select(0, order)),
                  at::cat(features).index_select(0, order), maker, &incomplete);
  if (other) {
    int64_t of_test = 0;
    WriteEmbeddings(folder / "test", bench.options.test, *split.test.source, split.test.indices,
                    member.test, maker, &of_test);
    incomplete += of_test;
  }
  return incomplete;
}

// A fine-tune, or what an earlier process left of it.
FinetuneResult CachedFinetune(const Member& member, const Bench& bench, const fs::path& folder) {
  const EvalOptions& options = bench.options;
  const FinetuneOptions& f = options.finetuning;
  const std::string key = fmt::format(
      "{} | {} | {} | {} | epochs {} batch {} lr {} decay {} crop {} turn {} seed {} threads {}",
      member.fingerprint, bench.hashes.Digest(bench.hashes.train, bench.split.train),
      bench.hashes.Digest(bench.hashes.test, bench.split.test), bench.Settings(member.encoder),
      f.epochs, f.batch, f.lr, f.weight_decay, f.crop_min, f.any_turn, options.seed(),
      bench.compute.threads);
  const fs::path path = folder / (FileName(member.encoder.name) + ".json");
  if (fs::exists(path)) {
    const Json json = Json::parse(core::ReadFile(path), nullptr, false);
    if (json.is_object() && json.value("key", "") == key) {
      try {
        return {json.at("train_loss"), json.at("test_accuracy"), json.at("predicted")};
      } catch (const Json::exception&) {
        // Edited or damaged: made anew.
      }
    }
  }
  const FinetuneResult result =
      Finetune(member.encoder, bench.split.train, bench.split.test,
               static_cast<int64_t>(bench.split.classes.size()), bench.size, bench.workers,
               options.seed(), f, bench.compute);
  core::MakeFolder(folder);
  core::WriteFileAtomic(path, Json{{"key", key},
                                   {"train_loss", result.train_loss},
                                   {"test_accuracy", result.test_accuracy},
                                   {"predicted", result.predicted}}
                                  .dump());
  return result;
}

void RunFinetunes(const std::vector<Subject>& subjects, const Bench& bench, const fs::path& folder,
                  EvalResult* result) {
  double best = 0;
  for (const Subject& subject : subjects) {
    TransferCurve curve{subject.name};
    curve.result = CachedFinetune(subject.members[0], bench, folder);
    curve.area = CurveArea(curve.result.test_accuracy);
    best = std::max(best, curve.result.test_accuracy.back());
    result->measures.push_back(AccuracyMeasure(
        subject.name, "fine-tune, last epoch",
        {GroupShares(curve.result.predicted, bench.split.test.labels, bench.grouping)},
        bench.grouping, bench.options.draws, bench.options.seed()));
    result->transfer.push_back(std::move(curve));
  }
  for (TransferCurve& curve : result->transfer) {
    curve.epochs_to_reach = EpochsToReach(curve.result.test_accuracy, bench.options.reach * best);
  }
}

void Compare(const std::vector<Subject>& subjects, const Bench& bench, EvalResult* result) {
  auto compare = [&](const std::string& a, const std::string& b) {
    for (const Measure& left : result->measures) {
      if (left.encoder != a || left.table.empty()) continue;
      const Measure* right = result->Find(b, left.name);
      // Scores on a part of the test set have other groups.
      if (!right || right->table.empty() || left.n != bench.grouping.count() ||
          left.table[0].size() != bench.grouping.sizes.size() ||
          left.name.find("stain") != std::string::npos) {
        continue;
      }
      result->comparisons.push_back(
          {a, b, left.name,
           Difference(left, *right, bench.grouping, bench.options.draws, bench.options.seed())});
    }
  };
  for (size_t i = 0; i < subjects.size(); ++i) {
    if (subjects[i].random) continue;
    for (const Subject& other : subjects) {
      if (other.random && other.like == subjects[i].like) compare(subjects[i].name, other.name);
    }
    compare(subjects[i].name, "raw pixels");
    for (size_t j = i + 1; j < subjects.size(); ++j) {
      if (!subjects[j].random) compare(subjects[i].name, subjects[j].name);
    }
  }
}

std::string Points(const core::Interval& difference) {
  return fmt::format("{:.1f} points [{:.1f}, {:.1f}]", std::abs(difference.estimate),
                     difference.estimate < 0 ? -difference.high : difference.low,
                     difference.estimate < 0 ? -difference.low : difference.high);
}

std::string Describe(const Encoder& encoder) {
  const engine::Normalization& n = encoder.normalization;
  return fmt::format("{} ({}; {})", encoder.normalization_from, fmt::join(n.mean, ", "),
                     fmt::join(n.std, ", "));
}

std::string SignedPoints(const core::Interval& difference) {
  if (!std::isfinite(difference.low)) {
    return fmt::format("{:+.1f} points [interval not known]", difference.estimate);
  }
  return fmt::format("{:+.1f} points [{:.1f}, {:.1f}]", difference.estimate, difference.low,
                     difference.high);
}

std::vector<double> Confusion(const std::vector<int64_t>& predicted,
                              const std::vector<int64_t>& labels, size_t classes) {
  std::vector<double> counts(classes * classes);
  for (size_t i = 0; i < labels.size(); ++i) {
    counts[static_cast<size_t>(labels[i]) * classes + static_cast<size_t>(predicted[i])] += 1;
  }
  return counts;
}

}  // namespace

const Measure* EvalResult::Find(const std::string& encoder, const std::string& measure) const {
  for (const Measure& m : measures) {
    if (m.encoder == encoder && m.name == measure) return &m;
  }
  return nullptr;
}

std::vector<std::string> MakeVerdict(const EvalResult& result) {
  const std::string unit = result.grouped ? "group" : "image";
  const std::string on =
      fmt::format("on {} {} test {}{}", result.test_groups == 1 ? "this" : "these",
                  result.test_groups, unit, result.test_groups == 1 ? "" : "s");
  std::vector<std::string> sentences;
  std::set<std::string> against_pixels;  // one k is enough
  for (const Comparison& c : result.comparisons) {
    const bool pixels = c.b == "raw pixels";
    if (pixels ? !against_pixels.insert(c.a).second : c.measure != "linear probe") continue;
    const std::string by = pixels ? c.measure : "linear probe";
    if (!result.can_show()) {
      sentences.push_back(
          fmt::format("{} less {}: {} {} ({}).", c.a, c.b, SignedPoints(c.difference), on, by));
      continue;
    }
    sentences.push_back(
        c.better()
            ? fmt::format("{} is above {} by {} {} ({}).", c.a, c.b, Points(c.difference), on, by)
        : c.worse()
            ? fmt::format("{} is below {} by {} {} ({}).", c.a, c.b, Points(c.difference), on, by)
            : fmt::format("Between {} and {} no difference is shown {}: {} ({}).", c.a, c.b, on,
                          SignedPoints(c.difference), by));
  }
  if (sentences.empty()) {
    sentences.push_back("Only random initialisations were measured: give encoders to compare.");
  } else if (!result.can_show()) {
    sentences.insert(
        sentences.begin(),
        fmt::format("So few test {}s cannot show a difference, whatever the scores: {} "
                    "where {} or more are needed.",
                    unit, result.test_groups, kGroupsToShow));
  }
  return sentences;
}

EvalResult RunEval(const EvalOptions& options) {
  options.Check();
  EvalOptions bound = options;
  core::OptionSet set;
  bound.Bind(set);
  const std::string config = set.ToToml();
  engine::RunFolder run = OpenOut(options.out, config);
  const engine::Compute compute = engine::ResolveCompute(options.compute);

  EvalResult result;
  Split split = MakeSplit(options.data, options.test,
                          {.val_share = options.val_share,
                           .test_share = options.test_share,
                           .train_images = options.train_images,
                           .test_images = options.test_images,
                           .groups_per_class = options.groups_per_class,
                           .seed = options.seed()});
  result.size = InputSize(options, split);
  // Encoders are opened before the data is read: a wrong file is said at once.
  std::vector<Subject> subjects = MakeSubjects(options, result.size);
  const int workers = options.workers > 0 ? static_cast<int>(options.workers)
                                          : std::max(1, core::AvailableCores() - 1);
  for (const Subject& subject : subjects) {
    const std::string seen =
        SeenInPretraining(subject.name, subject.members[0].encoder.source, options);
    if (!seen.empty()) Warn(seen, &result);
    const Encoder& encoder = subject.members[0].encoder;
    if (!subject.random && encoder.normalization_from == "assumed ImageNet") {
      core::LogInfo(
          fmt::format("{}: its file does not say how its input is normalised; assumed ImageNet's "
                      "mean and deviation (--set eval.normalization=... otherwise)",
                      subject.name));
    }
  }
  ImageHashes hashes = HashImages(split, workers);
  HandleDuplicates(options, &split, &hashes, &result);
  for (const std::string& sentence : CheckClasses(split)) Warn(sentence, &result);
  StartOver(run, config);
  result.split = split.Describe();
  core::LogInfo(result.split);
  if (!split.grouped) {
    Warn(
        "Groups are unknown: every picture counts as its own. Where several come from one patient "
        "or slide, the split leaks and intervals are too narrow: name groups in an index.csv "
        "(column `group`).",
        &result);
  }
  WriteSplit(split, run / "split.csv");
  run.AddProvenance({{"device", compute.Describe()}});

  result.classes = split.classes;
  result.grouped = split.grouped;
  result.train = split.train.size();
  result.val = split.val.size();
  result.test = split.test.size();
  const FeatureCache cache(run / "cache");
  Bench bench{options,     split,  compute, cache, hashes, MakeGrouping(split.test.Groups()),
              result.size, workers};
  result.test_groups = bench.grouping.count();
  for (const Subject& subject : subjects) result.subjects.push_back(subject.name);
  result.subjects.push_back("raw pixels");

  const bool pictures = options.pictures && result.test >= kPictureImages;
  if (options.pictures && !pictures) {
    Warn(fmt::format("No pictures: they need {} test images or more, and there are {}.",
                     kPictureImages, result.test),
         &result);
  }
  bool incomplete_said = false;
  for (Subject& subject : subjects) {
    EmbedSubject(&subject, bench);
    if (!subject.random) {
      const int64_t incomplete =
          ExportEmbeddings(subject, bench, run.path() / kExports / FileName(subject.name));
      if (incomplete > 0 && !incomplete_said) {
        core::LogInfo(
            fmt::format("embeddings/ holds a part of the tiles only of {} slides (attributes "
                        "tiles_written and tiles_in_store): no whole bags for CLAM or TRIDENT",
                        incomplete));
        incomplete_said = true;  // the same of every encoder
      }
    }
    auto add = [&](std::vector<Measure> measures) {
      for (Measure& measure : measures) result.measures.push_back(std::move(measure));
    };
    std::vector<std::string> warnings;
    add(MeasureFrozen(&subject, bench, &warnings));
    for (const std::string& sentence : warnings) Warn(sentence, &result);
    const Member& first = subject.members[0];
    result.confusion.emplace_back(
        subject.name, Confusion(first.predicted, split.test.labels, split.classes.size()));
    if (options.geometry) add(MeasureGeometry(subject, bench));
    if (options.stain_shift) {
      result.shifts.push_back(MeasureStainShift(subject, bench));
      add(result.shifts.back().measures);
    }
    if (pictures) {
      for (Picture& picture : DrawPictures(subject, bench)) {
        result.pictures.push_back(std::move(picture));
      }
    }
    ProveFrozen(subject);
    for (Member& member : subject.members) {
      member.train = member.val = at::Tensor();  // large, and no longer needed
      result.encoders.push_back({member.encoder.name, member.encoder.source, subject.like,
                                 member.fingerprint, Describe(member.encoder), member.l2});
    }
  }
  for (Measure& measure : MeasurePixels(bench)) result.measures.push_back(std::move(measure));
  if (options.geometry) result.drift = MeasureDrift(subjects, bench);
  if (options.finetune) RunFinetunes(subjects, bench, run / "finetune", &result);
  Compare(subjects, bench, &result);
  result.reused = cache.reused();
  result.verdict = MakeVerdict(result);
  // As a whole, so that no encoder of an earlier run stays.
  core::MakeFolder(run / kExports);
  core::ReplaceFolder(run / kExports, run / "embeddings");
  core::WriteFileAtomic(run / "results.csv", ResultsCsv(result));
  WriteEvalReport(result, config, run / "report.html");
  run.MarkFinished();
  return result;
}

}  // namespace eosin::eval
