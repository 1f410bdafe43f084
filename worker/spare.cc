#include "worker/spare.h"

#include <algorithm>
#include <array>

#include "base/limits.h"

namespace conclave {

std::size_t ExpertsToSpareFor(const Placement& placement, Slot slot) {
  std::array<std::size_t, kSlotsMax> alone{};  // experts that only this slot owns
  std::array<bool, kSlotsMax> takes{};         // a share of what is lost
  for (int layer = 0; layer < placement.moe_layers(); ++layer) {
    for (int expert = 0; expert < placement.experts(); ++expert) {
      const auto owners = placement.Owners(layer, expert);
      for (const std::uint8_t owner : owners) takes[owner] = true;
      if (owners.size() == 1) ++alone[owners.front()];
    }
  }
  const auto self = static_cast<std::size_t>(slot.value);
  takes[self] = true;
  alone[self] = 0;
  const std::size_t worst = *std::ranges::max_element(alone);
  if (worst == 0) return 0;
  const auto rest = static_cast<std::size_t>(std::ranges::count(takes, true)) - 1;
  return (worst + rest - 1) / rest;
}

}  // namespace conclave
