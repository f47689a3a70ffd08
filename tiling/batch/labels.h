// SPDX-License-Identifier: Apache-2.0
// What names mean over a whole batch: ids of annotated classes and of slides' classes.
//
// Without --classes, ids are given in alphabetical order, from 1 for regions and from 0 for slides,
// over all slides of the batch and not only this process's shard, and kept in <out>/classes.csv:
// a later run that adds slides, or does again the few that failed, gives new names the next ids and
// changes none.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tiling/annotations/label_map.h"
#include "tiling/batch/slide_list.h"

namespace eosin::tiling {

class BatchClasses {
 public:
  // Reads the annotation files for their class names, where `given` (ClassMap::Parse) does not say
  // it all. A file that cannot be read is left for its slide to fail. write: keep new ids in `out`.
  // ConfigError, MachineError.
  BatchClasses(const std::vector<SlideEntry>& slides, const std::string& given,
               const std::filesystem::path& out, bool write, int threads);

  // As given, or the names of this slide's annotation file alone: its store depends on no other's.
  ClassMap RegionsOf(const SlideEntry& slide) const;
  int SlideClass(const std::string& name) const { return slide_ids_.at(name); }

 private:
  bool given_ = false;
  ClassMap map_;
  std::map<std::string, std::vector<std::string>> names_;  // by stem: of its annotation file
  std::map<std::string, int> slide_ids_;
};

// Gives each slide without an annotation file `path` (one slide), or <stem>.geojson, .json or .xml
// of the folder `path`. Returns how many slides have none then. DataError, ConfigError.
int AttachAnnotations(const std::filesystem::path& path, std::vector<SlideEntry>* slides);

}  // namespace eosin::tiling
