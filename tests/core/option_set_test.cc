// SPDX-License-Identifier: Apache-2.0
#include "core/config/option_set.h"

#include "core/base/error.h"
#include "core/base/files.h"
#include "tests/testing.h"

namespace eosin::core {
namespace {

using eosin::testing::ExpectError;
using eosin::testing::TempFolder;

struct Options {
  int64_t epochs = 10;
  double rate = 0.1;
  bool resume = false;
  std::string method = "simclr";
  std::vector<double> fractions = {0.1, 1.0};
  std::vector<std::string> arms = {"random"};
  std::string root = "data";

  OptionSet Set() {
    OptionSet set;
    set.Add("train.epochs", &epochs, {.doc = "passes over the data", .min = 1});
    set.Add("train.rate", &rate, {.doc = "learning rate", .min = 0, .max = 10});
    set.Add("train.resume", &resume, {.doc = "go on"});
    set.Add("method", &method, {.doc = "what", .choices = {"simclr", "byol"}});
    set.Add("study.fractions", &fractions, {.doc = "label shares", .min = 0, .max = 1});
    set.Add("study.arms", &arms, {.doc = "arms"});
    set.Add("root", &root, {.doc = "a \"path\""});
    return set;
  }
};

TEST(OptionSet, ReadsTomlOfEveryType) {
  Options o;
  OptionSet set = o.Set();
  set.ReadTomlText(
      "method = 'byol'\n[train]\nepochs = 3\nrate = 1\nresume = true\n[study]\n"
      "fractions = [0.5, 1]\narms = ['a', 'b']\n",
      "text");
  EXPECT_EQ(o.epochs, 3);
  EXPECT_EQ(o.rate, 1.0);
  EXPECT_TRUE(o.resume);
  EXPECT_EQ(o.method, "byol");
  EXPECT_EQ(o.fractions, (std::vector<double>{0.5, 1.0}));
  EXPECT_EQ(o.arms, (std::vector<std::string>{"a", "b"}));
}

TEST(OptionSet, SetTakesBareWordsAndLists) {
  Options o;
  OptionSet set = o.Set();
  set.Set("method=byol");
  set.Set("train.rate=2");
  set.Set("study.fractions=0.25,1");
  set.Set("study.arms=x,y");
  set.Set("root=a\"b\\c");
  EXPECT_EQ(o.method, "byol");
  EXPECT_EQ(o.rate, 2.0);
  EXPECT_EQ(o.fractions, (std::vector<double>{0.25, 1.0}));
  EXPECT_EQ(o.arms, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(o.root, "a\"b\\c");
}

TEST(OptionSet, WrittenConfigReadsBackTheSame) {
  Options a;
  OptionSet set = a.Set();
  set.Set("train.rate=0.3");
  set.Set("study.arms=x,y");
  set.Set("root=a\"b\\c");
  const std::string text = set.ToToml();
  Options b;
  OptionSet other = b.Set();
  other.ReadTomlText(text, "written");
  EXPECT_EQ(other.ToToml(), text);
  EXPECT_EQ(b.rate, 0.3);
  EXPECT_EQ(b.root, a.root);
  EXPECT_THAT(text, ::testing::HasSubstr("# passes over the data\nepochs = 10"));
}

TEST(OptionSet, ErrorsNameKeyValueAndFix) {
  Options o;
  OptionSet set = o.Set();
  ExpectError([&] { set.Set("train.epoch=3"); }, ExitCode::kUsage, "unknown key train.epoch");
  try {
    set.Set("epochs=3");
    ADD_FAILURE();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.hint(), "did you mean train.epochs?");
  }
  ExpectError([&] { set.Set("train.epochs=0"); }, ExitCode::kUsage, "train.epochs = 0");
  ExpectError([&] { set.Set("train.epochs=1.5"); }, ExitCode::kUsage, "wrong type");
  ExpectError([&] { set.Set("train.epochs=1]"); }, ExitCode::kUsage, "wrong type");
  ExpectError([&] { set.Set("train.epochs=1\nb=2"); }, ExitCode::kUsage, "wrong type");
  ExpectError([&] { set.Set("method=moco"); }, ExitCode::kUsage, "method = \"moco\"");
  ExpectError([&] { set.Set("study.fractions=0.5,2"); }, ExitCode::kUsage, "out of range");
  ExpectError([&] { set.Set("nothing"); }, ExitCode::kUsage, "not key=value");
  ExpectError([&] { set.ReadTomlText("a = [", "x.toml"); }, ExitCode::kUsage, "x.toml line 1");
  ExpectError([&] { set.ReadToml("/no/such.toml"); }, ExitCode::kUsage, "cannot read");
}

}  // namespace
}  // namespace eosin::core
