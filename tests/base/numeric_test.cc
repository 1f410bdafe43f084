#include "base/numeric.h"

#include <cmath>
#include <limits>

#include "base/philox.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

// Distance in units of the last place of `want` (double), against long double libm.
double UlpsOff(double got, long double want) {
  const double ulp =
      std::nextafter(std::abs(static_cast<double>(want)), std::numeric_limits<double>::infinity()) -
      std::abs(static_cast<double>(want));
  return static_cast<double>(std::abs(static_cast<long double>(got) - want)) / ulp;
}

TEST(Numeric, ExpIsWithinTwoUlps) {
  Rng rng(1);
  for (int i = 0; i < 200000; ++i) {
    const double x = (rng.Uniform() - 0.5) * 1400;
    ASSERT_LE(UlpsOff(Exp(x), std::exp(static_cast<long double>(x))), 2.0) << x;
  }
  EXPECT_EQ(Exp(0.0), 1.0);
  EXPECT_EQ(Exp(-1000.0), 0.0);
  EXPECT_EQ(Exp(1000.0), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(Exp(std::nan(""))));
}

TEST(Numeric, LogIsWithinTwoUlps) {
  Rng rng(2);
  for (int i = 0; i < 200000; ++i) {
    const double x = Exp((rng.Uniform() - 0.5) * 1400);
    ASSERT_LE(UlpsOff(Log(x), std::log(static_cast<long double>(x))), 2.0) << x;
    const double near_one = 0.5 + rng.Uniform();
    ASSERT_LE(UlpsOff(Log(near_one), std::log(static_cast<long double>(near_one))), 2.0)
        << near_one;
  }
  EXPECT_EQ(Log(1.0), 0.0);
  EXPECT_EQ(Log(0.0), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(Log(-1.0)));
}

TEST(Numeric, SinCosOfEveryAngleThatRopeCanAsk) {
  Rng rng(3);
  for (int i = 0; i < 200000; ++i) {
    const double angle = (rng.Uniform() - 0.5) * 0x1p21;
    const SinCos got = SinCosOf(angle);
    ASSERT_NEAR(got.sin, static_cast<double>(sinl(angle)), 1e-15) << angle;
    ASSERT_NEAR(got.cos, static_cast<double>(cosl(angle)), 1e-15) << angle;
  }
}

TEST(Numeric, SiluAndPow) {
  for (float x = -30; x < 30; x += 0.013f) {
    const double want = static_cast<double>(x) / (1.0 + std::exp(-static_cast<double>(x)));
    ASSERT_NEAR(Silu(x), want, std::abs(want) * 4 * 0x1p-23) << x;
  }
  for (int i = 0; i < 128; ++i) {
    const double want = std::pow(1e6, -i / 128.0);
    ASSERT_NEAR(Pow(1e6, -i / 128.0), want, want * 1e-14);
  }
}

}  // namespace
}  // namespace conclave
