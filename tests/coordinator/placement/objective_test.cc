#include "coordinator/placement/objective.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "placing.h"

namespace conclave {
namespace {

TEST(Objective, AStepWaitsForTheSlowestWorkerOfEachLayer) {
  PlacementBuilder builder(2, 4);
  for (int expert = 0; expert < 4; ++expert) {
    builder.AddOwner(0, expert, Slot{expert % 2});
    builder.AddOwner(1, expert, Slot{expert < 3 ? 0 : 1});
  }
  std::vector<PlacementWorker> workers = FirstWorkers(2);
  PlacementAsk ask{.moe_layers = 2, .experts = 4, .expert_bytes = 1, .workers = workers};
  const Balance balance = BalanceOf(builder.Build(), ask);
  EXPECT_DOUBLE_EQ(balance.slowest, 2 + 3);
  EXPECT_DOUBLE_EQ(balance.even, 2 + 2);
  EXPECT_DOUBLE_EQ(balance.imbalance(), 1.25);
  workers[0].speed = 3;
  EXPECT_DOUBLE_EQ(BalanceOf(builder.Build(), ask).slowest, 2 + 1);
  EXPECT_DOUBLE_EQ(BalanceOf(builder.Build(), ask).even, 2);
}

TEST(Objective, WeightsHaveAMeanOfOneAndAFloor) {
  const auto workers = FirstWorkers(1);
  std::vector<float> loads = {0, 0, 0, 800, 0, 0, 0, 0};
  const PlacementAsk ask{
      .moe_layers = 2, .experts = 4, .expert_bytes = 1, .workers = workers, .loads = loads};
  const std::vector<float> weights = ExpertWeights(ask);
  EXPECT_FLOAT_EQ(std::accumulate(weights.begin(), weights.begin() + 4, 0.0f), 4);
  EXPECT_FLOAT_EQ(weights[0], 0.125f);
  for (std::size_t e = 4; e < 8; ++e) EXPECT_FLOAT_EQ(weights[e], 1) << "nothing was measured";
}

TEST(Objective, LoadsAreCopiesThatWereNotThereBefore) {
  PlacementBuilder builder(1, 3);
  for (int expert = 0; expert < 3; ++expert) builder.AddOwner(0, expert, Slot{expert});
  const Placement before = builder.Build();
  EXPECT_EQ(LoadsBetween(before, before).all, 0);
  builder.ClearOwners(0, 0);
  builder.AddOwner(0, 0, Slot{1});
  builder.AddOwner(0, 2, Slot{1});
  builder.AddOwner(0, 2, Slot{0});
  const LoadsDue loads = LoadsBetween(before, builder.Build());
  EXPECT_EQ(loads.all, 3);
  EXPECT_EQ(loads.most, 2);
  EXPECT_EQ(LoadsBetween(Placement(), before).all, 3) << "another model: all are loaded";
}

}  // namespace
}  // namespace conclave
