// SPDX-License-Identifier: Apache-2.0
// Embeddings as HDF5 files that other tools read.
//
// Of tile stores one file a slide, `<slide stem>.h5`, as CLAM and TRIDENT lay their patch features
// out (read by their MIL trainers unchanged):
//   features  float32 (N, D)  attrs: name, savetodir, encoder (TRIDENT's), and what made them
//   coords    int64 (N, 2)    level-0 x, y; all attributes of the store's coords
// Tiles that loaders skip (blank, bad) are in neither. The attributes tiles_written and
// tiles_in_store (those that loaders take) of `features` differ where the caller left tiles out:
// such a file is no whole bag. Of anything else one file:
//   features  float32 (N, D)  the same attributes
//   labels    int64 (N)       -1 without a label; only where the data has classes
//   classes   strings         names of the labels
//   names, groups  strings (N)
// The root says format = "eosin-features", version = 1. Nothing in a file depends on where, when or
// with how many threads it was made. Files appear whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/store/tile_store.h"
#include "engine/data/image_source.h"
#include "engine/training/input.h"

namespace eosin::eval {

// What made the features; attributes of `features`.
struct EmbeddingMaker {
  std::string encoder;                  // name, e.g. "simclr-lung"; TRIDENT's `encoder`
  std::string fingerprint;              // eval::Fingerprint of the network
  engine::Normalization normalization;  // `mean`, `std`, three numbers each
  int64_t input_size = 0;               // px of the network's input, `input_size`
};

// features (rows.size(), D), any float type, on the CPU; rows: their tiles in the store. DataError
// when the counts differ, MachineError when the disk does not take it. Returns whether these are
// all tiles that loaders take.
bool WriteSlideEmbedding(const std::filesystem::path& path, const core::TileStoreReader& store,
                         const std::vector<int64_t>& rows, const at::Tensor& features,
                         const EmbeddingMaker& maker);

// One file for any source; features: a row an index.
void WriteImageEmbedding(const std::filesystem::path& path, const engine::ImageSource& source,
                         const std::vector<int64_t>& indices, const at::Tensor& features,
                         const EmbeddingMaker& maker);

// The form that fits the source: below `folder` one file a slide when all of the images are tiles
// of stores (in subfolders as the stores where stems repeat), else `embedding.h5`. data: what
// OpenImageSource was given, to find the stores again. Returns the files; incomplete: how many of
// them are of a slide whose tiles are not all among `indices`.
std::vector<std::filesystem::path> WriteEmbeddings(
    const std::filesystem::path& folder, const std::filesystem::path& data,
    const engine::ImageSource& source, const std::vector<int64_t>& indices,
    const at::Tensor& features, const EmbeddingMaker& maker, int64_t* incomplete = nullptr);

struct Embedding {
  at::Tensor features;                              // (N, D) fp32
  at::Tensor coords;                                // (N, 2) int64; undefined when there are none
  at::Tensor labels;                                // (N) int64; undefined when there are none
  std::vector<std::string> names, groups, classes;  // empty when there are none
  EmbeddingMaker maker;                             // what the file says of it
};
// Either form, and features of CLAM and TRIDENT. StoreError when it is none or its shapes disagree.
Embedding ReadEmbedding(const std::filesystem::path& path);

}  // namespace eosin::eval
