// SPDX-License-Identifier: Apache-2.0
// One self-contained offline HTML page: inline CSS (light and dark by prefers-color-scheme, a print
// style sheet), inline SVG, base64 pictures, and a few lines of script that sort tables on a click;
// the page is whole without script. Nothing is loaded from a network. Elements appear in the order
// of the Add calls; headings of level 2 also form the contents bar.
//
// Every string is plain text and is escaped. Paragraphs, list items, callouts and captions know two
// marks: `code` and **bold**. Only AddFigure takes markup: an SVG made by core/report/svg.h.
// Pictures are JPEG or PNG bytes as they are in a file; bytes that are neither throw DataError. A
// picture that would make the page pass its limit (15 MB by default) is left out and the page says
// how many were.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace eosin::core {

using PictureBytes = std::vector<uint8_t>;

struct GalleryImage {
  PictureBytes bytes;
  std::string caption;  // under the picture, e.g. "Dice 0.87"; may be empty
};

struct GalleryRow {
  std::string label;                 // left of the pictures, e.g. "testA_12 (worst)"
  std::vector<GalleryImage> images;  // one a column
};

enum class Verdict { kNeutral, kGood, kUnsure, kBad };

struct TableOptions {
  std::string caption;
  bool sortable = true;
  int highlight_row = -1;  // drawn bold
};

class HtmlPage {
 public:
  explicit HtmlPage(std::string title, std::string subtitle = "", int64_t byte_limit = 15'000'000);

  void AddHeading(const std::string& text, int level = 2);  // 2-4
  void AddParagraph(const std::string& text);
  void AddList(const std::vector<std::string>& items);
  void AddCallout(Verdict verdict, const std::string& title, const std::string& text);

  // Cells of a column that all start with a number (or are empty, "-" or "n/a") are right-aligned
  // and sort by that number. Rows shorter than the headers are filled with empty cells.
  void AddTable(const std::vector<std::string>& headers,
                const std::vector<std::vector<std::string>>& rows,
                const TableOptions& options = {});
  // Two columns without headers: settings, hashes, provenance.
  void AddFacts(const std::vector<std::pair<std::string, std::string>>& facts);

  void AddFigure(const std::string& svg, const std::string& caption);
  // width: CSS pixels, 0 = the picture's own, never wider than the page.
  void AddImage(const PictureBytes& bytes, const std::string& caption, int width = 0);
  // Pictures in a grid: a column a label (image | truth | arm ...).
  void AddGallery(const std::vector<std::string>& column_labels,
                  const std::vector<GalleryRow>& rows, const std::string& caption = "");
  // Many small pictures without labels; tile: CSS pixels of one.
  void AddTileWall(const std::vector<PictureBytes>& tiles, const std::string& caption,
                   int tile = 96);
  // Collapsed until clicked (open in print): a config file, a log.
  void AddDetails(const std::string& summary, const std::string& preformatted);

  // The whole file.
  std::string Html() const;
  // Writes it atomically.
  void Write(const std::filesystem::path& path) const;

 private:
  std::string Picture(const PictureBytes& bytes, const std::string& alt, const std::string& style);

  std::string title_, subtitle_, body_;
  std::vector<std::pair<std::string, std::string>> contents_;  // id, text
  int64_t byte_limit_, left_out_ = 0;
};

}  // namespace eosin::core
