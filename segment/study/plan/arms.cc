// SPDX-License-Identifier: Apache-2.0
#include "segment/study/plan/arms.h"

#include <fmt/format.h>
#include <algorithm>

#include "core/base/error.h"

namespace eosin::segment {
namespace {

using core::ConfigError;

struct KnownArm {
  const char* name;
  const char* weights;  // key that names the file; null: random
  const char* freeze;   // null: study.partial_freeze
};

constexpr KnownArm kKnownArms[] = {
    {"random", nullptr, "none"},
    {kControlArm, nullptr, "none"},
    {"imagenet", "weights.imagenet", "none"},
    {"imagenet_partial", "weights.imagenet", nullptr},
    {"ssl", "weights.ssl", "none"},
    {"ssl_partial", "weights.ssl", nullptr},
    {"ssl_frozen", "weights.ssl", "all"},
    {"ssl_from_imagenet", "weights.ssl_from_imagenet", "none"},
};

bool GoodName(const std::string& name) {
  return !name.empty() && name.find_first_not_of(
                              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
                              std::string::npos;
}

std::string OfFold(std::string path, int64_t fold) {
  const std::string mark = "{fold}";
  for (size_t at = path.find(mark); at != std::string::npos; at = path.find(mark, at)) {
    path.replace(at, mark.size(), std::to_string(fold));
  }
  return path;
}

// NAME=FILE;freeze=STAGE;rate=NUMBER
Arm ReadArm(const std::string& text, const StudyOptions& options, int64_t fold) {
  auto fail = [&](const std::string& what) {
    throw ConfigError(
        fmt::format("study.arms entry \"{}\" {}", text, what),
        "write NAME=FILE, NAME=FILE;freeze=layer2 or NAME=FILE;freeze=layer2;rate=0.1;"
        " names are letters, digits and _");
  };
  Arm arm;
  const size_t equals = text.find('='), semicolon = text.find(';');
  arm.name = arm.label = text.substr(0, equals);
  const std::string file = text.substr(equals + 1, semicolon - equals - 1);
  arm.init = OfFold(file, fold);
  arm.freeze = "none";
  arm.backbone_lr = options.segment.backbone_lr;
  if (!GoodName(arm.name) || arm.init.empty()) fail("is not NAME=FILE");
  for (const KnownArm& known : kKnownArms) {
    if (arm.name == known.name) fail("gives a file to a name that has its own meaning");
  }
  for (size_t at = semicolon; at != std::string::npos;) {
    const size_t next = text.find(';', at + 1);
    const std::string option =
        text.substr(at + 1, next == std::string::npos ? next : next - at - 1);
    const size_t sign = option.find('=');
    const std::string key = option.substr(0, sign);
    const std::string value = sign == std::string::npos ? "" : option.substr(sign + 1);
    if (key == "freeze") {
      const auto& stages = FreezeNames();
      if (std::find(stages.begin(), stages.end(), value) == stages.end()) {
        fail(fmt::format("freezes {}, which is none of {}", value, fmt::join(stages, ", ")));
      }
      arm.freeze = value;
    } else if (key == "rate") {
      char* end = nullptr;
      arm.backbone_lr = std::strtod(value.c_str(), &end);
      if (value.empty() || *end != '\0' || !(arm.backbone_lr >= 0 && arm.backbone_lr <= 100)) {
        fail(fmt::format("has the rate \"{}\", which is no number from 0 to 100", value));
      }
    } else {
      fail(fmt::format("has the unknown option \"{}\"", key));
    }
    at = next;
  }
  return arm;
}

}  // namespace

std::vector<Arm> ResolveArms(const StudyOptions& options, int64_t fold) {
  auto file_of = [&](const std::string& key) {
    if (key == "weights.imagenet") return OfFold(options.imagenet, fold);
    return OfFold(key == "weights.ssl" ? options.ssl : options.ssl_from_imagenet, fold);
  };
  std::vector<Arm> arms;
  for (const std::string& text : options.arms) {
    if (text.find('=') != std::string::npos) {
      arms.push_back(ReadArm(text, options, fold));
      continue;
    }
    const KnownArm* known = nullptr;
    std::vector<std::string> names;
    for (const KnownArm& candidate : kKnownArms) {
      names.push_back(candidate.name);
      if (text == candidate.name) known = &candidate;
    }
    if (!known) {
      const std::string nearest = core::NearestWord(text, names);
      throw ConfigError(fmt::format("study.arms names {}, which is no known arm", text),
                        nearest.empty()
                            ? fmt::format("known: {}; or NAME=FILE", fmt::join(names, ", "))
                            : fmt::format("did you mean {}?", nearest));
    }
    Arm arm;
    arm.backbone_lr = options.segment.backbone_lr;
    arm.name = arm.label = known->name;
    arm.freeze = known->freeze ? known->freeze : options.partial_freeze;
    if (!known->weights) {
      arm.init = "random";
      arm.backbone_lr = 1.0;
    } else {
      arm.init = file_of(known->weights);
      if (arm.init.empty()) {
        arm.skipped = fmt::format("no weights file was given ({})", known->weights);
      }
      if (std::string(known->weights) == "weights.imagenet" && !options.imagenet_label.empty()) {
        arm.label = text == "imagenet" ? options.imagenet_label
                                       : fmt::format("{} ({})", text, options.imagenet_label);
      }
    }
    if (text == "ssl_from_imagenet" && !options.imagenet_label.empty()) {
      arm.label = fmt::format("{} (from {})", text, options.imagenet_label);
    }
    arms.push_back(arm);
  }
  return arms;
}

}  // namespace eosin::segment
