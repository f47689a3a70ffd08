// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/tiff_properties.h"

#include <fmt/format.h>
#include <algorithm>

#include "core/base/text.h"
#include "tiling/slides/mpp.h"

namespace eosin::tiling {
namespace {

constexpr uint16_t kImageDescription = 270, kSoftware = 305;
constexpr uint16_t kMake = 271, kOlympusSis = 33560, kArgos = 65000, kNdpi = 65420;
constexpr uint32_t kReducedImage = 1;

bool StartsWith(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }

std::vector<std::string> Split(const std::string& text, const char* at) {
  std::vector<std::string> parts;
  for (size_t begin = 0;;) {
    const size_t end = text.find_first_of(at, begin);
    parts.push_back(text.substr(begin, end - begin));
    if (end == std::string::npos) return parts;
    begin = end + 1;
  }
}

}  // namespace

std::string TiffVendor(const TiffFile& file, std::string* why_not) {
  const TiffDirectory& first = file.directories[0];
  const std::string &description = first.Text(kImageDescription), &software = first.Text(kSoftware);
  const auto other = [&](const char* whose) {
    *why_not = whose;
    return std::string();
  };
  if (first.HasTag(kNdpi)) return other("it is a Hamamatsu NDPI slide");
  if (first.HasTag(kOlympusSis)) return other("it is an Olympus slide");
  if (first.HasTag(kArgos)) return other("it is an Argos slide");
  if (StartsWith(first.Text(kMake), "Huron")) return other("it is a Huron slide");
  if (StartsWith(software, "MedScan")) return other("it is a Trestle slide");
  if (StartsWith(software, "Philips")) return other("it is a Philips slide");
  if (description.find("http://www.leica-microsystems.com/scn/") != std::string::npos) {
    return other("it is a Leica slide");
  }
  for (const TiffDirectory& directory : file.directories) {
    if (directory.xmp.find("iScan") != std::string::npos) return other("it is a Ventana slide");
  }
  if (!first.tiled()) return other("its first picture is not tiled");
  return StartsWith(description, "Aperio") ? "aperio" : "generic-tiff";
}

std::vector<size_t> LevelDirectories(const TiffFile& file, const std::string& vendor) {
  std::vector<size_t> levels;
  for (size_t i = 0; i < file.directories.size(); ++i) {
    const TiffDirectory& directory = file.directories[i];
    const bool reduced = directory.has_subfile_type && (directory.subfile_type & kReducedImage);
    if (directory.tiled() && (vendor == "aperio" || i == 0 || reduced)) levels.push_back(i);
  }
  std::stable_sort(levels.begin(), levels.end(), [&file](size_t a, size_t b) {
    return file.directories[a].width > file.directories[b].width;
  });
  return levels;
}

std::vector<std::string> AssociatedNames(const TiffFile& file, const std::string& vendor) {
  std::vector<std::string> names;
  if (vendor != "aperio") return names;
  for (size_t i = 1; i < file.directories.size(); ++i) {
    const TiffDirectory& directory = file.directories[i];
    if (directory.tiled()) continue;
    if (i == 1) {
      names.push_back("thumbnail");
      continue;
    }
    // The first word of the description's second line.
    const auto lines = Split(directory.Text(kImageDescription), "\r\n");
    const std::string name = lines.size() > 1 ? Split(lines[1], " ")[0] : "";
    if (!name.empty()) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::map<std::string, std::string> TiffProperties(const TiffFile& file, const std::string& vendor,
                                                  const std::vector<SlideLevel>& levels) {
  std::map<std::string, std::string> properties;
  const TiffDirectory& first = file.directories[0];
  const auto number = [](double value) { return fmt::format("{:.17g}", value); };

  properties["openslide.vendor"] = vendor;
  properties["openslide.level-count"] = std::to_string(levels.size());
  for (size_t i = 0; i < levels.size(); ++i) {
    const std::string name = fmt::format("openslide.level[{}].", i);
    properties[name + "width"] = std::to_string(levels[i].width);
    properties[name + "height"] = std::to_string(levels[i].height);
    properties[name + "downsample"] = number(levels[i].downsample);
    properties[name + "tile-width"] = std::to_string(levels[i].tile_width);
    properties[name + "tile-height"] = std::to_string(levels[i].tile_height);
  }

  static const std::pair<uint16_t, const char*> kTexts[] = {
      {269, "tiff.DocumentName"}, {270, "tiff.ImageDescription"}, {271, "tiff.Make"},
      {272, "tiff.Model"},        {305, "tiff.Software"},         {306, "tiff.DateTime"},
      {315, "tiff.Artist"},       {316, "tiff.HostComputer"},     {33432, "tiff.Copyright"}};
  for (const auto& [tag, name] : kTexts) {
    if (first.HasTag(tag)) properties[name] = first.Text(tag);
  }
  if (first.HasTag(kImageDescription)) {
    properties["openslide.comment"] = first.Text(kImageDescription);
  }
  if (first.x_resolution > 0) properties["tiff.XResolution"] = number(first.x_resolution);
  if (first.y_resolution > 0) properties["tiff.YResolution"] = number(first.y_resolution);
  properties["tiff.ResolutionUnit"] = first.resolution_unit == 1   ? "none"
                                      : first.resolution_unit == 2 ? "inch"
                                      : first.resolution_unit == 3 ? "centimeter"
                                                                   : "unknown";
  if (vendor != "aperio") return properties;

  // "Aperio Image Library v11 ...|AppMag = 20|MPP = 0.499|..."
  const auto fields = Split(first.Text(kImageDescription), "|");
  for (size_t i = 1; i < fields.size(); ++i) {
    const size_t equals = fields[i].find('=');
    const std::string name = core::Trimmed(fields[i].substr(0, equals));
    if (name.empty() || equals == std::string::npos) continue;
    properties["aperio." + name] = core::Trimmed(fields[i].substr(equals + 1));
  }
  const auto copy = [&](const char* from, std::initializer_list<const char*> names) {
    const auto found = properties.find(from);
    const auto value = found == properties.end() ? std::nullopt : ParseNumber(found->second);
    if (!value) return;
    for (const char* name : names) properties[name] = number(*value);
  };
  copy("aperio.AppMag", {"openslide.objective-power"});
  copy("aperio.MPP", {"openslide.mpp-x", "openslide.mpp-y"});
  return properties;
}

}  // namespace eosin::tiling
