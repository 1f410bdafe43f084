#include "kernels/qkv/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace conclave {
namespace {

constexpr double kPi = 3.14159265358979323846;

TEST(MakeRopeFrequencies, AreInversePowersOfTheta) {
  const RopeFrequencies rope = MakeRopeFrequencies({.head_dim = 128, .theta = 1e6});
  ASSERT_EQ(rope.frequency.size(), 64u);
  EXPECT_EQ(rope.frequency[0], 1.0);
  EXPECT_EQ(rope.attention_factor, 1.0);
  for (std::size_t i = 0; i < 64; ++i) {
    const double want = std::pow(1e6, -2.0 * static_cast<double>(i) / 128);
    EXPECT_NEAR(rope.frequency[i], want, want * 1e-13) << i;
  }
}

TEST(MakeRopeFrequencies, LinearScalingDividesAll) {
  const RopeFrequencies rope = MakeRopeFrequencies(
      {.head_dim = 64, .theta = 1e4, .scaling = RopeArgs::Scaling::kLinear, .factor = 4});
  for (std::size_t i = 0; i < 32; ++i) {
    const double want = std::pow(1e4, -2.0 * static_cast<double>(i) / 64) / 4;
    EXPECT_NEAR(rope.frequency[i], want, want * 1e-13);
  }
}

// Qwen3's documented YaRN: factor 4 over 32768. Low and high of the ramp are written out here.
TEST(MakeRopeFrequencies, YarnKeepsFastOnesAndDividesSlowOnes) {
  const RopeFrequencies rope = MakeRopeFrequencies({.head_dim = 128,
                                                    .theta = 1e6,
                                                    .scaling = RopeArgs::Scaling::kYarn,
                                                    .factor = 4,
                                                    .original_max_positions = 32768,
                                                    .attention_factor = 0.1 * std::log(4.0) + 1});
  const double low = std::floor(128 * std::log(32768 / (32 * 2 * kPi)) / (2 * std::log(1e6)));
  const double high = std::ceil(128 * std::log(32768 / (1 * 2 * kPi)) / (2 * std::log(1e6)));
  EXPECT_EQ(low, 23);
  EXPECT_EQ(high, 40);
  for (std::size_t i = 0; i < 64; ++i) {
    const double plain = std::pow(1e6, -2.0 * static_cast<double>(i) / 128);
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    const double want = plain * (1 - ramp) + plain / 4 * ramp;
    EXPECT_NEAR(rope.frequency[i], want, want * 1e-13) << i;
  }
  EXPECT_NEAR(rope.attention_factor, 1.1386, 1e-4);
}

TEST(MakeRopeFrequencies, YarnWithoutTruncationUsesTheRealBounds) {
  RopeArgs args{.head_dim = 128,
                .theta = 1e6,
                .scaling = RopeArgs::Scaling::kYarn,
                .factor = 4,
                .original_max_positions = 32768};
  args.truncate = false;
  const RopeFrequencies rope = MakeRopeFrequencies(args);
  const double low = 128 * std::log(32768 / (32 * 2 * kPi)) / (2 * std::log(1e6));
  const double high = 128 * std::log(32768 / (2 * kPi)) / (2 * std::log(1e6));
  const double ramp = (30 - low) / (high - low);
  const double plain = std::pow(1e6, -60.0 / 128);
  EXPECT_NEAR(rope.frequency[30], plain * (1 - ramp) + plain / 4 * ramp, plain * 1e-12);
}

TEST(FillRope, IsCosAndSinOfPositionTimesFrequencyRoundedOnce) {
  const RopeFrequencies rope =
      MakeRopeFrequencies({.head_dim = 32, .theta = 1e4, .attention_factor = 1.25});
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
  const RopeFrequencies rope = MakeRopeFrequencies({.head_dim = 64, .theta = 1e6});
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
