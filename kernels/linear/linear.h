// y = W x (+ bias) for rows of activations, float accumulation.
//
//   in    [rows, k]   activation rows
//   w     [n, k]      packed by the same kernel set
//   bias  [n] or empty
//   out   [rows, n]   float, stride >= n; linear writes sum + bias, linear_add out + (sum + bias)
//
// Every sum over k runs in one order that depends on k alone: not on the number of rows or threads,
// nor on where the row lies. Threads divide n and rows, never k. Aliasing: none. NaN and infinity
// propagate as IEEE says.
#pragma once

#include <cstddef>
#include <span>

#include "base/tensor_view.h"
#include "base/views.h"
#include "kernels/activations.h"
#include "kernels/lane.h"

namespace conclave {

// A weight matrix in a kernel set's own layout. Opaque; 64-byte aligned; owned by its packer.
struct PackedMatrix {
  const std::byte* data = nullptr;
  std::int64_t n = 0;
  std::int64_t k = 0;
};

struct LinearArgs {
  Activations in;
  PackedMatrix w;
  std::span<const float> bias;
  MatrixView<float> out;
};
using LinearFn = void (*)(const LinearArgs&, const Lane&);

// Packs matrices stacked along n, so that q, k and v become one product. All sources have k columns
// and n rows in total. Each element is rounded to the set's weight format by itself: the bits do
// not depend on which thread packs it.
struct PackArgs {
  std::span<const TensorView> sources;
  std::byte* out;  // packed_bytes(n, k) bytes, 64-byte aligned
};
using PackFn = void (*)(const PackArgs&, const Lane&);
using PackedBytesFn = std::size_t (*)(std::int64_t n, std::int64_t k);

}  // namespace conclave
