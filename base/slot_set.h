// A set of worker ids in 16 bytes, because it travels in every heartbeat.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "base/check.h"
#include "base/ids.h"
#include "base/limits.h"

namespace conclave {

struct SlotSet {
  static_assert(kSlotsMax == 128);
  std::array<std::uint64_t, 2> bits{};

  void Add(Slot slot) { bits[Word(slot)] |= Bit(slot); }
  bool Has(Slot slot) const { return (bits[Word(slot)] & Bit(slot)) != 0; }
  bool empty() const { return (bits[0] | bits[1]) == 0; }
  // How many of them are lower than `slot`.
  int CountBelow(Slot slot) const {
    const std::uint64_t lower = bits[Word(slot)] & (Bit(slot) - 1);
    return std::popcount(lower) + (Word(slot) == 1 ? std::popcount(bits[0]) : 0);
  }
  int size() const { return std::popcount(bits[0]) + std::popcount(bits[1]); }
  friend bool operator==(const SlotSet&, const SlotSet&) = default;

 private:
  // CHECKs the range: worker 130 must not be taken for worker 2. What comes over the wire is checked
  // by the codec before.
  static std::uint32_t Index(Slot slot) {
    CONCLAVE_CHECK(slot.value >= 0 && slot.value < kSlotsMax, "worker %d", slot.value);
    return static_cast<std::uint32_t>(slot.value);
  }
  static std::size_t Word(Slot slot) { return Index(slot) >> 6; }
  static std::uint64_t Bit(Slot slot) { return std::uint64_t{1} << (Index(slot) & 63); }
};

}  // namespace conclave
