#include "coordinator/placement/rebalance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "coordinator/placement/assign.h"
#include "placing.h"

namespace conclave {
namespace {

constexpr RebalanceLimits kMuch{.loads_all = 1 << 20, .loads_each = 1 << 20};

struct Scene {
  std::vector<PlacementWorker> workers;
  std::vector<float> loads;
  PlacementAsk ask;
  Placement before;

  Scene(int count, int layers, int experts, std::vector<float> rows, int replicas = 1)
      : workers(FirstWorkers(count)), loads(std::move(rows)) {
    ask = {.moe_layers = layers,
           .experts = experts,
           .expert_bytes = 10,
           .workers = workers,
           .replicas = replicas};
    before = *PlaceExperts(ask);
    ask.before = &before;
    ask.loads = loads;
  }
  Scene(const Scene&) = delete;
};

TEST(Rebalance, NothingMovesWhenLoadsAreEven) {
  for (const int workers : {1, 2, 3, 5, 128}) {
    for (const int replicas : {1, 2}) {
      const Scene scene(workers, 3, 128, std::vector<float>(3 * 128, 7.0f), replicas);
      const Rebalanced result = Rebalance(scene.ask, kMuch);
      EXPECT_EQ(result.loads.all, 0);
      EXPECT_EQ(result.placement, scene.before);
    }
  }
}

// Two workers, eight experts: one has both warm ones. One move mends it, and one is made.
TEST(Rebalance, OneMoveWhereOneIsEnough) {
  std::vector<float> loads(8, 1.0f);
  loads[0] = loads[2] = 2.185f;  // twice the weight of a cold one; slot 0 has the even ones
  const Scene scene(2, 1, 8, loads);
  ASSERT_EQ(scene.before.Owners(0, 0)[0], 0);
  ASSERT_EQ(scene.before.Owners(0, 2)[0], 0);
  const Rebalanced result = Rebalance(scene.ask, kMuch);
  EXPECT_EQ(result.loads.all, 1);
  EXPECT_EQ(result.loads.all, LoadsCounted(scene.before, result.placement));
  EXPECT_LT(result.after.imbalance(), 1.01);
}

// One expert has half of all rows: moving it helps nobody. It gets copies, the others have none.
TEST(Rebalance, AHotExpertGetsCopies) {
  std::vector<float> loads(16, 1.0f);
  loads[5] = 15;
  const Scene scene(4, 1, 16, loads);
  const Rebalanced result = Rebalance(scene.ask, kMuch);
  EXPECT_GE(result.placement.Owners(0, 5).size(), 2u);
  for (int expert = 0; expert < 16; ++expert) {
    if (expert == 5) continue;
    EXPECT_EQ(result.placement.Owners(0, expert).size(), 1u) << expert;
  }
  EXPECT_LT(result.after.imbalance(), 0.7 * result.before.imbalance());

  // When it has cooled down, the copies go, and nothing is loaded for that.
  PlacementAsk later = scene.ask;
  std::vector<float> cool(16, 16.0f);
  cool[5] = 1;
  later.before = &result.placement;
  later.loads = cool;
  EXPECT_EQ(Rebalance(later, kMuch).placement.Owners(0, 5).size(), 1u);
}

TEST(Rebalance, NeverWorseWithinLimitsAndAtRestAfterwards) {
  int better = 0;
  for (int seed = 0; seed < 60; ++seed) {
    const int workers = 2 + seed % 9;
    Scene scene(workers, 4, 64, SkewedLoads(4, 64, static_cast<std::uint64_t>(seed)), 1 + seed % 2);
    for (auto& worker : scene.workers) {
      worker.speed = 1 + (worker.slot.value + seed) % 3;
      worker.home = worker.slot.value == 0 || (seed + worker.slot.value) % 4 != 0;
      worker.memory_bytes =
          seed % 3 == 0 ? 10 * static_cast<std::uint64_t>(
                                   scene.before.CountOwnedBy(worker.slot) + 5 + seed % 7)
                        : 0;
    }
    const RebalanceLimits limits{.loads_all = 4 + seed, .loads_each = 3 + seed / 4};
    const Rebalanced result = Rebalance(scene.ask, limits);
    ExpectValid(result.placement, scene.ask);
    EXPECT_LE(result.after.slowest, result.before.slowest);
    EXPECT_LE(result.loads.all, limits.loads_all);
    EXPECT_LE(result.loads.most, limits.loads_each);
    EXPECT_EQ(result.loads.all, LoadsCounted(scene.before, result.placement));
    EXPECT_NEAR(result.after.slowest, BalanceOf(result.placement, scene.ask).slowest, 1e-9);
    EXPECT_EQ(Rebalance(scene.ask, limits).placement, result.placement) << "the same again";
    better += result.after.slowest < 0.95 * result.before.slowest ? 1 : 0;
    // While they change, workers hold both.
    for (const PlacementWorker& worker : scene.workers) {
      if (worker.memory_bytes == 0) continue;
      int both = scene.before.CountOwnedBy(worker.slot);
      for (int layer = 0; layer < 4; ++layer) {
        for (const std::uint16_t expert : result.placement.OwnedBy(layer, worker.slot)) {
          const auto had = scene.before.Owners(layer, expert);
          both += std::ranges::find(had, worker.slot.value) == had.end() ? 1 : 0;
        }
      }
      EXPECT_LE(static_cast<std::uint64_t>(both) * 10, worker.memory_bytes);
    }
    // Again and again with the same loads: it comes to rest.
    Placement now = result.placement;
    int rounds = 0;
    for (int loads = 1; loads > 0 && rounds < 300; ++rounds) {
      PlacementAsk next = scene.ask;
      next.before = &now;
      const Rebalanced more = Rebalance(next, limits);
      loads = more.loads.all;
      now = more.placement;
    }
    EXPECT_LT(rounds, 300) << "seed " << seed;
  }
  EXPECT_GT(better, 40);
}

// What routers of a real model do, on two kinds of prompts: few loads take away most of what the
// slowest workers are behind, and when the prompts change, few loads mend that, too.
TEST(Rebalance, MeasuredLoadsAreEvenedWithFewLoads) {
  for (const int workers : {3, 4, 8, 16}) {
    const Scene scene(workers, kMeasuredLayers, kMeasuredExperts, MeasuredLoads("mmlu"));
    const RebalanceLimits limits{.loads_all = kMeasuredLayers * kMeasuredExperts / 4,
                                 .loads_each = 1000};
    const Rebalanced first = Rebalance(scene.ask, limits);
    const auto behind = [](const Balance& balance) { return balance.imbalance() - 1; };
    EXPECT_LT(behind(first.after), 0.35 * behind(first.before)) << workers << " workers";
    PlacementAsk other = scene.ask;
    const std::vector<float> loads = MeasuredLoads("gpqa");
    other.before = &first.placement;
    other.loads = loads;
    const Rebalanced second = Rebalance(other, limits);
    EXPECT_LE(second.after.slowest, second.before.slowest);
    EXPECT_LT(behind(second.after), 0.35 * behind(first.before)) << workers << " workers";
  }
}

TEST(Rebalance, CopiesThatALossTookAreMadeAgainWhateverTheLimits) {
  Scene scene(4, 2, 12, std::vector<float>(24, 1.0f), 2);
  PlacementBuilder lost(scene.before);
  for (int expert = 0; expert < 12; ++expert) {
    const int keep = scene.before.Owners(1, expert)[0];
    lost.ClearOwners(1, expert);
    lost.AddOwner(1, expert, Slot{keep});
  }
  const Placement before = lost.Build();
  scene.ask.before = &before;
  const Rebalanced result = Rebalance(scene.ask, {.loads_all = 0, .loads_each = 0});
  EXPECT_EQ(result.loads.all, 12);
  for (int expert = 0; expert < 12; ++expert) {
    EXPECT_EQ(result.placement.Owners(1, expert).size(), 2u);
  }
}

}  // namespace
}  // namespace conclave
