// SPDX-License-Identifier: Apache-2.0
#include "tiling/synth/painter.h"

#include <algorithm>
#include <cmath>

namespace eosin::tiling {
namespace {

constexpr float kPi = 3.14159265f;
constexpr float kSteps = 512;  // entries of the exp table a unit of density

float Smooth(float edge0, float edge1, float x) {
  const float t = std::clamp((x - edge0) / (edge1 - edge0), 0.0f, 1.0f);
  return t * t * (3 - 2 * t);
}

}  // namespace

Painter::Painter(const Scene& scene, double mpp)
    : scene_(scene),
      mpp_(static_cast<float>(mpp)),
      h_(kTile * kTile),
      e_(kTile * kTile),
      pen_(kTile * kTile) {
  for (size_t i = 0; i < transmit_.size(); ++i) {
    transmit_[i] = static_cast<uint8_t>(
        std::lround(255 * std::exp(-static_cast<double>(i) / static_cast<double>(kSteps))));
  }
}

void Painter::Paint(int64_t column, int64_t row, const std::vector<Gland>& glands,
                    PaintedTile* tile) {
  tile_ = tile;
  origin_ = {static_cast<float>(column * kTile) * mpp_, static_cast<float>(row * kTile) * mpp_};
  std::fill(tile->truth.pixels.begin(), tile->truth.pixels.end(), uint8_t{0});
  std::fill(tile->tissue.pixels.begin(), tile->tissue.pixels.end(), uint8_t{0});
  bool blank = true;
  PaintStroma(&blank);
  if (!blank) {
    const float size = kTile * mpp_;
    std::vector<const Gland*> near;
    for (const Gland& gland : glands) {
      const float r = gland.reach + 4;
      if (gland.centre.x + r > origin_.x && gland.centre.x - r < origin_.x + size &&
          gland.centre.y + r > origin_.y && gland.centre.y - r < origin_.y + size) {
        near.push_back(&gland);
      }
    }
    for (const Gland* gland : near) PaintGland(*gland);
    PaintStromaCells();
    for (const Gland* gland : near) PaintGlandCells(*gland);
  }
  PaintPen();
  Compose(column, row, blank);
}

bool Painter::Clip(float low, float high, float origin, int* first, int* last) const {
  *first = std::max(0, static_cast<int>(std::floor((low - origin) / mpp_)));
  *last = std::min(kTile - 1, static_cast<int>(std::ceil((high - origin) / mpp_)));
  return *first <= *last;
}

// Tissue outline and the fibres of the stroma. Slow fields are evaluated on nodes and run linearly
// between them; the fibres' own noise is evaluated at every pixel.
void Painter::PaintStroma(bool* blank) {
  const NoiseField& noise = scene_.noise();
  for (int j = 0; j < kNodes; ++j) {
    for (int i = 0; i < kNodes; ++i) {
      const Point p{origin_.x + static_cast<float>(i * kStep) * mpp_,
                    origin_.y + static_cast<float>(j * kStep) * mpp_};
      const int node = j * kNodes + i;
      tissue_node_[node] = scene_.Tissue(p);
      // Fibres run along curves: coordinates bent by slow noise, long cells along, short across.
      const float bend_x =
          150 * noise(p.x / 210 + 7, p.y / 210 + 3) + 24 * noise(p.x / 48, p.y / 48);
      const float bend_y =
          150 * noise(p.x / 210 + 57, p.y / 210 + 33) + 24 * noise(p.x / 48 + 9, p.y / 48 + 77);
      fibre_u_node_[node] = (0.8f * p.x + 0.6f * p.y + bend_x) / 26;
      fibre_v_node_[node] = (-0.6f * p.x + 0.8f * p.y + bend_y) / 4.2f;
      density_node_[node] = noise(p.x / 170 + 31, p.y / 170 + 62);
    }
  }
  for (int by = 0; by < kNodes - 1; ++by) {
    for (int bx = 0; bx < kNodes - 1; ++bx) {
      const int node = by * kNodes + bx;
      auto corners = [&](const auto& field) {
        return std::array<float, 4>{field[node], field[node + 1], field[node + kNodes],
                                    field[node + kNodes + 1]};
      };
      const auto tissue = corners(tissue_node_);
      if (*std::max_element(tissue.begin(), tissue.end()) <= 0) {
        for (int y = 0; y < kStep; ++y) {
          const int at = (by * kStep + y) * kTile + bx * kStep;
          std::fill_n(&h_[at], kStep, 0.0f);
          std::fill_n(&e_[at], kStep, 0.0f);
        }
        continue;
      }
      *blank = false;
      const auto u4 = corners(fibre_u_node_), v4 = corners(fibre_v_node_),
                 d4 = corners(density_node_);
      for (int y = 0; y < kStep; ++y) {
        const float ty = static_cast<float>(y) / kStep;
        auto ends = [ty](const std::array<float, 4>& c, float* start, float* slope) {
          *start = c[0] + ty * (c[2] - c[0]);
          *slope = (c[1] + ty * (c[3] - c[1]) - *start) / kStep;
        };
        float t, dt, u, du, v, dv, d, dd;
        ends(tissue, &t, &dt);
        ends(u4, &u, &du);
        ends(v4, &v, &dv);
        ends(d4, &d, &dd);
        const int at = (by * kStep + y) * kTile + bx * kStep;
        for (int x = 0; x < kStep; ++x, t += dt, u += du, v += dv, d += dd) {
          float h = 0, e = 0;
          if (t > 0) {
            const float strand = noise(u, v);
            const float fine = noise(u * 2.3f + 40, v * 2.1f + 17);
            const float ridge = 1 - std::fabs(2 * strand - 1);
            // Loose where density is low: white clefts between the strands.
            const float cleft = Smooth(0.10f, 0.34f, ridge + 0.9f * (d - 0.42f) + 0.25f * fine);
            e = (0.30f + 0.26f * ridge + 0.20f * fine + 0.16f * d) * (0.12f + 0.88f * cleft);
            h = (0.045f + 0.05f * fine) * (0.3f + 0.7f * cleft);
            const float edge = std::min(1.0f, t / (2 * mpp_));
            e *= edge * (1 + 0.3f * Smooth(22, 2, t));  // tissue edges take up more eosin
            h *= edge;
            tile_->tissue.pixels[at + x] = 1;
          }
          h_[at + x] = h;
          e_[at + x] = e;
        }
      }
    }
  }
}

void Painter::PaintGland(const Gland& gland) {
  int x0, x1, y0, y1;
  const float r = gland.reach + 4;
  if (!Clip(gland.centre.x - r, gland.centre.x + r, origin_.x, &x0, &x1) ||
      !Clip(gland.centre.y - r, gland.centre.y + r, origin_.y, &y0, &y1)) {
    return;
  }
  const NoiseField& noise = scene_.noise();
  const float least2 = gland.least_inner * gland.least_inner;
  for (int y = y0; y <= y1; ++y) {
    const float py = origin_.y + (static_cast<float>(y) + 0.5f) * mpp_;
    const float dy = py - gland.centre.y;
    for (int x = x0; x <= x1; ++x) {
      const float px = origin_.x + (static_cast<float>(x) + 0.5f) * mpp_;
      const float dx = px - gland.centre.x;
      const float d2 = dx * dx + dy * dy;
      if (d2 > r * r) continue;
      const int at = y * kTile + x;
      float inner = 1e9f, outer = 1e9f, distance = 0;
      if (d2 > least2) {
        distance = std::sqrt(d2);
        const float angle = FastAngle(dy, dx);
        outer = AtAngle(gland.outer, angle);
        inner = AtAngle(gland.inner, angle);
      }
      if (distance > outer) {
        // The basement membrane: a thin pink line.
        if (distance < outer + 2.5f) e_[at] += 0.16f * (1 - (distance - outer) / 2.5f);
        continue;
      }
      tile_->truth.pixels[at] = 1;
      const float cloud = 0.6f * noise(px / 9, py / 9) + 0.4f * noise(px / 3.1f, py / 3.1f);
      const float pale_h = 0.01f + 0.05f * gland.secretion * cloud;
      const float pale_e = 0.015f + gland.secretion * (0.10f + 0.22f * cloud);
      if (distance < inner - mpp_) {
        h_[at] = pale_h;
        e_[at] = pale_e;
        continue;
      }
      // Epithelium: purple cytoplasm, denser below (nuclei) and at the free edge.
      const float wall = std::max(outer - inner, 1.0f);
      const float depth = (outer - distance) / wall;  // 0 at the base, 1 at the lumen
      const float grain = noise(px / 2.4f + 60, py / 2.4f + 20);
      float h = (0.16f + 0.10f * grain + 0.10f * (1 - depth)) * gland.tone;
      float e = (0.36f + 0.14f * grain - 0.08f * depth) * gland.tone;
      if (depth > 0.9f) e += 0.14f;
      const float soft = std::clamp((distance - inner) / (1.5f * mpp_) + 0.67f, 0.0f, 1.0f);
      h_[at] = pale_h + soft * (h - pale_h);
      e_[at] = pale_e + soft * (e - pale_e);
    }
  }
}

void Painter::PaintStamp(const Stamp& stamp) {
  int x0, x1, y0, y1;
  const float r = stamp.long_axis;
  if (!Clip(stamp.centre.x - r, stamp.centre.x + r, origin_.x, &x0, &x1) ||
      !Clip(stamp.centre.y - r, stamp.centre.y + r, origin_.y, &y0, &y1)) {
    return;
  }
  const NoiseField& noise = scene_.noise();
  const float ca = stamp.cosine / stamp.long_axis, sa = stamp.sine / stamp.long_axis;
  const float cb = stamp.cosine / stamp.short_axis, sb = stamp.sine / stamp.short_axis;
  const float softness = std::max(1.0f, stamp.short_axis / (1.6f * mpp_));
  for (int y = y0; y <= y1; ++y) {
    const float dy = origin_.y + (static_cast<float>(y) + 0.5f) * mpp_ - stamp.centre.y;
    for (int x = x0; x <= x1; ++x) {
      const float dx = origin_.x + (static_cast<float>(x) + 0.5f) * mpp_ - stamp.centre.x;
      const float u = ca * dx + sa * dy, v = cb * dy - sb * dx;
      const float q = u * u + v * v;
      const int at = y * kTile + x;
      if (q >= 1 || tile_->truth.pixels[at] != stamp.on || !tile_->tissue.pixels[at]) continue;
      const float cover = std::min(1.0f, (1 - q) * 0.5f * softness);
      const float chromatin = noise(dx / 1.3f + stamp.centre.x, dy / 1.3f + stamp.centre.y);
      const float h = stamp.hematoxylin * (0.72f + 0.42f * chromatin + stamp.rim * (q - 0.5f));
      h_[at] += cover * (h - h_[at]);
      e_[at] += cover * (stamp.eosin - e_[at]);
    }
  }
}

void Painter::PaintGlandCells(const Gland& gland) {
  const SceneTraits& traits = scene_.traits();
  auto stream = scene_.Stream(gland.id, kLayerNuclei);
  // Once round the gland in steps of one cell.
  for (float angle = -kPi; angle < kPi;) {
    const float outer = AtAngle(gland.outer, angle), inner = AtAngle(gland.inner, angle);
    const float wall = outer - inner;
    const float width = stream.Uniform(5.0f, 6.6f) * (1 + 0.1f * traits.dysplasia);
    const float c = std::cos(angle), s = std::sin(angle);
    const float spread = 0.10f + 0.34f * traits.dysplasia * stream.Uniform();
    const float depth =
        std::min(0.20f + spread * stream.Uniform() * 1.6f, 0.75f) * std::min(wall, 30.0f);
    const float size = stream.Uniform(0.85f, 1.15f) * (1 + 0.22f * traits.dysplasia);
    const float tilt = angle + 0.22f * stream.Normal();
    const bool goblet = stream.Uniform() < traits.goblets && wall > 12;
    const float dark = (1.02f + 0.16f * traits.dysplasia) * stream.Uniform(0.8f, 1.1f);
    if (goblet) {
      const float height = std::min(wall, 27.0f);
      const float r = outer - 0.66f * height;
      PaintStamp({{gland.centre.x + r * c, gland.centre.y + r * s},
                  0.27f * height,
                  0.62f * width,
                  c,
                  s,
                  0.10f,
                  0.05f,
                  -0.3f,
                  1});
    }
    const float r = outer - std::max(depth, 4.6f);
    PaintStamp({{gland.centre.x + r * c, gland.centre.y + r * s},
                4.6f * size,
                2.75f * size,
                std::cos(tilt),
                std::sin(tilt),
                dark,
                0.26f,
                0.35f,
                1});
    angle += width / std::max(outer - 5, 8.0f);
  }
}

// Fibroblasts along the fibres and lymphocytes, loosely and in clusters, on a lattice of small
// cells; each is drawn by the tiles it touches.
void Painter::PaintStromaCells() {
  constexpr float kCell = 13, kReach = 9;
  const NoiseField& noise = scene_.noise();
  const SceneTraits& traits = scene_.traits();
  const float size = kTile * mpp_;
  const int i0 = std::max(0, static_cast<int>((origin_.x - kReach) / kCell));
  const int j0 = std::max(0, static_cast<int>((origin_.y - kReach) / kCell));
  const int i1 = static_cast<int>((origin_.x + size + kReach) / kCell);
  const int j1 = static_cast<int>((origin_.y + size + kReach) / kCell);
  for (int j = j0; j <= j1; ++j) {
    for (int i = i0; i <= i1; ++i) {
      auto stream =
          scene_.Stream(static_cast<uint32_t>(j) << 16 | static_cast<uint32_t>(i), kLayerStroma);
      const float cx = static_cast<float>(i) * kCell, cy = static_cast<float>(j) * kCell;
      const float crowd = noise(cx / 110 + 80, cy / 110 + 8);
      const float lymphocytes = 0.22f + 1.7f * Smooth(0.58f, 0.85f, crowd);
      for (int k = 0; k < 3; ++k) {
        const float draw = stream.Uniform() / traits.cellular;
        const Point p{cx + kCell * stream.Uniform(), cy + kCell * stream.Uniform()};
        const float a = stream.Uniform(), b = stream.Uniform();
        if (draw < lymphocytes / 3) {
          const float r = 2.4f + 0.9f * a;
          PaintStamp({p, r * 1.06f, r, 1, 0, 1.05f + 0.2f * b, 0.25f, 0.2f, 0});
        } else if (draw < lymphocytes / 3 + 0.16f) {
          // Along the fibres: level lines of the bent coordinate.
          const float bend = 150.0f / 210 * 2.0f;
          const float gx =
              noise(p.x / 210 + 57.05f, p.y / 210 + 33) - noise(p.x / 210 + 56.95f, p.y / 210 + 33);
          const float gy =
              noise(p.x / 210 + 57, p.y / 210 + 33.05f) - noise(p.x / 210 + 57, p.y / 210 + 32.95f);
          const float nx = -0.6f + 5 * bend * gx, ny = 0.8f + 5 * bend * gy;
          const float norm = std::max(std::sqrt(nx * nx + ny * ny), 1e-3f);
          PaintStamp({p, 5.0f + 3.0f * a, 1.35f + 0.8f * b, ny / norm, -nx / norm, 0.70f + 0.3f * b,
                      0.34f, 0.2f, 0});
        }
      }
    }
  }
}

void Painter::PaintPen() {
  const float size = kTile * mpp_;
  has_pen_ = scene_.PenNear(origin_, {origin_.x + size, origin_.y + size});
  if (!has_pen_) return;
  for (int y = 0; y < kTile; ++y) {
    for (int x = 0; x < kTile; ++x) {
      const float cover = scene_.Pen({origin_.x + (static_cast<float>(x) + 0.5f) * mpp_,
                                      origin_.y + (static_cast<float>(y) + 0.5f) * mpp_});
      pen_[y * kTile + x] = static_cast<uint8_t>(std::min(cover * 200, 255.0f));
      if (cover > 0) tile_->tissue.pixels[y * kTile + x] = 0;
    }
  }
}

void Painter::Compose(int64_t column, int64_t row, bool blank) {
  const SceneTraits& traits = scene_.traits();
  const NoiseField& noise = scene_.noise();
  const std::array<float, 3> tint = {traits.illumination - traits.warmth, traits.illumination,
                                     traits.illumination + traits.warmth};
  auto grain =
      scene_.Stream(static_cast<uint32_t>(row) << 16 | static_cast<uint32_t>(column), kLayerGrain);
  const auto& hv = traits.hematoxylin;
  const auto& ev = traits.eosin;
  const auto& ink = scene_.pen().density;
  std::array<uint8_t, kTile> bytes;
  for (int y = 0; y < kTile; ++y) {
    for (int i = 0; i < kTile; i += 4) {
      const uint32_t word = grain.Next();
      for (int k = 0; k < 4; ++k) bytes[i + k] = static_cast<uint8_t>(word >> (8 * k));
    }
    uint8_t* out = tile_->rgb.row(y);
    const float gy = (origin_.y + static_cast<float>(y) * mpp_) / 700;
    float light = 0, slope = 0;
    for (int x = 0; x < kTile; ++x) {
      if (x % 64 == 0) {  // illumination falls off slowly
        const float gx = (origin_.x + static_cast<float>(x) * mpp_) / 700;
        light = 0.03f * noise(gx + 3, gy + 5);
        slope = (0.03f * noise(gx + 3 + 64 * mpp_ / 700, gy + 5) - light) / 64;
      }
      const int at = y * kTile + x;
      // Sensor noise: +-1.5 % of the intensity; stains vary a little more.
      const float shot = (static_cast<float>(bytes[x]) - 127.5f) * (1.0f / 8500);
      const float base = light + shot;
      light += slope;
      std::array<float, 3> od;
      if (blank) {
        for (int c = 0; c < 3; ++c) od[c] = tint[c] + base;
      } else {
        const float h = h_[at] * (1 + 4 * shot), e = e_[at] * (1 + 4 * shot);
        for (int c = 0; c < 3; ++c) od[c] = tint[c] + base + h * hv[c] + e * ev[c];
      }
      if (has_pen_) {
        const float cover = static_cast<float>(pen_[at]) * (1.0f / 200);
        for (int c = 0; c < 3; ++c) od[c] += cover * ink[c];
      }
      for (int c = 0; c < 3; ++c) {
        const int i = static_cast<int>(od[c] * kSteps + 0.5f);
        out[3 * x + c] = transmit_[i < 0 ? 0 : i > 4095 ? 4095 : i];
      }
    }
  }
}

}  // namespace eosin::tiling
