// Rotary angles, the same bits for every kernel set: computed in double with base/numeric.h,
// rounded to float once. Formulas: transformers modeling_rope_utils (default, linear, yarn).
#pragma once

#include <span>
#include <vector>

#include "base/views.h"

namespace conclave {

// frequency[i] for i < head_dim / 2, after scaling, and the factor that multiplies cos and sin.
struct RopeFrequencies {
  std::vector<double> frequency;
  double attention_factor = 1.0;
};

// cos and sin [positions, head_dim / 2]. Position < 2^20. Allocates nothing.
void FillRope(const RopeFrequencies& rope, std::span<const std::int32_t> positions,
              MatrixView<float> cos, MatrixView<float> sin);

}  // namespace conclave
