// SPDX-License-Identifier: Apache-2.0
#include "tiling/options.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace eosin::tiling {
namespace {

constexpr double kDefaultMpp = 0.5;

}  // namespace

void TileOptions::Bind(core::OptionSet& set) {
  set.Add("mpp", &mpp,
          {.doc = "scale of the tiles; 0: from magnification, else 0.5",
           .unit = "um/px",
           .min = 0,
           .max = 100});
  set.Add("magnification", &magnification,
          {.doc = "scale of the tiles as 10 / mpp (20 = 0.5 um/px); 0: not given",
           .min = 0,
           .max = 200});
  set.Add("size", &size,
          {.doc = "side of a tile; 0: 256, or the slide's own with align = tiles",
           .unit = "output px",
           .min = 0,
           .max = 8192});
  set.Add("stride", &stride,
          {.doc = "distance of tiles; 0: the size", .unit = "output px", .min = 0, .max = 65536});
  set.Add("align", &align,
          {.doc = "tiles: take size, stride and level from the slide's own tiles and copy their "
                  "compressed bytes",
           .choices = {"none", "tiles"}});
  set.Add(
      "tissue", &tissue,
      {.doc = "double-pass, otsu, clam, clam-biopsy, clam-resection, clam-tcga, none, or a mask "
              "of the whole slide (PNG, nonzero = tissue; a folder holds one <slide name>.png a "
              "slide)"});
  tissue_settings.Bind(set);
  set.Add("min_tissue", &min_tissue, {.doc = "least tissue share of a tile", .min = 0, .max = 1});
  set.Add("roi", &roi,
          {.doc = "tiles only inside these rectangles: x,y,width,height, four numbers each",
           .unit = "level-0 px",
           .min = 0});
  set.Add("classes", &classes,
          {.doc = "what annotated classes become: tumor=1,stroma=2,artefact=ignore,pen=exclude,"
                  "roi=include; empty: all names, numbered from 1"});
  set.Add("encoding", &encoding,
          {.doc = "how tiles are stored", .choices = {"jpeg", "png", "raw"}});
  set.Add("jpeg_quality", &jpeg_quality,
          {.doc = "of tiles that are encoded; copied ones keep theirs", .min = 1, .max = 100});
  set.Add(
      "quality", &quality,
      {.doc = "scores of blur, pen, white, black and folds a tile", .choices = {"scores", "none"}});
  set.Add("stain", &stain,
          {.doc = "colour and stain statistics a tile", .choices = {"statistics", "none"}});
  limits.Bind(set);
  set.Add("mpp_override", &mpp_override,
          {.doc = "scale of the slide's level 0 instead of the file's; 0: the file's",
           .unit = "um/px",
           .min = 0,
           .max = 100});
  set.Add("allow_upsample", &allow_upsample,
          {.doc = "allow tiles finer than the slide by more than 5 %"});
}

bool TileOptions::UsesMaskFile() const {
  const auto& methods = TissueMethods();
  return tissue != "none" && std::find(methods.begin(), methods.end(), tissue) == methods.end();
}

double TileOptions::TargetMpp() const {
  if (mpp > 0) return mpp;
  return magnification > 0 ? 10 / magnification : kDefaultMpp;
}

void TileOptions::Check() const {
  if (mpp > 0 && magnification > 0) {
    throw core::ConfigError(
        fmt::format("mpp = {} and magnification = {} both give the scale", mpp, magnification),
        "give one of them");
  }
  if (AlignsToTiles() && (size > 0 || stride > 0)) {
    throw core::ConfigError(fmt::format("align = tiles and {} = {} both give the grid",
                                        size > 0 ? "size" : "stride", size > 0 ? size : stride),
                            "with align = tiles, size and stride are the slide's own; leave them "
                            "out");
  }
  if (AlignsToTiles() && encoding != "jpeg") {
    throw core::ConfigError(
        "align = tiles copies JPEG tiles, encoding = " + encoding + " asks for others",
        "leave encoding out, or align");
  }
  if (size != 0 && (size < 8 || size > 8192)) {
    throw core::ConfigError(fmt::format("size = {} is out of range", size),
                            "from 8 to 8192 pixels");
  }
  if (roi.size() % 4 != 0) {
    throw core::ConfigError(
        fmt::format("roi has {} numbers, which is no multiple of four", roi.size()),
        "write x,y,width,height in level-0 pixels, e.g. --roi 0,0,4096,4096");
  }
  for (size_t i = 0; i < roi.size(); i += 4) {
    for (size_t k = i; k < i + 4; ++k) {
      if (std::isfinite(roi[k])) continue;
      throw core::ConfigError(fmt::format("roi holds {}, which is no place on a slide", roi[k]),
                              "write x,y,width,height in level-0 pixels");
    }
    if (roi[i + 2] <= 0 || roi[i + 3] <= 0) {
      throw core::ConfigError(
          fmt::format("roi {},{},{},{} is empty", roi[i], roi[i + 1], roi[i + 2], roi[i + 3]),
          "width and height must be positive");
    }
  }
  tissue_settings.Check();
}

std::string TileOptions::Settings(const std::string& mask_hash, const std::string& annotation_hash,
                                  const SlideFacts& facts) const {
  nlohmann::ordered_json json;
  json["mpp"] = TargetMpp();
  if (AlignsToTiles()) {
    json["align"] = align;
  } else {
    json["size"] = Size();
    json["stride"] = Stride();
  }
  json["tissue"] = UsesMaskFile() ? "mask" : tissue;
  if (UsesMaskFile()) {
    json["mask_sha256"] = mask_hash;
  } else if (tissue != "none") {
    json["tissue_mpp"] = tissue_settings.overview_mpp;
    json["min_tissue_um2"] = tissue_settings.min_tissue_um2;
    json["min_hole_um2"] = tissue_settings.min_hole_um2;
    json["remove_pen"] = tissue_settings.remove_pen;
  }
  if (tissue != "none") json["min_tissue"] = min_tissue;
  if (!roi.empty()) json["roi"] = roi;
  if (!annotation_hash.empty()) {
    json["annotation_sha256"] = annotation_hash;
    json["classes"] = classes;
  }
  json["encoding"] = encoding;
  if (encoding == "jpeg") json["jpeg_quality"] = jpeg_quality;
  json["quality"] = quality;
  json["stain"] = stain;
  if (limits.Any()) {
    json["reject"] = {{"blur", limits.blur},
                      {"pen", limits.pen},
                      {"white", limits.white},
                      {"black", limits.black},
                      {"fold", limits.fold}};
  }
  if (mpp_override > 0) json["mpp_override"] = mpp_override;
  if (allow_upsample) json["allow_upsample"] = true;
  if (!facts.class_name.empty()) {
    json["class"] = {{"name", facts.class_name}, {"id", facts.class_id}};
  }
  if (!facts.patient.empty()) json["patient"] = facts.patient;
  return json.dump();
}

}  // namespace eosin::tiling
