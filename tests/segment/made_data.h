// SPDX-License-Identifier: Apache-2.0
// Small made images with masks: a disc of dark violet on pink, different in every image.
#pragma once

#include <fmt/format.h>
#include <fstream>

#include "core/base/files.h"
#include "core/base/philox.h"
#include "core/image/codec.h"
#include "segment/data/mask_dataset.h"
#include "tests/testing.h"

namespace eosin::testing {

inline void WritePng(const fs::path& path, const core::Image& image) {
  const core::Bytes png = core::EncodePng(image);
  core::WriteFileAtomic(path, {reinterpret_cast<const char*>(png.data()), png.size()});
}

// Patients p0, p1, ...; images p0_0, p0_1, ...; writes images/, masks/ and patients.csv.
inline void MakeMaskData(const fs::path& folder, int patients, int images, int size,
                         uint8_t foreground = 1) {
  core::MakeFolder(folder / "images");
  core::MakeFolder(folder / "masks");
  std::ofstream csv(folder / "patients.csv");
  csv << "name,patient_id\n";
  for (int p = 0; p < patients; ++p) {
    for (int i = 0; i < images; ++i) {
      core::PhiloxStream stream(7, core::DrawPurpose::kTest, static_cast<uint32_t>(p),
                                static_cast<uint32_t>(i));
      const float radius = stream.Uniform(0.2f, 0.35f) * static_cast<float>(size);
      const float cx = stream.Uniform(0.35f, 0.65f) * static_cast<float>(size);
      const float cy = stream.Uniform(0.35f, 0.65f) * static_cast<float>(size);
      core::Image image(size, size, 3), mask(size, size, 1);
      for (int y = 0; y < size; ++y) {
        for (int x = 0; x < size; ++x) {
          const float dx = static_cast<float>(x) - cx, dy = static_cast<float>(y) - cy;
          const bool inside = dx * dx + dy * dy < radius * radius;
          const int noise = static_cast<int>(stream.Below(30));
          const int rgb[3] = {inside ? 90 : 220, inside ? 40 : 160, inside ? 130 : 200};
          for (int c = 0; c < 3; ++c) image.at(x, y)[c] = static_cast<uint8_t>(rgb[c] + noise);
          mask.row(y)[x] = inside ? foreground : 0;
        }
      }
      const std::string name = fmt::format("p{}_{}", p, i);
      WritePng(folder / "images" / (name + ".png"), image);
      WritePng(folder / "masks" / (name + ".png"), mask);
      csv << name << ",p" << p << "\n";
    }
  }
}

}  // namespace eosin::testing
