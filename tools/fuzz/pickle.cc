// SPDX-License-Identifier: Apache-2.0
// The pickle interpreter alone: no container's sums and lengths stand before it.
#include "core/formats/pickle.h"

#include "tools/fuzz/fuzz.h"

using namespace eosin;

EOSIN_FUZZ_TARGET(data, size) {
  const std::string file = "input";
  fuzz::Refusable([&] {
    core::Unpickler* self = nullptr;
    core::Unpickler unpickler(file, [&](const core::PickleValue& id) {
      core::PickleValue* storage = self->New(core::PickleValue::Kind::kStorage);
      storage->text = id.text;
      storage->integer = 16;
      return storage;
    });
    self = &unpickler;
    core::ByteCursor cursor(fuzz::Text(data, size), file);
    fuzz::Require(unpickler.Load(cursor) != nullptr);
    fuzz::Require(cursor.position() <= size);
  });
  return 0;
}
