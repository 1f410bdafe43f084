#include "kernels/qkv/rope_table.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/limits.h"
#include "base/numeric.h"

namespace conclave {
namespace {

constexpr double kPi = 3.14159265358979323846;

// Where, counted in pairs of dimensions, a frequency turns `rotations` times over the original
// context.
double CorrectionPair(const RopeArgs& args, double rotations) {
  return args.head_dim * Log(args.original_max_positions / (rotations * 2.0 * kPi)) /
         (2.0 * Log(args.theta));
}

// YaRN: fast frequencies stay, slow ones are divided by the factor, a ramp lies between.
void ScaleYarn(const RopeArgs& args, std::vector<double>& frequency) {
  double low = CorrectionPair(args, args.beta_fast);
  double high = CorrectionPair(args, args.beta_slow);
  if (args.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(args.head_dim - 1));
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < frequency.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequency[i] = frequency[i] * (1.0 - ramp) + frequency[i] / args.factor * ramp;
  }
}

}  // namespace

RopeFrequencies MakeRopeFrequencies(const RopeArgs& args) {
  CONCLAVE_CHECK(args.head_dim > 0 && args.head_dim % 2 == 0, "head_dim %d", args.head_dim);
  CONCLAVE_CHECK(args.theta > 1.0 && args.factor > 0.0, "theta %g factor %g", args.theta,
                 args.factor);
  RopeFrequencies rope;
  rope.attention_factor = args.attention_factor;
  rope.frequency.resize(static_cast<std::size_t>(args.head_dim / 2));
  for (std::size_t i = 0; i < rope.frequency.size(); ++i) {
    rope.frequency[i] = Pow(args.theta, -2.0 * static_cast<double>(i) / args.head_dim);
  }
  switch (args.scaling) {
    case RopeArgs::Scaling::kNone:
      break;
    case RopeArgs::Scaling::kLinear:
      for (double& f : rope.frequency) f /= args.factor;
      break;
    case RopeArgs::Scaling::kYarn:
      CONCLAVE_CHECK(args.original_max_positions > 0, "yarn needs the original context");
      ScaleYarn(args, rope.frequency);
      break;
  }
  return rope;
}

void FillRope(const RopeFrequencies& rope, std::span<const std::int32_t> positions,
              MatrixView<float> cos, MatrixView<float> sin) {
  for (std::size_t p = 0; p < positions.size(); ++p) {
    CONCLAVE_CHECK(positions[p] >= 0 && positions[p] < kContextMax, "position %d", positions[p]);
    const auto row = static_cast<std::int64_t>(p);
    for (std::size_t i = 0; i < rope.frequency.size(); ++i) {
      const SinCos turn = SinCosOf(static_cast<double>(positions[p]) * rope.frequency[i]);
      cos.row(row)[i] = static_cast<float>(turn.cos * rope.attention_factor);
      sin.row(row)[i] = static_cast<float>(turn.sin * rope.attention_factor);
    }
  }
}

}  // namespace conclave
