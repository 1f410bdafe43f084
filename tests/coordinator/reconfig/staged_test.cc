#include "coordinator/reconfig/stage.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/coordinator/world.h"

namespace conclave {
namespace {

// Two members that serve, and streams under way.
class StagedTest : public testing::Test {
 protected:
  explicit StagedTest(const CoordinatorConfig& config = ClusterOf(2)) : world_(config) {
    first_ = world_.Join({});
    second_ = world_.Join({});
    world_.Settle();
    for (int i = 0; i < 6; ++i) {
      world_.Ask(AskOf(absl::StrCat("r", i), PromptOf(20 + 7 * i, i), 400));
    }
    RunSteps(5);
  }

  void RunSteps(int steps) {
    for (int i = 0; i < steps; ++i) {
      for (const LinkId link : world_.Links()) {
        FakeWorker* worker = world_.WorkerAt(link);
        if (worker == nullptr) continue;  // sent away a moment ago
        if (worker->HasStep()) worker->RunStep();
        while (world_.WorkerAt(link) != nullptr && !world_.WorkerAt(link)->said().empty()) {
          world_.Deliver(link);
        }
      }
    }
  }
  void Wait(Micros micros) {
    for (; micros > 0; micros -= 100'000) {
      world_.Pass(100'000);
      RunSteps(1);
    }
  }
  ClusterStatus Status() { return world_.core().Status(world_.now()); }
  std::string StateOf(int slot) {
    for (const WorkerStatus& worker : Status().workers) {
      if (worker.slot.value == slot) return worker.state;
    }
    return "gone";
  }
  LinkId JoinAs(const std::string& uuid, bool fail_load, bool mute, std::vector<Slot> deaf_to) {
    // Nothing is answered before the test has had its say.
    const LinkId link = world_.JoinAs(World::HelloOf(uuid, {}));
    FakeWorker* worker = world_.WorkerAt(link);
    worker->fail_load_aside = fail_load;
    worker->mute_aside = mute;
    worker->deaf_to = std::move(deaf_to);
    return link;
  }
  void End() {
    world_.Settle();
    world_.ExpectExact();
  }

  World world_;
  LinkId first_, second_;
};

TEST_F(StagedTest, StepsGoOnWhileANewcomerLoadsAndConnects) {
  const LinkId third = world_.Join({});
  EXPECT_EQ(Status().change.stage, "loading");
  EXPECT_EQ(Status().change.epoch, Epoch{2});
  EXPECT_EQ(Status().change.waiting_for.size(), 3u);
  EXPECT_EQ(StateOf(2), "joining");
  const int before = world_.WorkerAt(first_)->steps_run();
  world_.WorkerAt(third)->said().clear();  // it takes its time
  RunSteps(10);
  EXPECT_EQ(world_.WorkerAt(first_)->steps_run(), before + 10);
  EXPECT_EQ(Status().change.waiting_for, std::vector<Slot>{Slot{2}});
  EXPECT_EQ(Status().epoch, Epoch{1});
  world_.Say(third, Loaded{.epoch = Epoch{2}, .ok = true, .error = {}, .address = "w3@2"});
  EXPECT_EQ(Status().change.stage, "connecting");
  RunSteps(4);
  EXPECT_EQ(Status().epoch, Epoch{2});
  EXPECT_EQ(StateOf(2), "active");
  EXPECT_EQ(Status().changes[static_cast<std::size_t>(ChangeKind::kJoin)], 1u);
  EXPECT_EQ(Status().recent.back().cause, "slot 2 joins from here");
  End();
}

TEST_F(StagedTest, TheNumberStaysAboveEveryOneEverHeard) {
  Hello hello = World::HelloOf("old", {});
  hello.last_epoch = Epoch{40};
  hello.last_slot = 9;
  world_.JoinAs(hello);
  RunSteps(6);
  EXPECT_EQ(Status().epoch, Epoch{41});
  EXPECT_EQ(StateOf(9), "active");
  End();
}

TEST_F(StagedTest, ANewcomerThatCannotLoadIsRefusedAndServiceIsUntouched) {
  const LinkId third = world_.Join({});
  world_.WorkerAt(third)->said().clear();
  const std::size_t logs = world_.logs().size();
  world_.Say(third, Loaded{.epoch = Epoch{2}, .ok = false, .error = "100 bytes of 50"});
  ASSERT_TRUE(world_.dropped().contains(third));
  EXPECT_NE(world_.dropped().at(third).find("100 bytes of 50"), std::string::npos);
  EXPECT_GT(world_.logs().size(), logs);
  RunSteps(6);
  EXPECT_EQ(Status().epoch, Epoch{1});
  EXPECT_EQ(Status().change.stage, "");
  End();
}

TEST_F(StagedTest, TheOthersGoOnWithoutANewcomerThatFails) {
  JoinAs("dies", false, true, {});
  const LinkId good = world_.Join({});
  RunSteps(6);
  EXPECT_EQ(Status().epoch, Epoch{1}) << "the second waits for the change under way";
  world_.Kill(LinkId{3});
  RunSteps(6);
  EXPECT_EQ(Status().epoch, Epoch{3});
  EXPECT_TRUE(world_.WorkerAt(good)->prepare().has_value());
  End();
}

TEST_F(StagedTest, ANewcomerWhoseLoadStandsStillGoesOneThatCrawlsDoesNot) {
  const LinkId third = world_.Join({});
  world_.WorkerAt(third)->said().clear();
  for (std::uint64_t i = 1; i <= 4; ++i) {
    Wait(20'000'000);
    EXPECT_TRUE(world_.dropped().empty());
    world_.Say(third, LoadProgress{.expert_bytes = i});
  }
  Wait(29'900'000);
  EXPECT_TRUE(world_.dropped().empty());
  world_.Say(third, LoadProgress{.expert_bytes = 4});  // no progress
  Wait(200'000);
  EXPECT_TRUE(world_.dropped().contains(third));
  EXPECT_EQ(Status().epoch, Epoch{1});
  End();
}

TEST_F(StagedTest, ANewcomerThatHearsNobodyIsRefused) {
  const LinkId bad = JoinAs("deaf", false, false, {Slot{0}, Slot{1}});
  RunSteps(8);
  ASSERT_TRUE(world_.dropped().contains(bad));
  EXPECT_NE(world_.dropped().at(bad).find("links"), std::string::npos);
  EXPECT_EQ(Status().epoch, Epoch{1});
  EXPECT_EQ(Status().change_given_up, "");
  End();
}

TEST_F(StagedTest, ANewcomerThatNobodyHearsIsRefusedAndTheOtherJoins) {
  world_.WorkerAt(first_)->deaf_to = {Slot{2}};
  const LinkId bad = world_.Join({});
  const LinkId good = world_.Join({});
  RunSteps(12);
  EXPECT_TRUE(world_.dropped().contains(bad));
  EXPECT_FALSE(world_.dropped().contains(good));
  EXPECT_EQ(Status().workers.size(), 3u);
  EXPECT_EQ(StateOf(3), "active");
  End();
}

TEST_F(StagedTest, ANewcomerThatIsSilentWhileItConnectsGoes) {
  const LinkId third = world_.Join({});
  FakeWorker* worker = world_.WorkerAt(third);
  worker->mute_aside = true;
  RunSteps(2);
  Wait(4'900'000);
  EXPECT_EQ(Status().change.stage, "connecting");
  EXPECT_TRUE(world_.dropped().empty());
  Wait(300'000);
  EXPECT_TRUE(world_.dropped().contains(third));
  EXPECT_EQ(Status().epoch, Epoch{1});
  End();
}

TEST_F(StagedTest, MembersThatCannotReachEachOtherPutTheChangeOff) {
  world_.WorkerAt(first_)->deaf_to = {Slot{1}};
  world_.Join({});
  RunSteps(6);
  EXPECT_EQ(Status().epoch, Epoch{1});
  EXPECT_EQ(Status().change.stage, "");
  EXPECT_NE(Status().change_given_up.find("slot 0 hears nothing from slot 1"), std::string::npos);
  EXPECT_EQ(StateOf(2), "joining");
  EXPECT_TRUE(world_.dropped().empty());
  EXPECT_NEAR(static_cast<double>(Status().change_retry_in), 5e6, 1e4);
  Wait(5'100'000);
  EXPECT_NEAR(static_cast<double>(Status().change_retry_in), 10e6, 3e5) << "again in vain";
  world_.WorkerAt(first_)->deaf_to.clear();
  Wait(10'500'000);
  RunSteps(6);
  EXPECT_EQ(StateOf(2), "active");
  EXPECT_EQ(Status().change_given_up, "");
  End();
}

TEST_F(StagedTest, ANewcomerIsNotBlamedForAMemberThatNobodyHears) {
  world_.WorkerAt(first_)->deaf_to = {Slot{1}};
  const LinkId third = JoinAs("third", false, false, {Slot{1}});
  RunSteps(6);
  EXPECT_TRUE(world_.dropped().empty());
  EXPECT_NE(Status().change_given_up.find("slot 0 hears nothing from slot 1"), std::string::npos);
  EXPECT_EQ(StateOf(2), "joining");
  world_.WorkerAt(first_)->deaf_to.clear();
  world_.WorkerAt(third)->deaf_to.clear();
  Wait(5'500'000);
  RunSteps(6);
  EXPECT_EQ(StateOf(2), "active");
  End();
}

TEST_F(StagedTest, AMemberThatIsLostTakesWhatWasMadeReadyWithIt) {
  const LinkId third = world_.Join({});
  world_.WorkerAt(third)->said().clear();
  RunSteps(2);
  world_.Kill(second_);
  EXPECT_EQ(Status().change.stage, "preparing");
  EXPECT_EQ(Status().change.epoch, Epoch{3}) << "2 was said to the newcomer";
  EXPECT_EQ(Status().change.waiting_for, std::vector<Slot>{Slot{0}}) << "members alone";
  RunSteps(8);
  EXPECT_EQ(Status().epoch, Epoch{4}) << "then the newcomer";
  EXPECT_EQ(Status().recent.back().kind, ChangeKind::kJoin);
  End();
}

TEST_F(StagedTest, ANewcomerThatDiesAtTheLastMomentCostsOnePause) {
  const LinkId third = world_.Join({});
  while (Status().change.stage != "preparing") RunSteps(1);
  world_.Kill(third);
  RunSteps(6);
  EXPECT_TRUE(world_.core().ready());
  EXPECT_EQ(Status().workers.size(), 2u);
  EXPECT_EQ(Status().epoch, Epoch{3});
  End();
}

TEST_F(StagedTest, AMemberThatDoesNotChangeOverInTimeGoes) {
  world_.Join({});
  for (int i = 0; i < 100 && Status().change.stage != "preparing"; ++i) RunSteps(1);
  ASSERT_EQ(Status().change.stage, "preparing");
  ASSERT_EQ(Status().change.waiting_for, std::vector<Slot>{Slot{0}});
  world_.WorkerAt(first_)->said().clear();
  for (int i = 0; i < 49; ++i) world_.Pass(100'000);
  EXPECT_TRUE(world_.dropped().empty());
  for (int i = 0; i < 2; ++i) world_.Pass(100'000);
  EXPECT_EQ(world_.dropped().size(), 1u);
  EXPECT_TRUE(world_.dropped().contains(first_));
  End();
}

TEST_F(StagedTest, NewcomersHelpIfTheMembersThatAreLeftCannotHoldTheExperts) {
  World world(ClusterOf(2));
  Hello hello = World::HelloOf("a", {});
  hello.expert_memory_bytes = 800;  // 8 of 16 pairs of 100 bytes
  const LinkId first = world.JoinAs(hello);
  hello.uuid = "b";
  hello.standby_address = "b#0";
  world.JoinAs(hello);
  world.Settle();
  ASSERT_TRUE(world.core().ready());
  world.Ask(AskOf("r", PromptOf(20), 50));
  world.Kill(first);
  EXPECT_FALSE(world.core().ready());
  const std::string why = world.core().Status(0).not_ready_because;
  EXPECT_NE(why.find("do not fit"), std::string::npos) << why;
  EXPECT_NE(why.find("8 experts have no owner"), std::string::npos) << why;
  hello.uuid = "c";
  hello.standby_address = "c#0";
  world.JoinAs(hello);
  world.Settle();
  EXPECT_TRUE(world.core().ready());
  EXPECT_EQ(world.core().Status(0).recent.back().kind, ChangeKind::kLoss);
  world.ExpectExact();
}

}  // namespace
}  // namespace conclave
