#include "worker/spare.h"

#include <algorithm>
#include <array>

#include "base/limits.h"

namespace conclave {

std::size_t ExpertsToSpareFor(const Placement& placement, Slot slot) {
  std::array<std::size_t, kSlotsMax> alone{};  // experts that only this slot owns
  std::array<bool, kSlotsMax> owns{};
  for (int layer = 0; layer < placement.moe_layers(); ++layer) {
    for (int expert = 0; expert < placement.experts(); ++expert) {
      const auto owners = placement.Owners(layer, expert);
      for (const std::uint8_t owner : owners) owns[owner] = true;
      if (owners.size() == 1) ++alone[owners.front()];
    }
  }
  const auto rest = static_cast<std::size_t>(std::ranges::count(owns, true)) - 1;
  alone[static_cast<std::size_t>(slot.value)] = 0;
  const std::size_t worst = *std::ranges::max_element(alone);
  return worst == 0 ? 0 : (worst + rest - 1) / rest;
}

}  // namespace conclave
