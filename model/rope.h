// Rotary frequencies of a model, its scaling applied. Pure; bits do not depend on the machine.
#pragma once

#include <vector>

#include "model/config.h"

namespace conclave {

// [head_dim / 2] radians per position. cos and sin of position * frequency are then to be
// multiplied by config.rope_scaling.attention_factor.
std::vector<double> InverseFrequencies(const ModelConfig& config);

// YaRN's magnitude: 0.1 * mscale * ln(factor) + 1, and 1 for factor <= 1.
double YarnMagnitude(double factor, double mscale);

}  // namespace conclave
