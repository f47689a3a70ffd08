// SPDX-License-Identifier: Apache-2.0
// Every user mistake through the real program: the exit code, one sentence, a hint, and nothing
// half-written under a final name.
#include <algorithm>
#include <fstream>

#include "core/base/files.h"
#include "core/image/codec.h"
#include "tests/tools/program.h"

namespace eosin::tools {

namespace fs = std::filesystem;
namespace {

using eosin::testing::Outcome;
using eosin::testing::RunEosin;
using eosin::testing::TempFolder;

void WritePng(const fs::path& path, const core::Image& image) {
  const core::Bytes png = core::EncodePng(image);
  core::WriteFileAtomic(path, {reinterpret_cast<const char*>(png.data()), png.size()});
}

core::Image Picture(uint8_t shade, int size = 64) {
  core::Image image(size, size, 3, shade);
  for (int i = 0; i < size; ++i) image.at(i, i)[0] = 0;
  return image;
}

// Small inputs, each with one thing wrong.
class BadInput : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* folder : {"empty", "images", "seg/images", "seg/masks", "big/images",
                               "big/masks", "odd/images", "odd/masks", "run"}) {
      core::MakeFolder(temp_ / folder);
    }
    for (int i = 0; i < 4; ++i) {
      const std::string name = "p" + std::to_string(i) + ".png";
      WritePng(temp_ / ("images/" + name), Picture(static_cast<uint8_t>(40 * i + 60)));
      for (const char* data : {"seg", "big", "odd"}) {
        WritePng(temp_ / (std::string(data) + "/images/" + name),
                 Picture(static_cast<uint8_t>(40 * i)));
      }
      core::Image mask(64, 64, 1, 0);
      for (int y = 0; y < 32; ++y) std::fill_n(mask.row(y), 64, uint8_t{1});
      WritePng(temp_ / ("seg/masks/" + name), mask);
      for (auto& v : mask.pixels) v = v ? 255 : 0;
      WritePng(temp_ / ("big/masks/" + name), mask);
      WritePng(temp_ / ("odd/masks/" + name), core::Image(64, i == 2 ? 60 : 64, 1, 1));
    }
    std::ofstream(temp_ / "groups.csv") << "name,patient_id\np0,a\np1,b\np2,c\np3,d\n";
    for (const char* data : {"seg", "big", "odd"}) {
      fs::copy_file(temp_ / "groups.csv", temp_ / (std::string(data) + "/regions.csv"));
    }
    std::ofstream(temp_ / "not-a-slide.svs") << "II*\0 this is no slide";
    std::ofstream(temp_ / "junk.h5") << "junk";
    std::ofstream(temp_ / "junk.pth") << "junk";
    std::ofstream(temp_ / "bad.toml") << "[train\n";
    std::ofstream(temp_ / "unknown.toml") << "[train]\nepoch = 3\n";
    std::ofstream(temp_ / "mistyped.toml") << "[train]\nepochs = \"many\"\n";
    std::ofstream(temp_ / "file") << "in the way";
  }

  std::string At(const std::string& name) const { return (temp_ / name).string(); }

  void Expect(const std::vector<std::string>& arguments, int exit_code, const std::string& says) {
    std::string line;
    for (const std::string& argument : arguments) line += argument + " ";
    SCOPED_TRACE(line);
    const Outcome outcome = RunEosin(arguments);
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.output;
    EXPECT_THAT(outcome.output, ::testing::HasSubstr(says));
    EXPECT_THAT(outcome.output, ::testing::HasSubstr("hint: ")) << "no hint";
    EXPECT_THAT(outcome.output, ::testing::Not(::testing::HasSubstr("should not happen")));
    for (const auto& entry : fs::recursive_directory_iterator(temp_.path())) {
      EXPECT_NE(entry.path().extension(), ".part") << entry.path();
    }
  }

  TempFolder temp_;
};

TEST_F(BadInput, CommandLine) {
  Expect({"tiel"}, 2, "unknown command tiel");
  Expect({"tile"}, 2, "error: ");
  Expect({"tile", At("images"), "--out", At("o"), "--sise", "3"}, 2, "--sise");
  Expect({"inspect", At("none")}, 1, "none");
  Expect({"inspect", At("file")}, 1, "file");
  Expect({"inspect", At("junk.h5")}, 1, "junk.h5");
  Expect({"inspect", At("junk.pth")}, 1, "junk.pth");
}

#ifdef EOSIN_WITH_SLIDES
TEST_F(BadInput, Tile) {
  Expect({"tile", At("none.svs"), "--out", At("o"), "--mpp", "1"}, 1, "none.svs");
  Expect({"tile", At("empty"), "--out", At("o"), "--mpp", "1"}, 1, "no slide");
  Expect({"tile", At("not-a-slide.svs"), "--out", At("o"), "--mpp", "1"}, 1, "not-a-slide");
  Expect({"tile", At("not-a-slide.svs"), "--out", At("o"), "--size", "7"}, 2, "size");
  Expect({"tile", At("not-a-slide.svs"), "--out", At("file/x"), "--mpp", "1"}, 3, "folder");
  EXPECT_FALSE(fs::exists(temp_ / "o/not-a-slide.h5"));
  const Outcome made = RunEosin(
      {"synth", "--out", At("synth"), "--slides", "1", "--width", "2048", "--height", "2048"});
  ASSERT_EQ(made.exit_code, 0) << made.output;
  WritePng(temp_ / "nothing.png", core::Image(64, 64, 1, 0));
  Expect(
      {"tile", At("synth/slides"), "--out", At("o"), "--mpp", "1", "--tissue", At("nothing.png")},
      1, "no tissue");
  Expect({"tile", At("synth/slides"), "--out", At("o"), "--mpp", "0.1"}, 1, "finer");
  Expect({"synth", "--out", At("file/x")}, 3, "folder");
  Expect({"synth", "--out", At("s2"), "--slides", "0"}, 2, "slides");
}
#endif

#ifdef EOSIN_WITH_SLIDES
TEST_F(BadInput, TileFlags) {
  auto tile = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"tile", At("not-a-slide.svs"), "--out", At("o")});
    return more;
  };
  Expect({"tile", "--out", At("o")}, 2, "no slides");
  for (const char* shard : {"0/3", "4/3", "3", "1/0", "a/b", "1/2x", "-1/3"}) {
    Expect(tile({"--shard", shard}), 2, "--shard");
  }
  for (const char* memory : {"lots", "-1G", "0", "4X", "G", "1e40", "nan"}) {
    Expect(tile({std::string("--memory=") + memory}), 2, "--memory");
  }
  Expect(tile({"--align", "tiles", "--size", "256"}), 2, "size");
  Expect(tile({"--align", "tiles", "--stride", "128"}), 2, "stride");
  Expect(tile({"--align", "tiles", "--encoding", "png"}), 2, "png");
  Expect(tile({"--align", "grid"}), 2, "grid");
  Expect(tile({"--export", "zip"}), 2, "zip");
  Expect(tile({"--export", "clam,jpg"}), 2, "jpeg");  // the nearest
  Expect(tile({"--quality", "90"}), 2, "--jpeg-quality 90");
  Expect(tile({"--quality", "some"}), 2, "some");
  Expect(tile({"--jpeg-quality", "101"}), 2, "101");
  Expect(tile({"--stain", "macenko"}), 2, "macenko");
  Expect(tile({"--max-pen", "2"}), 2, "reject.pen");
  Expect(tile({"--tissue-mpp", "0"}), 2, "tissue_mpp");
  Expect(tile({"--tissue", "ostu"}), 2, "did you mean otsu");
  Expect(tile({"--mpp", "0.5", "--magnification", "20"}), 2, "magnification");
  Expect(tile({"--roi", "1,2,3"}), 2, "roi");
  Expect(tile({"--classes", "tumor"}), 2, "tumor");
  Expect(tile({"--classes", "tumor=999"}), 2, "999");
  Expect(tile({"--jobs", "-1"}), 2, "--jobs");
  Expect(tile({"--threads", "two"}), 2, "--threads");
  EXPECT_FALSE(fs::exists(temp_ / "o/not-a-slide.h5"));
}

TEST_F(BadInput, TileLists) {
  auto list = [&](const std::string& text, int code, const std::string& says) {
    std::ofstream(temp_ / "list.csv") << text;
    Expect({"tile", "--list", At("list.csv"), At("empty"), "--out", At("o")}, code, says);
  };
  Expect({"tile", "--list", At("none.csv"), "--out", At("o")}, 1, "none.csv");
  list("", 1, "list.csv");
  list("name,mpp\na.svs,0.5\n", 1, "slide");
  list("slide,mp\nnot-a-slide.svs,0.5\n", 1, "mpp");
  list("slide,mpp\nnot-a-slide.svs,fast\n", 1, "fast");
  list("slide,mpp\nnot-a-slide.svs,-1\n", 1, "-1");
  list("slide\nnowhere.svs\n", 1, "nowhere");
  list("slide\nnot-a-slide.svs\nnot-a-slide.svs\n", 1, "not-a-slide");
  list("slide,annotation\nnot-a-slide.svs,none.geojson\n", 1, "none.geojson");
  list("slide\n\"not-a-slide.svs\n", 1, "line 2");
}

TEST_F(BadInput, TileAnnotations) {
  const Outcome made = RunEosin({"synth", "--out", At("synth"), "--slides", "2", "--width", "2048",
                                 "--height", "2048", "--no-pen"});
  ASSERT_EQ(made.exit_code, 0) << made.output;
  std::vector<fs::path> slides = core::ListFiles(temp_ / "synth/slides", {".tif"}, false);
  ASSERT_EQ(slides.size(), 2u);
  core::MakeFolder(temp_ / "drawn");
  auto drawn = [&](const std::string& text, const std::string& says) {
    std::ofstream(temp_ / "drawn/a.geojson") << text;
    Expect({"tile", slides[0].string(), "--out", At("o"), "--mpp", "1", "--tissue", "none",
            "--annotations", At("drawn/a.geojson"), "--classes", "tumor=1"},
           1, says);
  };
  drawn("", "a.geojson");
  drawn("{\"type\": \"FeatureCollection\", \"features\": [", "a.geojson");
  drawn(R"({"type":"FeatureCollection","features":[{"type":"Feature","properties":
        {"classification":{"name":"stroma"}},"geometry":{"type":"Polygon","coordinates":
        [[[0,0],[900,0],[900,900],[0,0]]]}}]})",
        "stroma");
  EXPECT_FALSE(fs::exists(temp_ / "o" / (slides[0].stem().string() + ".h5")));
  const std::vector<std::string> both = {"tile", At("synth/slides"), "--out", At("o"), "--mpp",
                                         "1"};
  auto with = [&](const std::string& annotations) {
    std::vector<std::string> words = both;
    words.insert(words.end(), {"--annotations", annotations});
    return words;
  };
  Expect(with(At("drawn/a.geojson")), 2, "for 2 slides");
  Expect(with(At("drawn")), 1, "no annotation file of these slides");
  Expect(with(At("nowhere")), 1, "nowhere");
}
#endif

#ifdef EOSIN_WITH_TORCH
TEST_F(BadInput, Pretrain) {
  const std::vector<std::string> base = {"pretrain", "--out",    At("r"),  "--epochs", "1",
                                         "--arch",   "resnet18", "--size", "32"};
  auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return more;
  };
  Expect(with({"--data", At("none")}), 1, "none");
  Expect(with({"--data", At("empty")}), 1, "no tiles or images");
  Expect(with({"--data", At("images"), "--batch", "100"}), 2, "batch");
  Expect(with({"--data", At("images"), "--method", "moco"}), 2, "moco");
  Expect(with({"--data", At("images"), "--config", At("none.toml")}), 2, "none.toml");
  Expect(with({"--data", At("images"), "--config", At("bad.toml")}), 2, "line");
  Expect(with({"--data", At("images"), "--config", At("unknown.toml")}), 2, "train.epoch");
  Expect(with({"--data", At("images"), "--config", At("mistyped.toml")}), 2, "wrong type");
  Expect(with({"--data", At("images"), "--set", "nonsense"}), 2, "nonsense");
  Expect(with({"--data", At("images"), "--device", "cuda", "--batch", "2"}), 3, "GPU");
  Expect({"pretrain", "--data", At("images"), "--out", At("file/x")}, 3, "folder");
  Expect({"pretrain", "--resume", At("none")}, 1, "none");
  Expect({"pretrain", "--resume", At("run")}, 1, "run");
}

TEST_F(BadInput, Eval) {
  for (const char* name : {"classes/a", "classes/b"}) {
    core::MakeFolder(temp_ / name);
    for (uint8_t i = 0; i < 3; ++i) {
      WritePng(temp_ / (std::string(name) + "/" + name[8] + std::to_string(i) + ".png"),
               Picture(static_cast<uint8_t>(50 * i), 32));
    }
  }
  auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"eval", "--out", At("e")});
    return more;
  };
  Expect(with({}), 2, "no data");
  Expect({"eval", "--data", At("classes")}, 2, "no result folder");
  Expect(with({"--data", At("none")}), 1, "none");
  Expect(with({"--data", At("images")}), 1, "no labels");
  Expect(with({"--data", At("classes"), "--set", "eval.shotz=3"}), 2, "eval.shots");
  Expect(with({"--data", At("classes"), "--encoder", At("none.pth")}), 1, "none.pth");
  Expect(with({"--data", At("classes"), "--encoder", At("junk.pth")}), 1, "junk.pth");
  Expect(with({"--data", At("classes"), "--encoder", At("run")}), 1, "no encoder");
  Expect(with({"--data", At("classes"), "--device", "cuda"}), 3, "GPU");
  Expect({"eval", "--data", At("classes"), "--out", At("images")}, 1, "not empty");
}

TEST_F(BadInput, Segment) {
  auto with = [&](const std::string& data, std::vector<std::string> more) {
    const std::vector<std::string> base = {
        "segment", "--data", At(data), "--out", At("r"), "--set", "model.arch=resnet18"};
    more.insert(more.begin(), base.begin(), base.end());
    return more;
  };
  Expect(with("none", {}), 1, "none");
  Expect(with("empty", {}), 1, "images");
  Expect(with("big", {}), 1, "255");
  Expect(with("odd", {}), 1, "60");
  Expect(with("junk.h5", {}), 1, "junk.h5");
  Expect(with("seg", {"--preset", "glass"}), 2, "glass");
  Expect(with("seg", {"--set", "split.official=true"}), 1, "no part of a published split");
  Expect(with("seg", {"--set", "groups=slide"}), 2, "no slide");
  Expect(with("seg", {"--set", "crop.foreground=0.3", "--set", "crop.balance=equal"}), 2,
         "crop.balance");
  fs::copy(temp_ / "seg", temp_ / "colour", fs::copy_options::recursive);
  WritePng(temp_ / "colour/masks/p1.png", Picture(80));
  Expect(with("colour", {}), 1, "p1.png is a colour picture of 2 colours");
  fs::copy(temp_ / "seg", temp_ / "lossy", fs::copy_options::recursive);
  fs::rename(temp_ / "lossy/masks/p1.png", temp_ / "lossy/masks/p1.jpg");
  Expect(with("lossy", {}), 1, "p1.jpg is a JPEG");
  Expect(with("seg", {"--init", At("none.pth")}), 1, "none.pth");
  Expect(with("seg", {"--init", At("junk.pth")}), 1, "junk.pth");
  Expect(with("seg", {"--freeze", "layer9"}), 2, "layer9");
  Expect({"study", "--config", At("none.toml"), "--out", At("s")}, 2, "none.toml");
}
#endif

}  // namespace
}  // namespace eosin::tools
