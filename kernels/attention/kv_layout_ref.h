// The reference's KV block: for each kv head, k [kKvBlockTokens, head_dim], then v of the same
// shape.
#pragma once

#include <cstddef>

#include "base/float_types.h"
#include "base/limits.h"
#include "kernels/kv_shape.h"

namespace conclave::ref {

enum class KvPart { kKey, kValue };

// Byte offset of one position's k or v of one head within a block.
constexpr std::size_t KvOffset(const KvShape& shape, KvPart part, int head, int position) {
  const int run = (head * 2 + (part == KvPart::kValue ? 1 : 0)) * kKvBlockTokens + position;
  return static_cast<std::size_t>(run) * static_cast<std::size_t>(shape.head_dim) *
         BytesOf(shape.dtype);
}

constexpr std::size_t BlockBytes(const KvShape& shape) {
  return KvOffset(shape, KvPart::kKey, shape.kv_heads, 0);
}
static_assert(BlockBytes({1, 1, DType::kBf16}) % 64 == 0);

}  // namespace conclave::ref
