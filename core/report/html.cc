// SPDX-License-Identifier: Apache-2.0
#include "core/report/html.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/image/codec.h"
#include "core/report/html_style.h"
#include "core/report/svg.h"

namespace eosin::core {
namespace {

std::string Base64(const PictureBytes& bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = std::min<size_t>(3, bytes.size() - i);
    uint32_t word = 0;
    for (size_t k = 0; k < 3; ++k) word = word << 8 | (k < left ? bytes[i + k] : 0u);
    for (size_t k = 0; k < 4; ++k) {
      out += k <= left ? kDigits[word >> (18 - 6 * k) & 63] : '=';
    }
  }
  return out;
}

// Escaped text with `code` and **bold**. A mark without its partner stays as it is.
std::string Inline(const std::string& text) {
  const std::string escaped = EscapeXml(text);
  std::string out;
  for (size_t i = 0; i < escaped.size();) {
    if (escaped[i] == '`') {
      const size_t end = escaped.find('`', i + 1);
      if (end != std::string::npos && end > i + 1) {
        out += "<code>" + escaped.substr(i + 1, end - i - 1) + "</code>";
        i = end + 1;
        continue;
      }
    } else if (escaped.compare(i, 2, "**") == 0) {
      const size_t end = escaped.find("**", i + 2);
      if (end != std::string::npos && end > i + 2) {
        out += "<strong>" + escaped.substr(i + 2, end - i - 2) + "</strong>";
        i = end + 2;
        continue;
      }
    }
    out += escaped[i++];
  }
  return out;
}

bool IsBlank(const std::string& cell) {
  return cell.empty() || cell == "-" || cell == "n/a" || cell == "\xE2\x80\x93";
}

// The number a cell starts with: "12,400", "+0.021 [0.00, 0.04]", "85.1 %". Words that only begin
// with digits ("3x3", "2024-01-01") are not numbers.
std::optional<double> LeadingNumber(const std::string& cell) {
  auto digit = [&](size_t at) { return cell[at] >= '0' && cell[at] <= '9'; };
  std::string digits;
  size_t i = 0;
  for (; i < cell.size(); ++i) {
    const char c = cell[i];
    const bool thousands =
        c == ',' && i > 0 && i + 3 < cell.size() && digit(i + 1) && digit(i + 2) && digit(i + 3);
    if (thousands) continue;
    if (!digit(i) && c != '.' && c != 'e' &&
        !((c == '-' || c == '+') && (i == 0 || cell[i - 1] == 'e'))) {
      break;
    }
    digits += c;
  }
  if (i < cell.size() && cell[i] != ' ' && cell[i] != '%') return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(digits.c_str(), &end);
  if (digits.empty() || *end != '\0' || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::string Caption(const std::string& text, const char* tag) {
  return text.empty() ? "" : fmt::format("<{0}>{1}</{0}>\n", tag, Inline(text));
}

}  // namespace

HtmlPage::HtmlPage(std::string title, std::string subtitle, int64_t byte_limit)
    : title_(std::move(title)), subtitle_(std::move(subtitle)), byte_limit_(byte_limit) {}

void HtmlPage::AddHeading(const std::string& text, int level) {
  level = std::clamp(level, 2, 4);
  if (level > 2) {
    body_ += fmt::format("<h{0}>{1}</h{0}>\n", level, EscapeXml(text));
    return;
  }
  const std::string id = fmt::format("s{}", contents_.size() + 1);
  body_ += fmt::format("<h2 id=\"{}\">{}</h2>\n", id, EscapeXml(text));
  contents_.emplace_back(id, text);
}

void HtmlPage::AddParagraph(const std::string& text) { body_ += "<p>" + Inline(text) + "</p>\n"; }

void HtmlPage::AddList(const std::vector<std::string>& items) {
  body_ += "<ul>\n";
  for (const std::string& item : items) body_ += "<li>" + Inline(item) + "</li>\n";
  body_ += "</ul>\n";
}

void HtmlPage::AddCallout(Verdict verdict, const std::string& title, const std::string& text) {
  static const char* const kClasses[] = {"neutral", "good", "unsure", "bad"};
  body_ += fmt::format("<div class=\"callout {}\">", kClasses[static_cast<int>(verdict)]);
  if (!title.empty()) body_ += "<b>" + EscapeXml(title) + "</b>";
  if (!text.empty()) body_ += "<p>" + Inline(text) + "</p>";
  body_ += "</div>\n";
}

void HtmlPage::AddTable(const std::vector<std::string>& headers,
                        const std::vector<std::vector<std::string>>& rows,
                        const TableOptions& options) {
  const std::string none;
  auto cell = [&](size_t r, size_t c) -> const std::string& {
    return c < rows[r].size() ? rows[r][c] : none;
  };
  std::vector<bool> numeric(headers.size(), false);
  for (size_t c = 0; c < headers.size(); ++c) {
    bool any = false, all = true;
    for (size_t r = 0; r < rows.size(); ++r) {
      if (IsBlank(cell(r, c))) continue;
      const bool number = LeadingNumber(cell(r, c)).has_value();
      any |= number;
      all &= number;
    }
    numeric[c] = any && all;
  }
  const bool sortable = options.sortable && rows.size() > 1;
  body_ += "<div class=\"scroll\"><table>\n" + Caption(options.caption, "caption") + "<thead><tr>";
  for (size_t c = 0; c < headers.size(); ++c) {
    body_ += fmt::format("<th scope=\"col\" class=\"{}{}\">{}</th>", numeric[c] ? "n " : "",
                         sortable ? "sort" : "", EscapeXml(headers[c]));
  }
  body_ += "</tr></thead>\n<tbody>\n";
  for (size_t r = 0; r < rows.size(); ++r) {
    body_ += static_cast<int>(r) == options.highlight_row ? "<tr class=\"hot\">" : "<tr>";
    for (size_t c = 0; c < headers.size(); ++c) {
      if (!numeric[c]) {
        body_ += "<td>" + Inline(cell(r, c)) + "</td>";
        continue;
      }
      const auto value = LeadingNumber(cell(r, c));
      body_ += value ? fmt::format("<td class=\"n\" data-v=\"{}\">", *value) : "<td class=\"n\">";
      body_ += EscapeXml(cell(r, c)) + "</td>";
    }
    body_ += "</tr>\n";
  }
  body_ += "</tbody></table></div>\n";
}

void HtmlPage::AddFacts(const std::vector<std::pair<std::string, std::string>>& facts) {
  body_ += "<div class=\"scroll\"><table class=\"facts\"><tbody>\n";
  for (const auto& [name, value] : facts) {
    body_ +=
        "<tr><th scope=\"row\">" + EscapeXml(name) + "</th><td>" + Inline(value) + "</td></tr>\n";
  }
  body_ += "</tbody></table></div>\n";
}

void HtmlPage::AddFigure(const std::string& svg, const std::string& caption) {
  body_ +=
      "<figure class=\"card\">\n" + svg + "\n" + Caption(caption, "figcaption") + "</figure>\n";
}

std::string HtmlPage::Picture(const PictureBytes& bytes, const std::string& alt,
                              const std::string& style) {
  const bool jpeg = IsJpeg(bytes);
  if (!jpeg && !IsPng(bytes)) {
    throw DataError("a picture for the page \"" + title_ + "\" is neither JPEG nor PNG",
                    "encode pictures with core/image/codec.h before they are added");
  }
  // Room for the style sheet and what may follow is kept free.
  const auto size = static_cast<int64_t>(body_.size() + (bytes.size() + 2) / 3 * 4);
  if (size + 100'000 > byte_limit_) {
    ++left_out_;
    return "<small>picture left out</small>";
  }
  int width = 0, height = 0;
  ImageSize(bytes, "a picture of the page", &width, &height);
  return fmt::format(
      "<img src=\"data:image/{};base64,{}\" alt=\"{}\" width=\"{}\" height=\"{}\"{}>",
      jpeg ? "jpeg" : "png", Base64(bytes), EscapeXml(alt), width, height,
      style.empty() ? "" : " style=\"" + style + "\"");
}

void HtmlPage::AddImage(const PictureBytes& bytes, const std::string& caption, int width) {
  body_ += "<figure>\n" +
           Picture(bytes, caption, width > 0 ? fmt::format("width:{}px", width) : "") + "\n" +
           Caption(caption, "figcaption") + "</figure>\n";
}

void HtmlPage::AddGallery(const std::vector<std::string>& column_labels,
                          const std::vector<GalleryRow>& rows, const std::string& caption) {
  body_ += "<div class=\"scroll\"><table class=\"gallery\">\n" + Caption(caption, "caption") +
           "<thead><tr><th></th>";
  for (const std::string& label : column_labels) {
    body_ += "<th scope=\"col\">" + EscapeXml(label) + "</th>";
  }
  body_ += "</tr></thead>\n<tbody>\n";
  for (const GalleryRow& row : rows) {
    body_ += "<tr><th scope=\"row\">" + EscapeXml(row.label) + "</th>";
    for (size_t c = 0; c < column_labels.size(); ++c) {
      body_ += "<td>";
      if (c < row.images.size() && !row.images[c].bytes.empty()) {
        body_ += Picture(row.images[c].bytes, row.label + ", " + column_labels[c], "");
        if (!row.images[c].caption.empty()) {
          body_ += "<small>" + EscapeXml(row.images[c].caption) + "</small>";
        }
      } else {
        body_ += "<small>none</small>";
      }
      body_ += "</td>";
    }
    body_ += "</tr>\n";
  }
  body_ += "</tbody></table></div>\n";
}

void HtmlPage::AddTileWall(const std::vector<PictureBytes>& tiles, const std::string& caption,
                           int tile) {
  body_ += "<figure><div class=\"wall\">\n";
  for (size_t i = 0; i < tiles.size(); ++i) {
    body_ += Picture(tiles[i], fmt::format("tile {}", i + 1),
                     fmt::format("width:{0}px;height:{0}px;object-fit:cover", tile)) +
             "\n";
  }
  body_ += "</div>\n" + Caption(caption, "figcaption") + "</figure>\n";
}

void HtmlPage::AddDetails(const std::string& summary, const std::string& preformatted) {
  body_ += "<details><summary>" + EscapeXml(summary) + "</summary><pre>" + EscapeXml(preformatted) +
           "</pre></details>\n";
}

std::string HtmlPage::Html() const {
  const std::string title = EscapeXml(title_);
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<meta name=\"generator\" content=\"eosin\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
      "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
      "<title>" +
      title + "</title>\n<style>" + kPageStyle + "</style>\n</head>\n<body>\n" + "<header><h1>" +
      title + "</h1>\n";
  if (!subtitle_.empty()) html += "<p class=\"subtitle\">" + Inline(subtitle_) + "</p>\n";
  html += "</header>\n";
  if (contents_.size() > 1) {
    html += "<nav aria-label=\"contents\"><div>";
    for (const auto& [id, text] : contents_) {
      html += "<a href=\"#" + id + "\">" + EscapeXml(text) + "</a>";
    }
    html += "</div></nav>\n";
  }
  html += "<main>\n" + body_;
  if (left_out_ > 0) {
    html += fmt::format(
        "<div class=\"callout unsure\"><b>{} pictures left out</b><p>The page is "
        "limited to {:.1f} MB.</p></div>\n",
        left_out_, static_cast<double>(byte_limit_) / 1e6);
  }
  return html + "</main>\n<footer>Made by eosin. One file, no network needed.</footer>\n<script>" +
         kSortScript + "</script>\n</body>\n</html>\n";
}

void HtmlPage::Write(const std::filesystem::path& path) const { WriteFileAtomic(path, Html()); }

}  // namespace eosin::core
