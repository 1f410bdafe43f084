#include "coordinator/balance.h"

#include <algorithm>
#include <tuple>

namespace conclave {
namespace {

// One sequence more brings a worker about as many rows as it will generate, and as much again to
// compute when the worker is lost: as much as so many blocks of a prefix (256 tokens) save. Where
// there are few sequences, a short prefix must not gather all of them on one worker.
constexpr std::int32_t kBlocksPerSequence = 8;
// However long it is, a prefix draws only to a worker that has at most so many more than the least
// busy one: else one popular prompt would keep one worker busy and the others idle.
constexpr std::int32_t kAffinitySlack = 8;

bool LessLoaded(const HomeOffer& a, const HomeOffer& b) {
  if (a.sequences != b.sequences) return a.sequences < b.sequences;
  const std::int64_t a_part = std::int64_t{a.held} * b.total;
  const std::int64_t b_part = std::int64_t{b.held} * a.total;
  return std::tie(a_part, a.slot) < std::tie(b_part, b.slot);
}

}  // namespace

std::optional<std::size_t> ChooseHome(std::span<const HomeOffer> offers) {
  if (offers.empty()) return std::nullopt;
  const HomeOffer& idlest = *std::ranges::min_element(offers, LessLoaded);
  const auto saved = [&](const HomeOffer& offer) {
    const std::int32_t more = offer.sequences - idlest.sequences;
    return (more <= kAffinitySlack ? offer.hit_blocks : 0) - more * kBlocksPerSequence;
  };
  std::size_t best = 0;
  for (std::size_t i = 1; i < offers.size(); ++i) {
    const std::int32_t here = saved(offers[i]);
    const std::int32_t there = saved(offers[best]);
    if (here > there || (here == there && LessLoaded(offers[i], offers[best]))) best = i;
  }
  return best;
}

}  // namespace conclave
