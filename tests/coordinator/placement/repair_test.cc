#include "coordinator/placement/repair.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "coordinator/placement/assign.h"
#include "placing.h"

namespace conclave {
namespace {

Placement MustPlace(const PlacementAsk& ask) { return *PlaceExperts(ask); }

Placement MustRepair(const PlacementAsk& ask) {
  auto placement = RepairPlacement(ask);
  EXPECT_TRUE(placement.ok()) << placement.status();
  ExpectValid(*placement, ask);
  return *placement;
}

TEST(RepairPlacement, WithAReplicaLeftALossNeedsNoLoad) {
  const auto three = FirstWorkers(3);
  PlacementAsk ask{
      .moe_layers = 2, .experts = 12, .expert_bytes = 10, .workers = three, .replicas = 2};
  const Placement before = MustPlace(ask);
  const auto two = WorkersAt({0, 2});
  ask.workers = two;
  ask.before = &before;
  const Placement after = MustRepair(ask);
  EXPECT_EQ(LoadsCounted(before, after), 0);
  for (int layer = 0; layer < 2; ++layer) {
    for (const int slot : {0, 2}) {
      EXPECT_TRUE(std::ranges::equal(after.OwnedBy(layer, Slot{slot}),
                                     before.OwnedBy(layer, Slot{slot})))
          << "nor does anyone drop anything";
    }
  }
  // What has no owner at all is spread.
  const auto last = WorkersAt({2, 5});
  ask.workers = last;
  const Placement spread = MustRepair(ask);
  for (int layer = 0; layer < 2; ++layer) {
    const auto kept = before.OwnedBy(layer, Slot{2});
    const auto now = spread.OwnedBy(layer, Slot{2});
    EXPECT_TRUE(std::ranges::includes(now, kept));
    EXPECT_EQ(now.size() + spread.OwnedBy(layer, Slot{5}).size(), 12u);
  }
}

// The stall lasts as long as the one that loads most: all load the same, whatever they have to do.
TEST(RepairPlacement, SurvivorsLoadTheSameAndOnlyWhatIsLost) {
  for (const int workers : {3, 4, 5, 7, 16, 128}) {
    const auto all = FirstWorkers(workers);
    const auto loads = SkewedLoads(6, 128, static_cast<std::uint64_t>(workers));
    PlacementAsk ask{.moe_layers = 6, .experts = 128, .expert_bytes = 10, .workers = all};
    const Placement before = MustPlace(ask);
    std::vector<PlacementWorker> left(all.begin() + 1, all.end());
    left.back().speed = 4;
    ask.workers = left;
    ask.before = &before;
    ask.loads = loads;
    const Placement after = MustRepair(ask);
    const int lost = before.CountOwnedBy(Slot{0});
    EXPECT_EQ(LoadsCounted(before, after), lost);
    EXPECT_EQ(LoadsBetween(before, after).all, lost);
    EXPECT_EQ(LoadsBetween(before, after).most, (lost + workers - 2) / (workers - 1));
    // What was loaded ahead of the loss is what is needed after it, though rows were counted since.
    const auto later = SkewedLoads(6, 128, 99);
    ask.loads = later;
    left.back().speed = 1;
    EXPECT_EQ(LoadsBetween(after, MustRepair(ask)).all, 0);
  }
}

TEST(RepairPlacement, ASlotsNextHolderGetsNoMoreThanItHasRoomFor) {
  const auto one = FirstWorkers(1);
  PlacementAsk ask{.moe_layers = 2, .experts = 12, .expert_bytes = 10, .workers = one};
  const Placement before = MustPlace(ask);
  ask.before = &before;
  for (const std::uint64_t memory : {1u, 9u, 10u, 75u, 130u}) {
    const std::vector<PlacementWorker> workers = {{Slot{0}, memory}, {Slot{3}, 0}};
    ask.workers = workers;
    const Placement after = MustRepair(ask);
    EXPECT_EQ(after.CountOwnedBy(Slot{0}), static_cast<int>(memory / 10));
    EXPECT_EQ(after.CountOwnedBy(Slot{3}), 24 - static_cast<int>(memory / 10));
  }
}

// Memory is full of second copies: some of them must go, or an expert would have none.
TEST(RepairPlacement, SecondCopiesMakeRoomForWhatHasNone) {
  const auto three = FirstWorkers(3, 160);
  PlacementAsk ask{
      .moe_layers = 2, .experts = 12, .expert_bytes = 10, .workers = three, .replicas = 2};
  const Placement before = MustPlace(ask);
  const std::vector<PlacementWorker> two(three.begin(), three.begin() + 2);
  ask.workers = two;
  ask.before = &before;
  MustRepair(ask);
  const auto last = FirstWorkers(1, 160);
  ask.workers = last;
  EXPECT_FALSE(RepairPlacement(ask).ok()) << "24 experts, room for 16";
  const std::vector<PlacementWorker> next = {{Slot{0}, 160}, {Slot{7}, 80}};
  ask.workers = next;
  MustRepair(ask);
}

TEST(RepairPlacement, ManyLossesAtOnceLeaveAValidPlacement) {
  for (int seed = 0; seed < 30; ++seed) {
    const int workers = 5 + seed % 8;
    const auto all = FirstWorkers(workers);
    PlacementAsk ask{.moe_layers = 3,
                     .experts = 40,
                     .expert_bytes = 10,
                     .workers = all,
                     .replicas = 1 + seed % 3};
    const Placement before = MustPlace(ask);
    std::vector<PlacementWorker> left;
    for (int w = 0; w < workers; ++w) {
      if (w == workers - 1 || (seed >> (w % 5) & 1) == 0) {
        left.push_back(all[static_cast<std::size_t>(w)]);
      }
    }
    ask.workers = left;
    ask.before = &before;
    const Placement after = MustRepair(ask);
    EXPECT_EQ(MustRepair(ask), after);
    int lost = 0;
    for (const ExpertOwners& owners : before.all()) {
      lost += std::ranges::none_of(left, [&](const PlacementWorker& worker) {
        return owners.Has(worker.slot.value);
      });
    }
    EXPECT_EQ(LoadsCounted(before, after), lost) << "nothing moves that has an owner";
  }
}

}  // namespace
}  // namespace conclave
