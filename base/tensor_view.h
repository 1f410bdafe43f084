// A tensor's bytes where they lie (a memory-mapped file). Unaligned is possible: safetensors
// promises no alignment.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/float_types.h"

namespace conclave {

struct TensorView {
  DType dtype = DType::kBf16;
  std::int64_t rows = 0;  // shape[0]
  std::int64_t cols = 0;  // shape[1]; 1 for vectors
  const std::byte* data = nullptr;
  std::size_t bytes() const { return static_cast<std::size_t>(rows * cols) * BytesOf(dtype); }
};

}  // namespace conclave
