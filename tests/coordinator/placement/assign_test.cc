#include "coordinator/placement/assign.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "placing.h"

namespace conclave {
namespace {

Placement MustPlace(const PlacementAsk& ask) {
  auto placement = PlaceExperts(ask);
  EXPECT_TRUE(placement.ok()) << placement.status();
  ExpectValid(*placement, ask);
  return *placement;
}

int OwnedIn(const Placement& placement, int layer, int slot) {
  return static_cast<int>(placement.OwnedBy(layer, Slot{slot}).size());
}

TEST(PlaceExperts, EqualWorkersAreBalancedWithinOneInEachLayerAndInAll) {
  for (const int experts : {1, 8, 60, 128, 512}) {
    for (const int workers : {1, 2, 3, 4, 5, 7, 48, 128}) {
      const auto about = FirstWorkers(workers);
      const Placement placement =
          MustPlace({.moe_layers = 5, .experts = experts, .expert_bytes = 10, .workers = about});
      std::vector<int> totals;
      for (int slot = 0; slot < workers; ++slot) {
        for (int layer = 0; layer < 5; ++layer) {
          EXPECT_GE(OwnedIn(placement, layer, slot), experts / workers);
          EXPECT_LE(OwnedIn(placement, layer, slot), (experts + workers - 1) / workers);
        }
        totals.push_back(placement.CountOwnedBy(Slot{slot}));
      }
      const auto [least, most] = std::ranges::minmax(totals);
      EXPECT_LE(most - least, 1) << experts << " experts on " << workers;
    }
  }
}

TEST(PlaceExperts, SharesFollowSpeed) {
  std::vector<PlacementWorker> workers = WorkersAt({0, 2, 5});
  workers[1].speed = 2;
  const Placement placement =
      MustPlace({.moe_layers = 3, .experts = 128, .expert_bytes = 10, .workers = workers});
  for (int layer = 0; layer < 3; ++layer) {
    EXPECT_EQ(OwnedIn(placement, layer, 0), 32);
    EXPECT_EQ(OwnedIn(placement, layer, 2), 64);
    EXPECT_EQ(OwnedIn(placement, layer, 5), 32);
  }
}

TEST(PlaceExperts, HotExpertsAreSpreadAtTheStart) {
  const auto workers = FirstWorkers(4);
  std::vector<float> loads(2 * 16, 1.0f);
  for (const int hot : {0, 1, 2, 3, 16, 20, 24, 28}) loads[static_cast<std::size_t>(hot)] = 10;
  const PlacementAsk ask{.moe_layers = 2,
                         .experts = 16,
                         .expert_bytes = 10,
                         .workers = workers,
                         .loads = loads};
  const Placement placement = MustPlace(ask);
  EXPECT_LT(BalanceOf(placement, ask).imbalance(), 1.001) << "each has one hot and three cold ones";
  const PlacementAsk blind{
      .moe_layers = 2, .experts = 16, .expert_bytes = 10, .workers = workers};
  EXPECT_GT(BalanceOf(MustPlace(blind), ask).imbalance(), 1.5) << "by count it would be far off";
}

TEST(PlaceExperts, NobodyGetsMoreThanFits) {
  // Slot 1 has room for 5 pairs only: in no layer more than its part of them.
  std::vector<PlacementWorker> workers = WorkersAt({0, 1, 2});
  workers[1].memory_bytes = 50;
  const Placement placement =
      MustPlace({.moe_layers = 4, .experts = 16, .expert_bytes = 10, .workers = workers});
  EXPECT_EQ(placement.CountOwnedBy(Slot{1}), 5);
  for (int layer = 0; layer < 4; ++layer) EXPECT_LE(OwnedIn(placement, layer, 1), 2);
  // Exactly as much room as there are experts.
  const std::vector<PlacementWorker> tight = {{Slot{0}, 70}, {Slot{1}, 250}, {Slot{2}, 320}};
  MustPlace({.moe_layers = 4, .experts = 16, .expert_bytes = 10, .workers = tight});
  const std::vector<PlacementWorker> small = {{Slot{0}, 70}, {Slot{1}, 250}, {Slot{2}, 319}};
  const auto refused =
      PlaceExperts({.moe_layers = 4, .experts = 16, .expert_bytes = 10, .workers = small});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(refused.status().message(),
            "the experts do not fit: 64 of 10 bytes, and 3 workers have room for 63");
}

TEST(PlaceExperts, OnlyWhatMustMoveMoves) {
  const auto four = FirstWorkers(4);
  const auto three = WorkersAt({0, 1, 3});
  const auto five = WorkersAt({0, 1, 2, 3, 9});
  PlacementAsk ask{.moe_layers = 6, .experts = 128, .expert_bytes = 10, .workers = four};
  const Placement before = MustPlace(ask);
  ask.before = &before;
  EXPECT_EQ(MustPlace(ask), before);

  ask.workers = three;
  const Placement less = MustPlace(ask);
  EXPECT_EQ(LoadsCounted(before, less), before.CountOwnedBy(Slot{2}));
  EXPECT_LT(BalanceOf(less, ask).imbalance(), 1.02);
  ask.workers = five;
  const Placement more = MustPlace(ask);
  EXPECT_EQ(LoadsCounted(before, more), more.CountOwnedBy(Slot{9}));
  EXPECT_GE(more.CountOwnedBy(Slot{9}), 6 * 25);
}

// With measured loads, too, a join moves experts to the one that joins only, and no layer gets
// slower.
TEST(PlaceExperts, AJoinUnderSkewLoadsTheNewcomerOnlyAndIsNeverWorse) {
  for (int seed = 0; seed < 20; ++seed) {
    for (const int workers : {1, 3, 7}) {
      const auto loads = SkewedLoads(4, 32, static_cast<std::uint64_t>(seed));
      const auto fewer = FirstWorkers(workers), more = FirstWorkers(workers + 1);
      PlacementAsk ask{.moe_layers = 4,
                       .experts = 32,
                       .expert_bytes = 10,
                       .workers = fewer,
                       .replicas = 1 + seed % 2};
      const Placement before = MustPlace(ask);
      ask.loads = loads;
      ask.workers = more;
      ask.before = &before;
      const Placement after = MustPlace(ask);
      if (ask.replicas == 1) {
        EXPECT_EQ(LoadsCounted(before, after), after.CountOwnedBy(Slot{workers}));
        EXPECT_GT(after.CountOwnedBy(Slot{workers}), 0);
      }
      EXPECT_LE(BalanceOf(after, ask).slowest, BalanceOf(before, ask).slowest * 1.0001);
      EXPECT_EQ(MustPlace(ask), after) << "the same again";
    }
  }
}

TEST(PlaceExperts, ReplicasHaveDifferentOwnersAndAreBalanced) {
  for (const int replicas : {2, 3, 4}) {
    for (const int workers : {2, 3, 4, 5, 7}) {
      const auto about = FirstWorkers(workers);
      PlacementAsk ask{.moe_layers = 3, .experts = 60, .expert_bytes = 10, .workers = about};
      const Placement single = MustPlace(ask);
      ask.before = &single;  // copies are added to what is there
      ask.replicas = replicas;
      const Placement placement = MustPlace(ask);
      const auto owners = static_cast<std::size_t>(std::min(replicas, workers));
      for (int layer = 0; layer < 3; ++layer) {
        for (int expert = 0; expert < 60; ++expert) {
          ASSERT_EQ(placement.Owners(layer, expert).size(), owners) << replicas << " on " << workers;
        }
        for (int slot = 0; slot < workers; ++slot) {
          EXPECT_NEAR(OwnedIn(placement, layer, slot), 60.0 * static_cast<double>(owners) / workers,
                      1);
        }
      }
      ask.before = &placement;
      EXPECT_EQ(MustPlace(ask), placement) << "nothing moves without need";
    }
  }
}

TEST(PlaceExperts, ReplicasOnlyAsFarAsMemoryGoes) {
  const auto two_and_a_bit = FirstWorkers(3, 110);  // 11 pairs each, of 16
  PlacementAsk ask{.moe_layers = 2,
                   .experts = 8,
                   .expert_bytes = 10,
                   .workers = two_and_a_bit,
                   .replicas = 3};
  const Placement placement = MustPlace(ask);
  for (int layer = 0; layer < 2; ++layer) {
    for (int expert = 0; expert < 8; ++expert) {
      EXPECT_GE(placement.Owners(layer, expert).size(), 2u);
    }
  }
  const auto one = FirstWorkers(3, 60);
  ask.workers = one;
  const Placement few = MustPlace(ask);
  int copies = 0;
  for (const ExpertOwners& owners : few.all()) copies += static_cast<int>(owners.size());
  EXPECT_EQ(copies, 18) << "two experts have a second copy";
}

TEST(PlaceExperts, UnequalWorkersKeepWhatFitsAndEndTogether) {
  for (const int count : {3, 5, 7}) {
    std::vector<PlacementWorker> workers = FirstWorkers(count);
    for (int w = 0; w < count; ++w) {
      auto& worker = workers[static_cast<std::size_t>(w)];
      worker.speed = 1 + w % 3;
      worker.memory_bytes = w % 2 == 0 ? 0 : 4'000'000;
      worker.home = w != count - 1;
    }
    const auto loads = SkewedLoads(8, 128, static_cast<std::uint64_t>(count));
    const PlacementAsk ask{.moe_layers = 8,
                           .experts = 128,
                           .expert_bytes = 10'000,
                           .workers = workers,
                           .loads = loads};
    EXPECT_LT(BalanceOf(MustPlace(ask), ask).imbalance(), 1.05) << count << " workers";
  }
}

TEST(PlaceExperts, ADenseModelHasNothingToPlace) {
  const auto workers = FirstWorkers(2);
  EXPECT_TRUE(MustPlace({.moe_layers = 0, .experts = 0, .workers = workers}).Complete());
}

}  // namespace
}  // namespace conclave
