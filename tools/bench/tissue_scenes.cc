// SPDX-License-Identifier: Apache-2.0
#include "tools/bench/tissue_scenes.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/philox.h"
#include "core/image/codec.h"

namespace eosin::bench {
namespace {

using Colour = std::array<float, 3>;
using core::PhiloxStream;

struct Stains {
  Colour first, second;  // optical density a unit of stain, R G B
};

// What the two families differ in.
struct Family {
  std::vector<Stains> he, ihc;
  std::vector<Colour> glass, tinted, grey;
  float noise_low, noise_high, strong_noise;
  int jpeg, strong_jpeg;
  float tilt, bowl;  // of the light, share of the mean
  Colour red, green, blue, black;
  float ink_low, ink_high;  // opacity
  float frame_level;
  float faint_low, faint_high;  // density beside normal stain
  float plate;                  // grey density of a coverslip's shade
};

const Family& Parameters(SceneFamily family) {
  static const Family tune = {
      .he = {{{.65f, .70f, .29f}, {.07f, .99f, .11f}}, {{.56f, .72f, .41f}, {.22f, .80f, .56f}}},
      .ihc = {{{.65f, .70f, .29f}, {.27f, .57f, .78f}}},
      .glass = {{243, 242, 244}, {236, 235, 238}, {249, 248, 246}},
      .tinted = {{243, 236, 220}, {240, 226, 234}},
      .grey = {{214, 214, 216}, {222, 222, 220}},
      .noise_low = 1.2f,
      .noise_high = 2.4f,
      .strong_noise = 6,
      .jpeg = 82,
      .strong_jpeg = 50,
      .tilt = .05f,
      .bowl = .04f,
      .red = {.15f, 1.6f, 1.3f},
      .green = {1.3f, .35f, .55f},
      .blue = {1.7f, 1.1f, .3f},
      .black = {1.9f, 1.95f, 2.1f},
      .ink_low = .75f,
      .ink_high = 1.1f,
      .frame_level = 6,
      .faint_low = .14f,
      .faint_high = .22f,
      .plate = .08f,
  };
  static const Family held_out = {
      .he = {{{.60f, .75f, .28f}, {.14f, .93f, .34f}}, {{.70f, .64f, .32f}, {.09f, .95f, .29f}}},
      .ihc = {{{.68f, .67f, .31f}, {.35f, .60f, .72f}}},
      .glass = {{239, 240, 241}, {246, 243, 247}, {231, 233, 232}},
      .tinted = {{238, 234, 214}, {233, 222, 231}, {246, 232, 230}},
      .grey = {{203, 204, 207}, {227, 227, 225}},
      .noise_low = 1.7f,
      .noise_high = 3.2f,
      .strong_noise = 8,
      .jpeg = 75,
      .strong_jpeg = 42,
      .tilt = .07f,
      .bowl = .06f,
      .red = {.22f, 1.35f, 1.22f},
      .green = {1.5f, .55f, .8f},
      .blue = {1.45f, .8f, .2f},
      .black = {1.45f, 1.5f, 1.6f},
      .ink_low = .65f,
      .ink_high = 1.2f,
      .frame_level = 1,
      .faint_low = .12f,
      .faint_high = .25f,
      .plate = .11f,
  };
  return family == SceneFamily::kTune ? tune : held_out;
}

enum Layer : uint32_t { kShape, kStyle, kCracks, kInk, kGrain, kNoise };

// Smooth values, mean 0.5, about 0-1; one knot every `cell` px.
class Field {
 public:
  Field(PhiloxStream stream, int width, int height, float cell)
      : cell_(cell),
        columns_(static_cast<int>(static_cast<float>(width) / cell) + 3),
        knots_(static_cast<size_t>(columns_) *
               static_cast<size_t>(static_cast<float>(height) / cell + 3)) {
    for (float& knot : knots_) knot = stream.Uniform();
  }
  float operator()(float x, float y) const {
    const float u = x / cell_, v = y / cell_;
    const int c = static_cast<int>(u), r = static_cast<int>(v);
    const auto ease = [](float t) { return t * t * (3 - 2 * t); };
    const float fx = ease(u - static_cast<float>(c)), fy = ease(v - static_cast<float>(r));
    const float* k =
        &knots_[static_cast<size_t>(r) * static_cast<size_t>(columns_) + static_cast<size_t>(c)];
    const float top = k[0] + (k[1] - k[0]) * fx;
    const float low = k[columns_] + (k[columns_ + 1] - k[columns_]) * fx;
    return top + (low - top) * fy;
  }

 private:
  float cell_;
  int columns_;
  std::vector<float> knots_;
};

struct Piece {
  float x, y, radius, stretch, angle, strength;
  std::array<float, 8> wave, phase;  // k = 2..9

  // > 0 inside, about pixels from the edge.
  float Inside(float px, float py) const {
    const float dx = px - x, dy = py - y;
    const float u = (dx * std::cos(angle) + dy * std::sin(angle)) / stretch;
    const float v = (dy * std::cos(angle) - dx * std::sin(angle)) * stretch;
    const float distance = std::hypot(u, v), at = std::atan2(v, u);
    float edge = 1;
    for (size_t k = 0; k < wave.size(); ++k) {
      edge += wave[k] * std::cos(static_cast<float>(k + 2) * at + phase[k]);
    }
    return radius * edge - distance;
  }
};

struct Disc {
  float x, y, radius;
};

// What one case asks for.
struct Plan {
  const char* name = "";
  int pieces = 3;
  float radius_low = 110, radius_high = 190, stretch = 1.4f, irregular = .12f;
  float lumina = 40, holes = 2;
  float fat = 0;            // share of the tissue
  float strength = 1;       // density of all tissue
  bool some_faint = false;  // every second piece is faint
  bool all_faint = false;
  bool ihc = false;
  float second_stain = 1;  // eosin, DAB
  char glass = 'n';        // normal, tinted, grey
  bool uneven = false, noisy = false, frame = false, filled = false, dirty = false;
  std::string pens;  // of r, g, b, k
};

const std::vector<Plan>& Plans() {
  static const std::vector<Plan> plans = {
      {.name = "H&E"},
      {.name = "faint H&E", .all_faint = true},
      {.name = "strong and faint", .pieces = 4, .radius_high = 160, .some_faint = true},
      {.name = "IHC", .ihc = true, .second_stain = .8f},
      {.name = "weak IHC", .strength = .3f, .ihc = true, .second_stain = .12f},
      {.name = "black frame", .frame = true},
      {.name = "tinted glass", .glass = 't'},
      {.name = "grey glass", .glass = 'g'},
      {.name = "uneven light", .uneven = true},
      {.name = "noise", .noisy = true},
      {.name = "red pen", .pens = "rr"},
      {.name = "green pen", .pens = "gg"},
      {.name = "blue pen", .pens = "bb"},
      {.name = "black pen", .pens = "kk"},
      {.name = "pens, faint H&E", .all_faint = true, .pens = "gbk"},
      {.name = "fat", .fat = .65f},
      {.name = "biopsies",
       .pieces = 6,
       .radius_low = 22,
       .radius_high = 34,
       .stretch = 2.6f,
       .irregular = .06f,
       .lumina = 0,
       .holes = 0},
      {.name = "nearly empty",
       .pieces = 1,
       .radius_low = 16,
       .radius_high = 26,
       .lumina = 0,
       .holes = 0},
      {.name = "no glass", .holes = 0, .filled = true},
      {.name = "dust and shade", .dirty = true},
      {.name = "everything",
       .pieces = 4,
       .radius_high = 150,
       .fat = .2f,
       .some_faint = true,
       .glass = 't',
       .uneven = true,
       .frame = true,
       .dirty = true,
       .pens = "gk"},
  };
  return plans;
}

class Painter {
 public:
  Painter(const Plan& plan, uint32_t plan_index, SceneFamily family, uint32_t seed, int width,
          int height)
      : plan_(plan),
        index_(plan_index),
        family_(Parameters(family)),
        key_((static_cast<uint64_t>(family) << 32) + seed),
        seed_(seed),
        width_(width),
        height_(height),
        density_(static_cast<size_t>(width) * static_cast<size_t>(height), Colour{}) {
    scene_.truth = core::Image(width, height, 1);
    scene_.ink = core::Image(width, height, 1);
  }

  TissueScene Paint() {
    PlacePieces();
    PaintTissue();
    if (plan_.dirty) PaintDirt();
    PaintInk();
    Expose();
    return std::move(scene_);
  }

 private:
  PhiloxStream Stream(Layer layer, uint32_t part = 0) const {
    return {key_, core::DrawPurpose::kSynth, index_, layer, part};
  }
  float W() const { return static_cast<float>(width_); }
  float H() const { return static_cast<float>(height_); }
  Colour& Density(int x, int y) {
    return density_[static_cast<size_t>(y) * static_cast<size_t>(width_) + static_cast<size_t>(x)];
  }

  void PlacePieces() {
    PhiloxStream draw = Stream(kShape);
    for (int i = 0; i < plan_.pieces; ++i) {
      Piece piece{};
      piece.radius = draw.Uniform(plan_.radius_low, plan_.radius_high);
      piece.stretch = draw.Uniform(1, plan_.stretch);
      piece.angle = draw.Uniform(0, 3.14f);
      for (size_t k = 0; k < piece.wave.size(); ++k) {
        piece.wave[k] = plan_.irregular * draw.Uniform() * 2 / static_cast<float>(k + 2);
        piece.phase[k] = draw.Uniform(0, 6.28f);
      }
      // Away from the others where there is room.
      float best = -1e9f;
      for (int attempt = 0; attempt < 40; ++attempt) {
        const float x = draw.Uniform(.15f, .85f) * W(), y = draw.Uniform(.15f, .85f) * H();
        float room = 1e9f;
        for (const Piece& other : pieces_) {
          room = std::min(room, std::hypot(x - other.x, y - other.y) - other.radius);
        }
        if (room > best) {
          best = room;
          piece.x = x;
          piece.y = y;
        }
      }
      const bool faint = plan_.all_faint || (plan_.some_faint && i % 2 == 1);
      piece.strength = plan_.strength * draw.Uniform(.75f, 1.15f) *
                       (faint ? draw.Uniform(family_.faint_low, family_.faint_high) : 1.0f);
      pieces_.push_back(piece);
    }
    if (plan_.filled) {
      for (Piece& piece : pieces_) piece.radius = 4 * W();
    }
    // Lumina (under 20,000 um2) and holes (above 50,000 um2) lie around the pieces' middles.
    const auto place = [&](float count, float low, float high, std::vector<Disc>* out) {
      for (const Piece& piece : pieces_) {
        for (int i = 0; i < static_cast<int>(count); ++i) {
          const float angle = draw.Uniform(0, 6.28f);
          const float reach =
              (plan_.filled ? .5f * W() : .8f * piece.radius) * std::sqrt(draw.Uniform());
          out->push_back({piece.x + reach * std::cos(angle), piece.y + reach * std::sin(angle),
                          draw.Uniform(low, high)});
        }
      }
    };
    place(plan_.lumina, 1.5f, 6, &lumina_);
    place(plan_.holes, 17, 40, &holes_);
  }

  // Walls of fat cells: 1 on a wall, 0 within a cell; cells of about 80 um.
  float FatWall(float x, float y) const {
    constexpr float kCell = 10;
    const int c = static_cast<int>(std::floor(x / kCell)), r = static_cast<int>(y / kCell);
    float nearest = 1e9f, second = 1e9f;
    for (int v = r - 1; v <= r + 1; ++v) {
      for (int u = c - 1; u <= c + 1; ++u) {
        PhiloxStream draw =
            Stream(kCracks, static_cast<uint32_t>((v + 9) * 997 + u + 9) & 0xffffff);
        const float dx = (static_cast<float>(u) + draw.Uniform(.1f, .9f)) * kCell - x;
        const float dy = (static_cast<float>(v) + draw.Uniform(.1f, .9f)) * kCell - y;
        const float distance = std::hypot(dx, dy);
        if (distance < nearest) {
          second = nearest;
          nearest = distance;
        } else {
          second = std::min(second, distance);
        }
      }
    }
    return std::clamp(1.2f - .6f * (second - nearest), 0.0f, 1.0f);
  }

  void PaintTissue() {
    const std::vector<Stains>& choices = plan_.ihc ? family_.ihc : family_.he;
    const Stains stains = choices[seed_ % choices.size()];
    PhiloxStream grain = Stream(kGrain);
    const Field coarse(Stream(kStyle, 1), width_, height_, 70);
    const Field middle(Stream(kStyle, 2), width_, height_, 18);
    const Field fine(Stream(kStyle, 3), width_, height_, 4);
    const Field tone(Stream(kStyle, 4), width_, height_, 40);
    const Field fat(Stream(kStyle, 5), width_, height_, 55);
    const Field wobble(Stream(kStyle, 6), width_, height_, 6);
    for (int y = 0; y < height_; ++y) {
      for (int x = 0; x < width_; ++x) {
        const float fx = static_cast<float>(x), fy = static_cast<float>(y);
        float inside = -1e9f, strength = 1;
        for (const Piece& piece : pieces_) {
          const float here = piece.Inside(fx, fy);
          if (here > inside) {
            inside = here;
            strength = piece.strength;
          }
        }
        inside += 4 * (wobble(fx, fy) - .5f);
        for (const Disc& hole : holes_) {
          inside = std::min(inside, std::hypot(fx - hole.x, fy - hole.y) - hole.radius);
        }
        const float grain_here = grain.Normal();
        if (inside <= -1) continue;
        *scene_.truth.at(x, y) = inside > 0 ? 255 : 0;
        float cover = std::clamp(inside + .5f, 0.0f, 1.0f);
        for (const Disc& lumen : lumina_) {
          const float d = std::hypot(fx - lumen.x, fy - lumen.y) - lumen.radius;
          if (d < 1) cover *= std::clamp(d, 0.0f, 1.0f);
        }
        const float busy = .35f + .45f * coarse(fx, fy) + .45f * middle(fx, fy) +
                           .3f * fine(fx, fy) + .08f * grain_here;
        float amount = strength * cover * std::max(.05f, busy);
        if (plan_.fat > 0 && fat(fx, fy) < plan_.fat) amount *= .45f * FatWall(fx, fy);
        const float share = std::clamp(.15f + .8f * tone(fx, fy), 0.0f, 1.0f);  // first stain's
        Colour& density = Density(x, y);
        for (size_t k = 0; k < 3; ++k) {
          density[k] += amount * (share * .85f * stains.first[k] +
                                  (1 - share) * .8f * plan_.second_stain * stains.second[k]);
        }
      }
    }
  }

  // Specks under 4,000 um2, blurred grey spots, and the shade of a coverslip's edge.
  void PaintDirt() {
    PhiloxStream draw = Stream(kStyle, 9);
    const auto spot = [&](float radius, float density, float soft) {
      const float cx = draw.Uniform() * W(), cy = draw.Uniform() * H();
      const int reach = static_cast<int>(radius + soft) + 1;
      for (int y = std::max(0, static_cast<int>(cy) - reach);
           y < std::min(height_, static_cast<int>(cy) + reach); ++y) {
        for (int x = std::max(0, static_cast<int>(cx) - reach);
             x < std::min(width_, static_cast<int>(cx) + reach); ++x) {
          const float d = std::hypot(static_cast<float>(x) - cx, static_cast<float>(y) - cy);
          const float amount = density * std::clamp((radius + soft - d) / (2 * soft), 0.0f, 1.0f);
          for (float& value : Density(x, y)) value += amount;
        }
      }
    };
    for (int i = 0; i < 60; ++i) spot(draw.Uniform(.6f, 3), draw.Uniform(.3f, 1.2f), .7f);
    for (int i = 0; i < 12; ++i) spot(draw.Uniform(8, 22), draw.Uniform(.02f, .06f), 5);
    const Field edge(Stream(kStyle, 10), width_, height_, 90);
    for (int y = 0; y < height_; ++y) {
      for (int x = 0; x < width_; ++x) {
        const float fx = static_cast<float>(x), fy = static_cast<float>(y);
        if (fy < .12f * H() + 50 * (edge(fx, 0) - .5f)) {
          const Colour tint = {1.04f, 1, .94f};
          for (size_t k = 0; k < 3; ++k) Density(x, y)[k] += family_.plate * tint[k];
        }
      }
    }
  }

  void PaintInk() {
    PhiloxStream draw = Stream(kInk);
    const Field streaks(Stream(kInk, 1), width_, height_, 9);
    for (size_t i = 0; i < plan_.pens.size(); ++i) {
      const char pen = plan_.pens[i];
      const Colour ink = pen == 'r'   ? family_.red
                         : pen == 'g' ? family_.green
                         : pen == 'b' ? family_.blue
                                      : family_.black;
      const float opacity = draw.Uniform(family_.ink_low, family_.ink_high);
      const float half_width = draw.Uniform(9, 26);
      // The first mark is an arc around a piece that cuts into it, the others are strokes anywhere.
      const Piece& about = pieces_[i % pieces_.size()];
      const float radius = (plan_.filled ? 200 : about.radius) * draw.Uniform(.95f, 1.2f);
      const float start = draw.Uniform(0, 6.28f), turn = draw.Uniform(1.2f, 3.5f);
      const float x0 = draw.Uniform(.1f, .9f) * W(), y0 = draw.Uniform(.1f, .9f) * H();
      const float angle = draw.Uniform(0, 6.28f), length = draw.Uniform(150, 420);
      for (int step = 0; step <= 60; ++step) {
        const float t = static_cast<float>(step) / 60;
        Disc dot{};
        if (i % 2 == 0) {
          dot = {about.x + radius * std::cos(start + turn * t),
                 about.y + radius * std::sin(start + turn * t), half_width};
        } else {
          dot = {x0 + length * t * std::cos(angle + .6f * t),
                 y0 + length * t * std::sin(angle + .6f * t), half_width};
        }
        path_.push_back(dot);
      }
      Ink(path_, ink, opacity, streaks);
      path_.clear();
    }
  }

  void Ink(const std::vector<Disc>& path, const Colour& ink, float opacity, const Field& streaks) {
    for (int y = 0; y < height_; ++y) {
      for (int x = 0; x < width_; ++x) {
        const float fx = static_cast<float>(x), fy = static_cast<float>(y);
        float depth = -1e9f;
        for (const Disc& dot : path) {
          depth = std::max(depth, dot.radius - std::hypot(fx - dot.x, fy - dot.y));
        }
        const float cover = std::clamp(.5f + depth / 3, 0.0f, 1.0f);
        if (cover <= 0) continue;
        const float amount = opacity * cover * (.75f + .35f * streaks(fx, fy));
        for (size_t k = 0; k < 3; ++k) Density(x, y)[k] += amount * ink[k];
        if (cover > .5f) {
          *scene_.ink.at(x, y) = 255;
          *scene_.truth.at(x, y) = 0;
        }
      }
    }
  }

  void Expose() {
    PhiloxStream style = Stream(kStyle);
    const std::vector<Colour>& choices = plan_.glass == 't'   ? family_.tinted
                                         : plan_.glass == 'g' ? family_.grey
                                                              : family_.glass;
    const Colour glass = choices[seed_ % choices.size()];
    const float uneven = plan_.uneven ? 1.0f : .15f;
    const float side = style.Bernoulli(.5f) ? 1.0f : -1.0f;
    const float sigma =
        plan_.noisy ? family_.strong_noise : style.Uniform(family_.noise_low, family_.noise_high);
    const float frame = style.Uniform(40, 110);
    const bool corner = style.Bernoulli(.5f);
    PhiloxStream noise = Stream(kNoise);
    scene_.rgb = core::Image(width_, height_, 3);
    for (int y = 0; y < height_; ++y) {
      for (int x = 0; x < width_; ++x) {
        const float u = static_cast<float>(x) / W() - .5f, v = static_cast<float>(y) / H() - .5f;
        const float light = 1 + uneven * (family_.tilt * side * (u + .6f * v) -
                                          family_.bowl * (2 * (u * u + v * v) - .3f));
        // A band all around, or an L: the scanner left a corner out.
        const int edge =
            corner ? std::min(x, y) : std::min({x, y, width_ - 1 - x, height_ - 1 - y});
        const bool black = plan_.frame && edge < static_cast<int>(frame);
        if (black) *scene_.truth.at(x, y) = 0;
        const float common = noise.Normal();  // luminance noise is shared by the channels
        for (size_t k = 0; k < 3; ++k) {
          const float clean =
              black ? family_.frame_level : glass[k] * light * std::exp(-Density(x, y)[k]);
          const float scatter = sigma * (.6f * common + .8f * noise.Normal());
          scene_.rgb.at(x, y)[k] = static_cast<uint8_t>(std::clamp(clean + scatter, 0.f, 255.f));
        }
      }
    }
    const core::Bytes jpeg =
        core::EncodeJpeg(scene_.rgb, plan_.noisy ? family_.strong_jpeg : family_.jpeg);
    scene_.rgb = core::DecodeRgb(jpeg, "scene");
  }

  const Plan& plan_;
  const uint32_t index_;
  const Family& family_;
  const uint64_t key_;
  const uint32_t seed_;
  const int width_, height_;
  std::vector<Colour> density_;
  std::vector<Piece> pieces_;
  std::vector<Disc> lumina_, holes_, path_;
  TissueScene scene_;
};

}  // namespace

const std::vector<std::string>& SceneCases() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Plan& plan : Plans()) all.emplace_back(plan.name);
    return all;
  }();
  return names;
}

TissueScene MakeTissueScene(const std::string& scene_case, SceneFamily family, uint32_t seed,
                            int width, int height) {
  const std::vector<std::string>& names = SceneCases();
  const auto found = std::find(names.begin(), names.end(), scene_case) - names.begin();
  return Painter(Plans().at(static_cast<size_t>(found)), static_cast<uint32_t>(found), family, seed,
                 width, height)
      .Paint();
}

}  // namespace eosin::bench
