#include "coordinator/placement/share_out.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "coordinator/placement/assign.h"
#include "coordinator/placement/rebalance.h"
#include "placing.h"

namespace conclave {
namespace {

ExpertOwners OwnedBy(const std::vector<std::uint8_t>& workers) {
  ExpertOwners owners;
  std::ranges::copy(workers, owners.slots.begin());
  return owners;
}

int SharesOf(const ExpertOwners& owners) {
  return std::accumulate(owners.shares.begin(), owners.shares.end(), 0);
}

TEST(ShareOut, EqualOwnersServeEquallyManyHomes) {
  const std::vector<HomeWorker> workers(10);
  std::vector<ExpertOwners> experts = {OwnedBy({0, 9}), OwnedBy({3}), OwnedBy({1, 2, 5}),
                                       OwnedBy({4, 6, 7, 8})};
  const std::vector<float> weights(4, 1.0f);
  ShareOut(experts, weights, workers, 0);
  EXPECT_EQ(experts[0].shares, (std::array<std::uint8_t, 4>{4, 4, 0, 0}));
  EXPECT_EQ(SharesOf(experts[1]), 0) << "an only owner needs none";
  EXPECT_EQ(SharesOf(experts[2]), 7);
  EXPECT_EQ(SharesOf(experts[3]), 6);
  for (std::size_t o = 0; o < 3; ++o) EXPECT_NEAR(experts[2].shares[o], 7 / 3.0, 1);
  for (std::size_t o = 0; o < 4; ++o) EXPECT_NEAR(experts[3].shares[o], 6 / 4.0, 1);
}

// Who has much to do already serves fewer homes, who is fast more.
TEST(ShareOut, TheRestGoesWhereItEndsSoonest) {
  std::vector<HomeWorker> workers(10);
  std::vector<ExpertOwners> experts = {OwnedBy({0}), OwnedBy({0, 1})};
  std::vector<float> weights = {4, 10};
  ShareOut(experts, weights, workers, 0);
  // Worker 0: 4 + 1 + 2, worker 1: 1 + 6.
  EXPECT_EQ(experts[1].shares, (std::array<std::uint8_t, 4>{2, 6, 0, 0}));
  weights = {20, 10};
  ShareOut(experts, weights, workers, 0);
  EXPECT_EQ(experts[1].shares, (std::array<std::uint8_t, 4>{0, 8, 0, 0}));
  workers[1].slowness = 0.25f;
  weights = {0.1f, 10};
  ShareOut(experts, weights, workers, 0);
  EXPECT_EQ(experts[1].shares, (std::array<std::uint8_t, 4>{1, 7, 0, 0}));
}

TEST(ShareOut, OwnersWithoutSequencesTakeUpWhatOthersDoForThemselves) {
  std::vector<HomeWorker> workers(4);
  workers[3].home = false;  // three homes
  std::vector<ExpertOwners> experts = {OwnedBy({0, 3})};
  const std::vector<float> weights = {1};
  ShareOut(experts, weights, workers, 0);
  EXPECT_EQ(SharesOf(experts[0]), 2);
  EXPECT_GE(experts[0].shares[1], 1);
}

// What the objective expects is what happens: counted home by home.
TEST(ShareOut, TheExpectedTimesAreThoseOfTheServersChosen) {
  for (int seed = 0; seed < 20; ++seed) {
    std::vector<PlacementWorker> workers = FirstWorkers(3 + seed % 6);
    for (auto& worker : workers) worker.home = worker.slot.value % 3 != 2;
    const auto loads = SkewedLoads(2, 24, static_cast<std::uint64_t>(seed));
    PlacementAsk ask{.moe_layers = 2,
                     .experts = 24,
                     .expert_bytes = 10,
                     .workers = workers,
                     .loads = loads,
                     .replicas = 1 + seed % 3};
    const Placement first = *PlaceExperts(ask);
    ask.before = &first;
    const Placement placement =
        Rebalance(ask, {.loads_all = 1000, .loads_each = 1000}).placement;
    const std::vector<float> weights = ExpertWeights(ask);
    double slowest = 0;
    for (int layer = 0; layer < 2; ++layer) {
      std::vector<double> time(kSlotsMax);
      for (int expert = 0; expert < 24; ++expert) {
        for (const PlacementWorker& worker : workers) {
          if (!worker.home) continue;
          const Slot server = placement.ServerFor(layer, expert, worker.slot);
          time[static_cast<std::size_t>(server.value)] +=
              weights[static_cast<std::size_t>(layer * 24 + expert)] /
              static_cast<float>(placement.homes().size());
        }
      }
      slowest += *std::ranges::max_element(time);
    }
    EXPECT_NEAR(BalanceOf(placement, ask).slowest, slowest, 1e-4) << "seed " << seed;
  }
}

}  // namespace
}  // namespace conclave
