// What tests of placements share: workers, loads and counts.
#pragma once

#include <cstdint>
#include <vector>

#include "coordinator/placement/objective.h"

namespace conclave {

inline std::vector<PlacementWorker> WorkersAt(const std::vector<int>& slots,
                                              std::uint64_t memory = 0) {
  std::vector<PlacementWorker> workers;
  for (const int slot : slots) workers.push_back({.slot = Slot{slot}, .memory_bytes = memory});
  return workers;
}

inline std::vector<PlacementWorker> FirstWorkers(int count, std::uint64_t memory = 0) {
  std::vector<int> slots;
  for (int slot = 0; slot < count; ++slot) slots.push_back(slot);
  return WorkersAt(slots, memory);
}

// Loads as skewed as those of real routers: a few experts of each layer get several times the mean,
// others next to nothing.
std::vector<float> SkewedLoads(int moe_layers, int experts, std::uint64_t seed);

// Copies of `after` that `before` does not have, counted one by one.
int LoadsCounted(const Placement& before, const Placement& after);

// Complete, every owner one of the workers and within its memory, no owner twice.
void ExpectValid(const Placement& placement, const PlacementAsk& ask);

}  // namespace conclave
