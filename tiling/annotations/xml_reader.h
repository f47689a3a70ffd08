// SPDX-License-Identifier: Apache-2.0
// An XML annotation file as a tree, made safe: a DOCTYPE is refused (so no entity can be declared),
// depth and the tree's memory are capped, messages name the line. Internal to this folder.
#pragma once

#include <pugixml.hpp>
#include <string>

#include "tiling/annotations/annotation_text.h"

namespace eosin::tiling {

class XmlFile {
 public:
  // DataError when the text is not one well-formed XML document within the limits.
  explicit XmlFile(AnnotationText& text);

  pugi::xml_node root() const { return document_.document_element(); }
  AnnotationText& text() { return text_; }

  // Byte of the element in the text.
  size_t Place(pugi::xml_node node) const;
  [[noreturn]] void Fail(pugi::xml_node node, const std::string& what) const;
  // An attribute as text ("" when absent), number or coordinate (DataError when absent).
  std::string Text(pugi::xml_node node, const char* name) const;
  double Number(pugi::xml_node node, const char* name) const;
  Vertex Position(pugi::xml_node node);  // attributes X and Y

 private:
  AnnotationText& text_;
  pugi::xml_document document_;
};

AnnotationFile ParseAsap(XmlFile& xml);
AnnotationFile ParseImageScope(XmlFile& xml);

}  // namespace eosin::tiling
