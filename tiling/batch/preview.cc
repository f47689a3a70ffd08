// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/preview.h"

#include <algorithm>
#include <opencv2/imgproc.hpp>

#include "tiling/batch/legend.h"

namespace eosin::tiling {
namespace {

// Bytes of a picture: together 250 kB.
constexpr size_t kThumbnailBytes = 70'000, kTissueBytes = 75'000, kGridBytes = 105'000;
constexpr int kDrawnSide = 512;  // px; drawings on smaller overviews are enlarged
const cv::Scalar kContour(60, 225, 100), kContourEdge(0, 85, 40);

// How strongly a tile is drawn, by its side in pixels of the picture. Tiles of the glass (reason
// tissue) are many and dull: they stay faint.
constexpr int kSmallest = 3;  // px; smaller tiles are filled
constexpr float kFill = 0.5f, kFaintFill = 0.15f;
constexpr float kLine = 0.9f, kFaintLine = 0.4f;
constexpr float kFullLine = 12;  // px; lines of smaller tiles are thinner by opacity
constexpr float kTint = 0.25f;   // inside of a tile rejected by quality, or bad

core::Bytes Encode(const core::Image& image, size_t most) {
  core::Bytes bytes;
  for (const int quality : {80, 70, 60, 50, 40, 30, 20}) {
    bytes = core::EncodeJpeg(image, quality);
    if (bytes.size() <= most) break;
  }
  return bytes;
}

cv::Mat View(core::Image& image) {
  return cv::Mat(image.height, image.width, CV_8UC3, image.pixels.data());
}

void DrawContours(const TissueMask& tissue, double scale, core::Image* picture) {
  const core::Image& mask = tissue.mask();
  // At the picture's size first, so that contours of a coarse mask lie where its pixels lie.
  cv::Mat fitted(picture->height, picture->width, CV_8UC1);
  for (int y = 0; y < fitted.rows; ++y) {
    const int from_y = static_cast<int>((y + 0.5) * scale / tissue.scale_y());
    for (int x = 0; x < fitted.cols; ++x) {
      const int from_x = static_cast<int>((x + 0.5) * scale / tissue.scale_x());
      const bool inside = from_x < mask.width && from_y < mask.height;
      fitted.at<uint8_t>(y, x) = inside && mask.row(from_y)[from_x] ? 255 : 0;
    }
  }
  std::vector<std::vector<cv::Point>> contours;
  cv::findContours(fitted, contours, cv::RETR_LIST, cv::CHAIN_APPROX_NONE);
  // A bright line in a dark one shows on glass, tissue and black alike.
  cv::Mat view = View(*picture);
  cv::drawContours(view, contours, -1, kContourEdge, 3);
  cv::drawContours(view, contours, -1, kContour, 1);
}

struct Style {
  std::array<uint8_t, 3> colour;
  float line, inside;  // opacity
};

// What is drawn where, as numbers of styles: each pixel is blended once, however many tiles
// overlap.
class Layer {
 public:
  Layer(const core::Image& picture, double scale, double side)
      : width_(picture.width),
        height_(picture.height),
        scale_(scale),
        side_(side),
        lines_(picture.pixels.size() / 3),
        insides_(lines_.size()) {}

  bool outlined() const { return side_ / scale_ >= kSmallest; }
  float line_share() const {
    return std::min(1.0f, static_cast<float>(side_ / scale_) / kFullLine);
  }

  // Later tiles cover earlier ones; lines cover insides.
  void Add(int64_t x, int64_t y, uint8_t style) {
    const auto place = [&](double v, int end) {
      return std::clamp(static_cast<int>(v / scale_), 0, end - 1);
    };
    const double left = static_cast<double>(x), top = static_cast<double>(y);
    const int x0 = place(left, width_), y0 = place(top, height_);
    const int x1 = std::max(x0, place(left + side_, width_ + 1) - 1);
    const int y1 = std::max(y0, place(top + side_, height_ + 1) - 1);
    for (int row = y0; row <= y1; ++row) {
      const bool edge = row == y0 || row == y1;
      uint8_t* inside = &insides_[At(x0, row)];
      std::fill_n(inside, x1 - x0 + 1, style);
      if (!outlined()) continue;
      uint8_t* line = &lines_[At(x0, row)];
      if (edge) {
        std::fill_n(line, x1 - x0 + 1, style);
      } else {
        line[0] = line[x1 - x0] = style;
      }
    }
  }

  void Blend(const std::vector<Style>& styles, core::Image* picture) const {
    for (size_t i = 0; i < lines_.size(); ++i) {
      const uint8_t style = lines_[i] ? lines_[i] : insides_[i];
      if (!style) continue;
      const Style& s = styles[style];
      const float opacity = lines_[i] ? s.line : s.inside;
      uint8_t* pixel = &picture->pixels[3 * i];
      for (size_t c = 0; c < 3; ++c) {
        pixel[c] = static_cast<uint8_t>(static_cast<float>(pixel[c]) * (1 - opacity) +
                                        static_cast<float>(s.colour[c]) * opacity + 0.5f);
      }
    }
  }

 private:
  size_t At(int x, int y) const { return static_cast<size_t>(y) * width_ + static_cast<size_t>(x); }

  int width_, height_;
  double scale_, side_;
  std::vector<uint8_t> lines_, insides_;  // 0: nothing
};

core::Image DrawGrid(core::Image picture, double scale, const Plan& plan,
                     const std::vector<PlannedTile>& kept,
                     const std::vector<RejectedTile>& rejected,
                     const std::vector<PlannedTile>& bad) {
  Layer layer(picture, scale, static_cast<double>(plan.patch_size_level0));
  const bool outlined = layer.outlined();
  const float thin = layer.line_share();
  // Styles 1 .. kRejections are the reasons.
  constexpr uint8_t kKept = kRejections + 1, kBad = kRejections + 2;
  std::vector<Style> styles(kBad + 1);
  std::vector<LegendEntry> legend;
  legend.push_back({"kept", kKeptColour, static_cast<int64_t>(kept.size())});
  for (int i = 0; i < kRejections; ++i) {
    const auto reason = static_cast<Rejection>(i);
    const auto colour = RejectionColour(reason);
    const bool faint = reason == Rejection::kTissue;
    styles[static_cast<size_t>(i) + 1] = {
        colour, thin * (faint ? kFaintLine : kLine),
        outlined ? (faint ? 0 : kTint) : (faint ? kFaintFill : kFill)};
    const auto count = std::count_if(rejected.begin(), rejected.end(),
                                     [&](const RejectedTile& t) { return t.reason == reason; });
    legend.push_back({faint ? "little tissue" : RejectionName(reason), colour, count});
  }
  styles[kKept] = {kKeptColour, thin * kLine, outlined ? 0 : kFill};
  styles[kBad] = {kBadColour, 1, outlined ? 2 * kTint : 0.8f};
  legend.push_back({"unreadable", kBadColour, static_cast<int64_t>(bad.size())});

  // What matters most last: it stays visible where tiles overlap.
  const auto add = [&](const auto& tile, uint8_t style) { layer.Add(tile.x, tile.y, style); };
  for (const RejectedTile& tile : rejected) {
    if (tile.reason == Rejection::kTissue) add(tile, 1);
  }
  for (const PlannedTile& tile : kept) add(tile, kKept);
  for (const RejectedTile& tile : rejected) {
    if (tile.reason != Rejection::kTissue) add(tile, static_cast<uint8_t>(tile.reason) + 1);
  }
  for (const PlannedTile& tile : bad) add(tile, kBad);
  layer.Blend(styles, &picture);
  return WithLegend(picture, legend);
}

}  // namespace

std::array<uint8_t, 3> RejectionColour(Rejection reason) {
  switch (reason) {
    case Rejection::kTissue:
      return {140, 140, 140};
    case Rejection::kExcluded:
      return {150, 85, 20};
    case Rejection::kBlur:
      return {255, 140, 0};
    case Rejection::kPen:
      return {0, 185, 215};
    case Rejection::kWhite:
      return {215, 190, 0};
    case Rejection::kBlack:
      return {75, 75, 75};
    case Rejection::kFold:
      return {125, 0, 190};
  }
  return {};
}

Previews DrawPreviews(const Overview& overview, const TissueMask* tissue, const Plan& plan,
                      const std::vector<PlannedTile>& kept,
                      const std::vector<RejectedTile>& rejected,
                      const std::vector<PlannedTile>& bad) {
  core::Image picture = overview.image;
  double scale = overview.scale;  // level-0 pixels per pixel of the picture
  const auto resize = [&](int width, int height, int filter) {
    core::Image resized(width, height, 3);
    cv::Mat to = View(resized);
    cv::resize(View(picture), to, to.size(), 0, 0, filter);
    scale *= static_cast<double>(picture.width) / width;
    picture = std::move(resized);
  };
  const int longest = std::max(picture.width, picture.height);
  if (longest > kPreviewSide) {
    const auto fit = [&](int side) {
      return std::max(1, static_cast<int>(int64_t{side} * kPreviewSide / longest));
    };
    resize(fit(picture.width), fit(picture.height), cv::INTER_AREA);
  }
  Previews previews;
  previews.thumbnail = Encode(picture, kThumbnailBytes);
  if (longest < kDrawnSide) {
    const int times = (kDrawnSide + longest - 1) / longest;
    resize(picture.width * times, picture.height * times, cv::INTER_CUBIC);
  }
  if (tissue) {
    DrawContours(*tissue, scale, &picture);
    previews.tissue = Encode(picture, kTissueBytes);
  }
  previews.grid =
      Encode(DrawGrid(std::move(picture), scale, plan, kept, rejected, bad), kGridBytes);
  return previews;
}

}  // namespace eosin::tiling
