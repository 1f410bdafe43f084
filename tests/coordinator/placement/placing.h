// What tests of placements share: workers, loads and counts.
#pragma once

#include <cstdint>
#include <string>
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

// Rows by [24 layers, 32 experts] of gpt-oss-20b on the prompts of a public collection: "mmlu" or
// "gpqa" (tests/data/expert_loads).
std::vector<float> MeasuredLoads(const std::string& collection);
inline constexpr int kMeasuredLayers = 24;
inline constexpr int kMeasuredExperts = 32;

// Copies of `after` that `before` does not have, counted one by one.
int LoadsCounted(const Placement& before, const Placement& after);

// Complete, every owner one of the workers and within its memory, no owner twice.
void ExpectValid(const Placement& placement, const PlacementAsk& ask);

}  // namespace conclave
