#include "base/numeric.h"

#include <bit>
#include <cstdint>
#include <limits>

namespace conclave {
namespace {

constexpr double kLn2High =
    0x1.62e42fefa0000p-1;  // ln 2 in two parts: n * high is exact for |n| < 2^11
constexpr double kLn2Low = 0x1.cf79abc9e3b3ap-40;
constexpr double kLog2E = 0x1.71547652b82fep0;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// 2^n for n in [-1022, 1023].
double PowerOfTwo(int n) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(n + 1023) << 52);
}

// Nearest integer, ties to even, for |x| < 2^51: the mantissa has no room for a fraction after the
// addition.
double RoundToInteger(double x) {
  constexpr double kMagic = 0x1.8p52;
  return (x + kMagic) - kMagic;
}

}  // namespace

double Exp(double x) {
  if (!(x == x)) return x;
  if (x > 709.782712893384) return kInfinity;
  if (x < -745.2) return 0.0;
  const double n = RoundToInteger(x * kLog2E);
  const double r = (x - n * kLn2High) - n * kLn2Low;  // |r| <= 0.3466
  // Taylor to r^13: the first omitted term is below 5e-18.
  double p = 1.0 / 6227020800.0;
  constexpr double kInverseFactorials[] = {1.0 / 479001600.0,
                                           1.0 / 39916800.0,
                                           1.0 / 3628800.0,
                                           1.0 / 362880.0,
                                           1.0 / 40320.0,
                                           1.0 / 5040.0,
                                           1.0 / 720.0,
                                           1.0 / 120.0,
                                           1.0 / 24.0,
                                           1.0 / 6.0,
                                           0.5};
  for (const double c : kInverseFactorials) p = p * r + c;
  const double value = 1.0 + (r + r * r * p);
  const int exponent = static_cast<int>(n);
  if (exponent < -1000) return value * PowerOfTwo(exponent + 100) * PowerOfTwo(-100);
  if (exponent > 1000) return value * PowerOfTwo(exponent - 100) * PowerOfTwo(100);
  return value * PowerOfTwo(exponent);
}

float Exp(float x) { return static_cast<float>(Exp(static_cast<double>(x))); }

float Silu(float x) {
  const double wide = static_cast<double>(x);
  return static_cast<float>(wide / (1.0 + Exp(-wide)));
}

double Log(double x) {
  if (!(x == x) || x < 0) return std::numeric_limits<double>::quiet_NaN();
  if (x == 0) return -kInfinity;
  if (x == kInfinity) return x;
  int exponent = 0;
  if (x < 0x1p-1022) {  // subnormal
    x *= 0x1p54;
    exponent = -54;
  }
  auto bits = std::bit_cast<std::uint64_t>(x);
  exponent += static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u);  // [1, 2)
  if (m > 0x1.6a09e667f3bcdp0) {
    m *= 0.5;
    ++exponent;
  }
  // ln m = 2 atanh(s), s = (m-1)/(m+1), |s| <= 0.1716; the series to s^21 leaves less than 1e-18.
  const double s = (m - 1.0) / (m + 1.0);
  const double z = s * s;
  double p = 1.0 / 21.0;
  constexpr double kOdd[] = {1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11,
                             1.0 / 9,  1.0 / 7,  1.0 / 5,  1.0 / 3};
  for (const double c : kOdd) p = p * z + c;
  const double log_m = 2.0 * s + 2.0 * s * z * p;
  const auto e = static_cast<double>(exponent);
  return e * kLn2High + (log_m + e * kLn2Low);
}

SinCos SinCosOf(double angle) {
  // Reduce to [-pi/4, pi/4] with pi/2 in three parts (Cody and Waite): exact products for quotients
  // below 2^24.
  constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
  constexpr double kPart1 = 0x1.921fb40000000p0;  // 25 significant bits each
  constexpr double kPart2 = 0x1.4442d00000000p-24;
  constexpr double kPart3 = 0x1.8469898cc5170p-48;
  const double q = RoundToInteger(angle * kTwoOverPi);
  const double r = ((angle - q * kPart1) - q * kPart2) - q * kPart3;
  const double z = r * r;
  double s = -1.0 / 1307674368000.0;
  constexpr double kSin[] = {1.0 / 6227020800.0, -1.0 / 39916800.0, 1.0 / 362880.0,
                             -1.0 / 5040.0,      1.0 / 120.0,       -1.0 / 6.0};
  for (const double c : kSin) s = s * z + c;
  const double sine = r + r * z * s;
  double t = 1.0 / 20922789888000.0;
  constexpr double kCos[] = {-1.0 / 87178291200.0,
                             1.0 / 479001600.0,
                             -1.0 / 3628800.0,
                             1.0 / 40320.0,
                             -1.0 / 720.0,
                             1.0 / 24.0,
                             -0.5};
  for (const double c : kCos) t = t * z + c;
  const double cosine = 1.0 + z * t;
  switch (static_cast<std::int64_t>(q) & 3) {
    case 0:
      return {sine, cosine};
    case 1:
      return {cosine, -sine};
    case 2:
      return {-sine, -cosine};
    default:
      return {-cosine, sine};
  }
}

double Pow(double base, double exponent) { return Exp(exponent * Log(base)); }

}  // namespace conclave
