// SPDX-License-Identifier: Apache-2.0
// JPEG bytes to two views at 224 px, images a second on one core (CPU time), for the recipe of the
// peers' benchmark: crop .2-1, both flips, full colour jitter, grey, blur; and the same with HED
// stain jitter. One line per recipe and round, machine-readable; tools/bench/views.py compares with
// its peers.
//   bench_views FOLDER [ROUNDS] [IMAGES] [SIMD: 0 baseline, 1 AVX2, 2 AVX-512; default the best]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/image/codec.h"
#include "engine/augment/apply.h"
#include "engine/augment/recipe.h"

namespace {

using namespace eosin;

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

engine::ViewRecipe PeersRecipe(double hed_probability) {
  engine::ViewRecipe recipe = engine::ViewRecipe::Preset("simclr");
  recipe.crop_scale_min = 0.2;
  recipe.vflip_probability = 0.5;
  recipe.stain = "hed";
  recipe.stain_probability = hed_probability;
  return recipe;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

// Images a second. `decode_only` stops after the JPEG decoder.
double Measure(const std::vector<std::string>& files, const engine::ViewRecipe& recipe,
               uint32_t epoch, bool decode_only, engine::SimdLevel simd) {
  const int side = static_cast<int>(recipe.size);
  std::vector<uint8_t> views(static_cast<size_t>(2 * 3 * side * side));
  engine::ViewScratch scratch;
  const double start = CpuSeconds();
  for (uint32_t i = 0; i < files.size(); ++i) {
    const std::span bytes(reinterpret_cast<const uint8_t*>(files[i].data()), files[i].size());
    const core::Image image = core::DecodeRgb(bytes, "benchmark image");
    if (decode_only) continue;
    for (uint32_t view = 0; view < 2; ++view) {
      const core::PhiloxStream stream(1, core::DrawPurpose::kView, epoch, i, view);
      const engine::ViewParams params = DrawView(recipe, stream, image.width, image.height);
      ApplyView(image, params, side, side, views.data() + views.size() / 2 * view, scratch, simd);
    }
  }
  return static_cast<double>(files.size()) / (CpuSeconds() - start);
}

int Run(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_views FOLDER [ROUNDS] [IMAGES] [SIMD 0-2]\n");
    return 2;
  }
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  const size_t limit = argc > 3 ? static_cast<size_t>(std::atoi(argv[3])) : 300;
  const int best = static_cast<int>(engine::BestSimd());
  const int level = argc > 4 ? std::clamp(std::atoi(argv[4]), 0, best) : best;
  const auto simd = static_cast<engine::SimdLevel>(level);
  std::vector<std::string> files;
  for (const auto& path : core::ListFiles(argv[1], {".jpg", ".jpeg"}, true)) {
    if (files.size() == limit) break;
    files.push_back(core::ReadFile(path));
  }
  if (files.empty() || rounds < 1) {
    std::fprintf(stderr, "no JPEG files in %s, or no rounds\n", argv[1]);
    return 1;
  }
  static const char* const kSimd[] = {"baseline", "AVX2", "AVX-512"};
  std::printf("simd %s, %zu images\n", kSimd[level], files.size());
  std::vector<double> plain, hed, decode;
  for (int round = -1; round < rounds; ++round) {  // round -1 warms up
    const auto epoch = static_cast<uint32_t>(round + 1);
    const double p = Measure(files, PeersRecipe(0), epoch, false, simd);
    const double h = Measure(files, PeersRecipe(1), epoch, false, simd);
    const double d = Measure(files, PeersRecipe(0), epoch, true, simd);
    if (round < 0) continue;
    plain.push_back(p), hed.push_back(h), decode.push_back(d);
  }
  std::printf("plain %.1f images/s a core (two views each)\n", Median(plain));
  std::printf("hed %.1f images/s a core (two views each)\n", Median(hed));
  std::printf("decode %.1f images/s a core (no views)\n", Median(decode));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const eosin::core::Error& error) {
    std::fprintf(stderr, "%s\nhint: %s\n", error.what(), error.hint().c_str());
    return static_cast<int>(error.code());
  }
}
