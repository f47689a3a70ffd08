# SPDX-License-Identifier: Apache-2.0
# All discovery of outside libraries. README names each with its purpose.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(ZLIB REQUIRED)
find_package(Boost 1.74 REQUIRED)
find_package(HDF5 REQUIRED COMPONENTS C)
pkg_check_modules(turbojpeg REQUIRED IMPORTED_TARGET libturbojpeg)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(spng REQUIRED IMPORTED_TARGET spng)

add_library(eosin_hdf5 INTERFACE)
target_include_directories(eosin_hdf5 SYSTEM INTERFACE ${HDF5_INCLUDE_DIRS})
target_link_libraries(eosin_hdf5 INTERFACE ${HDF5_LIBRARIES})

if(EOSIN_WITH_SLIDES)
  # Debian's OpenCVConfig.cmake sits in libopencv-dev (all modules, 1 GB); two modules are enough.
  find_path(OPENCV_INCLUDE_DIR opencv2/core.hpp PATH_SUFFIXES opencv4 REQUIRED)
  find_library(OPENCV_CORE opencv_core REQUIRED)
  find_library(OPENCV_IMGPROC opencv_imgproc REQUIRED)
  add_library(eosin_opencv INTERFACE)
  target_include_directories(eosin_opencv SYSTEM INTERFACE ${OPENCV_INCLUDE_DIR})
  target_link_libraries(eosin_opencv INTERFACE ${OPENCV_IMGPROC} ${OPENCV_CORE})
  find_package(TIFF REQUIRED)
  pkg_check_modules(libjpeg REQUIRED IMPORTED_TARGET libjpeg)
  pkg_check_modules(deflate REQUIRED IMPORTED_TARGET libdeflate)
  find_package(pugixml REQUIRED)
  pkg_check_modules(openslide REQUIRED IMPORTED_TARGET openslide)
endif()

if(EOSIN_WITH_TORCH)
  include(Torch)
endif()

if(EOSIN_WITH_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
