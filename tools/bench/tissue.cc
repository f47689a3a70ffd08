// SPDX-License-Identifier: Apache-2.0
// Measures the tissue methods: IoU on made overviews with exact truth, case by case, seconds a
// slide, and what each method calls tissue under the true ink of real pen slides.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <ctime>
#include <filesystem>
#include <map>
#include <memory>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/image/codec.h"
#include "tiling/slides/slide.h"
#include "tiling/tissue/tissue.h"
#include "tools/bench/tissue_scenes.h"

namespace {

namespace fs = std::filesystem;
using eosin::bench::SceneFamily;
using eosin::core::Image;
using eosin::tiling::Overview;
using eosin::tiling::SegmentTissue;
using eosin::tiling::TissueMethods;

double Iou(const Image& mask, const Image& truth) {
  int64_t both = 0, either = 0;
  for (size_t i = 0; i < mask.pixels.size(); ++i) {
    both += mask.pixels[i] && truth.pixels[i];
    either += mask.pixels[i] || truth.pixels[i];
  }
  return either == 0 ? 1 : static_cast<double>(both) / static_cast<double>(either);
}

// Edges of the mask in yellow, of the truth (when given) in cyan, on the picture.
void Draw(const Image& rgb, const Image& mask, const Image* truth, const fs::path& path) {
  Image picture = rgb;
  const auto edge = [](const Image& m, int x, int y) {
    return (x > 0 && (*m.at(x, y) != 0) != (*m.at(x - 1, y) != 0)) ||
           (y > 0 && (*m.at(x, y) != 0) != (*m.at(x, y - 1) != 0));
  };
  for (int y = 0; y < rgb.height; ++y) {
    for (int x = 0; x < rgb.width; ++x) {
      uint8_t* p = picture.at(x, y);
      if (truth && edge(*truth, x, y)) p[0] = 0, p[1] = 200, p[2] = 255;
      if (edge(mask, x, y)) p[0] = 255, p[1] = 220, p[2] = 0;
    }
  }
  const eosin::core::Bytes png = eosin::core::EncodePng(picture);
  eosin::core::WriteFileAtomic(path, {reinterpret_cast<const char*>(png.data()), png.size()});
}

// Processor time, so that a busy machine does not show.
double Seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

std::string FileName(std::string text) {
  for (char& c : text) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return text;
}

void PrintRow(const std::string& first, const std::vector<std::string>& cells) {
  std::string line = fmt::format("| {:<18} |", first);
  for (const std::string& cell : cells) line += fmt::format(" {:>14} |", cell);
  fmt::print("{}\n", line);
}

void PrintHead(const std::string& first) {
  PrintRow(first, TissueMethods());
  PrintRow("---", std::vector<std::string>(TissueMethods().size(), "---:"));
}

void MeasureScenes(SceneFamily family, const std::string& name, int seeds,
                   const std::vector<std::string>& cases, const fs::path& pictures) {
  fmt::print("\nIoU with the truth, mean of {} made overviews a case, family {}\n\n", seeds, name);
  PrintHead("case");
  std::map<std::string, double> total, worst, seconds;
  for (const std::string& scene_case : cases) {
    std::map<std::string, double> sum;
    for (int seed = 0; seed < seeds; ++seed) {
      eosin::bench::TissueScene scene =
          eosin::bench::MakeTissueScene(scene_case, family, static_cast<uint32_t>(seed));
      Overview overview;
      overview.image = std::move(scene.rgb);
      overview.scale = eosin::bench::kSceneScale;
      for (const std::string& method : TissueMethods()) {
        const double start = Seconds();
        const Image mask = SegmentTissue(overview, eosin::bench::kSceneMpp, method);
        seconds[method] += Seconds() - start;
        sum[method] += Iou(mask, scene.truth) / seeds;
        if (!pictures.empty() && method == "double-pass") {
          Draw(overview.image, mask, &scene.truth,
               pictures / fmt::format("{}_{}.png", FileName(scene_case), seed));
        }
      }
    }
    std::vector<std::string> cells;
    for (const std::string& method : TissueMethods()) {
      cells.push_back(fmt::format("{:.3f}", sum[method]));
      total[method] += sum[method];
      const auto first = worst.emplace(method, sum[method]);
      if (!first.second) worst[method] = std::min(worst[method], sum[method]);
    }
    PrintRow(scene_case, cells);
  }
  const auto count = static_cast<double>(cases.size());
  const auto print = [&](const std::string& label, const char* format, auto value) {
    std::vector<std::string> cells;
    for (const std::string& m : TissueMethods())
      cells.push_back(fmt::format(fmt::runtime(format), value(m)));
    PrintRow(label, cells);
  };
  print("mean", "{:.3f}", [&](const std::string& m) { return total[m] / count; });
  print("worst case", "{:.3f}", [&](const std::string& m) { return worst[m]; });
  print("CPU-s a slide", "{:.3f}",
        [&](const std::string& m) { return seconds[m] / count / seeds; });
}

// The pictures are overviews of unknown scale: 8 um/px of a 40x slide is assumed.
void MeasurePen(const fs::path& folder, const fs::path& pictures) {
  fmt::print(
      "\nReal slides: share of the true ink called tissue / share of the rest called tissue\n\n");
  PrintHead("slide");
  for (const std::string name :
       {"pen_red", "pen_green", "pen_black", "tcga-green-pen", "kidney-48-5"}) {
    const fs::path path = folder / (name + "_pyr.tif");
    if (!fs::exists(path)) continue;
    const auto slide = eosin::tiling::Slide::Open(path);
    slide->OverrideMpp(eosin::bench::kSceneMpp);
    Overview overview = ReadOverview(*slide, eosin::bench::kSceneMpp);
    overview.scale = eosin::bench::kSceneScale;
    Image ink(overview.image.width, overview.image.height, 1);
    const bool has_ink = fs::exists(folder / (name + "_mask.png"));
    if (has_ink) ink = eosin::core::ReadMask(folder / (name + "_mask.png"));
    std::vector<std::string> cells;
    for (const std::string& method : TissueMethods()) {
      const Image mask = SegmentTissue(overview, eosin::bench::kSceneMpp, method);
      double in = 0, in_tissue = 0, out = 0, out_tissue = 0;
      for (size_t i = 0; i < mask.pixels.size(); ++i) {
        (ink.pixels[i] ? in : out) += 1;
        (ink.pixels[i] ? in_tissue : out_tissue) += mask.pixels[i] != 0;
      }
      cells.push_back(has_ink ? fmt::format("{:.3f} / {:.3f}", in_tissue / in, out_tissue / out)
                              : fmt::format("- / {:.3f}", out_tissue / out));
      if (!pictures.empty() && method == "double-pass") {
        Draw(overview.image, mask, nullptr, pictures / (name + ".png"));
      }
    }
    PrintRow(name, cells);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Tissue methods: IoU on made overviews and ink on real pen slides"};
  std::string family = "held-out";
  int seeds = 3;
  fs::path pictures, pen_slides;
  std::vector<std::string> cases = eosin::bench::SceneCases();
  app.add_option("--family", family)
      ->check(CLI::IsMember({"tune", "held-out"}))
      ->capture_default_str();
  app.add_option("--seeds", seeds, "scenes a case")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  app.add_option("--cases", cases)->check(CLI::IsMember(eosin::bench::SceneCases()));
  app.add_option("--pen-slides", pen_slides,
                 "folder of pen_<colour>_pyr.tif and pen_<colour>_mask.png");
  app.add_option("--pictures", pictures, "folder for pictures with the double-pass mask's outline");
  CLI11_PARSE(app, argc, argv);
  try {
    if (!pictures.empty()) fs::create_directories(pictures);
    if (seeds > 0) {
      MeasureScenes(family == "tune" ? SceneFamily::kTune : SceneFamily::kHeldOut, family, seeds,
                    cases, pictures);
    }
    if (!pen_slides.empty()) MeasurePen(pen_slides, pictures);
  } catch (const eosin::core::Error& error) {
    fmt::print(stderr, "error: {}\nhint: {}\n", error.what(), error.hint());
    return static_cast<int>(error.code());
  }
  return 0;
}
