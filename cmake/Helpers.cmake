# SPDX-License-Identifier: Apache-2.0
# House macros: one library a folder, executables, tests. Every target gets the same flags.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

find_program(EOSIN_CCACHE ccache)
if(EOSIN_CCACHE)
  # Paths below the project count as relative: presets and clones share what they compiled.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} ${EOSIN_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${launcher})
endif()

add_library(eosin_flags INTERFACE)
target_compile_options(eosin_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Werror -Wno-missing-field-initializers>)
target_include_directories(eosin_flags INTERFACE ${CMAKE_SOURCE_DIR})
if(EOSIN_SANITIZE)
  target_compile_options(eosin_flags INTERFACE -fsanitize=address,undefined
    -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(eosin_flags INTERFACE -fsanitize=address,undefined)
endif()
if(EOSIN_FUZZ)
  # libFuzzer's own flag needs its main function; the libraries only count edges.
  # Clang warns of other things than GCC, by which the project is kept clean: shown, no errors.
  target_compile_options(eosin_flags INTERFACE -fsanitize=fuzzer-no-link -Wno-error)
  target_link_options(eosin_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_compile_definitions(eosin_flags INTERFACE _GLIBCXX_ASSERTIONS)
endif()

# eosin_library(<folder> SOURCES ... PUBLIC ... PRIVATE ...)
function(eosin_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(eosin_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(eosin_${name} PUBLIC eosin_flags ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
endfunction()

# eosin_executable(<target> SOURCES ... LINK ... [INSTALL])
function(eosin_executable name)
  cmake_parse_arguments(ARG "INSTALL" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE eosin_flags ${ARG_LINK})
  if(ARG_INSTALL)
    install(TARGETS ${name} RUNTIME)
  endif()
endfunction()

# eosin_test(<name> SOURCES ... LINK ... LABELS ... [TORCH])
# Torch tests are one ctest entry a binary (each start loads LibTorch); others one entry a test.
function(eosin_test name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;LINK;LABELS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  add_executable(${name}_test ${ARG_SOURCES})
  target_link_libraries(${name}_test PRIVATE eosin_flags eosin_testing ${ARG_LINK}
    GTest::gmock GTest::gtest_main)
  set_target_properties(${name}_test PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(ARG_TORCH)
    add_test(NAME ${name} COMMAND ${name}_test)
    set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 900)
  else()
    gtest_discover_tests(${name}_test TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60
      PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 300)
  endif()
endfunction()
