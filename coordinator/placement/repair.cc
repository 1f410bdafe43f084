#include "coordinator/placement/repair.h"

#include <array>
#include <cstdint>
#include <span>

#include "base/status.h"
#include "coordinator/placement/assign.h"
#include "coordinator/placement/fill.h"

namespace conclave {
namespace {

// Copies that each worker holds in one layer.
std::array<std::uint32_t, kSlotsMax> HeldIn(std::span<const ExpertOwners> experts) {
  std::array<std::uint32_t, kSlotsMax> held{};
  for (const ExpertOwners& owners : experts) {
    for (std::size_t o = 0; o < owners.size(); ++o) ++held[owners.slots[o]];
  }
  return held;
}

}  // namespace

absl::StatusOr<Placement> RepairPlacement(const PlacementAsk& ask) {
  RETURN_IF_ERROR(CheckRoom(ask));
  PlacementDraft draft(ask);
  std::int64_t missing = 0, room = 0;
  for (int layer = 0; layer < ask.moe_layers; ++layer) {
    for (const ExpertOwners& owners : draft.layer(layer)) missing += owners.slots[0] == kNoOwner;
  }
  for (int w = 0; w < draft.workers(); ++w) room += draft.room(w);
  if (room < missing) return PlaceExperts(ask);

  const auto workers = static_cast<std::size_t>(draft.workers());
  std::array<std::uint32_t, kSlotsMax> given{};
  for (int layer = 0; layer < ask.moe_layers && missing > 0; ++layer) {
    const std::span<ExpertOwners> experts = draft.layer(layer);
    std::array<std::uint32_t, kSlotsMax> held = HeldIn(experts);
    const auto key = [&](std::size_t w) {
      if (draft.room(static_cast<int>(w)) <= 0) return LowestKey::kOut;
      return std::uint64_t{given[w]} << 40 | std::uint64_t{held[w]} << 8 | w;
    };
    std::array<std::uint64_t, kSlotsMax> keys;
    for (std::size_t w = 0; w < workers; ++w) keys[w] = key(w);
    LowestKey next;
    next.Reset({keys.data(), workers});
    for (std::size_t e = 0; e < experts.size(); ++e) {
      if (experts[e].slots[0] != kNoOwner) continue;
      const auto to = static_cast<std::size_t>(next.lowest() & 0xff);
      const auto worker = static_cast<int>(to);
      draft.Add(experts[e], worker);
      ++given[to];
      ++held[to];
      next.Set(worker, key(to));
      --missing;
    }
  }
  return draft.Finish();
}

}  // namespace conclave
