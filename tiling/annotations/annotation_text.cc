// SPDX-License-Identifier: Apache-2.0
#include "tiling/annotations/annotation_text.h"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "core/base/error.h"

namespace eosin::tiling {
namespace {

constexpr double kLargestCoordinate = 0x1p40;

void AppendUtf8(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// Bytes of the UTF-8 character at `at`, 0 when there is none (overlong forms and surrogates count
// as none).
size_t Utf8Length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) {
    return at + i < text.size() ? static_cast<uint8_t>(text[at + i]) : uint8_t{0};
  };
  const auto follows = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first < 0xE0) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first < 0xF0) {
    if (!follows(1) || !follows(2)) return 0;
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    return first == 0xED && byte(1) >= 0xA0 ? 0 : 3;
  }
  if (first >= 0xF0 && first < 0xF5) {
    if (!follows(1) || !follows(2) || !follows(3)) return 0;
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    return first == 0xF4 && byte(1) >= 0x90 ? 0 : 4;
  }
  return 0;
}

std::optional<size_t> FirstNotUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = Utf8Length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::nullopt;
}

// Half a surrogate pair becomes U+FFFD.
std::string FromUtf16(std::string_view text, bool big_endian) {
  const auto unit = [&](size_t i) {
    const auto a = static_cast<uint8_t>(text[i]), b = static_cast<uint8_t>(text[i + 1]);
    return static_cast<uint32_t>(big_endian ? a << 8 | b : b << 8 | a);
  };
  std::string out;
  out.reserve(text.size() / 2 + text.size() / 16);
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    uint32_t code = unit(i);
    if (code >= 0xD800 && code < 0xDC00 && i + 3 < text.size() &&
        (unit(i + 2) & 0xFC00) == 0xDC00) {
      code = 0x10000 + ((code - 0xD800) << 10) + (unit(i + 2) - 0xDC00);
      i += 2;
    } else if (code >= 0xD800 && code < 0xE000) {
      code = 0xFFFD;
    }
    AppendUtf8(code, out);
  }
  return out;
}

bool DeclaresLatin1(std::string_view text) {
  if (text.substr(0, 5) != "<?xml") return false;
  std::string declaration(text.substr(0, std::min<size_t>(text.find('>'), 200)));
  std::transform(declaration.begin(), declaration.end(), declaration.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return declaration.find("iso-8859-1") != std::string::npos ||
         declaration.find("latin1") != std::string::npos;
}

}  // namespace

AnnotationText::AnnotationText(std::string_view text, std::string source,
                               const AnnotationLimits& limits)
    : source_(std::move(source)), limits_(limits), text_(text) {
  if (text.size() > limits.bytes) {
    throw core::DataError(
        fmt::format("{} has {} bytes, more than the {} an annotation file may have", source_,
                    text.size(), limits.bytes),
        "export the regions of one slide only, without measurements");
  }
  const std::string_view start = text.substr(0, 4);
  using namespace std::string_view_literals;
  if (start.substr(0, 3) == "\xEF\xBB\xBF"sv) {
    mark_ = 3;
    text_.remove_prefix(3);
  } else if (start.substr(0, 2) == "\xFF\xFE"sv || start.substr(0, 2) == "\xFE\xFF"sv) {
    converted_ = FromUtf16(text.substr(2), start[0] == '\xFE');
    text_ = converted_;
  } else if (start.size() == 4 && (start.substr(1, 1) == "\0"sv || start.substr(0, 1) == "\0"sv)) {
    converted_ = FromUtf16(text, start[0] == '\0');
    text_ = converted_;
  } else if (DeclaresLatin1(text)) {
    for (const char c : text) AppendUtf8(static_cast<uint8_t>(c), converted_);
    text_ = converted_;
  }
  if (const size_t nul = text_.find('\0'); nul != std::string_view::npos) {
    Fail(nul, "a zero byte: this is not text", "give a GeoJSON or XML annotation file");
  }
  if (const auto bad = FirstNotUtf8(text_)) {
    Fail(*bad, "not UTF-8 text", "save the file as UTF-8");
  }
}

void AnnotationText::Fail(size_t at, const std::string& what, const std::string& hint) const {
  at = std::min(at, text_.size());
  const auto line =
      1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  const std::string byte = converted_.empty() ? fmt::format(" (byte {})", at + mark_) : "";
  throw core::DataError(fmt::format("{} line {}{}: {}", source_, line, byte, what), hint);
}

double AnnotationText::Checked(double value, size_t at) const {
  if (std::isfinite(value) && std::abs(value) <= kLargestCoordinate) return value;
  Fail(at, fmt::format("a coordinate of {} cannot lie on a slide", value),
       "coordinates are level-0 pixels");
}

double AnnotationText::ParseNumber(std::string_view digits, size_t at) const {
  const std::string shown(digits.substr(0, 40));
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!digits.empty() && blank(digits.front())) digits.remove_prefix(1);
  while (!digits.empty() && blank(digits.back())) digits.remove_suffix(1);
  if (digits.size() > 1 && digits[0] == '+' && digits[1] != '-') digits.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    Fail(at, fmt::format("\"{}\" is not a number", shown),
         digits.find(',') == std::string_view::npos ? "coordinates are level-0 pixels"
                                                    : "write decimals with a point, not a comma");
  }
  return value;
}

void AnnotationText::CountVertices(int64_t n, size_t at) {
  vertices_ += n;
  if (vertices_ > limits_.vertices) {
    Fail(at, fmt::format("more than {} vertices", limits_.vertices),
         "simplify the regions or export fewer of them");
  }
}

bool IsUtf8(std::string_view text) { return !FirstNotUtf8(text); }

std::string XmlEscaped(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t length = Utf8Length(text, at);
    const char c = text[at];
    if (length == 0 || (length == 1 && c >= 0 && c < ' ' && c != '\t' && c != '\n' && c != '\r')) {
      out += "\xEF\xBF\xBD";
    } else if (length > 1) {
      out += text.substr(at, length);
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (c == '\t' || c == '\n' || c == '\r') {
      out += fmt::format("&#{};", static_cast<int>(c));  // a bare one would be read as a space
    } else {
      out += c;
    }
    at += std::max<size_t>(length, 1);
  }
  return out;
}

uint32_t ClassColor(const std::string& class_of) {
  constexpr uint32_t kColors[] = {0xC80000, 0x00AA00, 0x0050C8, 0xE6A000, 0xA000A0,
                                  0x00A0A0, 0x966432, 0xF06496, 0x7896DC, 0x648C00};
  if (class_of.empty()) return 0x808080;
  uint32_t hash = 2166136261u;  // FNV-1a
  for (const char c : class_of) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return kColors[hash % std::size(kColors)];
}

Ring WithoutRepeatedEnd(Ring ring) {
  if (ring.size() > 1 && ring.front() == ring.back()) ring.pop_back();
  return ring;
}

}  // namespace eosin::tiling
