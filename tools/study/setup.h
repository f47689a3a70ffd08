// SPDX-License-Identifier: Apache-2.0
// What `eosin study` was asked for: keys of the study, of the stand-in and, below [ssl], of eosin
// pretrain; read from TOML files and the command line, checked together, and written back.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "core/config/option_set.h"
#include "pretrain/options.h"
#include "pretrain/standin.h"
#include "segment/study/plan/options.h"

namespace eosin::tools {

struct StudySetup {
  segment::StudyOptions study;
  pretrain::StandInOptions standin;
  std::vector<std::pair<std::string, std::string>> ssl;  // keys of eosin pretrain, later ones win
  std::string ssl_patients;  // CSV with slide (or name) and patient_id, for ssl.data
  std::string ssl_others;    // "weight:path": a set of other patients, declared so by the user
  core::OptionSet set;       // points into this object

  StudySetup();
  StudySetup(const StudySetup&) = delete;
  StudySetup& operator=(const StudySetup&) = delete;

  void ReadToml(const std::string& path);      // its table [ssl] holds keys of eosin pretrain
  void Assign(const std::string& assignment);  // key=value, ssl.KEY=value
  std::string ToToml() const;                  // what ReadToml reads back
  void Check() const;                          // ConfigError, WeightsError

  // [ssl] names data and an arm needs an encoder that no file gives: from random weights, and from
  // those of the imagenet arm (ssl_from_imagenet).
  bool PretrainsFromRandom() const;
  bool PretrainsFromImageNet() const;
  bool Pretrains() const { return PretrainsFromRandom() || PretrainsFromImageNet(); }
  // An arm starts from weights.imagenet, and that is the stand-in.
  bool UsesStandIn() const;
  // The recipe of the pretraining: the study's network and machine unless [ssl] says otherwise.
  // init: weights to start from, empty = random.
  pretrain::PretrainOptions SslOptions(const std::string& init = "") const;
  // The set of other patients and its weight beside ssl.data, which has weight 1; path empty: none.
  std::pair<double, std::string> SslOthers() const;

 private:
  bool HasSslData() const;
  bool HasArm(std::initializer_list<const char*> names) const;
  void SetSsl(const std::string& key, const std::string& value);
};

// Throws ConfigError where a stored config and this one differ in a line that changes results.
void CheckSameConfig(const StudySetup& setup, const std::filesystem::path& stored);

}  // namespace eosin::tools
