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

using Slot =
    Id<struct SlotTag, std::int32_t>;  // a worker's place, 0..kSlotsMax-1, never renumbered
using Epoch = Id<struct EpochTag, std::uint64_t>;  // a membership and placement; only rises
using StepId =
    Id<struct StepTag, std::uint64_t>;  // a step within the life of the cluster; only rises
using SeqId = Id<struct SeqTag, std::uint64_t>;  // one placement of one request on one worker
using RequestId =
    Id<struct RequestTag, std::uint64_t>;           // the coordinator's own number of a request
using BlockId = Id<struct BlockTag, std::int32_t>;  // a KV block of one worker
using TokenId = std::int32_t;                       // plain: it indexes vocabularies everywhere

// Time is data: microseconds since an origin that the edge chose (monotonic).
using Micros = std::int64_t;

}  // namespace conclave
