// SPDX-License-Identifier: Apache-2.0
// What an evaluation compares: a given encoder, or the random initialisations of one architecture,
// with the features of all sets; and the scores that rest on frozen features.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/base/progress.h"
#include "eval/embed.h"
#include "eval/encoder.h"
#include "eval/probe/linear_probe.h"
#include "eval/study/features.h"
#include "eval/study/options.h"
#include "eval/study/scores.h"
#include "eval/study/split.h"

namespace eosin::eval {

struct Member {
  Encoder encoder;
  std::string fingerprint;         // before the first image
  at::Tensor train, val, test;     // features, fp32 on the CPU
  LinearModel linear;              // of train
  double l2 = 0;                   // that val chose
  std::vector<int64_t> predicted;  // linear, test
};

struct Subject {
  std::string name;
  bool random = false;
  std::string like;             // architecture, to find the random init of an encoder
  std::vector<Member> members;  // one, or one a random seed
};

// A progress line "<encoder>, <what>".
std::shared_ptr<core::Progress> Watch(const Encoder& encoder, const std::string& what,
                                      int64_t images);

// Everything the measures share.
struct Bench {
  const EvalOptions& options;
  const Split& split;
  const engine::Compute& compute;
  const FeatureCache& cache;
  const ImageHashes& hashes;
  Grouping grouping;  // of the test set
  int64_t size = 224;
  int workers = 1;

  // progress is advanced by images; made by Watch.
  EmbedOptions Embedding(const Encoder& encoder, std::shared_ptr<core::Progress> progress) const;
  // What changes features beside encoder and images.
  std::string Settings(const Encoder& encoder) const;
};

// Opens the encoders and adds the random initialisations of each architecture. Names are made
// unique.
std::vector<Subject> MakeSubjects(const EvalOptions& options, int64_t size);

// Fills the features of all members, from the cache where they are there.
void EmbedSubject(Subject* subject, const Bench& bench);

// kNN, linear probe and few-shot, with intervals. Fits the members' linear models.
std::vector<Measure> MeasureFrozen(Subject* subject, const Bench& bench,
                                   std::vector<std::string>* warnings);

// kNN of raw pixels: what needs no network at all.
std::vector<Measure> MeasurePixels(const Bench& bench);

// Throws when an encoder changed while it was "frozen".
void ProveFrozen(const Subject& subject);

std::vector<int64_t> ToVector(const at::Tensor& values);  // int64

}  // namespace eosin::eval
