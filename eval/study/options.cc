// SPDX-License-Identifier: Apache-2.0
#include "eval/study/options.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "eval/encoder.h"

namespace eosin::eval {

void EvalOptions::Bind(core::OptionSet& set) {
  set.Add("eval.encoders", &encoders, {.doc = "weights files or folders of eosin pretrain"});
  set.Add("eval.data", &data, {.doc = "labelled tiles or images, as eosin pretrain takes them"});
  set.Add("eval.test", &test, {.doc = "another labelled set to test on; empty: data is split"});
  set.Add("eval.seed", &seed_value, {.doc = "of the split, shots and everything drawn", .min = 0});
  set.Add("eval.val_share", &val_share,
          {.doc = "share of the groups (patients, slides) that the probe is tuned on",
           .min = 0,
           .max = 0.8});
  set.Add("eval.test_share", &test_share,
          {.doc = "share of the groups that are tested on", .min = 0.01, .max = 0.9});
  set.Add("eval.train_images", &train_images,
          {.doc = "at most so many, drawn by class; 0 = all", .unit = "images", .min = 0});
  set.Add("eval.test_images", &test_images,
          {.doc = "at most so many for test, and for val, drawn by class; 0 = all",
           .unit = "images",
           .min = 0});
  set.Add("eval.groups_per_class", &groups_per_class,
          {.doc = "group names count within a class (photographs numbered anew in each class)"});
  set.Add("eval.drop_duplicates", &drop_duplicates,
          {.doc = "leave training images out that are in the test set too, pixel for pixel"});
  set.Add("eval.size", &size,
          {.doc = "side of the network's input; 0 = the images' own size up to 224",
           .unit = "px",
           .min = 0,
           .max = 4096});
  set.Add("eval.normalization", &normalization,
          {.doc = "input of encoders whose file does not say: auto (ImageNet's, with a word), "
                  "imagenet, none, or m,m,m,s,s,s in 0..1"});
  set.Add("eval.batch", &batch, {.doc = "images a forward pass", .min = 1});
  set.Add("eval.workers", &workers,
          {.doc = "reading threads, 0 = one less than the cores", .min = 0});
  set.Add("eval.random_arch", &random_arch,
          {.doc = "random init without an encoder to copy",
           .choices = {"resnet18", "resnet34", "resnet50"}});
  set.Add("eval.random_stem", &random_stem,
          {.doc = "auto: cifar up to 64 px", .choices = {"auto", "imagenet", "cifar"}});
  set.Add("eval.random_width", &random_width,
          {.doc = "channels of the stem", .min = 1, .max = 1024});
  set.Add("eval.random_seeds", &random_seeds,
          {.doc = "random initialisations of each architecture", .min = 1, .max = 100});
  set.Add("eval.knn_ks", &knn_ks, {.doc = "neighbours; the first is the headline", .min = 1});
  set.Add("eval.knn_temperatures", &knn_temperatures,
          {.doc = "of the votes exp(cosine / t), one a k", .min = 1e-3});
  set.Add("eval.pixel_size", &pixel_size,
          {.doc = "side that images are shrunk to for kNN of raw pixels",
           .unit = "px",
           .min = 4,
           .max = 256});
  probe.Bind(set, "probe");
  set.Add("probe.l2s", &probe_l2s,
          {.doc = "lbfgs: the one best on val is taken; probe.l2 where there is no val", .min = 0});
  set.Add("eval.shots", &shots,
          {.doc = "few-shot: labelled images a class; empty = none", .min = 1});
  set.Add("eval.shot_draws", &shot_draws, {.doc = "few-shot: draws", .min = 2, .max = 1000});
  set.Add("eval.finetune", &finetune, {.doc = "also train all weights (costly)"});
  finetuning.Bind(set, "finetune");
  set.Add("finetune.reach", &reach,
          {.doc = "transfer speed: epochs to this share of the best final accuracy",
           .min = 0.01,
           .max = 1});
  set.Add("eval.geometry", &geometry,
          {.doc = "silhouette, distances, RankMe, alignment, uniformity, drift"});
  set.Add("eval.geometry_images", &geometry_images,
          {.doc = "test images they are measured on, at most", .min = 10});
  set.Add("eval.stain_shift", &stain_shift,
          {.doc = "scores on stain-shifted copies of test images (16 shifts)"});
  set.Add("eval.stain_images", &stain_images, {.doc = "test images shifted, at most", .min = 1});
  set.Add("eval.pictures", &pictures, {.doc = "PCA, t-SNE and UMAP pictures"});
  set.Add("eval.picture_images", &picture_images,
          {.doc = "test images in a picture, at most", .min = 10, .max = 20000});
  set.Add("eval.draws", &draws, {.doc = "resamples of a bootstrap interval", .min = 100});
  compute.Bind(set, "compute");
}

void EvalOptions::Check() const {
  if (data.empty()) throw core::ConfigError("no data given", "name a labelled set with --data");
  if (out.empty()) throw core::ConfigError("no result folder given", "name one with --out");
  if (knn_ks.size() != knn_temperatures.size() || knn_ks.empty()) {
    throw core::ConfigError(fmt::format("eval.knn_ks has {} values and eval.knn_temperatures {}",
                                        knn_ks.size(), knn_temperatures.size()),
                            "give each k its temperature, at least one pair");
  }
  ParseNormalization(normalization);
  auto whole = [](const std::vector<double>& values, const char* key) {
    for (const double value : values) {
      if (value != static_cast<double>(static_cast<int64_t>(value))) {
        throw core::ConfigError(fmt::format("{} = {} is no whole number", key, value),
                                "counts are whole numbers, e.g. 1, 5, 10");
      }
    }
  };
  whole(knn_ks, "eval.knn_ks");
  whole(shots, "eval.shots");
  if (test.empty() && val_share + test_share > 0.95) {
    throw core::ConfigError(
        fmt::format("eval.val_share + eval.test_share = {} leaves nothing to train on",
                    val_share + test_share),
        "keep their sum at 0.95 or less");
  }
}

}  // namespace eosin::eval
