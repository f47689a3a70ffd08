// SPDX-License-Identifier: Apache-2.0
#include "tiling/annotations/xml_reader.h"

#include <fmt/format.h>
#include <algorithm>

namespace eosin::tiling {
namespace {

constexpr char kHint[] = "save the annotations again from ASAP or ImageScope";

// Finds the first element too deep and the first document type; stops there.
class Guard : public pugi::xml_tree_walker {
 public:
  explicit Guard(int depth_cap) : depth_cap_(depth_cap) {}
  bool for_each(pugi::xml_node& node) override {
    const bool type = node.type() == pugi::node_doctype;
    if (!type && depth() < depth_cap_) return true;
    found_ = node;
    is_doctype_ = type;
    return false;
  }
  pugi::xml_node found() const { return found_; }
  bool is_doctype() const { return is_doctype_; }

 private:
  int depth_cap_;
  pugi::xml_node found_;
  bool is_doctype_ = false;
};

}  // namespace

XmlFile::XmlFile(AnnotationText& text) : text_(text) {
  const std::string_view view = text.text();
  // The tree takes 64 bytes an element and 40 an attribute. Annotations need up to 7 bytes for one
  // of the file; a file made of empty elements would take 16.
  const auto elements = std::count(view.begin(), view.end(), '<');
  const auto attributes = std::count(view.begin(), view.end(), '=');
  if (static_cast<size_t>(elements) * 64 + static_cast<size_t>(attributes) * 40 >
      view.size() * 10 + 65536) {
    text.Fail(0, "more elements than an annotation file of this size has", kHint);
  }
  const pugi::xml_parse_result result = document_.load_buffer(
      view.data(), view.size(), pugi::parse_default | pugi::parse_doctype, pugi::encoding_utf8);
  if (!result) {
    text.Fail(static_cast<size_t>(std::max<std::ptrdiff_t>(result.offset, 0)),
              fmt::format("not XML: {}", result.description()), kHint);
  }
  Guard guard(text.limits().depth);
  document_.traverse(guard);
  if (guard.found() && guard.is_doctype()) {
    text.Fail(view.find("<!"), "a document type declaration",
              "annotation files have none; remove it");
  }
  if (guard.found()) {
    Fail(guard.found(), fmt::format("nested deeper than {}", text.limits().depth));
  }
  if (pugi::xml_node second = root().next_sibling()) {
    while (second && second.type() != pugi::node_element) second = second.next_sibling();
    if (second) Fail(second, "a second document after the first");
  }
}

size_t XmlFile::Place(pugi::xml_node node) const {
  return static_cast<size_t>(std::max<std::ptrdiff_t>(node.offset_debug(), 0));
}

void XmlFile::Fail(pugi::xml_node node, const std::string& what) const {
  text_.Fail(Place(node), what, kHint);
}

std::string XmlFile::Text(pugi::xml_node node, const char* name) const {
  std::string value = node.attribute(name).value();
  // A character reference can spell half a surrogate pair.
  if (!IsUtf8(value)) Fail(node, fmt::format("{} is not Unicode text", name));
  return value;
}

double XmlFile::Number(pugi::xml_node node, const char* name) const {
  const pugi::xml_attribute attribute = node.attribute(name);
  if (!attribute) Fail(node, fmt::format("a {} without {}", node.name(), name));
  return text_.ParseNumber(attribute.value(), Place(node));
}

Vertex XmlFile::Position(pugi::xml_node node) {
  const size_t place = Place(node);
  text_.CountVertices(1, place);
  return {text_.Checked(Number(node, "X"), place), text_.Checked(Number(node, "Y"), place)};
}

AnnotationFile ParseXmlAnnotations(AnnotationText& text) {
  XmlFile xml(text);
  const std::string root = xml.root().name();
  if (root == "ASAP_Annotations") return ParseAsap(xml);
  if (root == "Annotations") return ParseImageScope(xml);
  xml.Fail(xml.root(), fmt::format("the root element is {}, not ASAP_Annotations (ASAP) or "
                                   "Annotations (ImageScope)",
                                   root.substr(0, 60)));
}

}  // namespace eosin::tiling
