#include "base/philox.h"

#include "gtest/gtest.h"

namespace conclave {
namespace {

// Known answers of Philox4x32-10 from the Random123 distribution.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(Philox(0, 0, 0),
            (std::array<std::uint32_t, 4>{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
  EXPECT_EQ(Philox(~0ull, ~0ull, ~0ull),
            (std::array<std::uint32_t, 4>{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}));
  EXPECT_EQ(Philox(0x299f31d0a4093822u, 0x85a308d3243f6a88u, 0x0370734413198a2eu),
            (std::array<std::uint32_t, 4>{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}));
}

TEST(Philox, DrawsAreUniformAndIndependentOfOrder) {
  double sum = 0, square = 0;
  for (std::uint64_t p = 0; p < 100000; ++p) {
    const double u = UniformAt(7, p);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    square += u * u;
  }
  EXPECT_NEAR(sum / 1e5, 0.5, 0.005);
  EXPECT_NEAR(square / 1e5, 1.0 / 3, 0.005);
  EXPECT_EQ(UniformAt(7, 12345), UniformAt(7, 12345));
  EXPECT_NE(UniformAt(7, 12345), UniformAt(8, 12345));
  EXPECT_NE(UniformAt(7, 12345, 0), UniformAt(7, 12345, 1));
}

TEST(Rng, BelowStaysBelowAndNormalHasUnitVariance) {
  Rng rng(5);
  double square = 0;
  for (int i = 0; i < 100000; ++i) {
    ASSERT_LT(rng.Below(7), 7u);
    const double n = rng.Normal();
    square += n * n;
  }
  EXPECT_NEAR(square / 1e5, 1.0, 0.02);
}

}  // namespace
}  // namespace conclave
