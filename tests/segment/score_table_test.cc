// SPDX-License-Identifier: Apache-2.0
// Scores as files; scoring of a data set's images; published splits.
#include "segment/train/score_table.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/formats/csv.h"
#include "eval/segmentation/measures.h"
#include "segment/data/official_split.h"
#include "segment/train/run_report.h"
#include "segment/train/score.h"
#include "tests/segment/made_data.h"

namespace eosin::segment {
namespace {

using core::ExitCode;
using testing::ExpectError;
using testing::TempFolder;

class ScoreTableTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::MakeMaskData(temp_.path(), 4, 2, 32);
    options_.data.data = temp_.path().string();
    options_.data.mpp = 0.5;
    data_ = std::make_unique<MaskDataset>(options_.data);
    split_ = SplitByPatient(data_->items(), {.seed = 1, .val = 0.25, .test = 0.5});
    result_.classes = options_.data.classes;
    result_.mpp = data_->ReadMpp();
    result_.init = "random";
    result_.freeze = "none";
    result_.curve = {{5, 0.9, 0.01, 0.4, 0.3}, {10, 0.5, 0.005, std::nan(""), 0.4}};
    core::MakeFolder(temp_ / "run/predictions");
    for (const int64_t i : split_.test) {
      const auto pair = data_->Read(i);
      core::Image seen = pair->mask;  // the truth, a column to the right
      for (int y = 0; y < seen.height; ++y) {
        std::rotate(seen.row(y), seen.row(y) + seen.width - 1, seen.row(y) + seen.width);
      }
      testing::WritePng(temp_ / ("run/predictions/" + data_->item(i).name + ".png"), seen);
      result_.test.push_back(
          ScorePrediction(*data_, i, *pair, seen, options_.score, ScoreDetail::kAll));
    }
    result_.test_last = result_.test;
  }
  TempFolder temp_;
  SegmentOptions options_;
  std::unique_ptr<MaskDataset> data_;
  ImageSplit split_;
  SegmentResult result_;
};

TEST_F(ScoreTableTest, ScoresOfADatasetsImage) {
  const eval::ImageScores& scores = result_.test[0];
  EXPECT_EQ(scores.name, data_->item(split_.test[0]).name);
  EXPECT_EQ(scores.patient, data_->item(split_.test[0]).patient);
  EXPECT_DOUBLE_EQ(scores.detail[1].surface.Hausdorff95(), 0.5);  // one column of .5 um
  const auto pair = data_->Read(split_.test[0]);
  const auto quick = ScorePrediction(*data_, split_.test[0], *pair, pair->mask, options_.score,
                                     ScoreDetail::kPixels);
  EXPECT_TRUE(quick.detail.empty());
  EXPECT_DOUBLE_EQ(quick.counts.Scores(1).dice, 1);
}

TEST_F(ScoreTableTest, CsvHoldsEveryLevel) {
  const core::CsvTable table = core::ParseCsv(ScoresCsv(result_), "scores.csv");
  std::map<std::string, int> levels;
  for (const auto& row : table.rows) ++levels[row[0]];
  const auto images = static_cast<int>(result_.test.size());
  // Two classes and their mean each.
  EXPECT_EQ(levels["image"], 3 * images);
  EXPECT_EQ(levels["patient"], 3 * images / 2);
  EXPECT_EQ(levels["micro"], 3);
  EXPECT_EQ(levels["macro"], 3);
  EXPECT_EQ(levels.count("slide"), 0u);
  const auto cell = [&](const std::string& level, const std::string& name, const std::string& kind,
                        const std::string& column) {
    for (const auto& row : table.rows) {
      if (row[0] == level && row[1] == name && row[3] == kind) {
        return row[static_cast<size_t>(table.Column(column))];
      }
    }
    return std::string("no row");
  };
  const std::string name = result_.test[0].name;
  EXPECT_EQ(cell("image", name, "foreground", "dice"),
            fmt::format("{:.6g}", result_.test[0].counts.Scores(1).dice));
  EXPECT_EQ(cell("image", name, "mean", "dice"), cell("image", name, "foreground", "dice"));
  EXPECT_EQ(cell("image", name, "background", "hd95"), "");  // n/a by definition
  EXPECT_EQ(cell("image", name, "foreground", "hd95"), "0.5");
  EXPECT_EQ(cell("image", name, "foreground", "distance_unit"), "um");
  EXPECT_EQ(cell("image", name, "foreground", "truth_objects"), "1");
  const auto patients = eval::PoolByPatient(result_.test);
  EXPECT_EQ(cell("macro", "", "foreground", "pq"),
            fmt::format("{:.6g}", eval::Macro(eval::FindMeasure("pq"), patients, 1, 0)));
  double accuracy = 0;
  for (const auto& patient : patients) accuracy += patient.counts.PixelAccuracy();
  EXPECT_EQ(cell("macro", "", "mean", "pixel_accuracy"),
            fmt::format("{:.6g}", accuracy / static_cast<double>(patients.size())));
  EXPECT_EQ(cell("macro", "", "foreground", "pixel_accuracy"), "");
  EXPECT_EQ(cell("image", name, "foreground", "objects_missed"), "0");
}

// Two patients, each with a slide "s", and one image without slide.
TEST_F(ScoreTableTest, SlidesAreCountedByPatient) {
  ASSERT_EQ(result_.test.size(), 4u);
  for (eval::ImageScores& image : result_.test) image.slide = "s";
  result_.test[1].slide = "";
  const core::CsvTable table = core::ParseCsv(ScoresCsv(result_), "scores.csv");
  std::vector<std::string> slides;
  for (const auto& row : table.rows) {
    if (row[0] == "slide" && row[3] == "mean") slides.push_back(row[1] + " " + row[2] + row[4]);
  }
  const std::string p = result_.test[0].patient, q = result_.test[2].patient;
  EXPECT_THAT(slides, ::testing::UnorderedElementsAre(
                          "s " + p + "1", result_.test[1].name + " " + p + "1", "s " + q + "2"));
}

// The prediction holds specks below eval.min_area alone: the class was seen, its objects were not.
TEST_F(ScoreTableTest, ObjectsMissedHaveTheirOwnColumn) {
  const auto pair = data_->Read(split_.test[0]);
  core::Image seen(pair->mask.width, pair->mask.height, 1, 0);
  seen.row(0)[0] = 1;
  options_.score.min_area = 1;
  result_.test = {
      ScorePrediction(*data_, split_.test[0], *pair, seen, options_.score, ScoreDetail::kAll)};
  const core::CsvTable table = core::ParseCsv(ScoresCsv(result_), "scores.csv");
  for (const auto& row : table.rows) {
    if (row[0] != "image" || row[3] != "foreground") continue;
    EXPECT_EQ(row[static_cast<size_t>(table.Column("missed"))], "0");
    EXPECT_EQ(row[static_cast<size_t>(table.Column("objects_missed"))], "1");
    EXPECT_EQ(row[static_cast<size_t>(table.Column("objects_spurious"))], "0");
  }
}

TEST_F(ScoreTableTest, ConfusionAndSummary) {
  const core::CsvTable table = core::ParseCsv(ConfusionCsv(result_), "confusion.csv");
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(table.header[2], "foreground");
  const auto all = eval::PoolAll(result_.test, 2);
  EXPECT_EQ(table.rows[0][2], std::to_string(all.count(0, 1)));
  const std::string summary = ScoreSummary(result_);
  EXPECT_THAT(summary, ::testing::HasSubstr("HD95,um"));
  EXPECT_THAT(summary, ::testing::HasSubstr("mean of foreground"));
  EXPECT_EQ(ScoreText(std::nan("")), "n/a");
}

TEST_F(ScoreTableTest, ResultsReadBackAndOldOnesToo) {
  WriteResult(temp_ / "result.json", result_);
  const SegmentResult back = ReadResult(temp_ / "result.json");
  EXPECT_EQ(ScoresCsv(back), ScoresCsv(result_));
  EXPECT_DOUBLE_EQ(back.mpp, 0.5);
  // What version 1 held.
  std::string text = core::ReadFile(temp_ / "result.json");
  const auto replace = [&](const std::string& from, const std::string& to) {
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
  };
  replace("\"version\": 2", "\"version\": 1");
  replace("\"mpp\": 0.5,", "");
  for (size_t at; (at = text.find("\"boundary\":")) != std::string::npos;) {
    text.replace(at, 10, "\"unknown\"");
  }
  core::WriteFileAtomic(temp_ / "old.json", text);
  const SegmentResult old = ReadResult(temp_ / "old.json");
  EXPECT_EQ(old.test[0].counts.count(1, 1), result_.test[0].counts.count(1, 1));
  EXPECT_TRUE(old.test[0].detail.empty());
  EXPECT_THAT(ScoreSummary(old), ::testing::HasSubstr("n/a"));
  replace("\"version\": 1", "\"version\": 3");
  core::WriteFileAtomic(temp_ / "new.json", text);
  ExpectError([&] { ReadResult(temp_ / "new.json"); }, ExitCode::kBadInput, "version 3");
}

TEST_F(ScoreTableTest, ReportIsOnePage) {
  core::WriteFileAtomic(temp_ / "run/config.toml", "seed = 1\n");
  WriteRunReport(options_, *data_, split_, result_, {"a note for the reader"}, temp_ / "run");
  const std::string page = core::ReadFile(temp_ / "run/report.html");
  for (const char* text : {"a note for the reader", "(worst)", "(best)", "boundary F1", "Confusion",
                           "object Dice", "seed = 1"}) {
    EXPECT_THAT(page, ::testing::HasSubstr(text));
  }
  // Also a result without detail makes a page.
  for (auto* list : {&result_.test, &result_.test_last}) {
    for (eval::ImageScores& image : *list) image.detail.clear();
  }
  WriteRunReport(options_, *data_, split_, result_, {}, temp_ / "run");
}

TEST_F(ScoreTableTest, ReportSaysWhatWasFrozenAndWhatCameFromTheFile) {
  options_.steps = 20;
  EXPECT_EQ(DescribeFreezing(options_), "nothing");
  options_.freeze = "layer2";
  EXPECT_EQ(DescribeFreezing(options_), "the backbone up to layer2");
  options_.unfreeze_at = 0.2;
  options_.unfreeze_to = "stem";
  EXPECT_EQ(DescribeFreezing(options_),
            "the backbone up to layer2 until step 4 of 20, then the stem");
  options_.freeze = "all";
  options_.unfreeze_to = "none";
  EXPECT_EQ(DescribeFreezing(options_), "the backbone until step 4 of 20, then nothing");
  result_.init = "net.pth";
  result_.weights_matched = 1;
  const auto page = [&] {
    WriteRunReport(options_, *data_, split_, result_, {}, temp_ / "run");
    return core::ReadFile(temp_ / "run/report.html");
  };
  EXPECT_THAT(page(), ::testing::HasSubstr("100.0 % of the parameters of the backbone"));
  EXPECT_THAT(page(), ::testing::HasSubstr("until step 4 of 20"));
  EXPECT_THAT(page(), ::testing::HasSubstr("best state by validation"));
  options_.init_part = "body";
  EXPECT_THAT(page(), ::testing::HasSubstr("100.0 % of the parameters of the net but its class"));
  options_.init_part = "all";
  EXPECT_THAT(page(), ::testing::HasSubstr("100.0 % of the parameters of the whole net"));
  for (CurvePoint& point : result_.curve) point.val_dice = std::nan("");
  EXPECT_THAT(page(), ::testing::HasSubstr("last state, because every validation was n/a"));
  EXPECT_THAT(page(), ::testing::Not(::testing::HasSubstr("best state by validation")));
  WriteResult(temp_ / "result.json", result_);
  EXPECT_THAT(core::ReadFile(temp_ / "result.json"),
              ::testing::HasSubstr("\"best_by\": \"last step\""));
}

TEST(OfficialSplit, PartsOfTheNames) {
  std::vector<MaskItem> items;
  const auto add = [&](const std::string& name, const std::string& patient,
                       const std::string& part) {
    items.push_back({name, patient, "", "", "", part});
  };
  add("t1", "a", "train"), add("t2", "b", "train"), add("t3", "c", "train");
  add("x1", "c", "test"), add("x2", "d", "test");
  const OfficialSplit official = SplitAsPublished(items, {.seed = 1, .val = 0.2});
  EXPECT_THAT(official.split.test, ::testing::ElementsAre(3, 4));
  EXPECT_EQ(official.split.val.size(), 1u);
  EXPECT_NE(official.split.val[0], 2);  // patients whom the test does not show come first
  EXPECT_THAT(official.shared, ::testing::ElementsAre("c"));
  add("v", "e", "val");
  EXPECT_THAT(SplitAsPublished(items, {}).split.val, ::testing::ElementsAre(5));
  add("n", "e", "");
  ExpectError([&] { SplitAsPublished(items, {}); }, ExitCode::kBadInput, "image n belongs");
  items.resize(3);
  ExpectError([&] { SplitAsPublished(items, {}); }, ExitCode::kBadInput, "no image in test");
}

TEST(OfficialSplit, GlasSharesPatients) {
  const auto folder = testing::DataFolder() / "glas";
  EOSIN_REQUIRE_DATA(folder);
  MaskDataOptions options = DataPreset("glas");
  options.data = folder.string();
  const OfficialSplit official = SplitAsPublished(MaskDataset(options).items(), {});
  EXPECT_EQ(official.split.test.size(), 80u);
  EXPECT_EQ(official.split.train.size() + official.split.val.size(), 85u);
  EXPECT_GE(official.shared.size(), 5u);
}

// The configs that teach say what the program takes.
TEST(Configs, SegmentationDataSets) {
  for (const std::string name : {"glas", "dsb"}) {
    SegmentOptions options;
    SplitOptions split;
    core::OptionSet set;
    options.Bind(set);
    split.Bind(set);
    set.ReadToml(fs::path(EOSIN_SOURCE_DIR) / "configs" / ("segment-" + name + ".toml"));
    EXPECT_NO_THROW(options.Check());
    const MaskDataOptions preset = DataPreset(name);
    EXPECT_EQ(options.data.classes, preset.classes);
    EXPECT_EQ(options.data.rule, preset.rule);
    EXPECT_EQ(options.data.map, preset.map);
    EXPECT_EQ(options.data.mpp, preset.mpp);
    EXPECT_EQ(options.data.groups, preset.groups);
  }
}

}  // namespace
}  // namespace eosin::segment
