// Worlds in which something was wrong once. Each says what it was; the seeds that showed it, and
// those around them, stay well.
#include <gtest/gtest.h>

#include <string>

#include "sim/campaign.h"

namespace conclave::sim {
namespace {

struct Known {
  std::string name;
  std::string scenario;
  std::uint64_t first_seed = 1;
  int seeds = 1;
};

class Scenarios : public testing::TestWithParam<Known> {};

TEST_P(Scenarios, AreWell) {
  static Campaign campaign;  // the oracle remembers
  const Known& known = GetParam();
  const Scenario* scenario = FindScenario(known.scenario);
  ASSERT_TRUE(scenario != nullptr || known.scenario == "any") << known.scenario;
  for (int i = 0; i < known.seeds; ++i) {
    const std::uint64_t seed = known.first_seed + static_cast<std::uint64_t>(i);
    const Report report = campaign.RunSeed(seed, scenario);
    for (const std::string& failure : report.failures) {
      ADD_FAILURE() << failure << "\n" << ReplayCommand(seed, scenario);
    }
  }
}

const Known kKnown[] = {
    // A step that broke made everybody's address of the next epoch used up; the next Prepare named
    // it again, for ever.
    {"AFailedEpochUsesAnAddressUp", "crash", 1, 40},
    // One that had stood still went on and answered; heartbeats from before still said that others
    // waited for its frames, and somebody else was given up.
    {"OldHeartbeatsAccuseNobody", "wedge", 82, 1},
    // A slot was given to another worker with less memory, and a repair gave that one everything
    // that
    // its predecessor had held.
    {"ASlotsNextHolderHasLessMemory", "memory", 308467, 1},
    // A healthy newcomer was refused because it did not hear a member that nobody heard.
    {"ASilentMemberIsNoNewcomersFault", "any", 2066416, 1},
    // All members had left, and the next epoch was only being made: it was called ready.
    {"NobodyIsLeftIsNotReady", "any", 2086629, 1},
    // The checkers' own: an answer that was lost, an abort on its way, two who start at one moment.
    {"ARefusalThatWasLost", "any", 2104074, 1},
    {"ARefusalThatWasLostToo", "any", 2145701, 1},
    {"AnAbortThatWasOnItsWay", "any", 3144559, 1},
    {"TwoThatStartAtOneMoment", "any", 3146785, 1},
    // A live worker was dropped for another's death, when a second one died while an epoch formed.
    {"NobodyIsDroppedForAnothersDeath", "churn", 1, 40},
};

INSTANTIATE_TEST_SUITE_P(Known, Scenarios, testing::ValuesIn(kKnown),
                         [](const auto& known) { return known.param.name; });

}  // namespace
}  // namespace conclave::sim
