#include "kernels/embed/widen_ref.h"

#include <cstring>

namespace conclave::ref {
namespace {

// memcpy, because a memory-mapped tensor may lie at any address.
template <typename Stored>
Stored Read(const std::byte* at) {
  Stored stored;
  std::memcpy(&stored, at, sizeof(stored));
  return stored;
}

template <typename Stored>
void Widen(const std::byte* from, std::int64_t count, float* out) {
  for (std::int64_t i = 0; i < count; ++i) {
    out[i] = ToFloat(Read<Stored>(from + i * static_cast<std::int64_t>(sizeof(Stored))));
  }
}

}  // namespace

void WidenRow(const TensorView& tensor, std::int64_t row, float* out) {
  const auto row_bytes = static_cast<std::size_t>(tensor.cols) * BytesOf(tensor.dtype);
  const std::byte* from = tensor.data + static_cast<std::size_t>(row) * row_bytes;
  switch (tensor.dtype) {
    case DType::kF32:
      std::memcpy(out, from, row_bytes);
      return;
    case DType::kBf16:
      Widen<Bf16>(from, tensor.cols, out);
      return;
    case DType::kF16:
      Widen<F16>(from, tensor.cols, out);
      return;
  }
}

}  // namespace conclave::ref
