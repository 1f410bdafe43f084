#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/numeric.h"

namespace conclave {
namespace {

// Dimensions below `low` turn often enough to be kept, above `high` are stretched by the factor,
// between: a ramp.
struct Ramp {
  double low;
  double high;
};

Ramp YarnRamp(const ModelConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  const double dim = config.head_dim;
  const auto dimension_of = [&](double turns) {
    return dim * Log(scaling.original_max_positions / (turns * 2 * std::numbers::pi)) /
           (2 * Log(config.rope_theta));
  };
  Ramp ramp{dimension_of(scaling.beta_fast), dimension_of(scaling.beta_slow)};
  if (scaling.truncate) ramp = {std::floor(ramp.low), std::ceil(ramp.high)};
  ramp = {std::max(ramp.low, 0.0), std::min(ramp.high, dim - 1)};
  if (ramp.low == ramp.high) ramp.high += 0.001;
  return ramp;
}

}  // namespace

double YarnMagnitude(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * Log(factor) + 1.0;
}

std::vector<double> InverseFrequencies(const ModelConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  std::vector<double> frequencies(static_cast<std::size_t>(config.head_dim / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = 1.0 / Pow(config.rope_theta, 2.0 * static_cast<double>(i) / config.head_dim);
  }
  switch (scaling.kind) {
    case RopeScaling::Kind::kNone:
      break;
    case RopeScaling::Kind::kLinear:
      for (double& f : frequencies) f /= scaling.factor;
      break;
    case RopeScaling::Kind::kYarn: {
      const Ramp ramp = YarnRamp(config);
      for (std::size_t i = 0; i < frequencies.size(); ++i) {
        const double t =
            std::clamp((static_cast<double>(i) - ramp.low) / (ramp.high - ramp.low), 0.0, 1.0);
        frequencies[i] = frequencies[i] * (1 - t) + frequencies[i] / scaling.factor * t;
      }
      break;
    }
  }
  return frequencies;
}

}  // namespace conclave
