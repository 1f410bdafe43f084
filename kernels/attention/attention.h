// Causal grouped-query attention over the paged cache: a decode token and a chunk of a prompt are
// the same thing, a span of consecutive positions of one sequence.
//
//   q      [rows, heads * head_dim]   activation rows from qkv_finish; scaled here by head_dim^-1/2
//   spans  [spans]                    cover rows 0..rows-1 in order; row i of a span sits at
//                                     position begin + i and sees positions 0..begin + i, all of
//                                     which are in the cache already, its own included
//   out    [rows, heads * head_dim]   activation rows, zero-padded
//
// Query head j reads kv head j / (heads / kv_heads). The softmax is computed online in float, over
// fixed groups of positions counted from 0 in rising order. A (row, head) runs the same
// instructions whether its span has 1 row or 512, so prefill and decode agree bit for bit. exp is
// our own vector function: relative error <= kAttentionExpUlpMax float ulps, or 2^-100 absolute.
// Determinism: a (row, head) depends on its q and the cache alone. Aliasing: none.
#pragma once

#include <cstddef>
#include <span>

#include "base/ids.h"
#include "kernels/activations.h"
#include "kernels/kv_shape.h"
#include "kernels/lane.h"

namespace conclave {

inline constexpr int kAttentionExpUlpMax = 4;

struct AttentionSpan {
  std::int64_t row_begin;
  std::int64_t rows;
  std::int64_t position_begin;
  std::span<const BlockId> blocks;  // block i holds positions i * kKvBlockTokens ...
};

struct AttentionArgs {
  Activations q;
  std::span<const AttentionSpan> spans;
  int heads;
  KvShape kv;
  const std::byte* kv_layer;
  Activations out;
};
using AttentionFn = void (*)(const AttentionArgs&, const Lane&);

}  // namespace conclave
