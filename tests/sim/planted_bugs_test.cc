// The checkers, checked: every planted bug is found within its number of seeds, and the same seeds
// have nothing to complain about without it.
#include <gtest/gtest.h>

#include <iterator>

#include "sim/campaign.h"
#include "tests/sim/bugs.h"

namespace conclave::sim {
namespace {

std::vector<PlantedBug> AllBugs() {
  std::vector<PlantedBug> all = StreamBugs();
  for (std::vector<PlantedBug> bugs : {WorkerBugs(), FrameBugs(), EpochBugs()}) {
    all.insert(all.end(), bugs.begin(), bugs.end());
  }
  return all;
}

class Planted : public testing::TestWithParam<PlantedBug> {};

TEST_P(Planted, IsFound) {
  static Campaign campaign;  // the oracle remembers
  const PlantedBug& bug = GetParam();
  const Scenario* scenario = FindScenario(bug.scenario);
  ASSERT_NE(scenario, nullptr) << bug.scenario;
  for (int seed = 1; seed <= bug.seeds; ++seed) {
    const std::unique_ptr<Tamper> tamper = bug.plant();
    const Report bent = campaign.RunSeed(static_cast<std::uint64_t>(seed), scenario, tamper.get());
    if (bent.failures.empty()) continue;
    const Report healthy = campaign.RunSeed(static_cast<std::uint64_t>(seed), scenario);
    EXPECT_TRUE(healthy.failures.empty()) << healthy.failures.front();
    RecordProperty("found_at_seed", seed);
    RecordProperty("by", bent.failures.front());
    std::printf("  seed %d: %s\n", seed, bent.failures.front().c_str());
    return;
  }
  FAIL() << "not found within " << bug.seeds << " seeds";
}

INSTANTIATE_TEST_SUITE_P(All, Planted, testing::ValuesIn(AllBugs()), [](const auto& bug) {
  std::string name = bug.param.name;
  for (char& c : name) c = c == ' ' || c == ',' ? '_' : c;
  return name;
});

}  // namespace
}  // namespace conclave::sim
