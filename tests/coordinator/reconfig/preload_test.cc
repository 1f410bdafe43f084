#include "coordinator/reconfig/preload.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/coordinator/world.h"

namespace conclave {
namespace {

// Three members that serve; the third falls silent.
class PreloadTest : public testing::Test {
 protected:
  explicit PreloadTest(const CoordinatorConfig& config = ClusterOf(3)) : world_(config) {
    for (int i = 0; i < 3; ++i) world_.Join({});
    world_.Settle();
    for (int i = 0; i < 3; ++i) world_.Ask(AskOf(absl::StrCat("r", i), PromptOf(20, i), 30));
  }
  void Silence(Micros micros) {
    for (; micros > 0; micros -= 50'000) world_.PassFor({LinkId{1}, LinkId{2}}, 50'000);
  }
  const std::vector<Preload>& Preloads(std::uint64_t link) {
    return world_.WorkerAt(LinkId{link})->preloads();
  }
  static int OwnedBy(const Placement& placement, int slot) {
    int owned = 0;
    for (int layer = 0; layer < placement.moe_layers(); ++layer) {
      owned += static_cast<int>(placement.OwnedBy(layer, Slot{slot}).size());
    }
    return owned;
  }
  World world_;
};

TEST_F(PreloadTest, TheOthersLoadItsExpertsFromHalfTheLimitOn) {
  Silence(300'000);
  EXPECT_TRUE(Preloads(1).empty());
  Silence(100'000);
  for (const std::uint64_t link : {1, 2}) {
    ASSERT_EQ(Preloads(link).size(), 1u);
    const Preload& preload = Preloads(link)[0];
    EXPECT_FALSE(preload.drop);
    EXPECT_EQ(preload.slot, Slot{static_cast<int>(link) - 1});
    EXPECT_EQ(OwnedBy(preload.placement, 0) + OwnedBy(preload.placement, 1), 16);
  }
  EXPECT_TRUE(Preloads(3).empty());
  Silence(250'000);
  EXPECT_EQ(Preloads(1).size(), 1u) << "once";
}

TEST_F(PreloadTest, WhatWasLoadedIsWhatTheNextEpochNeeds) {
  Silence(400'000);
  ASSERT_EQ(Preloads(1).size(), 1u);
  const Placement foreseen = Preloads(1)[0].placement;
  Silence(400'000);
  ASSERT_TRUE(world_.dropped().contains(LinkId{3}));
  EXPECT_EQ(world_.WorkerAt(LinkId{1})->prepare()->placement, foreseen);
  EXPECT_EQ(Preloads(1).size(), 1u) << "nothing is dropped";
  world_.Settle();
  world_.ExpectExact();
}

TEST_F(PreloadTest, ItIsDroppedWhenTheSilentOneSpeaksAgain) {
  Silence(400'000);
  ASSERT_EQ(Preloads(1).size(), 1u);
  world_.Pass(50'000);
  for (const std::uint64_t link : {1, 2}) {
    ASSERT_EQ(Preloads(link).size(), 2u);
    EXPECT_TRUE(Preloads(link)[1].drop);
    EXPECT_EQ(Preloads(link)[1].placement, world_.WorkerAt(LinkId{link})->prepare()->placement);
  }
  world_.Pass(50'000);
  EXPECT_EQ(Preloads(1).size(), 2u) << "once";
  world_.Settle();
  EXPECT_EQ(world_.core().Status(world_.now()).epoch, Epoch(1, 1));
  world_.ExpectExact();
}

TEST_F(PreloadTest, AnotherOneThatFallsSilentChangesWhatIsNeeded) {
  Silence(250'000);
  for (int i = 0; i < 8; ++i) world_.PassFor({LinkId{1}}, 50'000);
  ASSERT_TRUE(world_.dropped().empty());
  ASSERT_EQ(Preloads(1).size(), 2u);
  EXPECT_EQ(OwnedBy(Preloads(1)[0].placement, 2), 0);
  EXPECT_EQ(OwnedBy(Preloads(1)[1].placement, 0), 16);
  EXPECT_FALSE(Preloads(1)[1].drop);
}

// Workers that load for a planned change replace one load by the next: they need no other word.
TEST_F(PreloadTest, APlannedChangeTakesItsPlace) {
  Silence(400'000);
  world_.Join({});
  EXPECT_EQ(world_.core().Status(world_.now()).change.stage, "loading");
  world_.Pass(50'000);
  EXPECT_EQ(Preloads(1).size(), 1u);
}

class PreloadReplicasTest : public PreloadTest {
 protected:
  PreloadReplicasTest()
      : PreloadTest([] {
          CoordinatorConfig config = ClusterOf(3);
          config.expert_replicas = 2;
          return config;
        }()) {}
};

TEST_F(PreloadReplicasTest, WhatHasAnotherOwnerNeedsNoLoad) {
  Silence(500'000);
  EXPECT_TRUE(Preloads(1).empty());
  EXPECT_TRUE(Preloads(2).empty());
}

}  // namespace
}  // namespace conclave
