// SPDX-License-Identifier: Apache-2.0
// Optimisers and learning rates against tests/parity/make_training_fixtures.py: LARS as four codes
// have it, torch's Adam, and the schedules of google, lightly and solo-learn.
#include <torch/types.h>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/files.h"
#include "engine/training/lars.h"
#include "engine/training/optimizer.h"
#include "engine/training/schedule.h"
#include "tests/testing.h"

namespace eosin::engine {
namespace {

using nlohmann::json;
using testing::ExpectError;

const json& Fixture(const char* name) {
  static std::map<std::string, json> files;
  json& file = files[name];
  if (file.is_null()) {
    file = json::parse(core::ReadFile(testing::FixtureFolder() / "training" / name));
  }
  return file;
}

at::Tensor ToTensor(const json& values, const json& shape) {
  return torch::tensor(values.get<std::vector<float>>())
      .reshape(shape.get<std::vector<int64_t>>())
      .clone();
}

// Runs the fixture's four steps and compares every weight with what the reference ended at.
void ExpectWeights(const OptimizerOptions& options, const json& expected, const std::string& what) {
  const json& file = Fixture("optimizers.json");
  NamedParameters parameters;
  for (const auto& [name, values] : file["weights"].items()) {
    parameters.emplace_back(name, ToTensor(values, file["shapes"][name]).set_requires_grad(true));
  }
  Optimizer optimizer(options, MakeParamGroups(parameters, options.exclude_bias_and_norm));
  for (size_t step = 0; step < file["rates"].size(); ++step) {
    for (auto& [name, parameter] : parameters) {
      parameter.mutable_grad() = ToTensor(file["grads"][step][name], file["shapes"][name]);
    }
    optimizer.Step(options.name == "lars" ? file["rates"][step].get<double>() : 0.01);
  }
  for (const auto& [name, parameter] : parameters) {
    const at::Tensor reference = ToTensor(expected[name], file["shapes"][name]);
    const double scale = 1 + reference.abs().max().item<double>();
    EXPECT_LT((parameter.detach() - reference).abs().max().item<double>(), 1e-6 * scale)
        << what << ", " << name << "\n"
        << parameter.detach() << "\n"
        << reference;
  }
}

TEST(LarsTest, FourDialectsEndWhereTheirSourcesDo) {
  const json& cases = Fixture("optimizers.json")["lars"];
  EXPECT_EQ(cases.size(), 21u);
  for (const json& each : cases) {
    OptimizerOptions options;
    options.name = "lars";
    options.lars_dialect = each["dialect"];
    options.nesterov = each["nesterov"];
    options.exclude_bias_and_norm = each["exclude"];
    options.weight_decay = each["decay"];
    options.eta = each["eta"];
    json settings = each;
    settings.erase("weights");
    ExpectWeights(options, each["weights"], settings.dump());
  }
}

TEST(LarsTest, DialectsDiffer) {
  // Equal settings, four results: no dialect is another one by mistake.
  std::map<std::string, double> first;
  for (const json& each : Fixture("optimizers.json")["lars"]) {
    if (!each["nesterov"] && each["exclude"] && each["decay"] == 0.05) {
      first[each["dialect"]] = each["weights"]["dense"][0];
    }
  }
  ASSERT_EQ(first.size(), 4u);
  std::set<double> values;
  for (const auto& [dialect, value] : first) values.insert(value);
  EXPECT_EQ(values.size(), 4u);
}

// w = (3, 4), g = (0, 2), d 0.5, eta 0.02: t = 0.02 * 5 / (2 + 2.5 + 1e-8) = 1/45. At lr 10 solo
// clips nothing but divides: t = 1/450. At lr 0.001, t / lr = 22.2: clipped to 1.
TEST(LarsTest, SoloClipsByHand) {
  for (const auto& [lr, trust] : {std::pair{10.0, 1.0 / 450}, std::pair{0.001, 1.0}}) {
    std::vector<at::Tensor> w = {torch::tensor({{3.0f, 4.0f}})},
                            g = {torch::tensor({{0.0f, 2.0f}})}, v = {torch::zeros({1, 2})};
    LarsUpdate({.dialect = LarsDialect::kSolo, .lr = lr, .weight_decay = 0.5, .eta = 0.02}, w, g,
               v);
    EXPECT_NEAR(w[0][0][0].item<double>(), 3 - lr * trust * 1.5, 1e-6);
    EXPECT_NEAR(w[0][0][1].item<double>(), 4 - lr * trust * 4.0, 1e-6);
    EXPECT_EQ(g[0][0][1].item<float>(), 2.0f) << "gradients are only read";
  }
  std::vector<at::Tensor> w = {torch::tensor({{3.0f, 4.0f}})}, g = {torch::ones({1, 2})},
                          v = {torch::zeros({1, 2})};
  LarsUpdate({.dialect = LarsDialect::kSolo, .lr = 0, .weight_decay = 0.5}, w, g, v);
  EXPECT_EQ(w[0][0][0].item<float>(), 3.0f) << "a rate of 0 is no division by 0";
}

// google: the rate that a step was taken at stays in the buffer; the others apply today's rate.
TEST(LarsTest, OnlyGooglesBufferRemembersTheRate) {
  auto after_rate_zero = [](LarsDialect dialect) {
    std::vector<at::Tensor> w = {torch::tensor({{3.0f, 4.0f}})}, g = {torch::ones({1, 2})},
                            v = {torch::zeros({1, 2})};
    LarsUpdate({.dialect = dialect, .lr = 1, .weight_decay = 0.1}, w, g, v);
    const float before = w[0][0][0].item<float>();
    LarsUpdate({.dialect = dialect, .lr = 0, .weight_decay = 0.1}, w, g, v);
    return w[0][0][0].item<float>() - before;
  };
  EXPECT_LT(after_rate_zero(LarsDialect::kGoogle), 0.0f);
  for (const LarsDialect dialect :
       {LarsDialect::kByol, LarsDialect::kLightly, LarsDialect::kSolo}) {
    EXPECT_EQ(after_rate_zero(dialect), 0.0f);
  }
  ExpectError([] { ParseLarsDialect("apex"); }, core::ExitCode::kUsage, "apex");
}

TEST(AdamTest, L2AndDecoupledDecayEndWhereTorchDoes) {
  const json& cases = Fixture("optimizers.json")["adam"];
  ASSERT_EQ(cases.size(), 2u);
  for (const json& each : cases) {
    OptimizerOptions options;
    options.name = each["name"];
    options.weight_decay = 0.1;
    options.exclude_bias_and_norm = false;
    ExpectWeights(options, each["weights"], options.name);
  }
  EXPECT_NE(cases[0]["weights"]["dense"], cases[1]["weights"]["dense"]);
}

TEST(ScheduleDialectTest, RatesOfGoogleLightlyAndSolo) {
  const json& file = Fixture("schedules.json");
  for (const char* dialect : {"google", "lightly", "solo"}) {
    ScheduleOptions options;
    options.dialect = dialect;
    options.warmup_epochs = file["warmup_epochs"];
    if (options.dialect == "lightly") options.final_share = 0.001;
    if (options.dialect == "solo") options.warmup_start_lr = 3e-5;
    const LrSchedule schedule(options, file["peak"], file["steps_per_epoch"], file["total"]);
    ASSERT_EQ(file[dialect].size(), 60u);
    for (size_t step = 0; step < file[dialect].size(); ++step) {
      EXPECT_NEAR(schedule.At(static_cast<int64_t>(step)), file[dialect][step].get<double>(), 1e-12)
          << dialect << " step " << step;
    }
  }
}

TEST(ScheduleDialectTest, ARateAnEpochIsTorchsCosineAnnealing) {
  const json& file = Fixture("schedules.json");
  ScheduleOptions options;
  options.per_epoch = true;
  const LrSchedule schedule(options, file["peak"], file["steps_per_epoch"], file["total"]);
  for (size_t step = 0; step < file["per_epoch"].size(); ++step) {
    EXPECT_NEAR(schedule.At(static_cast<int64_t>(step)), file["per_epoch"][step].get<double>(),
                1e-12)
        << step;
  }
}

TEST(ScheduleDialectTest, OneWarmupStepIsNoDivisionByZero) {
  for (const char* dialect : {"eosin", "google", "lightly", "solo"}) {
    ScheduleOptions options;
    options.dialect = dialect;
    options.warmup_epochs = 1;
    options.warmup_start_lr = 0.01;
    const LrSchedule schedule(options, 1.0, 1, 10);
    const double first = options.dialect == "lightly" ? 1.0
                         : options.dialect == "eosin" ? 0.505
                                                      : 0.01;
    EXPECT_DOUBLE_EQ(schedule.At(0), first) << dialect;
    EXPECT_DOUBLE_EQ(schedule.At(1), 1.0) << dialect;
  }
}

TEST(ScheduleTest, OneCycleIsTorchs) {
  for (const auto& [name, rates] : Fixture("one_cycle.json").items()) {
    const int64_t steps = std::stoll(name);
    const double peak = std::stod(name.substr(name.find(' ')));
    ScheduleOptions options;
    options.shape = "one-cycle";
    options.scale = "none";
    const LrSchedule schedule(options, peak, 1, steps);
    ASSERT_EQ(static_cast<int64_t>(rates.size()), steps);
    for (int64_t step = 0; step < steps; ++step) {
      EXPECT_NEAR(schedule.At(step), rates[static_cast<size_t>(step)].get<double>(), 1e-12 * peak)
          << name << ", step " << step;
    }
  }
  // Runs too short to rise stay within the cycle.
  for (const int64_t steps : {1, 2, 3, 4}) {
    ScheduleOptions options;
    options.shape = "one-cycle";
    const LrSchedule schedule(options, 1.0, 1, steps);
    for (int64_t step = 0; step < steps; ++step) {
      EXPECT_GE(schedule.At(step), 0);
      EXPECT_LE(schedule.At(step), 1.0);
    }
  }
}

TEST(OptimizerTest, ClippingIsTorchs) {
  // Gradients (3, 4) and (0, 12): norm 13. clip_grad_norm_ scales by max / (norm + 1e-6).
  at::Tensor a = torch::zeros({2}).requires_grad_(), b = torch::zeros({2}).requires_grad_();
  Optimizer optimizer({}, MakeParamGroups({{"a", a}, {"b", b}}, false));
  const auto set = [&] {
    a.mutable_grad() = torch::tensor({3.0f, 4.0f});
    b.mutable_grad() = torch::tensor({0.0f, 12.0f});
  };
  set();
  EXPECT_NEAR(optimizer.ClipGrad(1.3).item<double>(), 13.0, 1e-5);
  EXPECT_NEAR(a.grad()[0].item<double>(), 0.3, 1e-6);
  EXPECT_NEAR(b.grad()[1].item<double>(), 1.2, 1e-6);
  set();
  optimizer.ClipGrad(100);
  EXPECT_EQ(a.grad()[1].item<double>(), 4.0);
}

}  // namespace
}  // namespace eosin::engine
