#include "base/float_types.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace conclave {
namespace {

TEST(Bf16, EveryValueRoundTrips) {
  for (std::uint32_t b = 0; b < 0x10000; ++b) {
    const Bf16 v{static_cast<std::uint16_t>(b)};
    const float f = ToFloat(v);
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(ToFloat(ToBf16(f))));
    } else {
      EXPECT_EQ(ToBf16(f).bits, v.bits);
    }
  }
}

TEST(Bf16, RoundsHalfToEven) {
  EXPECT_EQ(ToFloat(ToBf16(1.0f + 0x1p-8f)), 1.0f);                // half way, even below
  EXPECT_EQ(ToFloat(ToBf16(1.0f + 3 * 0x1p-8f)), 1.0f + 0x1p-6f);  // half way, even above
  EXPECT_EQ(ToFloat(ToBf16(1.0f + 0x1.01p-8f)), 1.0f + 0x1p-7f);
  EXPECT_TRUE(std::isinf(ToFloat(ToBf16(std::numeric_limits<float>::max()))));
}

TEST(F16, EveryFiniteValueIsItsFormula) {
  for (std::uint32_t b = 0; b < 0x8000; ++b) {
    const int exponent = static_cast<int>(b >> 10);
    const double fraction = static_cast<double>(b & 0x3ff) / 1024.0;
    const float got = ToFloat(F16{static_cast<std::uint16_t>(b)});
    const float negative = ToFloat(F16{static_cast<std::uint16_t>(b | 0x8000)});
    if (exponent == 31) {
      EXPECT_FALSE(std::isfinite(got));
      continue;
    }
    const double want =
        exponent == 0 ? std::ldexp(fraction, -14) : std::ldexp(1.0 + fraction, exponent - 15);
    ASSERT_EQ(got, static_cast<float>(want));
    ASSERT_EQ(negative, static_cast<float>(-want));
    ASSERT_EQ(std::signbit(negative), true);
  }
}

}  // namespace
}  // namespace conclave
