// SPDX-License-Identifier: Apache-2.0
// What the readers of annotations share: the text as UTF-8, places in messages, number and size
// checks; and what the writers share.
#pragma once

#include <string>
#include <string_view>

#include "tiling/annotations/annotation.h"

namespace eosin::tiling {

// A file's text as UTF-8 without a byte order mark. Converts UTF-16 (by mark or by its zero bytes)
// and XML declared ISO-8859-1; DataError for anything else that is not UTF-8, for NUL bytes and for
// texts over the size limit. Keeps a view of `text` when nothing had to be converted.
class AnnotationText {
 public:
  AnnotationText(std::string_view text, std::string source, const AnnotationLimits& limits);
  AnnotationText(const AnnotationText&) = delete;
  AnnotationText& operator=(const AnnotationText&) = delete;

  std::string_view text() const { return text_; }
  const AnnotationLimits& limits() const { return limits_; }

  // DataError "source line L (byte B): what".
  [[noreturn]] void Fail(size_t at, const std::string& what, const std::string& hint) const;
  // A coordinate that is finite and at most 2^40 in size.
  double Checked(double value, size_t at) const;
  // Decimal number with a point, whatever the locale.
  double ParseNumber(std::string_view digits, size_t at) const;
  // Adds n to the vertices read so far; refuses more than the limit.
  void CountVertices(int64_t n, size_t at);

 private:
  std::string source_;
  AnnotationLimits limits_;
  std::string converted_;
  std::string_view text_;
  size_t mark_ = 0;  // bytes before text_ in the file
  int64_t vertices_ = 0;
};

bool IsUtf8(std::string_view text);
// `text` for an XML attribute in double quotes.
std::string XmlEscaped(std::string_view text);
// 0xRRGGBB, the same for a class in every file.
uint32_t ClassColor(const std::string& class_of);
// A ring without its repeated last vertex.
Ring WithoutRepeatedEnd(Ring ring);

// The formats' readers.
AnnotationFile ParseGeoJson(AnnotationText& text);
AnnotationFile ParseXmlAnnotations(AnnotationText& text);

}  // namespace eosin::tiling
