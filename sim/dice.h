// Seeded choices, in words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/philox.h"

namespace conclave::sim {

class Dice {
 public:
  // Streams of one seed are independent of one another: what one part of the world rolls does not
  // change what another gets.
  Dice(std::uint64_t seed, std::uint64_t stream) : rng_(seed, stream) {}

  std::int64_t Between(std::int64_t low, std::int64_t high) {  // both included
    return low + static_cast<std::int64_t>(rng_.Below(static_cast<std::uint64_t>(high - low) + 1));
  }
  int Int(int low, int high) { return static_cast<int>(Between(low, high)); }
  bool Percent(int chance) { return Between(0, 99) < chance; }
  std::uint64_t Bits() { return rng_.Next(); }
  template <typename T>
  const T& Pick(const std::vector<T>& from) {
    return from[static_cast<std::size_t>(rng_.Below(from.size()))];
  }

 private:
  Rng rng_;
};

}  // namespace conclave::sim
