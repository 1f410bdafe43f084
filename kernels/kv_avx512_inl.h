// Where k and v lie in a block of this set. Written by qkv_finish, read by attention.
//
// A block: for each kv head its k, then its v.
//   bf16  k  [head_dim / 2][32 positions][2]   two channels of one position side by side: one
//                                              VDPBF16PS per pair scores 16 positions
//         v  [channels / 16][16][16][2]        16 channels at a time, two positions of one channel
//                                              side by side
//   f32   k  [head_dim][32 positions]
//         v  [32 positions][channels]
// channels is head_dim padded to 16. The padding is never written, and its results are never stored.
#pragma once

#include "base/limits.h"
#include "kernels/avx512_inl.h"
#include "kernels/kv_shape.h"

namespace conclave {
namespace {

struct KvLayout {
  std::int64_t head_dim;
  std::int64_t channels;
  std::int64_t v_offset;  // of v within a head's bytes
  std::int64_t head_bytes;
  std::int64_t block_bytes;
};

inline KvLayout LayoutOf(const KvShape& shape) {
  const std::int64_t element = shape.dtype == DType::kF32 ? 4 : 2;
  KvLayout layout{};
  layout.head_dim = shape.head_dim;
  layout.channels = CeilDiv(shape.head_dim, 16) * 16;
  layout.v_offset = layout.head_dim * kKvBlockTokens * element;
  layout.head_bytes = layout.v_offset + layout.channels * kKvBlockTokens * element;
  layout.block_bytes = layout.head_bytes * shape.kv_heads;
  return layout;
}

}  // namespace
}  // namespace conclave
