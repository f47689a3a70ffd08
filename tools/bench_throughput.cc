// SPDX-License-Identifier: Apache-2.0
// `eosin bench throughput`: views a second of this machine and what holds it back.
#include <cstdio>

#include "core/base/files.h"
#include "core/base/log.h"
#include "pretrain/bench/throughput.h"
#include "tools/command_line.h"
#include "tools/commands.h"

namespace eosin::tools {

int RunBenchThroughput(int argc, char** argv) {
  CLI::App app("Measures the making of views, the network's step and both together, in views/s.",
               "eosin bench throughput");
  pretrain::ThroughputOptions options;
  std::string csv;
  app.add_option("--cases", options.cases, "rn50-224, r18-32 (default: both)")->delimiter(',');
  core::OptionSet set;
  options.compute.Bind(set);
  AddKeyFlag(app, set, "--device", "compute.device", "auto, cpu or cuda");
  AddKeyFlag(app, set, "--precision", "compute.precision", "auto, fp32 or bf16");
  AddKeyFlag(app, set, "--tf32", "compute.tf32", "GPU: fp32 products with 10 bits of mantissa");
  AddKeyFlag(app, set, "--threads", "compute.threads", "compute threads, 0 = all cores");
  app.add_option("--workers", options.workers, "loader threads, 0 = one less than the cores");
  app.add_option("--batch", options.batch, "images a step, 0 = by the device");
  app.add_option("--placement", options.placement,
                 "GPU: auto, resident, streamed or host (where images are, views are made)");
  app.add_option("--data", options.data, "tiles or pictures (default: made ones, in memory)");
  app.add_option("--seconds", options.seconds, "of each measurement, three or four a case");
  app.add_option("--csv", csv, "also write the figures to this file");
  if (const auto code = Parse(app, argc, argv)) return *code;
  options.Check();
  const pretrain::ThroughputReport report = pretrain::MeasureThroughput(
      options, [](const pretrain::ThroughputRow& row) { core::LogInfo("measured " + row.name); });
  std::fputs(report.Table().c_str(), stdout);
  if (!csv.empty()) core::WriteFileAtomic(csv, report.Csv());
  return 0;
}

}  // namespace eosin::tools
