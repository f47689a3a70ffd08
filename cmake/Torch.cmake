# SPDX-License-Identifier: Apache-2.0
# LibTorch as the target eosin_torch. The CPU configuration takes libtorch_cpu and libc10 straight
# from the wheel that tools/setup installs (find_package(Torch) would demand a CUDA toolkit); the
# CUDA configuration goes through find_package(Torch). EOSIN_TORCH_DIR overrides the place.

set(EOSIN_TORCH_DIR "" CACHE PATH "torch folder (holds include/ and lib/); empty: the project's venv")
set(torch_dir "${EOSIN_TORCH_DIR}")
if(NOT torch_dir AND DEFINED Torch_DIR)
  get_filename_component(torch_dir "${Torch_DIR}/../../.." ABSOLUTE)
endif()
if(NOT torch_dir)
  if(EOSIN_WITH_CUDA)
    file(GLOB candidates ${CMAKE_SOURCE_DIR}/.venv-cuda/lib/python3*/site-packages/torch
      ${CMAKE_SOURCE_DIR}/.venv-parity/lib/python3*/site-packages/torch)
  else()
    file(GLOB candidates ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
  endif()
  if(candidates)
    list(GET candidates 0 torch_dir)
  endif()
endif()
if(NOT EXISTS "${torch_dir}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "LibTorch was not found.\n"
    "hint: run tools/setup (tools/setup --cuda for CUDA), or pass -DEOSIN_TORCH_DIR=<torch folder>, "
    "or build without it: -DEOSIN_WITH_TORCH=OFF")
endif()
message(STATUS "LibTorch: ${torch_dir}")

# The wheel ships headers of a newer fmt without its library: the system's must be found first.
get_target_property(fmt_include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
set(fmt_first ${CMAKE_BINARY_DIR}/fmt_first)
file(MAKE_DIRECTORY ${fmt_first})
file(CREATE_LINK ${fmt_include}/fmt ${fmt_first}/fmt SYMBOLIC)

add_library(eosin_torch INTERFACE)
target_include_directories(eosin_torch SYSTEM INTERFACE ${fmt_first}
  ${torch_dir}/include ${torch_dir}/include/torch/csrc/api/include)
set(torch_rpath ${torch_dir}/lib)
if(EOSIN_WITH_CUDA)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80 90)
  endif()
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  set(CMAKE_CUDA_STANDARD 17)
  target_compile_definitions(eosin_torch INTERFACE EOSIN_WITH_CUDA)
  target_link_libraries(eosin_torch INTERFACE
    -Wl,--no-as-needed ${torch_dir}/lib/libtorch_cuda.so ${torch_dir}/lib/libc10_cuda.so
    -Wl,--as-needed ${torch_dir}/lib/libtorch_cpu.so ${torch_dir}/lib/libc10.so CUDA::cudart)
  file(GLOB nvidia_libs ${torch_dir}/../nvidia/*/lib)
  list(APPEND torch_rpath ${nvidia_libs})
else()
  target_link_libraries(eosin_torch INTERFACE
    ${torch_dir}/lib/libtorch_cpu.so ${torch_dir}/lib/libc10.so)
endif()
# The wheel's libraries find their own dependencies relative to themselves; ours need only torch/lib.
list(APPEND CMAKE_BUILD_RPATH ${torch_rpath})
list(APPEND CMAKE_INSTALL_RPATH ${torch_rpath})
