// After the q-k-v product: per-head norm of q and k, rotary embedding, and the write of k and v to
// the cache.
//
//   qkv     [rows, q_width + 2 kv_width]   float: q, then k, then v; not changed
//   q_norm, k_norm [head_dim] or empty     RMS norm per head, one weight vector for all heads
//   (Qwen3) cos, sin [rows, head_dim / 2]          of each row's position, attention factor
//   included (rope_table.h) places  [rows]                         where the row's k and v go q
//   [rows, q_width]                activation rows out: normed, rotated, NOT scaled by
//   head_dim^-1/2
//
// Rotate-half: out[i] = a cos - b sin, out[i + d/2] = b cos + a sin, with a = x[i], b = x[i + d/2].
// k and v are rounded to the cache's storage type here; attention only ever reads the cache.
// Writing a place twice with the same row gives the same bytes (a broken step is simply run again).
// Determinism: a row's bits depend on that row alone. Rows have distinct places.
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
