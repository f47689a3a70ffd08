// SPDX-License-Identifier: Apache-2.0
// CIFAR-10 and STL-10 in the binary files that their authors publish, read in place.
//
// CIFAR-10 (Krizhevsky 2009), cifar-10-batches-bin: data_batch_1.bin ... data_batch_5.bin and
// test_batch.bin, records of a label byte 0..9 and 3072 bytes of a 32 x 32 picture, channel by
// channel, row by row. Class names from batches.meta.txt beside them, where it is.
//
// STL-10 (Coates et al., AISTATS 2011), stl10_binary: {train,test,unlabeled}_X.bin, pictures of
// 96 x 96, channel by channel, *column* by column; {train,test}_y.bin, label bytes 1..10 (classes
// 0..9 here); class_names.txt; fold_indices.txt, ten folds of 1000 training images.
//
// Every file is checked when it is opened: its size is a whole number of records, labels are in
// range and as many as the pictures. DataError names the file and the byte. Pictures are read from
// the file when asked for, by any number of threads; the page cache keeps what is read again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "engine/data/image_source.h"

namespace eosin::engine {

// A CIFAR-10 batch or an STL-10 *_X.bin, by its extension alone.
bool IsBinarySet(const std::filesystem::path& file);

// Whether the folder holds data_batch_*.bin, train_X.bin or unlabeled_X.bin itself, or in its
// subfolder cifar-10-batches-bin or stl10_binary. Returns that folder, else an empty path.
std::filesystem::path FindBinarySet(const std::filesystem::path& folder);

// What to pretrain on. CIFAR-10: the training batches in order of their numbers, never the test
// batch. STL-10: train_X.bin with its labels, then unlabeled_X.bin with label -1 (so that the
// indices of a fold are indices into this source), or the one of the two that is there; never the
// test images. Name a file to open it alone.
std::unique_ptr<ImageSource> OpenBinaryFolder(const std::filesystem::path& folder);

// Files of one kind, in this order, such as test_batch.bin or test_X.bin. Names are relative to
// root. Labels of X_X.bin come from X_y.bin beside it, which train and test must have.
std::unique_ptr<ImageSource> OpenBinaryFiles(const std::vector<std::filesystem::path>& files,
                                             const std::filesystem::path& root);

// fold_indices.txt: ten lines of indices into the training images, each below train_images and at
// most once a line.
std::vector<std::vector<int64_t>> ReadStl10Folds(const std::filesystem::path& file,
                                                 int64_t train_images = 5000);

}  // namespace eosin::engine
