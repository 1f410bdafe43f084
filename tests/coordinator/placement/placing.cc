#include "placing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "base/philox.h"

namespace conclave {

std::vector<float> SkewedLoads(int moe_layers, int experts, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> loads;
  for (int i = 0; i < moe_layers * experts; ++i) {
    loads.push_back(static_cast<float>(std::exp(rng.Normal())));
  }
  return loads;
}

std::vector<float> MeasuredLoads(const std::string& collection) {
  std::ifstream file(absl::StrCat(CONCLAVE_SOURCE_DIR, "/tests/data/expert_loads/gpt-oss-20b-",
                                  collection, ".txt"));
  std::vector<float> loads;
  for (float rows = 0; file >> rows;) loads.push_back(rows);
  EXPECT_EQ(loads.size(), std::size_t{kMeasuredLayers * kMeasuredExperts}) << collection;
  return loads;
}

int LoadsCounted(const Placement& before, const Placement& after) {
  int loads = 0;
  for (int layer = 0; layer < after.moe_layers(); ++layer) {
    for (int expert = 0; expert < after.experts(); ++expert) {
      const auto had = before.Owners(layer, expert);
      for (const std::uint8_t owner : after.Owners(layer, expert)) {
        loads += std::ranges::find(had, owner) == had.end() ? 1 : 0;
      }
    }
  }
  return loads;
}

void ExpectValid(const Placement& placement, const PlacementAsk& ask) {
  ASSERT_EQ(placement.moe_layers(), ask.moe_layers);
  ASSERT_EQ(placement.experts(), ask.experts);
  EXPECT_TRUE(placement.Complete());
  std::array<bool, kSlotsMax> known{};
  for (const PlacementWorker& worker : ask.workers) {
    known[static_cast<std::size_t>(worker.slot.value)] = true;
    if (worker.memory_bytes == 0) continue;
    const auto held = static_cast<std::uint64_t>(placement.CountOwnedBy(worker.slot));
    EXPECT_LE(held * ask.expert_bytes, worker.memory_bytes) << "slot " << worker.slot.value;
  }
  for (const ExpertOwners& owners : placement.all()) {
    for (std::size_t i = 0; i < owners.size(); ++i) {
      ASSERT_TRUE(known[owners.slots[i]]) << "slot " << int{owners.slots[i]};
      if (i == 0) continue;
      ASSERT_LT(owners.slots[i - 1], owners.slots[i]);
    }
  }
}

}  // namespace conclave
