// SPDX-License-Identifier: Apache-2.0
#include "engine/data/binary_sets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/image/picture_folder.h"

namespace eosin::engine {
namespace {

namespace fs = std::filesystem;

struct Layout {
  const char* name;
  int side;           // px
  int label_bytes;    // before the pixels
  bool columns;       // a channel column by column
  const char* names;  // file of class names
  std::array<const char*, 10> classes;

  int64_t pixel_bytes() const { return int64_t{3} * side * side; }
  int64_t record_bytes() const { return label_bytes + pixel_bytes(); }
};

constexpr Layout kCifar = {
    "CIFAR-10",
    32,
    1,
    false,
    "batches.meta.txt",
    {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}};
constexpr Layout kStl = {
    "STL-10",
    96,
    0,
    true,
    "class_names.txt",
    {"airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"}};

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}
bool IsStl(const fs::path& file) { return EndsWith(file.filename().string(), "_X.bin"); }

// A file open for reading at any place, from any thread.
class RandomFile {
 public:
  explicit RandomFile(fs::path path) : path_(std::move(path)) {
    fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) Fail(0, std::strerror(errno));
    struct stat info{};
    const bool known = ::fstat(fd_, &info) == 0;
    if (!known || !S_ISREG(info.st_mode)) {
      ::close(fd_);
      Fail(0, known ? "it is no regular file" : "its size is unknown");
    }
    size_ = static_cast<int64_t>(info.st_size);
  }
  ~RandomFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  RandomFile(RandomFile&& other) noexcept
      : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}
  RandomFile& operator=(RandomFile&&) = delete;

  const fs::path& path() const { return path_; }
  int64_t size() const { return size_; }
  void Read(int64_t offset, int64_t count, uint8_t* out) const {
    while (count > 0) {
      const ssize_t got = ::pread(fd_, out, static_cast<size_t>(count), offset);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) Fail(offset, std::strerror(errno));
      if (got == 0) Fail(offset, "the file ends early");
      offset += got, out += got, count -= got;
    }
  }

 private:
  [[noreturn]] void Fail(int64_t offset, const char* why) const {
    throw core::DataError(fmt::format("cannot read {} at byte {}: {}", path_.string(), offset, why),
                          "check that the file is whole and may be read");
  }

  fs::path path_;
  int fd_ = -1;
  int64_t size_ = 0;
};

struct Part {
  RandomFile file;
  std::string name;
  int64_t first = 0, count = 0;
};

class BinarySource : public ImageSource {
 public:
  explicit BinarySource(const Layout& layout) : layout_(layout) {}

  int64_t size() const override { return static_cast<int64_t>(labels_.size()); }
  core::Image Read(int64_t index) const override;
  std::string name(int64_t index) const override {
    const Part& part = Find(index);
    return fmt::format("{}#{}", part.name, index - part.first);
  }
  std::string group(int64_t index) const override { return name(index); }
  int64_t label(int64_t index) const override { return labels_.at(static_cast<size_t>(index)); }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::pair<int, int> uniform_size() const override { return {layout_.side, layout_.side}; }

  void Append(const fs::path& path, std::string name);
  void NameClasses(const fs::path& folder);

 private:
  const Part& Find(int64_t index) const {
    if (index < 0 || index >= size()) throw std::out_of_range("image index");
    const auto after = std::upper_bound(parts_.begin(), parts_.end(), index,
                                        [](int64_t i, const Part& p) { return i < p.first; });
    return *std::prev(after);
  }
  void AppendCifarLabels(const RandomFile& file, int64_t count);
  void AppendStlLabels(const fs::path& pictures, int64_t count);

  const Layout& layout_;
  std::vector<Part> parts_;
  std::vector<int8_t> labels_;
  std::vector<std::string> classes_;
};

// Three planes to interleaved pixels; of columns, transposed.
core::Image Interleave(const uint8_t* planes, int side, bool columns) {
  core::Image image(side, side, 3);
  const uint8_t *r = planes, *g = r + side * side, *b = g + side * side;
  uint8_t* out = image.pixels.data();
  if (!columns) {
    for (int i = 0; i < side * side; ++i, out += 3) out[0] = r[i], out[1] = g[i], out[2] = b[i];
    return image;
  }
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x, out += 3) {
      const int i = x * side + y;
      out[0] = r[i], out[1] = g[i], out[2] = b[i];
    }
  }
  return image;
}

core::Image BinarySource::Read(int64_t index) const {
  const Part& part = Find(index);
  uint8_t planes[3 * 96 * 96];
  const int64_t offset = (index - part.first) * layout_.record_bytes() + layout_.label_bytes;
  part.file.Read(offset, layout_.pixel_bytes(), planes);
  return Interleave(planes, layout_.side, layout_.columns);
}

void BinarySource::Append(const fs::path& path, std::string name) {
  Part part{RandomFile(path), std::move(name), size(), 0};
  const int64_t bytes = part.file.size(), record = layout_.record_bytes();
  if (bytes == 0 || bytes % record != 0) {
    const bool hundred = bytes > 0 && &layout_ == &kCifar && bytes % (record + 1) == 0;
    throw core::DataError(
        fmt::format("{} is {} bytes long, no whole number of {} records of {} bytes", path.string(),
                    bytes, layout_.name, record),
        hundred ? "this looks like CIFAR-100, whose two labels a picture are not read"
                : "copy or unpack the file anew: it is cut short, or another format");
  }
  part.count = bytes / record;
  if (layout_.label_bytes > 0) {
    AppendCifarLabels(part.file, part.count);
  } else {
    AppendStlLabels(path, part.count);
  }
  parts_.push_back(std::move(part));
}

void BinarySource::AppendCifarLabels(const RandomFile& file, int64_t count) {
  const int64_t record = layout_.record_bytes(), at_once = 1000;
  std::vector<uint8_t> bytes(static_cast<size_t>(std::min(count, at_once) * record));
  for (int64_t first = 0; first < count; first += at_once) {
    const int64_t here = std::min(at_once, count - first);
    file.Read(first * record, here * record, bytes.data());
    for (int64_t i = 0; i < here; ++i) {
      const uint8_t label = bytes[static_cast<size_t>(i * record)];
      if (label > 9) {
        throw core::DataError(
            fmt::format("{} has the label {} at byte {} (record {}); CIFAR-10 has 0 to 9",
                        file.path().string(), label, (first + i) * record, first + i),
            "copy or unpack the file anew: it is damaged, or another format");
      }
      labels_.push_back(static_cast<int8_t>(label));
    }
  }
}

void BinarySource::AppendStlLabels(const fs::path& pictures, int64_t count) {
  std::string stem = pictures.filename().string();
  stem.resize(stem.size() - std::strlen("X.bin"));
  const fs::path path = pictures.parent_path() / (stem + "y.bin");
  if (!fs::exists(path)) {
    if (stem == "train_" || stem == "test_") {
      throw core::DataError(fmt::format("{} is missing, the labels of {}", path.string(),
                                        pictures.filename().string()),
                            "copy the label file beside the pictures");
    }
    labels_.insert(labels_.end(), static_cast<size_t>(count), int8_t{-1});
    return;
  }
  const RandomFile file(path);
  if (file.size() != count) {
    throw core::DataError(fmt::format("{} is {} bytes long, but {} holds {} pictures",
                                      path.string(), file.size(), pictures.string(), count),
                          "a label file has one byte a picture; copy both files anew");
  }
  std::vector<uint8_t> bytes(static_cast<size_t>(count));
  file.Read(0, count, bytes.data());
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] < 1 || bytes[i] > 10) {
      throw core::DataError(fmt::format("{} has the label {} at byte {}; STL-10 has 1 to 10",
                                        path.string(), bytes[i], i),
                            "copy the file anew: it is damaged");
    }
    labels_.push_back(static_cast<int8_t>(bytes[i] - 1));
  }
}

// Leaves the classes empty when no picture has a label.
void BinarySource::NameClasses(const fs::path& folder) {
  if (std::all_of(labels_.begin(), labels_.end(), [](int8_t label) { return label < 0; })) return;
  classes_.assign(layout_.classes.begin(), layout_.classes.end());
  const fs::path file = folder / layout_.names;
  if (!fs::is_regular_file(file)) return;
  std::vector<std::string> names;
  std::istringstream words(core::ReadFile(file));
  for (std::string word; words >> word;) names.push_back(word);
  if (names.size() != classes_.size()) {
    throw core::DataError(fmt::format("{} holds {} class names, not {}", file.string(),
                                      names.size(), classes_.size()),
                          "one name a line; remove the file to use the published names");
  }
  classes_ = std::move(names);
}

std::vector<fs::path> TrainingBatches(const fs::path& folder) {
  std::vector<fs::path> batches;
  if (!fs::is_directory(folder)) return batches;
  for (const fs::path& file : core::ListFiles(folder, {".bin"}, false)) {
    if (file.filename().string().rfind("data_batch_", 0) == 0) batches.push_back(file);
  }
  // By number: 10 after 9.
  std::stable_sort(batches.begin(), batches.end(), [](const fs::path& a, const fs::path& b) {
    return a.filename().string().size() < b.filename().string().size();
  });
  return batches;
}

std::vector<fs::path> StlTraining(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const char* name : {"train_X.bin", "unlabeled_X.bin"}) {
    if (fs::is_regular_file(folder / name)) files.push_back(folder / name);
  }
  return files;
}

}  // namespace

bool IsBinarySet(const fs::path& file) { return core::Extension(file) == ".bin"; }

fs::path FindBinarySet(const fs::path& folder) {
  for (const char* below : {"", "cifar-10-batches-bin", "stl10_binary"}) {
    const fs::path here = *below == '\0' ? folder : folder / below;
    if (!TrainingBatches(here).empty() || !StlTraining(here).empty()) return here;
  }
  return {};
}

std::unique_ptr<ImageSource> OpenBinaryFolder(const fs::path& folder) {
  const std::vector<fs::path> batches = TrainingBatches(folder), stl = StlTraining(folder);
  if (!batches.empty() && !stl.empty()) {
    throw core::DataError(folder.string() + " holds both CIFAR-10 and STL-10",
                          "keep them in folders of their own, or name the files");
  }
  return OpenBinaryFiles(batches.empty() ? stl : batches, folder);
}

std::unique_ptr<ImageSource> OpenBinaryFiles(const std::vector<fs::path>& files,
                                             const fs::path& root) {
  if (files.empty()) throw core::DataError("no binary files were named", "give at least one");
  const bool stl = IsStl(files[0]);
  auto source = std::make_unique<BinarySource>(stl ? kStl : kCifar);
  for (const fs::path& file : files) {
    if (IsStl(file) != stl) {
      throw core::DataError(
          fmt::format("{} and {} are of different sets", files[0].string(), file.string()),
          "give CIFAR-10 batches, or STL-10 *_X.bin files, not both");
    }
    source->Append(file, core::PathBelow(file, root).string());
  }
  source->NameClasses(files[0].parent_path());
  return source;
}

std::vector<std::vector<int64_t>> ReadStl10Folds(const fs::path& file, int64_t train_images) {
  std::vector<std::vector<int64_t>> folds;
  std::istringstream lines(core::ReadFile(file));
  int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    auto refuse = [&](const std::string& why) {
      throw core::DataError(fmt::format("{} line {}: {}", file.string(), number, why),
                            "a fold is a line of indices of training images, from 0");
    };
    std::vector<int64_t> fold;
    std::vector<bool> seen(static_cast<size_t>(train_images));
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      int64_t index = -1;
      const char* end = word.data() + word.size();
      const auto [stop, error] = std::from_chars(word.data(), end, index);
      if (error != std::errc() || stop != end || index < 0 || index >= train_images) {
        refuse(fmt::format("{} is no index below {}", word.substr(0, 40), train_images));
      }
      if (seen[static_cast<size_t>(index)]) refuse(fmt::format("{} stands there twice", index));
      seen[static_cast<size_t>(index)] = true;
      fold.push_back(index);
    }
    if (!fold.empty()) folds.push_back(std::move(fold));
  }
  if (folds.size() != 10) {
    throw core::DataError(fmt::format("{} holds {} folds, not 10", file.string(), folds.size()),
                          "one fold a line");
  }
  return folds;
}

}  // namespace eosin::engine
