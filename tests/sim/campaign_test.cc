// A campaign of seeds without a complaint, that really met what it is meant to meet; and runs that
// can be repeated.
#include "sim/campaign.h"

#include <gtest/gtest.h>

#include <set>

namespace conclave::sim {
namespace {

constexpr std::uint64_t kSeeds = 1000;

TEST(Campaign, SeedsOfEveryScenarioAreWell) {
  Campaign campaign;
  Report all;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const Report report = campaign.RunSeed(seed);
    for (const std::string& failure : report.failures) {
      ADD_FAILURE() << failure << "\n" << ReplayCommand(seed, nullptr);
    }
    all.steps += report.steps;
    all.steps_in_rounds += report.steps_in_rounds;
    all.faults += report.faults;
    all.epochs += report.epochs;
    all.resumes += report.resumes;
    all.late_stops += report.late_stops;
    all.rebalances += report.rebalances;
    all.preemptions += report.preemptions;
    all.cached_tokens += report.cached_tokens;
    all.endings.resize(report.endings.size());
    for (std::size_t end = 0; end < all.endings.size(); ++end) {
      all.endings[end] += report.endings[end];
    }
  }
  // Otherwise nothing was tested.
  EXPECT_GT(all.steps, 5'000u);
  EXPECT_GT(all.steps_in_rounds, 500u);
  EXPECT_GT(all.faults, 500u);
  EXPECT_GT(all.epochs, 1'500u);
  EXPECT_GT(all.resumes, 100u);
  EXPECT_GT(all.late_stops, 30u);
  EXPECT_GT(all.rebalances, 20u);
  EXPECT_GT(all.preemptions, 20u);
  EXPECT_GT(all.cached_tokens, 1'000u);
  for (const End end : {End::kStop, End::kLength, End::kCancelled, End::kDeadline, End::kRefused,
                        End::kOverloaded, End::kReplaced}) {
    EXPECT_GT(all.endings[static_cast<std::size_t>(end)], 20u) << static_cast<int>(end);
  }
}

TEST(Campaign, ARunRepeatsItselfToTheLastBit) {
  std::set<std::uint64_t> digests;
  Campaign first;
  Campaign second;
  for (const Scenario& scenario : Scenarios()) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      const Report once = first.RunSeed(seed, &scenario);
      // Others come between: nothing may be left of them.
      second.RunSeed(seed + 100, &scenario);
      const Report again = second.RunSeed(seed, &scenario);
      EXPECT_EQ(once.digest, again.digest) << ReplayCommand(seed, &scenario);
      EXPECT_EQ(once.events, again.events);
      digests.insert(once.digest);
    }
  }
  // Two scenarios may draw the same world.
  EXPECT_GT(digests.size(), Scenarios().size() * 3);
}

TEST(Campaign, TheReplayCommandSaysItAll) {
  EXPECT_EQ(ReplayCommand(7, nullptr), "conclave-sim --seeds 1 --first-seed 7");
  EXPECT_EQ(ReplayCommand(8, FindScenario("crash")),
            "conclave-sim --seeds 1 --first-seed 8 --scenario crash");
  EXPECT_EQ(FindScenario("weather"), nullptr);
}

}  // namespace
}  // namespace conclave::sim
