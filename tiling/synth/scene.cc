// SPDX-License-Identifier: Apache-2.0
#include "tiling/synth/scene.h"

#include <algorithm>
#include <cmath>

namespace eosin::tiling {
namespace {

constexpr float kPi = 3.14159265f;
// Their product bounds a gland's reach in units of the lattice spacing.
constexpr float kMostFill = 0.66f, kMostRadius = 1.08f, kMostWish = 1.35f;

// A closed curve 1 + sum of harmonics, as a table by angle.
template <size_t N>
void DrawOutline(core::PhiloxStream& stream, float amplitude, int harmonics,
                 std::array<float, N>* table) {
  std::array<float, 12> size{}, phase{};
  for (int k = 0; k < harmonics; ++k) {
    size[k] = amplitude * stream.Normal() / std::pow(static_cast<float>(k + 2), 0.8f);
    phase[k] = stream.Uniform(0, 2 * kPi);
  }
  for (size_t i = 0; i < N; ++i) {
    const float angle = -kPi + 2 * kPi * static_cast<float>(i) / static_cast<float>(N - 1);
    float value = 1;
    for (int k = 0; k < harmonics; ++k) {
      value += size[k] * std::cos(static_cast<float>(k + 2) * angle + phase[k]);
    }
    (*table)[i] = value;
  }
  (*table)[N - 1] = (*table)[0];
}

std::array<float, 3> StainVector(std::array<float, 3> mean, float spread, float strength,
                                 core::PhiloxStream& stream) {
  float norm = 0;
  for (float& value : mean) {
    value = std::max(0.02f, value + spread * stream.Normal());
    norm += value * value;
  }
  for (float& value : mean) value *= strength / std::sqrt(norm);
  return mean;
}

SceneTraits DrawTraits(uint64_t seed, uint32_t slide, uint32_t patient) {
  SceneTraits traits;
  core::PhiloxStream stain(seed, core::DrawPurpose::kSynth, slide, 0, kLayerStain);
  const float h_strength = stain.Uniform(1.25f, 1.75f);
  const float e_strength = stain.Uniform(0.65f, 1.30f);
  traits.hematoxylin = StainVector({0.65f, 0.70f, 0.29f}, 0.035f, h_strength, stain);
  traits.eosin = StainVector({0.17f, 0.90f, 0.38f}, 0.045f, e_strength, stain);
  traits.illumination = stain.Uniform(0.025f, 0.055f);
  traits.warmth = stain.Uniform(-0.008f, 0.012f);

  core::PhiloxStream body(seed, core::DrawPurpose::kSynth, patient, 0, kLayerPatient);
  traits.spacing = body.Uniform(112, 165);
  traits.stretch = body.Uniform(1.0f, 1.45f);
  traits.stretch_angle = body.Uniform(0, kPi);
  traits.fill = body.Uniform(0.50f, kMostFill);
  traits.keep = body.Uniform(0.84f, 0.97f);
  traits.dysplasia = body.Uniform() < 0.4f ? body.Uniform(0.4f, 1.0f) : body.Uniform(0.0f, 0.2f);
  traits.irregular = 0.05f + 0.10f * body.Uniform() + 0.08f * traits.dysplasia;
  traits.goblets = body.Uniform(0.35f, 0.75f) * (1 - 0.85f * traits.dysplasia);
  traits.cellular = body.Uniform(0.8f, 1.6f);
  return traits;
}

}  // namespace

float FastAngle(float y, float x) {
  const float ax = std::fabs(x), ay = std::fabs(y);
  const float high = ax > ay ? ax : ay, low = ax > ay ? ay : ax;
  const float t = high > 0 ? low / high : 0;
  const float s = t * t;
  float angle = t * (0.99986f + s * (-0.33029f + s * (0.18014f + s * (-0.08513f + s * 0.02083f))));
  if (ay > ax) angle = kPi / 2 - angle;
  if (x < 0) angle = kPi - angle;
  return y < 0 ? -angle : angle;
}

NoiseField::NoiseField(uint64_t seed, uint32_t slide) {
  core::PhiloxStream stream(seed, core::DrawPurpose::kSynth, slide, 0, kLayerNoise);
  for (size_t i = 0; i < lattice_.size(); i += 4) {
    const uint32_t word = stream.Next();
    for (size_t k = 0; k < 4; ++k) lattice_[i + k] = static_cast<uint8_t>(word >> (8 * k));
  }
}

float NoiseField::operator()(float x, float y) const {
  // Truncation equals floor on positive numbers; 4096 is a whole number of periods.
  x += 4096;
  y += 4096;
  const int ix = static_cast<int>(x), iy = static_cast<int>(y);
  float tx = x - static_cast<float>(ix), ty = y - static_cast<float>(iy);
  tx = tx * tx * (3 - 2 * tx);
  ty = ty * ty * (3 - 2 * ty);
  const uint8_t* top = &lattice_[(iy & 127) * 128];
  const uint8_t* bottom = &lattice_[((iy + 1) & 127) * 128];
  const int x0 = ix & 127, x1 = (ix + 1) & 127;
  const float a = static_cast<float>(top[x0]) + tx * static_cast<float>(top[x1] - top[x0]);
  const float b = static_cast<float>(bottom[x0]) + tx * static_cast<float>(bottom[x1] - bottom[x0]);
  return (a + ty * (b - a)) * (1.0f / 256);
}

Scene::Scene(uint64_t seed, uint32_t slide, uint32_t patient, float width, float height, bool pen)
    : seed_(seed), slide_(slide), traits_(DrawTraits(seed, slide, patient)), noise_(seed, slide) {
  MakePieces(width, height);
  if (pen) MakePen(width, height);
}

void Scene::MakePieces(float width, float height) {
  auto stream = Stream(0, kLayerPieces);
  // Pieces lie side by side along the longer edge, about as many as fit as squares, one more at
  // times.
  const bool wide = width >= height;
  const float along = wide ? width : height, across = wide ? height : width;
  int count = std::max(1, static_cast<int>(along / across + 0.35f + 0.6f * stream.Uniform()));
  count = std::min(count, 12);
  const float slot = along / static_cast<float>(count);
  for (int i = 0; i < count; ++i) {
    Piece piece;
    const float a = (static_cast<float>(i) + 0.5f + stream.Uniform(-0.05f, 0.05f)) * slot;
    const float b = across * stream.Uniform(0.46f, 0.54f);
    const float ra = slot * stream.Uniform(0.36f, 0.44f);
    const float rb = across * stream.Uniform(0.34f, 0.43f);
    piece.centre = wide ? Point{a, b} : Point{b, a};
    piece.radius = wide ? Point{ra, rb} : Point{rb, ra};
    const float turn = stream.Uniform(-0.3f, 0.3f);
    piece.cosine = std::cos(turn);
    piece.sine = std::sin(turn);
    DrawOutline(stream, 0.10f, 7, &piece.outline);
    pieces_.push_back(piece);
  }
}

void Scene::MakePen(float width, float height) {
  auto stream = Stream(0, kLayerPen);
  static constexpr std::array<float, 3> kInks[] = {
      {2.1f, 1.25f, 0.35f}, {1.7f, 0.55f, 1.2f}, {1.7f, 1.7f, 1.6f}};  // blue, green, black
  pen_.density = kInks[stream.Below(3)];
  const float scale = std::min(width, height);
  pen_.half_width = std::min(0.025f * scale, 400.0f) * stream.Uniform(0.8f, 1.3f);
  // An arc around a corner of the slide: partly on glass, partly on tissue.
  const uint32_t corner = stream.Below(4);
  const Point centre{corner & 1 ? width : 0, corner & 2 ? height : 0};
  const float radius = scale * stream.Uniform(0.36f, 0.46f);
  const float middle = FastAngle(height / 2 - centre.y, width / 2 - centre.x);
  const float half = stream.Uniform(0.35f, 0.6f);
  for (int i = 0; i <= 40; ++i) {
    const float t = static_cast<float>(i) / 20 - 1;
    const float angle = middle + half * t;
    const float r = radius * (1 + 0.05f * std::sin(5 * t + middle));
    pen_.path.push_back({centre.x + r * std::cos(angle), centre.y + r * std::sin(angle)});
  }
}

float Scene::Tissue(Point p) const {
  float inside = -1e9f;
  for (const Piece& piece : pieces_) {
    const float dx = p.x - piece.centre.x, dy = p.y - piece.centre.y;
    const float u = (piece.cosine * dx + piece.sine * dy) / piece.radius.x;
    const float v = (-piece.sine * dx + piece.cosine * dy) / piece.radius.y;
    const float r = std::sqrt(u * u + v * v);
    const float edge = AtAngle(piece.outline, FastAngle(v, u));
    inside = std::max(inside, (edge - r) * std::min(piece.radius.x, piece.radius.y));
  }
  if (inside < -250) return inside;
  inside += 150 * (noise_(p.x / 260, p.y / 260) - 0.5f) + 36 * (noise_(p.x / 55, p.y / 55) - 0.5f);
  // Tears, slanted against the noise lattice.
  const float a = 0.86f * p.x + 0.5f * p.y, b = -0.5f * p.x + 0.86f * p.y;
  const float tear = noise_(a / 330 + 40, b / 210 + 71) * 0.62f +
                     noise_(a / 120 + 11, b / 85 + 29) * 0.26f +
                     noise_(p.x / 37 + 50, p.y / 37 + 3) * 0.12f;
  return std::min(inside, (0.79f - tear) * 380);
}

Point Scene::LatticePoint(int column, int row) const {
  auto stream =
      Stream(static_cast<uint32_t>(row + 32768) << 16 | static_cast<uint32_t>(column + 32768),
             kLayerPlace);
  const float jitter = 0.30f;
  const float a =
      static_cast<float>(column) + (row & 1 ? 0.5f : 0.0f) + stream.Uniform(-jitter, jitter);
  const float b = (static_cast<float>(row) + stream.Uniform(-jitter, jitter)) * 0.866f;
  // Stretched along one direction, squeezed across it, turned.
  const float u = a * traits_.spacing * traits_.stretch, v = b * traits_.spacing / traits_.stretch;
  const float c = std::cos(traits_.stretch_angle), s = std::sin(traits_.stretch_angle);
  return {c * u - s * v, s * u + c * v};
}

bool Scene::MakeGland(int column, int row, Gland* gland) const {
  gland->id = static_cast<uint32_t>(row + 32768) << 16 | static_cast<uint32_t>(column + 32768);
  auto stream = Stream(gland->id, kLayerGland);
  gland->centre = LatticePoint(column, row);
  const Point c = gland->centre;
  // Sheets of stroma without glands.
  const float sheet = noise_(c.x / 420 + 17, c.y / 420 + 90);
  if (stream.Uniform() > traits_.keep || sheet > 0.78f) return false;
  if (Tissue(c) < 0.3f * traits_.spacing) return false;

  gland->secretion = stream.Uniform() < 0.3f ? stream.Uniform(0.3f, 1.0f) : 0.0f;
  gland->tone = stream.Uniform(0.88f, 1.12f);
  const float radius = traits_.spacing * traits_.fill * stream.Uniform(0.62f, kMostRadius);
  const float thickness = stream.Uniform(18, 28);
  const bool closed = stream.Uniform() < 0.07f;  // cut beside its lumen
  std::array<float, Gland::kAngles + 1> wish, wall, folds;
  DrawOutline(stream, traits_.irregular, 8, &wish);
  DrawOutline(stream, 0.10f, 6, &wall);
  DrawOutline(stream, 0.05f + 0.6f * traits_.irregular, 11, &folds);

  // The outline stays inside the Voronoi cell of its place (a soft minimum over the bisectors,
  // never above the true one), so glands never overlap and crowd as real ones do.
  std::array<Point, 24> neighbours;
  int count = 0;
  for (int dr = -2; dr <= 2; ++dr) {
    for (int dc = -2; dc <= 2; ++dc) {
      if (dr == 0 && dc == 0) continue;
      const Point q = LatticePoint(column + dc, row + dr);
      neighbours[count++] = {q.x - c.x, q.y - c.y};
    }
  }
  const float septum = 5 + 9 * stream.Uniform();
  gland->least_inner = 1e9f;
  for (int i = 0; i < Gland::kAngles; ++i) {
    const float angle = -kPi + 2 * kPi * static_cast<float>(i) / Gland::kAngles;
    const float dx = std::cos(angle), dy = std::sin(angle);
    const float own = radius * std::min(wish[i], kMostWish) + septum;
    auto eighth = [](float x) { return x * x * x * x * x * x * x * x; };
    float sum = eighth(100 / std::max(own, 10.0f));
    for (const Point& q : neighbours) {
      const float forward = q.x * dx + q.y * dy;
      if (forward > 0) sum += eighth(200 * forward / (q.x * q.x + q.y * q.y));
    }
    const float outer = 100 / std::sqrt(std::sqrt(std::sqrt(sum))) - septum;
    if (outer < 15) return false;
    const float wall_here = std::min(thickness * wall[i] * folds[i], 0.76f * outer);
    gland->outer[i] = outer;
    gland->inner[i] = closed ? 0 : outer - wall_here;
    gland->reach = std::max(gland->reach, outer);
    gland->least_inner = std::min(gland->least_inner, gland->inner[i]);
  }
  gland->outer[Gland::kAngles] = gland->outer[0];
  gland->inner[Gland::kAngles] = gland->inner[0];
  for (int i = 0; i < Gland::kAngles; i += 8) {
    const float angle = -kPi + 2 * kPi * static_cast<float>(i) / Gland::kAngles;
    const float r = gland->outer[i] + 8;
    if (Tissue({c.x + r * std::cos(angle), c.y + r * std::sin(angle)}) < 4) return false;
  }
  return true;
}

std::vector<Gland> Scene::GlandsIn(Point low, Point high) const {
  // Lattice rows and columns that can reach the box: its corners taken back through the stretch.
  const float reach = traits_.spacing * kMostFill * kMostRadius * kMostWish + 4;
  const float c = std::cos(traits_.stretch_angle), s = std::sin(traits_.stretch_angle);
  float a_low = 1e9f, a_high = -1e9f, b_low = 1e9f, b_high = -1e9f;
  for (const float x : {low.x - reach, high.x + reach}) {
    for (const float y : {low.y - reach, high.y + reach}) {
      const float a = (c * x + s * y) / (traits_.spacing * traits_.stretch);
      const float b = (-s * x + c * y) * traits_.stretch / (traits_.spacing * 0.866f);
      a_low = std::min(a_low, a);
      a_high = std::max(a_high, a);
      b_low = std::min(b_low, b);
      b_high = std::max(b_high, b);
    }
  }
  std::vector<Gland> glands;
  for (int row = static_cast<int>(std::floor(b_low)); row <= std::ceil(b_high); ++row) {
    for (int column = static_cast<int>(std::floor(a_low)) - 1; column <= std::ceil(a_high);
         ++column) {
      // Cheap test first: far places need no outline.
      const Point p = LatticePoint(column, row);
      if (p.x < low.x - reach || p.x > high.x + reach || p.y < low.y - reach ||
          p.y > high.y + reach) {
        continue;
      }
      Gland gland;
      if (!MakeGland(column, row, &gland)) continue;
      const float r = gland.reach + 4;
      if (gland.centre.x + r < low.x || gland.centre.x - r > high.x || gland.centre.y + r < low.y ||
          gland.centre.y - r > high.y) {
        continue;
      }
      glands.push_back(gland);
    }
  }
  return glands;
}

bool Scene::PenNear(Point low, Point high) const {
  const float r = 1.3f * pen_.half_width;
  return std::any_of(pen_.path.begin(), pen_.path.end(), [&](const Point& p) {
    // Path points lie closer together than a stroke is wide, or nearly; twice the width is safe.
    return p.x > low.x - 3 * r && p.x < high.x + 3 * r && p.y > low.y - 3 * r &&
           p.y < high.y + 3 * r;
  });
}

float Scene::Pen(Point p) const {
  float nearest = 1e18f;
  for (size_t i = 0; i + 1 < pen_.path.size(); ++i) {
    const Point a = pen_.path[i], b = pen_.path[i + 1];
    const float ux = b.x - a.x, uy = b.y - a.y;
    const float t =
        std::clamp(((p.x - a.x) * ux + (p.y - a.y) * uy) / (ux * ux + uy * uy), 0.0f, 1.0f);
    const float dx = p.x - a.x - t * ux, dy = p.y - a.y - t * uy;
    nearest = std::min(nearest, dx * dx + dy * dy);
  }
  if (pen_.path.empty()) return 0;
  const float edge = pen_.half_width * (0.9f + 0.2f * noise_(p.x / 20, p.y / 20));
  const float inside = edge - std::sqrt(nearest);
  if (inside <= 0) return 0;
  return std::min(1.0f, inside / 6) * (0.8f + 0.4f * noise_(p.x / 60 + 5, p.y / 14));
}

}  // namespace eosin::tiling
