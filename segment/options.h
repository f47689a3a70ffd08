// SPDX-License-Identifier: Apache-2.0
// Everything that decides the training and scoring of one segmentation model. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/option_set.h"
#include "engine/augment/recipe.h"
#include "engine/training/device.h"
#include "engine/training/optimizer.h"
#include "eval/segmentation/image_scores.h"
#include "segment/data/mask_dataset.h"
#include "segment/train/loss_options.h"

namespace eosin::segment {

// none | stem | layer1 | ... | layer4 | all, in order of depth; all = layer4 = the whole backbone.
const std::vector<std::string>& FreezeNames();

struct SegmentOptions {
  MaskDataOptions data;

  // model
  std::string arch = "resnet50";   // resnet18 | resnet34 | resnet50
  std::string stem = "imagenet";   // imagenet | cifar: the stem of the weights
  int64_t width = 64;              // channels of the stem; 64 except for tiny test nets
  std::string head = "deeplabv3";  // deeplabv3 | deeplabv3plus (deeplab.h)
  int64_t output_stride = 16;      // 8 | 16 | 32 (deeplabv3 only)
  std::vector<double> rates;       // ASPP dilations; whole numbers; empty: by the map
  int64_t head_channels = 256;
  bool separable = true;  // deeplabv3plus: separable ASPP branches
  bool aux = false;       // deeplabv3: second head on layer3 while training
  double dropout = 0.5;
  std::string init = "random";         // random | a weights file
  std::string init_part = "backbone";  // backbone | body (all but the class layer) | all
  // auto (what the weights file says, else ImageNet's) | imagenet | none | three means and three
  // deviations, for files that do not say it.
  std::string normalization = "auto";

  // training
  std::string freeze = "none";
  double unfreeze_at = 0.0;          // share of the steps; 0 = never
  std::string unfreeze_to = "none";  // what stays frozen then
  int64_t crop = 256;                // px of a training crop and of an inference window
  int64_t batch = 8;                 // crops a step, at least 2
  int64_t steps = 2000;
  double backbone_lr = 0.1;  // times the rate, for the backbone when it comes from a file
  std::vector<double> stage_lr{1, 1, 1, 1, 1};  // stem..layer4, times backbone_lr; the head has 1
  std::string schedule = "poly";                // poly | cosine | one-cycle | constant
  double poly_power = 0.9;                      // rate * (1 - step / steps) ^ power
  int64_t warmup = 0;                  // steps, at most a fifth of them; one-cycle has its own rise
  LossOptions loss;                    // ce, dice, focal, lovasz and their factors
  std::string class_weights = "none";  // none | inverse | sqrt | a number a class
  double aux_weight = 0.4;
  double clip_grad = 0.0;        // largest norm of the gradient; 0 = off
  int64_t seed = 0;              // head, order, augmentation (and the backbone when random)
  int64_t val_every = 0;         // steps; 0 = ten times over the run
  int64_t patience = 0;          // validations without a better one before training ends; 0 = off
  int64_t checkpoint_every = 0;  // steps between checkpoints besides those at validations; 0 = none
  int64_t views = 0;             // fixed crops an image, drawn once; 0 = a new one every time
  bool cache_features = false;   // keep what the frozen stages give for each fixed crop
  double cache_gb = 4.0;         // largest size of that, GB
  engine::OptimizerOptions optimizer;

  // augmentation of training crops: scale, flips and quarter turns, colour, stain
  double scale_min = 0.8, scale_max = 1.25;
  bool flips = true;
  double jitter = 0.8;  // probability of the colour change
  double brightness = 0.2, contrast = 0.2, saturation = 0.2, hue = 0.04;
  double hed = 0.5;            // probability of the stain change
  double hed_strength = 0.05;  // alpha ~ U[1-t, 1+t], beta ~ U[-t, t]
  double blur = 0.1;           // probability

  // scoring
  double overlap = 0.25;         // of neighbouring windows, 0..0.9
  int64_t eval_batch = 8;        // windows a forward pass
  eval::ScoreOptions score;      // tolerances of boundaries and objects
  int64_t keep_predictions = 6;  // test images whose predicted masks are kept as PNG

  int64_t workers = 0;  // decoding threads, 0 = all cores; change no result
  engine::ComputeOptions compute;

  SegmentOptions();
  void Bind(core::OptionSet& set);
  void Check() const;
  engine::ViewRecipe Recipe() const;
  int Workers() const;
  int64_t ValEvery() const;
  // The multiplier in force: backbone_lr for weights from a file, 1 for random ones.
  double BackboneLr() const { return init == "random" ? 1.0 : backbone_lr; }
  // Side of the feature map of a crop.
  int64_t MapSize() const;
  // The first step with unfreeze_to instead of freeze; = steps when that never comes.
  int64_t UnfreezeStep() const;
  // The dilations in force: `rates`, or where it is empty 3/16, 6/16 and 9/16 of the map, the
  // shares that 12, 24 and 36 have of a 512 px crop's map at output stride 8.
  std::vector<int64_t> Rates() const;
};

// Warnings in words, e.g. ASPP rates that degenerate to 1x1 on the crop's feature map.
std::vector<std::string> Warnings(const SegmentOptions& options);

// Mean share of a 3x3 convolution's nine taps that fall inside a map x map feature map at this
// dilation (zero padding = dilation): 1/9 means it has become a 1x1 convolution.
double TapsInside(int64_t map, int64_t rate);

}  // namespace eosin::segment
