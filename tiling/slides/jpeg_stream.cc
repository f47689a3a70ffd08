// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/jpeg_stream.h"

#include <fmt/format.h>
#include <algorithm>
#include <cstring>

namespace eosin::tiling {
namespace {

using Span = std::span<const uint8_t>;

bool Fail(std::string* error, const std::string& why) {
  if (error) *error = "JPEG: " + why;
  return false;
}

int Word(const uint8_t* p) { return p[0] << 8 | p[1]; }

// Calls visit(marker, payload) for each marker segment from `position` on until it returns false;
// `position` is then after that segment.
template <typename Visit>
bool Markers(Span bytes, size_t* position, std::string* error, Visit&& visit) {
  for (;;) {
    size_t p = *position;
    if (p >= bytes.size() || bytes[p] != 0xFF) return Fail(error, "damaged between its markers");
    while (p < bytes.size() && bytes[p] == 0xFF) ++p;
    if (p >= bytes.size()) return Fail(error, "ends before its picture");
    const uint8_t marker = bytes[p++];
    Span payload;
    if (marker != 0xD9) {
      if (marker <= 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {
        return Fail(error, fmt::format("marker {:02x} among its tables", marker));
      }
      if (bytes.size() - p < 2) return Fail(error, "ends before its picture");
      const size_t length = static_cast<size_t>(Word(&bytes[p]));
      if (length < 2 || length > bytes.size() - p) {
        return Fail(error, fmt::format("marker {:02x} leaves the stream", marker));
      }
      payload = bytes.subspan(p + 2, length - 2);
      p += length;
    }
    *position = p;
    bool proceed = false;
    if (!visit(marker, payload, &proceed)) return false;
    if (!proceed) return true;
  }
}

bool ReadQuant(Span s, uint8_t* mask, std::string* error) {
  while (!s.empty()) {
    const int precision = s[0] >> 4, id = s[0] & 15;
    const size_t size = 1 + 64 * static_cast<size_t>(precision + 1);
    if (precision > 1 || id > 3 || s.size() < size) return Fail(error, "damaged DQT");
    *mask = static_cast<uint8_t>(*mask | 1 << id);
    s = s.subspan(size);
  }
  return true;
}

bool ReadHuffman(Span s, uint8_t* dc, uint8_t* ac, std::string* error) {
  while (!s.empty()) {
    const int kind = s[0] >> 4, id = s[0] & 15;
    if (kind > 1 || id > 3 || s.size() < 17) return Fail(error, "damaged DHT");
    size_t symbols = 0;
    for (int i = 1; i <= 16; ++i) symbols += s[static_cast<size_t>(i)];
    if (symbols > 256 || s.size() < 17 + symbols) return Fail(error, "damaged DHT");
    uint8_t* mask = kind == 0 ? dc : ac;
    *mask = static_cast<uint8_t>(*mask | 1 << id);
    s = s.subspan(17 + symbols);
  }
  return true;
}

bool ReadFrame(uint8_t marker, Span s, JpegHeader* h, std::string* error) {
  if (h->frame != 0) return Fail(error, "two frames");
  if (marker > 0xC2) return Fail(error, fmt::format("coding {:02x} is not supported", marker));
  if (s.size() < 6) return Fail(error, "damaged SOF");
  h->frame = marker;
  h->precision = s[0];
  h->height = Word(&s[1]);
  h->width = Word(&s[3]);
  h->components = s[5];
  if (h->precision != 8) return Fail(error, fmt::format("{} bits a sample", h->precision));
  if (h->components != 1 && h->components != 3) {
    return Fail(error, fmt::format("{} components", h->components));
  }
  if (h->width == 0 || h->height == 0) return Fail(error, "no pixels");
  if (s.size() != 6 + 3 * static_cast<size_t>(h->components)) return Fail(error, "damaged SOF");
  for (int i = 0; i < h->components; ++i) {
    const uint8_t* p = &s[6 + 3 * static_cast<size_t>(i)];
    auto& c = h->component[static_cast<size_t>(i)];
    c.id = p[0];
    c.horizontal = p[1] >> 4;
    c.vertical = p[1] & 15;
    c.quant = p[2];
    if (c.horizontal < 1 || c.horizontal > 4 || c.vertical < 1 || c.vertical > 4 || c.quant > 3) {
      return Fail(error, "damaged SOF");
    }
  }
  return true;
}

bool ReadScan(Span s, JpegHeader* h, std::string* error) {
  if (h->frame == 0) return Fail(error, "a scan before its frame");
  const int count = s.empty() ? 0 : s[0];
  if (count < 1 || count > h->components || s.size() != 4 + 2 * static_cast<size_t>(count)) {
    return Fail(error, "damaged SOS");
  }
  h->scan_components = count;
  for (int i = 0; i < count; ++i) {
    const uint8_t id = s[1 + 2 * static_cast<size_t>(i)];
    const uint8_t tables = s[2 + 2 * static_cast<size_t>(i)];
    auto* end = h->component.begin() + h->components;
    auto* c = std::find_if(h->component.begin(), end, [id](const auto& x) { return x.id == id; });
    if (c == end || (tables >> 4) > 3 || (tables & 15) > 3) return Fail(error, "damaged SOS");
    c->dc = tables >> 4;
    c->ac = tables & 15;
  }
  return true;
}

bool IsJfif(uint8_t marker, Span s) {
  return marker == 0xE0 && s.size() >= 12 && std::memcmp(s.data(), "JFIF", 5) == 0;
}
bool IsAdobe(uint8_t marker, Span s) {
  return marker == 0xEE && s.size() >= 12 && std::memcmp(s.data(), "Adobe", 5) == 0;
}

// APP14: "Adobe", version 100, no flags, the transform.
void AppendAdobe(uint8_t transform, core::Bytes* out) {
  out->insert(out->end(),
              {0xFF, 0xEE, 0, 14, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, transform});
}

}  // namespace

JpegColour JpegHeader::Guess() const {
  if (components == 1) return JpegColour::kGrey;
  if (jfif) return JpegColour::kYCbCr;
  if (adobe) return adobe_transform == 0 ? JpegColour::kRgb : JpegColour::kYCbCr;
  const bool rgb = component[0].id == 'R' && component[1].id == 'G' && component[2].id == 'B';
  return rgb ? JpegColour::kRgb : JpegColour::kYCbCr;
}

int64_t JpegHeader::mcus() const {
  int h = 1, v = 1;
  // A scan of one component is not interleaved: its MCU is one block.
  if (components > 1) {
    for (int i = 0; i < components; ++i) {
      h = std::max<int>(h, component[static_cast<size_t>(i)].horizontal);
      v = std::max<int>(v, component[static_cast<size_t>(i)].vertical);
    }
  }
  return int64_t{(width + 8 * h - 1) / (8 * h)} * ((height + 8 * v - 1) / (8 * v));
}

bool ParseJpegHeader(Span bytes, JpegHeader* header, std::string* error) {
  JpegHeader h;
  if (bytes.size() < 4 || bytes[0] != 0xFF || bytes[1] != 0xD8) {
    return Fail(error, "does not start as one");
  }
  size_t position = 2;
  const auto visit = [&](uint8_t marker, Span s, bool* proceed) {
    *proceed = marker != 0xDA;
    switch (marker) {
      case 0xD9:
        return Fail(error, "ends before its picture");
      case 0xDA:
        return ReadScan(s, &h, error);
      case 0xDB:
        return ReadQuant(s, &h.quant_tables, error);
      case 0xC4:
        return ReadHuffman(s, &h.dc_tables, &h.ac_tables, error);
      case 0xDD:
        if (s.size() != 2) return Fail(error, "damaged DRI");
        h.restart_interval = Word(s.data());
        return true;
      case 0xE0:
        h.jfif |= IsJfif(marker, s);
        return true;
      case 0xEE:
        if (IsAdobe(marker, s)) {
          h.adobe = true;
          h.adobe_transform = s[11];
        }
        return true;
      default:
        if (marker >= 0xC0 && marker <= 0xCF && marker != 0xCC) {
          return ReadFrame(marker, s, &h, error);
        }
        // APPn and COM carry no pixels.
        if (marker >= 0xE0 && marker <= 0xFE) return true;
        return Fail(error, fmt::format("marker {:02x} among its tables", marker));
    }
  };
  if (!Markers(bytes, &position, error, visit)) return false;
  h.scan = position;
  *header = h;
  return true;
}

bool ParseJpegTables(Span bytes, JpegTables* tables, std::string* error) {
  JpegTables t;
  if (bytes.empty()) {
    *tables = t;
    return true;
  }
  if (bytes.size() < 4 || bytes[0] != 0xFF || bytes[1] != 0xD8) {
    return Fail(error, "damaged JPEGTables");
  }
  size_t position = 2;
  const auto visit = [&](uint8_t marker, Span s, bool* proceed) {
    *proceed = marker != 0xD9;
    if (marker != 0xDB && marker != 0xC4) return true;
    t.segments.insert(t.segments.end(), {0xFF, marker, static_cast<uint8_t>((s.size() + 2) >> 8),
                                         static_cast<uint8_t>((s.size() + 2) & 255)});
    t.segments.insert(t.segments.end(), s.begin(), s.end());
    return marker == 0xDB ? ReadQuant(s, &t.quant_tables, error)
                          : ReadHuffman(s, &t.dc_tables, &t.ac_tables, error);
  };
  if (!Markers(bytes, &position, error, visit)) return false;
  *tables = std::move(t);
  return true;
}

bool TablesPresent(const JpegHeader& header, const JpegTables& shared, std::string* error) {
  const int quant = header.quant_tables | shared.quant_tables;
  const int dc = header.dc_tables | shared.dc_tables, ac = header.ac_tables | shared.ac_tables;
  for (int i = 0; i < header.components; ++i) {
    const auto& c = header.component[static_cast<size_t>(i)];
    const bool missing = !(quant >> c.quant & 1) ||
                         (header.sequential() && (!(dc >> c.dc & 1) || !(ac >> c.ac & 1)));
    if (missing) return Fail(error, "its tables are missing");
  }
  return true;
}

bool CheckScan(Span bytes, const JpegHeader& header, size_t* end, std::string* error) {
  const int64_t expected =
      header.restart_interval > 0 ? (header.mcus() - 1) / header.restart_interval : 0;
  int64_t restarts = 0;
  size_t p = header.scan;
  while (p < bytes.size()) {
    const void* found = std::memchr(&bytes[p], 0xFF, bytes.size() - p);
    if (!found) break;
    p = static_cast<size_t>(static_cast<const uint8_t*>(found) - bytes.data()) + 1;
    if (p < bytes.size() && bytes[p] == 0) {  // the byte 0xFF itself
      ++p;
      continue;
    }
    while (p < bytes.size() && bytes[p] == 0xFF) ++p;
    if (p >= bytes.size()) break;
    const uint8_t marker = bytes[p++];
    if (marker == 0xD9) {
      if (restarts != expected) return Fail(error, "ends too early");
      const auto rest = bytes.subspan(p);
      if (std::any_of(rest.begin(), rest.end(), [](uint8_t byte) { return byte != 0; })) {
        return Fail(error, "data follows its end");
      }
      *end = p;
      return true;
    }
    if (restarts == expected || marker != 0xD0 + restarts % 8) {
      return Fail(error, fmt::format("marker {:02x} within its data", marker));
    }
    ++restarts;
  }
  return Fail(error, "has no end");
}

JpegWrapper::JpegWrapper(JpegTables tables, JpegColour colour, int width, int height)
    : tables_(std::move(tables)), colour_(colour), width_(width), height_(height) {
  prefix_ = {0xFF, 0xD8};
  if (colour == JpegColour::kRgb) AppendAdobe(0, &prefix_);
  prefix_.insert(prefix_.end(), tables_.segments.begin(), tables_.segments.end());
}

bool JpegWrapper::Wrap(core::Bytes* bytes, size_t begin, std::string* error) const {
  const size_t start = begin + room();
  const Span tile(bytes->data() + start, bytes->size() - start);
  JpegHeader header;
  size_t end = 0;
  bool good = ParseJpegHeader(tile, &header, error);
  if (good && (header.width != width_ || header.height != height_)) {
    good = Fail(error, fmt::format("{} x {} px instead of {} x {}", header.width, header.height,
                                   width_, height_));
  }
  if (good && (header.components == 1) != (colour_ == JpegColour::kGrey)) {
    good = Fail(error, fmt::format("{} components", header.components));
  }
  if (good && !header.sequential()) good = Fail(error, "in several scans");
  good = good && TablesPresent(header, tables_, error) && CheckScan(tile, header, &end, error);
  if (!good) {
    bytes->resize(begin);
    return false;
  }
  std::memcpy(bytes->data() + begin, prefix_.data(), prefix_.size());
  bytes->resize(start + end);
  // The stream's own markers come after ours and overrule them.
  if (colour_ == JpegColour::kRgb && !header.jfif && !header.adobe) return true;
  if (header.Guess() == colour_) return true;
  return Recolour(bytes, begin, error);
}

bool JpegWrapper::Recolour(core::Bytes* bytes, size_t begin, std::string* error) const {
  const Span jpeg = Span(*bytes).subspan(begin);
  core::Bytes out = {0xFF, 0xD8};
  AppendAdobe(colour_ == JpegColour::kRgb ? 0 : 1, &out);
  size_t kept = 2, position = 2;
  const auto keep_until = [&](size_t end) {
    out.insert(out.end(), jpeg.begin() + static_cast<ptrdiff_t>(kept),
               jpeg.begin() + static_cast<ptrdiff_t>(end));
  };
  const auto visit = [&](uint8_t marker, Span s, bool* proceed) {
    *proceed = marker != 0xDA && marker != 0xD9;
    if (!IsJfif(marker, s) && !IsAdobe(marker, s)) return true;
    keep_until(static_cast<size_t>(s.data() - jpeg.data()) - 4);
    kept = position;
    return true;
  };
  const bool good = Markers(jpeg, &position, error, visit);
  if (good) keep_until(jpeg.size());
  bytes->resize(begin);
  if (good) bytes->insert(bytes->end(), out.begin(), out.end());
  return good;
}

}  // namespace eosin::tiling
