// After the q-k-v product: per-head norm of q and k, rotary embedding, and the write of k and v to
// the cache.
//
//   qkv     [rows, q_width + 2 kv_width]   float: q, then k, then v; not changed
//   q_norm  [head_dim] or empty            RMS norm of q per head, one weight vector for all heads
//   k_norm  [head_dim] or empty            the same for k (Qwen3)
//   cos     [rows, head_dim / 2]           of the row's position, attention factor included
//   sin     [rows, head_dim / 2]           as cos; see rope_table.h
//   places  [rows]                         the block and offset where the row's k and v go
//   q       [rows, q_width]                activation rows out: normed, rotated, NOT scaled by
//                                          head_dim^-1/2
//
// Rotate-half: out[i] = a cos - b sin, out[i + d/2] = b cos + a sin, with a = x[i], b = x[i + d/2].
// k and v are rounded to the cache's storage type here; attention only ever reads the cache.
// Writing the same row twice to one place gives the same bytes, so a broken step is simply run
// again. Determinism: a row's bits depend on that row alone. No two rows go to one place.
#pragma once

#include <cstddef>
#include <span>

#include "base/ids.h"
#include "base/views.h"
#include "kernels/activations.h"
#include "kernels/kv_shape.h"
#include "kernels/lane.h"

namespace conclave {

struct KvPlace {
  BlockId block;
  std::int32_t offset;  // position % kKvBlockTokens
};

struct QkvFinishArgs {
  MatrixView<const float> qkv;
  std::span<const float> q_norm;
  std::span<const float> k_norm;
  float eps;
  MatrixView<const float> cos;
  MatrixView<const float> sin;
  int heads;
  KvShape kv;
  std::byte* kv_layer;  // this layer's blocks; block b starts at kv_layer + b * kv_block_bytes(kv)
  std::span<const KvPlace> places;
  Activations q;
};
using QkvFinishFn = void (*)(const QkvFinishArgs&, const Lane&);

}  // namespace conclave
