// SPDX-License-Identifier: Apache-2.0
// The table that says whose an image or slide is. Torch-free.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>

namespace eosin::segment {

struct PatientRow {
  std::string patient;
  std::string part;   // column split by PartOf; may be empty
  std::string slide;  // column slide beside column name; may be empty
};

// "train", "val" or "test" for names that begin so in any case of letters ("testA"), else empty.
std::string PartOf(const std::string& name);

// "region.1" of "tiles/region.1.png": the name without folder and, where that is the extension of a
// slide, picture, mask or store, without extension. Other dots are part of names (TCGA's have
// them).
std::string ItemStem(const std::string& name);

// Throws DataError naming two ids that differ in case alone: they would count as two patients.
void CheckPatientIds(const std::set<std::string>& ids, const std::string& where);

// CSV with the columns name (or slide, or image) and patient_id, and maybe split and slide. Headers
// are read without case and outer blanks, a blank inside counts as _, so that GlaS' own Grade.csv
// (" patient ID") serves. Cells are read without outer blanks. Names may carry a file extension.
class PatientTable {
 public:
  // Throws DataError: a column is missing, a name stands twice with two patients or parts, two
  // patients differ in case alone.
  explicit PatientTable(const std::filesystem::path& path);

  // Throws DataError when it has no patient; `what` is "image" or "slide".
  const PatientRow& Of(const std::string& name, const std::string& what) const;
  const std::filesystem::path& path() const { return path_; }

  // grade.csv, regions.csv or patients.csv of the folder, in any case of letters; empty if none.
  static std::filesystem::path FindIn(const std::filesystem::path& folder);

 private:
  std::filesystem::path path_;
  std::map<std::string, PatientRow> rows_;
};

}  // namespace eosin::segment
