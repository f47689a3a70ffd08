// SPDX-License-Identifier: Apache-2.0
// What whole-slide prediction costs around the network: memory against the slide's size, and the
// time of every stage. The slide is made (one tile, repeated), the network a threshold: what is
// measured is eosin's own. Each size runs in a process of its own, whose peak memory is printed.
//
//   bench_predict                                   10,000^2 and 40,000^2 px
//   bench_predict --sizes 10000,40000,100000 --out /scratch
//   bench_predict --width 10000 --sizes 10000,40000,100000   of one width: what height alone costs
//
// With the network of a run, `eosin predict` prints the same stages.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/files.h"
#include "segment/predict/geojson_sink.h"
#include "segment/predict/label_tiff.h"
#include "segment/predict/pipeline.h"
#include "segment/predict/summary_sinks.h"

namespace eosin::bench {
namespace {

namespace fs = std::filesystem;
using namespace segment;

constexpr int kWindow = 256, kClasses = 2;

// Discs of 70 px in a tile of 256, again and again.
class RepeatingSlide : public tiling::Slide {
 public:
  RepeatingSlide(int64_t width, int64_t height) {
    path_ = "made";
    tiling::SlideLevel level;
    level.width = width;
    level.height = height;
    level.tile_width = level.tile_height = kTile;
    geometry_.levels = {level};
    FinishGeometry();
    OverrideMpp(1);
    for (int y = 0; y < kTile; ++y) {
      for (int x = 0; x < kTile; ++x) {
        const bool inside = std::hypot(x - 120, y - 130) < 70;
        const int grain = (x * 31 + y * 17) % 23;
        for (int c = 0; c < 3; ++c)
          tile_.at(x, y)[c] = static_cast<uint8_t>((inside ? 90 : 200) + grain);
      }
    }
  }
  std::unique_ptr<tiling::TileDecoder> NewDecoder() const override {
    return std::make_unique<Decoder>(tile_);
  }
  std::vector<std::string> associated_names() const override { return {}; }
  core::Image ReadAssociated(const std::string& name) const override {
    throw core::SlideError("no picture " + name, "made slides have none");
  }

 private:
  static constexpr int kTile = 256;
  class Decoder : public tiling::TileDecoder {
   public:
    explicit Decoder(const core::Image& tile) : tile_(tile) {}
    bool Decode(int, int64_t, int, uint8_t* rgb, ptrdiff_t stride, std::string*) override {
      for (int y = 0; y < kTile; ++y) std::memcpy(rgb + y * stride, tile_.row(y), tile_.stride());
      return true;
    }

   private:
    const core::Image& tile_;
  };
  core::Image tile_{kTile, kTile, 3};
};

void Threshold(const uint8_t* images, int64_t count, uint16_t* out) {
  constexpr int64_t kPixels = int64_t{kWindow} * kWindow;
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t* image = images + i * kPixels * 3;
    uint16_t* first = out + i * kClasses * kPixels;
    for (int64_t p = 0; p < kPixels; ++p) {
      const auto dark = static_cast<uint16_t>((255 - image[3 * p]) * 128);
      first[p] = static_cast<uint16_t>(kOneProbability - dark);
      first[kPixels + p] = dark;
    }
  }
}

void RunSize(int64_t width, int64_t height, double overlap, int threads, const fs::path& out) {
  const RepeatingSlide slide(width, height);
  PlanOptions options;
  options.mpp = 1;
  options.window = kWindow;
  options.stride = static_cast<int>(std::lround(kWindow * (1 - overlap)));
  const PredictPlan plan = MakePredictPlan(slide.geometry(), nullptr, options);
  const std::vector<ClassStyle> classes = StyleClasses({"background", "disc"}, 0);
  const RasterInfo raster{plan.width, plan.height, plan.mpp};
  BandStore store(out / "bench.part", "bench", true);
  ClassCounts counts;
  LabelTiff labels(out / "bench.labels.tif", store.folder(), raster, classes);
  GeoJsonSink geojson(out / "bench.geojson", plan.width, classes, {});
  PipelineOptions pipeline;
  pipeline.classes = kClasses;
  pipeline.threads = threads;
  const PipelineResult result =
      RunPipeline(slide, plan, Threshold, pipeline, &store, {&counts, &labels, &geojson});
  labels.Finish();
  geojson.Finish();
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const StageSeconds& s = result.seconds;
  const double windows = static_cast<double>(result.windows);
  fmt::print(
      "{:>6} x {:>6} px: {:>6.0f} MB peak, {:>7} windows, {:>7} polygons, {:>7.1f} s; ms a window: "
      "decode {:.3f}, feed {:.3f}, blend {:.3f}, write {:.3f}, made network {:.3f}\n",
      width, height, static_cast<double>(usage.ru_maxrss) / 1024, result.windows,
      geojson.features(), s.wall, 1e3 * s.decode / windows, 1e3 * s.feed / windows,
      1e3 * s.blend / windows, 1e3 * s.write / windows, 1e3 * s.network / windows);
  std::fflush(stdout);
  store.Remove();
  fs::remove(out / "bench.labels.tif");
  fs::remove(out / "bench.geojson");
}

int Main(int argc, char** argv) {
  std::vector<int64_t> sizes = {10000, 40000};
  std::string out = fs::temp_directory_path() / "eosin-bench-predict";
  double overlap = 0.25;
  int64_t width = 0;
  int threads = 1;
  CLI::App app("memory and time of whole-slide prediction around the network");
  app.add_option("--sizes", sizes, "sides of the made slides, px")->delimiter(',');
  app.add_option("--width", width, "of all slides; the sizes are their heights then");
  app.add_option("--overlap", overlap, "of windows")->check(CLI::Range(0.0, 0.9));
  app.add_option("--threads", threads, "that decode")->check(CLI::PositiveNumber);
  app.add_option("--out", out, "folder for what is written; removed again");
  CLI11_PARSE(app, argc, argv);
  core::MakeFolder(out);
  for (const int64_t side : sizes) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      RunSize(width > 0 ? width : side, side, overlap, threads, out);
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace eosin::bench

int main(int argc, char** argv) {
  try {
    return eosin::bench::Main(argc, argv);
  } catch (const eosin::core::Error& error) {
    std::fprintf(stderr, "error: %s\nhint: %s\n", error.what(), error.hint().c_str());
    return static_cast<int>(error.code());
  }
}
