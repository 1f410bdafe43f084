// Strong names for the integers that would otherwise be mixed up.
#pragma once

#include <compare>
#include <cstdint>

namespace conclave {

template <typename Tag, typename Rep>
struct Id {
  Rep value{};
  friend constexpr auto operator<=>(const Id&, const Id&) = default;
};

// A worker's index in the cluster, 0..kSlotsMax-1. Never renumbered while the worker is a member.
using Slot = Id<struct SlotTag, std::int32_t>;
// A step in the life of the cluster. The number only rises.
using StepId = Id<struct StepTag, std::uint64_t>;
// One sequence: one placement of one request on one worker.
using SeqId = Id<struct SeqTag, std::uint64_t>;
// The coordinator's own number of a request.
using RequestId = Id<struct RequestTag, std::uint64_t>;
using BlockId = Id<struct BlockTag, std::int32_t>;  // a KV block of one worker
using TokenId = std::int32_t;                       // plain: it indexes vocabularies everywhere

// A membership and placement. `term` says which coordinator process made it: each new one takes a
// term above every one that it hears of. `number` rises with each epoch, also from term to term. An
// epoch replaces every lower one; whatever belongs to a lower one is refused. {0, 0}: none yet.
struct Epoch {
  std::uint32_t term = 0;
  std::uint32_t number = 0;

  constexpr Epoch() = default;
  constexpr Epoch(std::uint32_t of_term, std::uint32_t numbered)
      : term(of_term), number(numbered) {}
  friend constexpr auto operator<=>(const Epoch&, const Epoch&) = default;

  constexpr Epoch Next() const { return {term, number + 1}; }
  // Both in one word, in the same order: for atomics and hashes.
  constexpr std::uint64_t packed() const { return std::uint64_t{term} << 32 | number; }
  static constexpr Epoch FromPacked(std::uint64_t word) {
    return {static_cast<std::uint32_t>(word >> 32), static_cast<std::uint32_t>(word)};
  }
};

// Time is data: microseconds since an origin that the edge chose (monotonic).
using Micros = std::int64_t;

}  // namespace conclave
