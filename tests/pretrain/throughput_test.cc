// SPDX-License-Identifier: Apache-2.0
#include "pretrain/bench/throughput.h"

#include "core/formats/csv.h"
#include "tests/testing.h"

namespace eosin::pretrain {
namespace {

TEST(Throughput, MeasuresASmallCaseOnTheCpu) {
  ThroughputOptions options;
  options.cases = {"r18-32"};
  options.compute.device = "cpu";
  options.compute.precision = "fp32";
  options.compute.threads = 1;
  options.batch = 4;
  options.workers = 1;
  options.seconds = 0;
  int heard = 0;
  const ThroughputReport report =
      MeasureThroughput(options, [&](const ThroughputRow& row) { heard += row.batch == 4; });
  EXPECT_EQ(heard, 1);
  ASSERT_EQ(report.rows.size(), 1u);
  const ThroughputRow& row = report.rows[0];
  EXPECT_EQ(row.arch, "resnet18");
  EXPECT_EQ(row.size, 32);
  for (const double rate : {row.kernels, row.delivered, row.step, row.whole}) EXPECT_GT(rate, 0);
  EXPECT_GE(row.data_wait, 0);
  EXPECT_LE(row.data_wait, 1);
  // A CPU has no published limit: none is made up.
  EXPECT_EQ(row.limit, 0);
  EXPECT_EQ(row.ShareOfLimit(), 0);
  EXPECT_EQ(report.copy_bandwidth, 0);
  const core::CsvTable csv = core::ParseCsv(report.Csv(), "report");
  ASSERT_EQ(csv.rows.size(), 1u);
  EXPECT_EQ(csv.rows[0][static_cast<size_t>(csv.Column("case"))], "r18-32");
  EXPECT_THAT(report.Table(), ::testing::HasSubstr("r18-32"));
}

TEST(Throughput, LimitOfAnH100ByHand) {
  // 3.35 TB/s over 355 MB a view is 9,437 views/s (the reference rounds to 9,430); 2,359 is 25 %.
  ThroughputReport report;
  report.device = "NVIDIA H100 80GB HBM3";
  report.copy_bandwidth = 2.8e12;
  report.limit_bandwidth = 3.35e12;
  ThroughputRow row;
  row.name = "rn50-224";
  row.limit = 3.35e12 / 355e6;
  row.whole = 2359;
  report.rows = {row};
  EXPECT_NEAR(row.ShareOfLimit(), 0.25, 1e-4);
  EXPECT_THAT(report.Table(), ::testing::HasSubstr("25.0%"));
  EXPECT_THAT(report.Table(), ::testing::HasSubstr("the H100 SXM's figure"));
}

TEST(Throughput, MistakesAreNamed) {
  ThroughputOptions options;
  options.cases = {"vit"};
  testing::ExpectError([&] { options.Check(); }, core::ExitCode::kUsage, "unknown case vit");
  options.cases = {"r18-32"};
  options.seconds = -1;
  testing::ExpectError([&] { options.Check(); }, core::ExitCode::kUsage, "seconds = -1");
}

TEST(Throughput, NoiseSourceRepeatsItsPictures) {
  const auto source = MakeNoiseSource(100, 9);
  EXPECT_EQ(source->size(), 100);
  EXPECT_EQ(source->uniform_size(), (std::pair<int, int>{9, 9}));
  EXPECT_EQ(source->Read(3).pixels, source->Read(67).pixels);
  EXPECT_NE(source->Read(3).pixels, source->Read(4).pixels);
}

}  // namespace
}  // namespace eosin::pretrain
