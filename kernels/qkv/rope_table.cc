#include "kernels/qkv/rope_table.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/numeric.h"

namespace conclave {

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
