// Adds the experts' weighted answers to the residual stream, at the row's home worker, in float and
// in k order:  hidden[r] + (((w0 a0 + w1 a1) + w2 a2) + ...).
//
//   answers  [rows * k]      pointers to float rows [cols]; answers[r * k + j] has weights(r, j)
//   weights  [rows, k]       float
//   hidden   [rows, cols]    float, read and written
//
// No FMA: products and sums are rounded one by one, in every kernel set, so all sets agree bit for
// bit. Determinism: a row's bits depend on that row alone. Answers may not alias hidden.
#pragma once

#include <span>

#include "base/views.h"
#include "kernels/lane.h"

namespace conclave {

struct CombineArgs {
  std::span<const float* const> answers;
  MatrixView<const float> weights;
  MatrixView<float> hidden;
};
using CombineFn = void (*)(const CombineArgs&, const Lane&);

}  // namespace conclave
