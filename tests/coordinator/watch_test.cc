#include "coordinator/watch.h"

#include <gtest/gtest.h>

#include <string>

#include "world.h"

namespace conclave {
namespace {

class WatchTest : public testing::Test {
 protected:
  WatchTest()
      : world_([] {
          CoordinatorConfig config;
          config.workers_wanted = 3;
          return config;
        }()) {
    for (int i = 0; i < 3; ++i) world_.Join({});
    world_.Settle();
    world_.Ask(AskOf("r", PromptOf(20), 50));
  }
  static constexpr std::uint64_t kStands = 1;
  // Heartbeats come for so long, always the same; threads look for frames unless one stands still.
  void Beat(const std::vector<Heartbeat>& hearts, Micros micros) {
    for (Micros passed = 0; passed < micros; passed += 100'000) {
      for (std::size_t i = 0; i < hearts.size(); ++i) {
        Heartbeat heart = hearts[i];
        heart.looks = heart.looks == kStands ? kStands : ++looks_;
        if (world_.WorkerAt(LinkId{i + 1}) != nullptr) world_.Say(LinkId{i + 1}, heart);
      }
      world_.PassFor({}, 100'000);
    }
  }
  std::string StateOf(std::size_t slot) {
    return world_.core().Status(world_.now()).workers[slot].state;
  }
  static Heartbeat In(std::uint64_t exchange, std::vector<int> waits_for) {
    Heartbeat heart{.epoch = Epoch(1, 1), .progress = 5, .busy = true, .exchange = exchange};
    for (const int slot : waits_for) heart.waits_for.Add(Slot{slot});
    return heart;
  }
  World world_;
  std::uint64_t looks_ = kStands;
};

TEST_F(WatchTest, AWedgedWorkerIsSuspectedThenGoes) {
  const std::vector<Heartbeat> hearts = {In(0, {}), In(4, {0}), In(4, {0})};
  Beat(hearts, 2'400'000);
  EXPECT_EQ(StateOf(0), "active");
  Beat(hearts, 1'000'000);
  EXPECT_EQ(StateOf(0), "suspect");
  EXPECT_NE(world_.core().Status(world_.now()).workers[0].why.find("no progress"),
            std::string::npos);
  EXPECT_EQ(StateOf(1), "active");
  Beat(hearts, 2'000'000);
  ASSERT_EQ(world_.dropped().size(), 1u);
  EXPECT_TRUE(world_.dropped().contains(LinkId{1}));
  world_.Settle();
  world_.ExpectExact();
}

// It has not taken what 2 sent: that must not be held against 2.
TEST_F(WatchTest, AThreadThatStandsStillWithinAnExchangeGoes) {
  std::vector<Heartbeat> hearts = {In(4, {2}), In(5, {0}), In(5, {0})};
  hearts[0].looks = kStands;
  Beat(hearts, 700'000);
  EXPECT_EQ(StateOf(0), "suspect");
  EXPECT_EQ(StateOf(2), "active");
  Beat(hearts, 600'000);
  ASSERT_EQ(world_.dropped().size(), 1u);
  EXPECT_NE(world_.dropped().at(LinkId{1}).find("not looked for frames"), std::string::npos);
  world_.Settle();
  world_.ExpectExact();
}

TEST_F(WatchTest, ABrokenLinkCostsOneWorker) {
  Beat({In(4, {2}), In(4, {}), In(4, {})}, 700'000);
  EXPECT_EQ(StateOf(2), "suspect");
  EXPECT_TRUE(world_.dropped().empty());
  Beat({In(4, {2}), In(4, {}), In(4, {})}, 600'000);
  ASSERT_EQ(world_.dropped().size(), 1u);
  EXPECT_NE(world_.dropped().at(LinkId{3}).find("2 to 0"), std::string::npos);
  world_.Settle();
  world_.ExpectExact();
}

TEST_F(WatchTest, ProgressClearsEveryone) {
  for (std::uint64_t i = 1; i < 20; ++i) Beat({In(i, {2}), In(i, {0}), In(i, {})}, 900'000);
  EXPECT_TRUE(world_.dropped().empty());
  world_.Settle();
  world_.ExpectExact();
}

// One that stood still goes on and answers: the others' heartbeats still say that they wait for it.
TEST_F(WatchTest, AnAnswerIsProgressBeforeAnyHeartbeatSaysSo) {
  Beat({In(0, {}), In(4, {0}), In(4, {0})}, 1'200'000);
  EXPECT_TRUE(world_.dropped().empty());
  world_.WorkerAt(LinkId{1})->RunStep();
  world_.Deliver(LinkId{1});
  world_.PassFor({}, 50'000);
  EXPECT_TRUE(world_.dropped().empty());
  world_.Settle();
  world_.ExpectExact();
}

TEST_F(WatchTest, APauseOfTheCoordinatorIsNobodysFault) {
  const std::vector<Heartbeat> hearts = {In(0, {}), In(4, {0}), In(4, {0})};
  Beat(hearts, 100'000);
  world_.PassFor({}, 60'000'000);
  Beat(hearts, 600'000);
  EXPECT_TRUE(world_.dropped().empty());
}

// Without the others it cannot serve, and nobody tells it to leave the exchange that it is in.
TEST(WatchAlone, WhoWaitsForOneThatIsGoneIsNotWedged) {
  CoordinatorConfig config;
  config.workers_wanted = 2;
  World world(config);
  world.Join({.role = Role::kExpert});
  world.Join({});
  world.Settle();
  ASSERT_TRUE(world.core().ready());
  world.Ask(AskOf("r", PromptOf(20), 50));
  Heartbeat waits{.epoch = Epoch(1, 1), .progress = 5, .busy = true, .exchange = 4};
  waits.waits_for.Add(Slot{1});
  world.Say(LinkId{1}, waits);
  world.Kill(LinkId{2});
  ASSERT_FALSE(world.core().ready());
  for (int i = 0; i < 70; ++i) {
    ++waits.looks;
    world.Say(LinkId{1}, waits);
    world.PassFor({}, 100'000);
  }
  EXPECT_TRUE(world.dropped().empty());
}

TEST_F(WatchTest, ABrokenStepWaitsForTheNewsOfWhoIsGone) {
  world_.WorkerAt(LinkId{1})->BreakStep();
  world_.Deliver(LinkId{1});
  EXPECT_EQ(world_.core().Status(0).change.stage, "");
  world_.Kill(LinkId{2});
  EXPECT_EQ(world_.core().Status(0).change.stage, "preparing");
  EXPECT_EQ(world_.core().Status(0).change.kind, ChangeKind::kLoss);
  world_.Settle();
  EXPECT_EQ(world_.core().Status(0).epoch, Epoch(1, 2)) << "one change, not two";
  world_.ExpectExact();
}

TEST_F(WatchTest, WhenAllSayThatItBrokeThereIsNoNewsToWaitFor) {
  const StepBroken broken{.epoch = Epoch(1, 1), .step = StepId{1}, .error = "no"};
  for (const LinkId link : world_.Links()) world_.Say(link, broken);
  EXPECT_EQ(world_.core().Status(0).change.stage, "preparing");
  EXPECT_EQ(world_.core().Status(0).change.kind, ChangeKind::kBrokenStep);
}

}  // namespace
}  // namespace conclave
