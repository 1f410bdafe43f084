// Transcendental functions whose bits are ours: glibc's differ between CPUs and versions, and a
// token must not. Plain C++ (no FMA, no table lookups beyond constants), used wherever a kernel set
// does not bring its own vector version, by the sampler, and by RoPE tables. Thread-safe: no state.
#pragma once

namespace conclave {

// e^x. Error <= 2 ulp of float. x < -103.97 gives 0, x > 88.73 gives +inf, NaN gives NaN.
float Exp(float x);

// e^x and ln(x) in double. Error <= 2 ulp of double. Log(0) = -inf, Log(negative) = NaN.
double Exp(double x);
double Log(double x);

// x / (1 + e^-x). Error <= 4 ulp of float.
float Silu(float x);

// sin and cos of an angle in radians, |angle| <= 2^24. Absolute error <= 1e-15.
struct SinCos {
  double sin;
  double cos;
};
SinCos SinCosOf(double angle);

// base^exponent for base > 0, as Exp(exponent * Log(base)). Relative error <= 1e-14 for results in
// [1e-12, 1e12].
double Pow(double base, double exponent);

}  // namespace conclave
