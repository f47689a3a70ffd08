// SPDX-License-Identifier: Apache-2.0
#include "engine/augment/preview.h"

#include <fmt/format.h>
#include <algorithm>
#include <optional>
#include <string_view>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/image/codec.h"
#include "core/report/html.h"
#include "engine/augment/apply.h"

namespace eosin::engine {
namespace {

constexpr int kGap = 4;  // white pixels between pictures of the sheet

const char* OpName(int op) {
  static const char* const kNames[] = {"brightness", "contrast", "saturation", "hue"};
  return kNames[op];
}

std::string DescribeStain(const ViewParams& p) {
  const float* d = p.stain_draw;
  auto target = [&](const char* space) {
    return fmt::format(
        "RandStainNA to {} mean {:.3g}, {:.3g}, {:.3g}, deviation {:.3g}, {:.3g}, {:.3g}", space,
        d[0], d[1], d[2], d[3], d[4], d[5]);
  };
  switch (p.stain_model) {
    case kModelHedResidual:
    case kModelHedDab: {
      std::string text =
          fmt::format("HED: H x{:.3f} {:+.3f}, E x{:.3f} {:+.3f}", d[0], d[3], d[1], d[4]);
      if (d[2] != 1 || d[5] != 0) {
        text += fmt::format(", {} x{:.3f} {:+.3f}",
                            p.stain_model == kModelHedDab ? "DAB" : "residual", d[2], d[5]);
      }
      return text;
    }
    case kModelMacenko:
      return fmt::format(
          "Macenko: H x{:.2f} {:+.2f} turned {:+.1f} deg, E x{:.2f} {:+.2f} turned {:+.1f} deg",
          d[0], d[2], d[4], d[1], d[3], d[5]);
    case kModelReinhardLab:
      return target("LAB");
    case kModelReinhardHsv:
      return target("HSV");
    case kModelReinhardHed:
      return target("HED");
    default:
      return "stain map";
  }
}

struct View {
  core::Image picture;
  std::string words;
};

struct Row {
  std::string name;
  std::vector<View> views;  // the original first
};

View Execute(const core::Image& image, const ViewParams& params, int size, ViewScratch& scratch) {
  View view = {core::Image(size, size, 3), Describe(params)};
  ApplyView(image, params, size, view.picture.pixels.data(), scratch);
  return view;
}

Row MakeRow(const ImageSource& source, int64_t index, const std::vector<ViewSampler>& samplers,
            uint64_t seed, ViewScratch& scratch) {
  const core::Image image = source.Read(index);
  const std::optional<core::StainRow> stored = source.stain(index);
  StainFacts facts(image, stored ? &*stored : nullptr);
  Row row;
  row.name = source.name(index);
  row.views.push_back(Execute(image, CentreView(image.width, image.height),
                              static_cast<int>(samplers[0].recipe().size), scratch));
  row.views.back().words = fmt::format("{} x {} px", image.width, image.height);
  for (uint32_t epoch = 0; epoch < kPreviewPairs; ++epoch) {
    for (uint32_t v = 0; v < samplers.size(); ++v) {
      const core::PhiloxStream stream(seed, core::DrawPurpose::kView, epoch,
                                      static_cast<uint32_t>(index), v);
      row.views.push_back(Execute(image,
                                  samplers[v].Draw(stream, image.width, image.height, &facts),
                                  static_cast<int>(samplers[v].recipe().size), scratch));
    }
  }
  return row;
}

core::Image ContactSheet(const std::vector<Row>& rows) {
  int cell = 0;
  for (const View& view : rows[0].views) cell = std::max(cell, view.picture.width);
  const int step = cell + kGap;
  core::Image sheet(static_cast<int>(rows[0].views.size()) * step + kGap,
                    static_cast<int>(rows.size()) * step + kGap, 3, 255);
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t c = 0; c < rows[r].views.size(); ++c) {
      const core::Image& picture = rows[r].views[c].picture;
      for (int y = 0; y < picture.height; ++y) {
        std::copy_n(
            picture.row(y), picture.stride(),
            sheet.at(static_cast<int>(c) * step + kGap, static_cast<int>(r) * step + kGap + y));
      }
    }
  }
  return sheet;
}

// "view a", or "view 1" where letters would not do.
std::string ViewName(size_t v, size_t count) {
  return count > 26 ? fmt::format("view {}", v + 1)
                    : fmt::format("view {}", static_cast<char>('a' + v));
}

void WritePage(const std::vector<Row>& rows, const std::vector<ViewSampler>& samplers,
               uint64_t seed, int64_t bad, const std::filesystem::path& path) {
  core::HtmlPage page("Views", fmt::format("{} images, seed {}", rows.size(), seed), 60'000'000);
  page.AddParagraph(
      "Left the centre of the image, then what the first epochs make of it. Views of one epoch are "
      "what the network learns to recognise as the same.");
  if (bad > 0) {
    page.AddCallout(core::Verdict::kUnsure, "Unreadable images",
                    fmt::format("{} of the images chosen did not decode and are left out.", bad));
  }
  std::vector<std::string> columns = {"image"};
  for (int epoch = 1; epoch <= kPreviewPairs; ++epoch) {
    for (size_t v = 0; v < samplers.size(); ++v) {
      columns.push_back(fmt::format("epoch {}, {}", epoch, ViewName(v, samplers.size())));
    }
  }
  std::vector<core::GalleryRow> gallery;
  for (const Row& row : rows) {
    core::GalleryRow line = {.label = row.name, .images = {}};
    for (const View& view : row.views) {
      line.images.push_back({core::EncodePng(view.picture), view.words});
    }
    gallery.push_back(std::move(line));
  }
  page.AddGallery(columns, gallery);
  page.AddHeading("Recipes");
  for (size_t v = 0; v < samplers.size(); ++v) {
    ViewRecipe recipe = samplers[v].recipe();
    core::OptionSet set;
    recipe.Bind(set, "view");
    page.AddDetails(ViewName(v, samplers.size()), set.ToToml());
  }
  page.Write(path);
}

}  // namespace

std::string Describe(const ViewParams& p) {
  std::vector<std::string> parts;
  if (p.crop_w > 0 && p.crop_h > 0) {
    parts.push_back(fmt::format("crop {:.0f} x {:.0f} at {:.0f}, {:.0f}", p.crop_w, p.crop_h,
                                p.crop_x, p.crop_y));
  }
  if (p.hflip) parts.emplace_back("mirrored");
  if (p.vflip) parts.emplace_back("upside down");
  if (p.rot90 & 3) parts.push_back(fmt::format("turned {} deg", 90 * (p.rot90 & 3)));
  if (p.stain != kStainOff) parts.push_back(DescribeStain(p));
  if (p.jitter) {
    const float values[] = {p.brightness, p.contrast, p.saturation, p.hue};
    std::vector<std::string> ops;
    for (const uint8_t op : p.jitter_order) {
      if (op < kHue) ops.push_back(fmt::format("{} x{:.2f}", OpName(op), values[op]));
      if (op == kHue) ops.push_back(fmt::format("hue {:+.0f} deg", 360 * p.hue));
    }
    parts.push_back(fmt::format("{}", fmt::join(ops, ", ")));
  }
  if (p.gray) parts.emplace_back("grey");
  if (p.blur_sigma > 0) parts.push_back(fmt::format("blur {:.2f} px", p.blur_sigma));
  if (p.solarize <= 1) parts.push_back(fmt::format("solarised from {:.0f}", 255 * p.solarize));
  return parts.empty() ? "unchanged" : fmt::format("{}", fmt::join(parts, "; "));
}

void WritePreview(const ImageSource& source, const std::vector<ViewSampler>& samplers,
                  uint64_t seed, int64_t images, const std::filesystem::path& folder) {
  if (samplers.empty() || images < 1) {
    throw core::ConfigError("a preview needs at least one view and one image",
                            "ask for 1 image or more");
  }
  ViewScratch scratch;
  std::vector<Row> rows;
  const int64_t count = std::min(images, source.size());
  int64_t bad = 0;
  std::string reason = "the set is empty";
  auto note = [&](const core::Error& error) {
    ++bad;
    reason = error.what();
  };
  for (int64_t n = 0; n < count; ++n) {
    try {
      rows.push_back(MakeRow(source, n * source.size() / count, samplers, seed, scratch));
    } catch (const core::DataError& error) {
      note(error);
    } catch (const core::StoreError& error) {
      note(error);
    }
  }
  if (rows.empty()) {
    throw core::DataError("no image for the preview could be read: " + reason,
                          "check the set with `eosin verify`, or choose another");
  }
  core::MakeFolder(folder);
  const core::Bytes sheet = core::EncodePng(ContactSheet(rows));
  core::WriteFileAtomic(
      folder / "views.png",
      std::string_view(reinterpret_cast<const char*>(sheet.data()), sheet.size()));
  WritePage(rows, samplers, seed, bad, folder / "views.html");
}

}  // namespace eosin::engine
