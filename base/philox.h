// Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011). A draw is a pure function
// of (seed, counter), so it does not matter who draws, in what order or how often.
#pragma once

#include <array>
#include <cstdint>

namespace conclave {

std::array<std::uint32_t, 4> Philox(std::uint64_t seed, std::uint64_t counter_low,
                                    std::uint64_t counter_high);

// Uniform in [0, 1) with 53 bits, from (seed, position, purpose).
double UniformAt(std::uint64_t seed, std::uint64_t position, std::uint64_t purpose = 0);

// A stream of draws for code that wants "the next": tests, simulator, random checkpoints.
class Rng {
 public:
  explicit Rng(std::uint64_t seed, std::uint64_t stream = 0) : seed_(seed), stream_(stream) {}
  std::uint64_t Next();
  double Uniform();                          // [0, 1)
  std::uint64_t Below(std::uint64_t bound);  // [0, bound), bound >= 1
  double Normal();                           // mean 0, variance 1 (sum of uniforms: no libm)
 private:
  std::uint64_t seed_;
  std::uint64_t stream_;
  std::uint64_t counter_ = 0;
};

}  // namespace conclave
