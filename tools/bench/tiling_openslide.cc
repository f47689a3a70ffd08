// SPDX-License-Identifier: Apache-2.0
// OpenSlide patch by patch, as tilers use it.
#include <hdf5.h>
#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "core/base/error.h"
#include "core/image/image.h"
#include "tiling/slides/openslide_api.h"
#include "tools/bench/tiling_modes.h"

namespace eosin::bench {
namespace {

// Patches appended one by one as CLAM's create_patches.py did: the file opened, both datasets
// resized by one, written, everything closed, for each patch.
class ClamFile {
 public:
  explicit ClamFile(std::filesystem::path path) : path_(std::move(path)) {}

  void Add(const Place& place, const core::Image& patch) {
    const int32_t coords[2] = {static_cast<int32_t>(place.x), static_cast<int32_t>(place.y)};
    const hsize_t side = kPatch;
    const hid_t file = count_ == 0
                           ? H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT)
                           : H5Fopen(path_.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    Append(file, "imgs", H5T_NATIVE_UINT8, {1, side, side, 3}, patch.pixels.data());
    Append(file, "coords", H5T_NATIVE_INT32, {1, 2}, coords);
    Check(H5Fclose(file));
    ++count_;
  }

 private:
  void Check(int64_t result) const {
    if (result < 0)
      throw core::MachineError("HDF5 cannot write " + path_.string(), "is the disk full?");
  }

  // One more row of a dataset whose first dimension grows; made with the first row.
  void Append(hid_t file, const char* name, hid_t type, std::vector<hsize_t> row,
              const void* data) {
    Check(file);
    const int rank = static_cast<int>(row.size());
    hid_t dataset;
    if (count_ == 0) {
      std::vector<hsize_t> largest = row;
      largest[0] = H5S_UNLIMITED;
      const hid_t space = H5Screate_simple(rank, row.data(), largest.data());
      const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
      H5Pset_chunk(creation, rank, row.data());
      dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
      H5Pclose(creation);
      H5Sclose(space);
    } else {
      dataset = H5Dopen2(file, name, H5P_DEFAULT);
      std::vector<hsize_t> extent = row;
      extent[0] = count_ + 1;
      Check(H5Dset_extent(dataset, extent.data()));
    }
    Check(dataset);
    const hid_t target = H5Dget_space(dataset),
                source = H5Screate_simple(rank, row.data(), nullptr);
    std::vector<hsize_t> start(row.size(), 0);
    start[0] = count_;
    H5Sselect_hyperslab(target, H5S_SELECT_SET, start.data(), nullptr, row.data(), nullptr);
    Check(H5Dwrite(dataset, type, source, target, H5P_DEFAULT, data));
    H5Sclose(source);
    H5Sclose(target);
    Check(H5Dclose(dataset));
  }

  std::filesystem::path path_;
  hsize_t count_ = 0;
};

// OpenSlide's pixels are premultiplied ARGB words; the made slides are opaque.
void ToRgb(const std::vector<uint32_t>& words, core::Image* image) {
  uint8_t* p = image->pixels.data();
  for (const uint32_t word : words) {
    p[0] = static_cast<uint8_t>(word >> 16);
    p[1] = static_cast<uint8_t>(word >> 8);
    p[2] = static_cast<uint8_t>(word);
    p += 3;
  }
}

}  // namespace

int RunOpenSlide(const Case& asked, const std::string& work, const std::filesystem::path& folder) {
  if (work != "read" && work != "h5") {
    throw core::ConfigError("OpenSlide knows no mode " + work, "modes are read and h5");
  }
  const tiling::OpenSlideApi& api = tiling::OpenSlide();
  cv::setNumThreads(1);
  const Clock clock;
  const std::unique_ptr<openslide_t, void (*)(openslide_t*)> slide(api.open(asked.slide.c_str()),
                                                                   api.close);
  if (!slide || api.get_error(slide.get())) {
    throw core::SlideError("OpenSlide cannot open " + asked.slide.string(), "make the slide again");
  }
  const int side = asked.ReadSide();
  std::vector<uint32_t> words(static_cast<size_t>(side) * side);
  core::Image read(side, side, 3), patch(kPatch, kPatch, 3);
  ClamFile file(folder / "clam.h5");
  Measured measured;
  measured.version = "OpenSlide " + api.version;
  for (const Place& place : asked.patches) {
    api.read_region(slide.get(), words.data(), place.x, place.y, 0, side, side);
    if (const char* error = api.get_error(slide.get())) {
      throw core::SlideError(std::string("OpenSlide: ") + error, "make the slide again");
    }
    ToRgb(words, &read);
    if (side != kPatch) {
      const cv::Mat from(side, side, CV_8UC3, read.pixels.data());
      cv::Mat to(kPatch, kPatch, CV_8UC3, patch.pixels.data());
      cv::resize(from, to, to.size(), 0, 0, cv::INTER_AREA);
    } else {
      std::swap(read.pixels, patch.pixels);
    }
    if (work == "h5") file.Add(place, patch);
    ++measured.patches;
  }
  if (work == "h5")
    measured.out_bytes = static_cast<int64_t>(std::filesystem::file_size(folder / "clam.h5"));
  return clock.Print(asked.name, work, measured);
}

}  // namespace eosin::bench
