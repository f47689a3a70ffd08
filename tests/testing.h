// SPDX-License-Identifier: Apache-2.0
// What every test shares: where real data is, and a folder of its own to write to.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/base/error.h"

namespace eosin::testing {

namespace fs = std::filesystem;

// The folder of real test data: EOSIN_TEST_DATA, by default ../shared/data beside the project.
inline fs::path DataFolder() {
  if (const char* folder = std::getenv("EOSIN_TEST_DATA")) return folder;
  return fs::path(EOSIN_SOURCE_DIR) / ".." / "shared" / "data";
}

// Files committed with the tests.
inline fs::path FixtureFolder() { return fs::path(EOSIN_SOURCE_DIR) / "tests" / "fixtures"; }

// Skips the test, by name and with the reason, when real data is absent.
#define EOSIN_REQUIRE_DATA(path)                                                                \
  do {                                                                                          \
    if (!std::filesystem::exists(path)) {                                                       \
      GTEST_SKIP() << "needs " << (path) << ": set EOSIN_TEST_DATA to the folder of test data"; \
    }                                                                                           \
  } while (false)

// A fresh folder, removed at the end of the test.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (fs::temp_directory_path() / "eosin-test-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const fs::path& path() const { return path_; }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

// Runs `action` and expects a user error of this exit code whose sentence holds `text`.
template <typename Action>
void ExpectError(Action&& action, core::ExitCode code, const std::string& text) {
  try {
    action();
    ADD_FAILURE() << "no error; expected one saying \"" << text << "\"";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_THAT(std::string(error.what()), ::testing::HasSubstr(text));
    EXPECT_FALSE(error.hint().empty());
  }
}

}  // namespace eosin::testing
