// Rows in the form that matrix products take: float for the reference set, bf16 for the fast ones.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/float_types.h"

namespace conclave {

// A row is readable to PaddedCols(cols) elements and the elements from cols on are zero, so that a
// kernel may run over whole vectors without masks. Rows start on 64-byte boundaries (stride_bytes
// is a multiple of 64).
inline constexpr std::int64_t kActivationPad = 32;

constexpr std::int64_t PaddedCols(std::int64_t cols) {
  return (cols + kActivationPad - 1) / kActivationPad * kActivationPad;
}

// Bytes of one row as it is stored and as it travels.
constexpr std::int64_t ActivationRowBytes(std::int64_t cols, DType dtype) {
  return PaddedCols(cols) * static_cast<std::int64_t>(BytesOf(dtype));
}

struct Activations {
  std::byte* data = nullptr;
  DType dtype = DType::kF32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride_bytes = 0;

  std::byte* row(std::int64_t r) const { return data + r * stride_bytes; }
  Activations slice(std::int64_t begin, std::int64_t count) const {
    return {row(begin), dtype, count, cols, stride_bytes};
  }
};

}  // namespace conclave
