// SPDX-License-Identifier: Apache-2.0
#include "eval/segmentation/objects.h"

#include <algorithm>
#include <map>

namespace eosin::eval {
namespace {

// Areas and boxes of label 1..count.
void MeasureObjects(int count, Objects* objects) {
  objects->objects.assign(static_cast<size_t>(count), {});
  for (Object& object : objects->objects) {
    object.x0 = objects->width;
    object.y0 = objects->height;
  }
  const int32_t* label = objects->label.data();
  for (int y = 0; y < objects->height; ++y) {
    for (int x = 0; x < objects->width;) {
      const int32_t k = *label;
      const int begin = x;
      while (x < objects->width && *label == k) ++x, ++label;
      if (k == 0) continue;
      Object& object = objects->objects[static_cast<size_t>(k - 1)];
      object.area += x - begin;
      object.x0 = std::min(object.x0, begin);
      object.x1 = std::max(object.x1, x);
      object.y0 = std::min(object.y0, y);
      object.y1 = std::max(object.y1, y + 1);
    }
  }
}

// Keeps the objects that `keep` names, renumbered.
void Renumber(const std::vector<bool>& keep, Objects* objects) {
  if (std::all_of(keep.begin(), keep.end(), [](bool k) { return k; })) return;
  std::vector<int32_t> number(keep.size() + 1, 0);
  std::vector<Object> kept;
  for (size_t k = 0; k < keep.size(); ++k) {
    if (!keep[k]) continue;
    kept.push_back(objects->objects[k]);
    number[k + 1] = static_cast<int32_t>(kept.size());
  }
  for (int32_t& label : objects->label) label = number[static_cast<size_t>(label)];
  objects->objects = std::move(kept);
}

}  // namespace

Objects ConnectedObjects(std::span<const uint8_t> classes, int width, int height, uint8_t value) {
  // Runs of a row joined to those they touch in the row above: union-find over runs, not pixels.
  struct Run {
    int y, begin, end;  // columns [begin, end)
    int32_t parent;
  };
  std::vector<Run> runs;
  const auto root = [&](int32_t r) {
    while (runs[static_cast<size_t>(r)].parent != r) {
      Run& run = runs[static_cast<size_t>(r)];
      run.parent = runs[static_cast<size_t>(run.parent)].parent;
      r = run.parent;
    }
    return r;
  };
  size_t above = 0, above_end = 0;  // the runs of the row before
  for (int y = 0; y < height; ++y) {
    const uint8_t* row = classes.data() + static_cast<size_t>(y) * static_cast<size_t>(width);
    const uint8_t* const row_end = row + width;
    const size_t first = runs.size();
    for (const uint8_t* p = row;;) {
      p = std::find(p, row_end, value);
      if (p == row_end) break;
      const uint8_t* end = std::find_if(p, row_end, [&](uint8_t v) { return v != value; });
      const auto number = static_cast<int32_t>(runs.size());
      runs.push_back({y, static_cast<int>(p - row), static_cast<int>(end - row), number});
      p = end;
    }
    for (size_t r = first; r < runs.size(); ++r) {
      while (above < above_end && runs[above].end < runs[r].begin) ++above;
      for (size_t a = above; a < above_end && runs[a].begin <= runs[r].end; ++a) {
        // The lower number stays the root: the run that comes first.
        const int32_t one = root(static_cast<int32_t>(a)), two = root(static_cast<int32_t>(r));
        runs[static_cast<size_t>(std::max(one, two))].parent = std::min(one, two);
      }
    }
    above = first;
    above_end = runs.size();
  }
  Objects objects;
  objects.width = width;
  objects.height = height;
  objects.label.assign(static_cast<size_t>(width) * static_cast<size_t>(height), 0);
  std::vector<int32_t> number(runs.size(), 0);
  for (size_t r = 0; r < runs.size(); ++r) {
    const auto top = static_cast<size_t>(root(static_cast<int32_t>(r)));
    if (top == r) {
      objects.objects.push_back({0, width, height, 0, 0});
      number[r] = objects.count();
    }
    const int32_t k = number[top];
    Object& object = objects.objects[static_cast<size_t>(k - 1)];
    const Run& run = runs[r];
    object.area += run.end - run.begin;
    object.x0 = std::min(object.x0, run.begin);
    object.x1 = std::max(object.x1, run.end);
    object.y0 = std::min(object.y0, run.y);
    object.y1 = std::max(object.y1, run.y + 1);
    std::fill_n(objects.label.begin() + static_cast<std::ptrdiff_t>(run.y) * width + run.begin,
                run.end - run.begin, k);
  }
  return objects;
}

Objects NumberedObjects(std::span<const uint16_t> numbers, int width, int height) {
  std::vector<int32_t> number(size_t{1} << 16, 0);
  for (const uint16_t n : numbers) number[n] = 1;
  int32_t count = 0;
  for (size_t n = 1; n < number.size(); ++n) {
    if (number[n]) number[n] = ++count;
  }
  number[0] = 0;
  Objects objects;
  objects.width = width;
  objects.height = height;
  objects.label.resize(numbers.size());
  std::transform(numbers.begin(), numbers.end(), objects.label.begin(),
                 [&](uint16_t n) { return number[n]; });
  MeasureObjects(count, &objects);
  return objects;
}

void RemoveIgnored(std::span<const uint8_t> ignored, int ignore, const Objects& truth,
                   Objects* predicted) {
  std::vector<int64_t> lost(predicted->objects.size(), 0);
  bool any = false;
  for (size_t i = 0; i < predicted->label.size(); ++i) {
    if (ignored[i] != ignore || predicted->label[i] == 0) continue;
    ++lost[static_cast<size_t>(predicted->label[i] - 1)];
    predicted->label[i] = 0;
    any = true;
  }
  if (!any) return;
  std::vector<bool> keep;
  for (size_t k = 0; k < lost.size(); ++k) {
    keep.push_back(2 * lost[k] <= predicted->objects[k].area);
    predicted->objects[k].area -= lost[k];
  }
  std::map<std::pair<int32_t, int32_t>, int64_t> overlaps;  // of those in question, by true object
  for (size_t i = 0; i < predicted->label.size(); ++i) {
    const int32_t k = predicted->label[i], t = truth.label[i];
    if (k > 0 && t > 0 && !keep[static_cast<size_t>(k - 1)]) ++overlaps[{k, t}];
  }
  for (const auto& [pair, overlap] : overlaps) {
    const auto& [k, t] = pair;
    const int64_t joined = predicted->object(k).area + truth.object(t).area - overlap;
    if (2 * overlap > joined) keep[static_cast<size_t>(k - 1)] = true;
  }
  Renumber(keep, predicted);
  MeasureObjects(predicted->count(), predicted);
}

void RemoveSmall(int64_t min_area, Objects* objects) {
  std::vector<bool> keep;
  for (const Object& object : objects->objects) keep.push_back(object.area >= min_area);
  Renumber(keep, objects);
}

}  // namespace eosin::eval
