// SwiGLU feed-forward in two passes, for many experts at once: down( silu(gate x) * (up x) ).
// A dense layer is one group of all rows.
//
// An assignment is one (row, expert) pair. The assignments of one expert are consecutive and form a
// group.
//
//   ffn_up    rows     [assignments]          pointers to activation rows [hidden], read in place
//             middle   [assignments, width]   activation rows out, zero-padded:
//                                             silu(gate x) * (up x), the product in float
//   ffn_down  middle   [assignments, width]   as written by ffn_up
//             answers  [assignments]          pointers to float rows [hidden] out
//
// silu is our own vector function: error <= kSiluUlpMax float ulps or 2^-100, whichever is greater.
// Every sum over hidden (or width) runs in one order that depends on its length alone. Threads take
// (group, panel) pieces by ticket. Empty groups are allowed. Aliasing: none. Determinism: an
// assignment's bits depend on its row and expert alone.
#pragma once

#include <cstddef>
#include <span>

#include "base/tensor_view.h"
#include "kernels/activations.h"
#include "kernels/lane.h"

namespace conclave {

inline constexpr int kSiluUlpMax = 4;

// gate, up and down of one expert in a kernel set's own layout. Opaque; 64-byte aligned.
struct PackedFfn {
  const std::byte* data = nullptr;
};

struct FfnGroup {
  PackedFfn weights;
  std::int64_t slot_begin;
  std::int64_t slots;
};

struct FfnUpArgs {
  std::span<const FfnGroup> groups;
  std::span<const std::byte* const> rows;
  std::int64_t hidden;
  std::int64_t width;
  Activations middle;
};
using FfnUpFn = void (*)(const FfnUpArgs&, const Lane&);

struct FfnDownArgs {
  std::span<const FfnGroup> groups;
  Activations middle;
  std::int64_t hidden;
  std::int64_t width;
  std::span<float* const> answers;
};
using FfnDownFn = void (*)(const FfnDownArgs&, const Lane&);

struct PackFfnArgs {
  TensorView gate;  // [width, hidden]
  TensorView up;    // [width, hidden]
  TensorView down;  // [hidden, width]
  std::byte* out;   // packed_ffn_bytes(hidden, width) bytes, 64-byte aligned
};
using PackFfnFn = void (*)(const PackFfnArgs&);
using PackedFfnBytesFn = std::size_t (*)(std::int64_t hidden, std::int64_t width);

}  // namespace conclave
