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
// One membership and one placement of experts. The number only rises.
using Epoch = Id<struct EpochTag, std::uint64_t>;
// A step in the life of the cluster. The number only rises.
using StepId = Id<struct StepTag, std::uint64_t>;
// One sequence: one placement of one request on one worker.
using SeqId = Id<struct SeqTag, std::uint64_t>;
// The coordinator's own number of a request.
using RequestId = Id<struct RequestTag, std::uint64_t>;
using BlockId = Id<struct BlockTag, std::int32_t>;  // a KV block of one worker
using TokenId = std::int32_t;                       // plain: it indexes vocabularies everywhere

// Time is data: microseconds since an origin that the edge chose (monotonic).
using Micros = std::int64_t;

}  // namespace conclave
