// Root-mean-square norm: out = weight * (in / sqrt(mean(in^2) + eps)), statistic and division in
// float, then the weight, then rounding to the activation type. (transformers Qwen3RMSNorm; eps
// inside the root.)
//
//   in      [rows, cols]   float
//   weight  [cols]         float
//   out     [rows, cols]   activation rows, zero-padded as activations.h says
//
// Sum of squares: one fixed tree for a given cols, whatever the row's address. Aliasing: none.
// Determinism: a row's bits depend on that row alone.
#pragma once

#include <span>

#include "base/views.h"
#include "kernels/activations.h"
#include "kernels/lane.h"

namespace conclave {

struct RmsNormArgs {
  MatrixView<const float> in;
  std::span<const float> weight;
  float eps;
  Activations out;
};
using RmsNormFn = void (*)(const RmsNormArgs&, const Lane&);

}  // namespace conclave
