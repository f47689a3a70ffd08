// SPDX-License-Identifier: Apache-2.0
// A folder of small labelled pictures for the tests of evaluations: stripes across or along, in the
// colours of tissue, several pictures a patient.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "core/base/philox.h"
#include "core/formats/csv.h"
#include "core/formats/safetensors.h"
#include "core/image/codec.h"
#include "engine/models/resnet.h"
#include "engine/weights/weights.h"

namespace eosin::testing {

inline core::Image Striped(int label, uint32_t number, int size = 16) {
  core::PhiloxStream draw(1, core::DrawPurpose::kTest, static_cast<uint32_t>(label), number);
  const int phase = static_cast<int>(draw.Below(4));
  core::Image image(size, size, 3);
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      const bool dark = ((label == 0 ? x : y) + phase) % 4 < 2;
      uint8_t* pixel = image.pixels.data() + 3 * (y * size + x);
      pixel[0] = static_cast<uint8_t>((dark ? 120 : 220) + static_cast<int>(draw.Below(20)));
      pixel[1] = static_cast<uint8_t>((dark ? 60 : 180) + static_cast<int>(draw.Below(20)));
      pixel[2] = static_cast<uint8_t>((dark ? 140 : 200) + static_cast<int>(draw.Below(20)));
    }
  }
  return image;
}

// Two classes, `patients` patients of `each` pictures a class. split: a value a patient, or empty.
inline void MakeImages(const std::filesystem::path& folder, int patients, int each,
                       const std::vector<std::string>& split = {}, uint32_t first = 0) {
  std::string index = split.empty() ? "file,class,group\n" : "file,class,group,split\n";
  for (int label = 0; label < 2; ++label) {
    const std::string name = label == 0 ? "across" : "along";
    core::MakeFolder(folder / name);
    for (int p = 0; p < patients; ++p) {
      for (int i = 0; i < each; ++i) {
        const std::string file = "p" + std::to_string(p) + "_" + std::to_string(i) + ".png";
        const core::Bytes png =
            core::EncodePng(Striped(label, first + static_cast<uint32_t>(p * each + i)));
        core::WriteFileAtomic(folder / name / file,
                              {reinterpret_cast<const char*>(png.data()), png.size()});
        std::vector<std::string> row = {name + "/" + file, name, "patient" + std::to_string(p)};
        if (!split.empty()) row.push_back(split[static_cast<size_t>(p)]);
        index += core::CsvRow(row);
      }
    }
  }
  core::WriteFileAtomic(folder / "index.csv", index);
}

inline engine::ResNet TinyNet(uint64_t seed) {
  engine::ResNetOptions options;
  options.arch = "resnet18";
  options.stem = "cifar";
  options.width = 8;
  engine::ResNet net(options);
  engine::InitResNet(net, seed);
  net->eval();
  return net;
}

inline void WriteTinyNet(const std::filesystem::path& path, uint64_t seed) {
  core::WriteSafetensors(path, engine::ToStateDict(*TinyNet(seed)));
}

}  // namespace eosin::testing
