// SPDX-License-Identifier: Apache-2.0
// eosin inspect: what is in a slide, tile store, weights file, run folder or study folder. What a
// path is, is told by its content, not by its name.
#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "core/base/files.h"
#include "core/formats/csv.h"
#include "core/formats/pth.h"
#include "core/store/tile_store.h"
#include "tiling/slides/slide_extensions.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#ifdef EOSIN_WITH_SLIDES
#include "tiling/slides/slide.h"
#endif

namespace eosin::tools {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

void Fact(const std::string& name, const std::string& value) {
  fmt::print("{:<18}{}\n", name, value.empty() ? "-" : value);
}

std::string Size(int64_t bytes) {
  const double value = static_cast<double>(bytes);
  if (value < 1e6) return fmt::format("{:.1f} kB", value / 1e3);
  return value < 1e9 ? fmt::format("{:.1f} MB", value / 1e6)
                     : fmt::format("{:.2f} GB", value / 1e9);
}

std::string Thousands(int64_t value) {
  std::string digits = std::to_string(value);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(i, ",");
  return digits;
}

std::string Join(const std::vector<std::string>& words, const char* between = ", ") {
  return fmt::format("{}", fmt::join(words, between));
}

// The first bytes of a file.
std::string Head(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw core::DataError("cannot read " + path.string(), "check the rights of the file");
  }
  std::string head(512, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<size_t>(file.gcount()));
  return head;
}

// ---- weights ----

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Which torchvision ResNet the names and shapes spell, and under which prefix; empty when none.
std::string GuessNetwork(const core::StateDict& dict) {
  // Also where lightly numbers the children: 4 = layer1 ... 7 = layer4.
  static const std::array<std::array<const char*, 5>, 2> kStyles = {
      {{"layer1.", "layer2.", "layer3.", "layer4.", "conv1.weight"},
       {"4.", "5.", "6.", "7.", "0.weight"}}};
  for (const auto& style : kStyles) {
    for (const core::TensorBlob& tensor : dict.tensors) {
      const std::string mark = std::string(style[0]) + "0.conv1.weight";
      if (!EndsWith(tensor.name, mark)) continue;
      const std::string prefix = tensor.name.substr(0, tensor.name.size() - mark.size());
      std::array<int, 4> blocks{};
      for (int stage = 0; stage < 4; ++stage) {
        while (dict.Find(fmt::format("{}{}{}.conv1.weight", prefix, style[stage], blocks[stage]))) {
          ++blocks[stage];
        }
      }
      const bool bottleneck = dict.Find(prefix + style[0] + "0.conv3.weight") != nullptr;
      std::string arch = "a residual network";
      if (blocks == std::array{2, 2, 2, 2} && !bottleneck) arch = "ResNet-18";
      if (blocks == std::array{3, 4, 6, 3}) arch = bottleneck ? "ResNet-50" : "ResNet-34";
      if (blocks == std::array{3, 4, 23, 3} && bottleneck) arch = "ResNet-101";
      const core::TensorBlob* stem = dict.Find(prefix + style[4]);
      if (stem && stem->shape.size() == 4) {
        arch += fmt::format(", stem {0}x{0}, {1} channels", stem->shape[2], stem->shape[0]);
      }
      const bool numbered = std::string(style[0]) == "4.";
      arch += prefix.empty()
                  ? (numbered ? ", numbered children (lightly)" : ", torchvision's names")
                  : fmt::format(", under \"{}\"{}", prefix,
                                numbered ? " with numbered children (lightly)" : "");
      return arch;
    }
  }
  return "";
}

void InspectWeights(const fs::path& path) {
  std::map<std::string, std::string> metadata;
  const core::StateDict dict = core::ReadWeights(path, &metadata);
  std::map<std::string, int64_t> dtypes;
  for (const core::TensorBlob& tensor : dict.tensors) ++dtypes[core::DTypeName(tensor.dtype)];
  std::vector<std::string> kinds;
  for (const auto& [name, count] : dtypes) kinds.push_back(fmt::format("{} {}", count, name));
  Fact("weights", path.string());
  Fact("file size", Size(static_cast<int64_t>(fs::file_size(path))));
  Fact("tensors", fmt::format("{} ({})", dict.tensors.size(), Join(kinds)));
  Fact("numbers", Thousands(dict.NumElements()));
  Fact("content hash", dict.Hash());
  const std::string network = GuessNetwork(dict);
  Fact("network", network.empty() ? "no ResNet recognised" : network);
  for (const auto& [key, value] : metadata) Fact("  " + key, value.substr(0, 200));
  const size_t count = dict.tensors.size(), shown = 4;
  for (size_t i = 0; i < count; ++i) {
    if (i == shown && count > 2 * shown) {
      fmt::print("  ... {} more\n", count - 2 * shown);
      i = count - shown;
    }
    const core::TensorBlob& tensor = dict.tensors[i];
    fmt::print("  {} {} ({})\n", tensor.name, core::DTypeName(tensor.dtype),
               fmt::join(tensor.shape, ", "));
  }
}

// ---- tile stores ----

void InspectStore(const fs::path& path) {
  const core::TileStoreReader store(path);
  const core::TileStoreInfo& info = store.info();
  std::array<int64_t, 4> status{};
  int64_t bytes = 0;
  double tissue = 0;
  for (int64_t i = 0; i < store.size(); ++i) {
    ++status[static_cast<size_t>(store.status(i)) & 3];
    tissue += store.tissue(i);
  }
  bytes = static_cast<int64_t>(fs::file_size(path));
  Fact("tile store", path.string());
  Fact("file size", Size(bytes));
  Fact("slide", fmt::format("{} ({}, {} x {} px)", info.slide_name, info.vendor,
                            Thousands(info.width), Thousands(info.height)));
  Fact("slide hash", info.slide_hash);
  Fact("slide scale",
       fmt::format(
           "{:.6g} x {:.6g} um/px from {}{}", info.mpp_x, info.mpp_y, info.mpp_source,
           info.objective_power > 0 ? fmt::format(", objective {:g}x", info.objective_power) : ""));
  Fact("tiles",
       Thousands(store.size()) +
           (store.size() == 0 ? "" : fmt::format(", {} each", Size(bytes / store.size()))));
  Fact("tile", fmt::format("{0} x {0} px at {1:.6g} um/px, stride {2}, {3}", info.tile_size,
                           info.tile_mpp, info.stride, info.encoding));
  Fact("read from", info.patch_level >= 0 ? fmt::format("level {} as it is", info.patch_level)
                                          : fmt::format("resampled; {} px of level 0 a side",
                                                        info.patch_size_level0));
  Fact("status", fmt::format("{} ok, {} repaired, {} blank, {} bad", status[0], status[1],
                             status[2], status[3]));
  if (store.size() > 0) {
    Fact("mean tissue", fmt::format("{:.1f} %", 100 * tissue / static_cast<double>(store.size())));
  }
  Fact("labels", Join(store.label_names()));
  Fact("previews", Join(store.preview_names()));
  Fact("settings", info.settings);
  Fact("made by", info.software);
}

// ---- slides ----

#ifdef EOSIN_WITH_SLIDES
void InspectSlide(const fs::path& path) {
  const auto slide = tiling::Slide::Open(path);
  const auto& geometry = slide->geometry();
  Fact("slide", path.string());
  Fact("file size", Size(static_cast<int64_t>(fs::file_size(path))));
  Fact("vendor", slide->vendor());
  Fact("reader", slide->reader());
  Fact("size", fmt::format("{} x {} px", Thousands(slide->width()), Thousands(slide->height())));
  const auto& mpp = slide->mpp();
  if (mpp.known()) {
    Fact("scale", fmt::format("{:.6g} x {:.6g} um/px from {}", mpp.x, mpp.y, mpp.source));
    Fact("field",
         fmt::format("{:.2f} x {:.2f} mm", static_cast<double>(slide->width()) * mpp.x / 1e3,
                     static_cast<double>(slide->height()) * mpp.y / 1e3));
  } else {
    Fact("scale", "unknown: eosin tile needs --mpp-override");
  }
  if (!mpp.doubt.empty()) Fact("", mpp.doubt);
  Fact("objective",
       slide->objective_power() > 0 ? fmt::format("{:g}x", slide->objective_power()) : "");
  const bool tiled = slide->reader() == "tiff";
  for (size_t i = 0; i < geometry.levels.size(); ++i) {
    const auto& level = geometry.levels[i];
    Fact(fmt::format("level {}", i),
         fmt::format(
             "{} x {} px, 1/{:.6g}{}", Thousands(level.width), Thousands(level.height),
             level.downsample,
             mpp.known() ? fmt::format(", {:.4g} um/px", mpp.mean() * level.downsample) : ""));
    const bool jpeg = slide->StoresJpeg(static_cast<int>(i));
    Fact("", fmt::format("{} {} of {} x {} px{}", Thousands(level.tile_count()),
                         tiled ? "stored tiles" : "blocks", level.tile_width, level.tile_height,
                         jpeg ? ", JPEG, can be copied (--align tiles)" : ""));
  }
  const auto& b = geometry.bounds;
  if (b[0] != 0 || b[1] != 0 || b[2] != slide->width() || b[3] != slide->height()) {
    Fact("scanned part", fmt::format("x {} y {}, {} x {} px", b[0], b[1], b[2], b[3]));
  }
  Fact("other pictures", Join(slide->associated_names()));
  for (const std::string& warning : slide->warnings()) Fact("warning", warning);
}
#endif

// ---- folders ----

Json ReadJson(const fs::path& path) {
  Json json = Json::parse(core::ReadFile(path), nullptr, false);
  if (json.is_discarded() || !json.is_object()) {
    throw core::DataError(path.string() + " is damaged: it is not a JSON object",
                          "the run was cut short or the file edited; start it anew");
  }
  return json;
}

// A string, number or flag of an object, as text; empty when it is absent.
std::string Text(const Json& json, const char* key) {
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return "";
  return it->is_string() ? it->get<std::string>() : it->dump();
}

// The last rows of a metrics table as aligned columns; columns without any value among them are
// left out.
void PrintTail(const core::CsvTable& table, size_t count) {
  const size_t first = table.rows.size() > count ? table.rows.size() - count : 0;
  std::vector<size_t> columns, widths;
  for (size_t c = 0; c < table.header.size(); ++c) {
    size_t width = table.header[c].size();
    bool any = false;
    for (size_t r = first; r < table.rows.size(); ++r) {
      any |= !table.rows[r][c].empty();
      width = std::max(width, table.rows[r][c].size());
    }
    if (!any) continue;
    columns.push_back(c);
    widths.push_back(width);
  }
  auto line = [&](const std::vector<std::string>& cells) {
    std::string text = " ";
    for (size_t i = 0; i < columns.size(); ++i) {
      text += fmt::format(" {:>{}}", cells[columns[i]], widths[i]);
    }
    fmt::print("{}\n", text);
  };
  line(table.header);
  for (size_t r = first; r < table.rows.size(); ++r) line(table.rows[r]);
}

void InspectRun(const fs::path& folder) {
  Fact("run", folder.string());
  if (fs::exists(folder / "state.json")) {
    const Json state = ReadJson(folder / "state.json");
    Fact("kind", Text(state, "kind"));
    Fact("finished", Text(state, "finished") == "true" ? "yes" : "no (--resume goes on with it)");
  }
  if (fs::exists(folder / "result.json")) {
    const Json result = ReadJson(folder / "result.json");
    Fact("result",
         fmt::format("init {}, freeze {}, {} steps, best at {}", Text(result, "init"),
                     Text(result, "freeze"), Text(result, "steps"), Text(result, "best_step")));
  }
  std::vector<std::string> checkpoints, weights;
  if (fs::is_directory(folder / "checkpoints")) {
    for (const auto& entry : fs::directory_iterator(folder / "checkpoints")) {
      if (entry.is_directory() && fs::exists(entry.path() / "state.json")) {
        const std::string step = Text(ReadJson(entry.path() / "state.json"), "step");
        checkpoints.push_back(entry.path().filename().string() +
                              (step.empty() ? "" : " (step " + step + ")"));
      }
    }
  }
  std::sort(checkpoints.begin(), checkpoints.end());
  Fact("checkpoints", Join(checkpoints));
  for (const auto& file : core::ListFiles(folder, {".safetensors", ".pth"}, false)) {
    weights.push_back(file.filename().string());
  }
  Fact("weights", Join(weights));
  Fact("report", fs::exists(folder / "report.html") ? (folder / "report.html").string() : "");
  if (fs::exists(folder / "config.toml")) {
    fmt::print("\nconfig.toml\n");
    // Without the comments that explain the keys.
    const std::string text = core::ReadFile(folder / "config.toml");
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      if (end > at && text[at] != '#') fmt::print("  {}\n", text.substr(at, end - at));
      at = end + 1;
    }
  }
  if (fs::exists(folder / "metrics.csv")) {
    const core::CsvTable table = core::ReadCsv(folder / "metrics.csv");
    fmt::print("\nmetrics.csv, {} rows{}\n", table.rows.size(),
               table.rows.empty() ? "" : "; the last:");
    PrintTail(table, 5);
  }
}

void InspectStudy(const fs::path& folder) {
  const Json study = ReadJson(folder / "study.json");
  Fact("study", folder.string());
  Fact("verdict", Text(study, "verdict"));
  Fact("", Text(study, "sentence"));
  if (!Text(study, "note").empty()) Fact("note", Text(study, "note"));
  Fact("primary", Text(study, "primary"));
  Fact("test patients", Text(study, "test_patients"));
  const Json none = Json::array();
  auto list = [&](const char* key) { return study.contains(key) ? study[key] : none; };
  std::vector<std::string> arms;
  for (const Json& arm : list("arms")) {
    arms.push_back(Text(arm, "name") +
                   (arm.contains("skipped") ? " (skipped: " + Text(arm, "skipped") + ")" : ""));
  }
  Fact("arms", Join(arms));
  Fact("models", fmt::format("{}", list("runs").size()));
  for (const Json& cell : list("cells")) {
    const auto dice = cell.find("dice");
    auto number = [&](const char* key) {
      const std::string text = dice == cell.end() ? "" : Text(*dice, key).substr(0, 6);
      return text.empty() ? std::string("n/a") : text;
    };
    fmt::print("  {:<20} labels {:<6} Dice {} [{}, {}]\n", Text(cell, "arm"), Text(cell, "level"),
               number("estimate"), number("low"), number("high"));
  }
  Fact("report", fs::exists(folder / "report.html") ? (folder / "report.html").string() : "");
}

void InspectFolder(const fs::path& folder) {
  if (fs::exists(folder / "study.json")) return InspectStudy(folder);
  if (fs::exists(folder / "config.toml") || fs::exists(folder / "state.json")) {
    return InspectRun(folder);
  }
  // A folder of stores: one line each.
  int64_t stores = 0, tiles = 0;
  for (const auto& file : core::ListFiles(folder, {".h5"}, false)) {
    if (!core::TileStoreReader::LooksLikeStore(file)) continue;
    const core::TileStoreReader store(file);
    fmt::print("{:<40} {:>9} tiles, {} px at {:.4g} um/px\n", file.filename().string(),
               Thousands(store.size()), store.info().tile_size, store.info().tile_mpp);
    ++stores;
    tiles += store.size();
  }
  if (stores == 0) {
    throw core::DataError(folder.string() + " is no run, study or folder of tile stores",
                          "give a file, or the folder that --out named");
  }
  fmt::print("{} stores, {} tiles\n", stores, Thousands(tiles));
}

// Classic or BigTIFF, of either byte order.
bool IsTiff(const std::string& head) {
  using namespace std::string_view_literals;
  const std::string_view magic = std::string_view(head).substr(0, 4);
  return magic == "II*\0"sv || magic == "MM\0*"sv || magic == "II+\0"sv || magic == "MM\0+"sv;
}

// The length of a JSON header that the file can hold, then that header.
bool IsSafetensors(const std::string& head, uint64_t file_size) {
  if (head.size() <= 8 || head[8] != '{') return false;
  uint64_t length = 0;
  for (size_t i = 8; i-- > 0;) length = length << 8 | static_cast<uint8_t>(head[i]);
  return length < file_size;
}

void InspectFile(const fs::path& path) {
  const std::string head = Head(path);
  if (core::TileStoreReader::LooksLikeStore(path)) return InspectStore(path);
  const std::string extension = core::Extension(path);
  static const std::set<std::string> kWeights = {".safetensors", ".pth", ".pt",
                                                 ".ckpt",        ".bin", ".tar"};
  const auto& slides = tiling::SlideExtensions();
  const bool slide = IsTiff(head) || extension == ".dcm" ||
                     std::find(slides.begin(), slides.end(), extension) != slides.end();
  const bool pickle = head.size() > 1 && head[0] == '\x80' && head[1] >= 1 && head[1] <= 5;
  const bool weights =
      kWeights.contains(extension) || IsSafetensors(head, fs::file_size(path)) || pickle;
  if (weights && !slide) return InspectWeights(path);
#ifdef EOSIN_WITH_SLIDES
  if (slide) return InspectSlide(path);
  try {
    return InspectSlide(path);
  } catch (const core::SlideError&) {
    // No slide of an unusual name either.
  }
#else
  if (slide) {
    throw core::MachineError("this eosin was built without slides and cannot open " + path.string(),
                             "build with -DEOSIN_WITH_SLIDES=ON (needs OpenSlide and OpenCV)");
  }
#endif
  throw core::DataError(
      path.string() + " is no slide, tile store or weights file that eosin knows",
      "known: slides (.svs, .tif, .ndpi, .mrxs, ...), stores (.h5) that eosin tile "
      "made, weights (.safetensors, .pth), run and study folders");
}

}  // namespace

int RunInspect(int argc, char** argv) {
  CLI::App app(
      "Prints what is in a slide, a tile store (.h5), a weights file (.safetensors, .pth), a run\n"
      "folder, a study folder or a folder of tile stores. Reads only.",
      "eosin inspect");
  app.footer(
      "Examples:\n"
      "  eosin inspect slide.svs              levels, scale and where it came from, bounds\n"
      "  eosin inspect tiles/slide.h5         scale, count, status of the tiles, settings\n"
      "  eosin inspect encoder.safetensors    tensors, hash, network, normalisation\n"
      "  eosin inspect runs/ssl               config, checkpoints, last metrics");
  std::vector<std::string> paths;
  app.add_option("PATH", paths, "files or folders")->required();
  if (const auto code = Parse(app, argc, argv)) return *code;
  for (size_t i = 0; i < paths.size(); ++i) {
    const fs::path path = paths[i];
    if (i > 0) fmt::print("\n");
    if (!fs::exists(path)) {
      throw core::DataError("there is no " + path.string(), "check the path");
    }
    if (fs::is_directory(path)) {
      InspectFolder(path);
    } else {
      InspectFile(path);
    }
  }
  return 0;
}

}  // namespace eosin::tools
