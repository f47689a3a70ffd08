// SPDX-License-Identifier: Apache-2.0
// The files of one slide's prediction, and whose those are that lie there already: a file is ours
// when <stem>.json says so, or <stem>.part of a prediction that was stopped while it put its files
// under their names. Any other may be somebody's work.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "segment/predict/predict_options.h"

namespace eosin::segment {

class PredictedFiles {
 public:
  PredictedFiles(std::filesystem::path folder, std::string stem, const PredictOptions& options);

  std::filesystem::path Json() const { return Path(".json"); }
  std::filesystem::path Bands() const { return Path(".part"); }
  std::filesystem::path Path(const std::string& extension) const;

  // Are all files there that these options promise beside the JSON?
  bool Complete() const;
  // DataError when one of them is there and not ours.
  void RefuseForeign() const;
  // What a new prediction replaces: what the old one made, what this one makes, and what a kill
  // left half written. The JSON last: until then it says whose the others are.
  std::vector<std::filesystem::path> Replaced() const;
  // Says in Bands() that files under the promised names are ours from now on.
  void Claim() const;

 private:
  std::vector<std::string> Claimed() const;

  std::filesystem::path folder_;
  std::string stem_;
  std::vector<std::string> promised_;  // extensions
};

// A picture or TIFF that eosin predict wrote, no slide.
bool IsPredictedFile(const std::filesystem::path& path);

}  // namespace eosin::segment
