// SPDX-License-Identifier: Apache-2.0
// PyTorch checkpoints in their three containers.
#include "core/formats/pth.h"

#include "tools/fuzz/fuzz.h"

using namespace eosin;

EOSIN_FUZZ_TARGET(data, size) {
  const fuzz::MemoryFile file(data, size);
  fuzz::Refusable([&] {
    std::string wrapper;
    const core::StateDict dict = core::ReadPth(file.path(), &wrapper);
    for (const core::TensorBlob& tensor : dict.tensors) {
      fuzz::Require(static_cast<int64_t>(tensor.data.size()) ==
                    tensor.NumElements() * core::DTypeSize(tensor.dtype));
    }
  });
  return 0;
}
