// SPDX-License-Identifier: Apache-2.0
#include "core/formats/safetensors.h"

#include "tools/fuzz/fuzz.h"

using namespace eosin;

EOSIN_FUZZ_TARGET(data, size) {
  const fuzz::MemoryFile file(data, size);
  fuzz::Refusable([&] {
    std::map<std::string, std::string> metadata;
    const core::StateDict dict = core::ReadSafetensors(file.path(), &metadata);
    for (const core::TensorBlob& tensor : dict.tensors) {
      fuzz::Require(static_cast<int64_t>(tensor.data.size()) ==
                    tensor.NumElements() * core::DTypeSize(tensor.dtype));
    }
  });
  return 0;
}
