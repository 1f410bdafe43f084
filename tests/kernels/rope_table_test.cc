#include "kernels/qkv/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace conclave {
namespace {

// 1, 1/theta^(2/d), ...: what a model without scaling has.
RopeFrequencies Frequencies(int head_dim, double theta, double attention_factor) {
  RopeFrequencies rope{{}, attention_factor};
  for (int i = 0; i < head_dim / 2; ++i)
    rope.frequency.push_back(std::pow(theta, -2.0 * i / head_dim));
  return rope;
}

TEST(FillRope, IsCosAndSinOfPositionTimesFrequencyRoundedOnce) {
  const RopeFrequencies rope = Frequencies(32, 1e4, 1.25);
  const std::vector<std::int32_t> positions = {0, 1, 31, 4095, (1 << 20) - 1};
  std::vector<float> cos(5 * 20), sin(5 * 20);  // rows are further apart than they are long
  FillRope(rope, positions, {cos.data(), 5, 16, 20}, {sin.data(), 5, 16, 20});
  for (std::size_t p = 0; p < positions.size(); ++p) {
    for (std::size_t i = 0; i < 16; ++i) {
      const double angle = positions[p] * rope.frequency[i];
      EXPECT_NEAR(cos[p * 20 + i], 1.25 * std::cos(angle), 1.25 * 0x1p-24) << p << " " << i;
      EXPECT_NEAR(sin[p * 20 + i], 1.25 * std::sin(angle), 1.25 * 0x1p-24) << p << " " << i;
    }
    EXPECT_EQ(cos[p * 20 + 16], 0.0f);
  }
}

TEST(FillRope, DoesNotDependOnTheOtherPositions) {
  const RopeFrequencies rope = Frequencies(64, 1e6, 1.0);
  const std::vector<std::int32_t> many = {5, 70000, 12};
  std::vector<float> cos(96), sin(96), cos_one(32), sin_one(32);
  FillRope(rope, many, {cos.data(), 3, 32, 32}, {sin.data(), 3, 32, 32});
  FillRope(rope, std::span(many).subspan(1, 1), {cos_one.data(), 1, 32, 32},
           {sin_one.data(), 1, 32, 32});
  EXPECT_TRUE(std::equal(cos_one.begin(), cos_one.end(), cos.begin() + 32));
  EXPECT_TRUE(std::equal(sin_one.begin(), sin_one.end(), sin.begin() + 32));
}

}  // namespace
}  // namespace conclave
