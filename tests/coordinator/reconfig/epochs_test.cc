#include "coordinator/reconfig/prepare.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/coordinator/world.h"

namespace conclave {
namespace {

std::string StateOf(World& world, int slot) {
  for (const WorkerStatus& worker : world.core().Status(world.now()).workers) {
    if (worker.slot.value == slot) return worker.state;
  }
  return "gone";
}

// So many steps of every worker, results delivered.
void RunSteps(World& world, int steps) {
  for (int i = 0; i < steps; ++i) {
    for (const LinkId link : world.Links()) {
      FakeWorker* worker = world.WorkerAt(link);
      if (worker->HasStep()) worker->RunStep();
      world.Deliver(link);
    }
  }
}

// Time goes by as it does: no longer than a tick at once.
void Wait(World& world, Micros micros) {
  for (; micros > 100'000; micros -= 100'000) world.Pass(100'000);
  world.Pass(micros);
}

void AskSome(World& world, int count) {
  for (int i = 0; i < count; ++i) {
    world.Ask(AskOf(absl::StrCat("r", i), PromptOf(20 + 7 * i, i), 40));
  }
}

// Of the first epoch one is ready; the other, which is returned, has not said so.
LinkId JoinTwoOneOfThemMute(World& world) {
  const LinkId first = world.Join({});
  const LinkId second = world.Join({});
  world.WorkerAt(second)->said().clear();
  world.Deliver(first);
  return second;
}

TEST(Epochs, ALostWorkerCostsNoRequestAndNoToken) {
  World world(ClusterOf(3));
  const LinkId first = world.Join({});
  world.Join({});
  world.Join({});
  world.Settle();
  AskSome(world, 9);
  RunSteps(world, 10);
  world.Kill(first);
  EXPECT_FALSE(world.core().ready()) << "its experts have no owner";
  world.Settle();
  EXPECT_TRUE(world.core().ready());
  EXPECT_EQ(world.core().Status(world.now()).epoch, Epoch{2});
  world.ExpectExact();
  for (const auto& [id, client] : world.clients()) EXPECT_EQ(client.ending->end, End::kLength);
}

TEST(Epochs, SequencesOfThoseWhoStayAreNotComputedAgain) {
  World world(ClusterOf(2));
  const LinkId first = world.Join({});
  const LinkId second = world.Join({});
  world.Settle();
  AskSome(world, 6);
  RunSteps(world, 10);
  const std::size_t open = world.WorkerAt(second)->open_sequences();
  EXPECT_EQ(open, 3u);
  world.Kill(first);
  world.Settle();
  world.ExpectExact();
  // 6 asks opened on the second: its own three once, and the three that moved.
  EXPECT_EQ(world.core().Status(0).preemptions, 0u);
}

TEST(Epochs, WithNobodyLeftRequestsWaitForTheWholeClusterThenGiveUp) {
  World world(ClusterOf(2));
  const LinkId first = world.Join({});
  const LinkId second = world.Join({});
  world.Settle();
  AskSome(world, 4);
  RunSteps(world, 8);
  world.Kill(first);
  world.Kill(second);
  world.Pass(29'000'000);
  EXPECT_FALSE(world.At(RequestId{1}).ending.has_value());
  world.Join({});
  world.Settle();
  EXPECT_FALSE(world.core().ready()) << "one of two";
  const LinkId fourth = world.Join({});
  world.Settle();
  EXPECT_TRUE(world.core().ready());
  world.ExpectExact();
  for (const auto& [id, client] : world.clients()) EXPECT_EQ(client.ending->end, End::kLength);

  const RequestId late = world.Ask(AskOf("late", PromptOf(9), 5));
  for (const LinkId link : world.Links()) world.Kill(link);
  EXPECT_EQ(world.WorkerAt(fourth), nullptr);
  world.Pass(30'000'000);
  EXPECT_FALSE(world.At(late).ending.has_value());
  world.Pass(1'000'000);
  ASSERT_TRUE(world.At(late).ending.has_value());
  EXPECT_EQ(world.At(late).ending->end, End::kUnavailable);
}

TEST(Epochs, FewerThanWantedWillDoWhenNobodyComesForLong) {
  World world(ClusterOf(3));
  world.Join({});
  Wait(world, 20'000'000);
  world.Join({});
  Wait(world, 29'900'000);
  world.Settle();
  EXPECT_FALSE(world.core().ready());
  EXPECT_EQ(world.core().Status(0).not_ready_because, "2 of 3 workers are there");
  Wait(world, 200'000);
  world.Settle();
  EXPECT_TRUE(world.core().ready());
  EXPECT_EQ(world.core().Status(0).workers.size(), 2u);
}

TEST(Epochs, AfterARestartOfTheCoordinatorOneThatDoesNotComeBackIsNotWaitedForLong) {
  World world(ClusterOf(3));
  for (const char* uuid : {"one", "two"}) {
    Hello hello = World::HelloOf(uuid, {});
    hello.last_epoch = Epoch{40};
    world.JoinAs(hello);
    Wait(world, 2'900'000);
    EXPECT_FALSE(world.core().ready());
  }
  Wait(world, 200'000);
  world.Settle();
  EXPECT_TRUE(world.core().ready());
  EXPECT_EQ(world.core().Status(0).workers.size(), 2u);
}

TEST(Epochs, WithReplicasALossLeavesNoExpertWithoutOwner) {
  CoordinatorConfig config = ClusterOf(3);
  config.expert_replicas = 2;
  World world(config);
  const LinkId first = world.Join({});
  world.Join({});
  world.Join({});
  world.Settle();
  AskSome(world, 6);
  RunSteps(world, 5);
  world.Kill(first);
  EXPECT_TRUE(world.core().ready()) << "every expert has an owner";
  world.Settle();
  const ClusterStatus status = world.core().Status(world.now());
  EXPECT_EQ(status.recent.back().kind, ChangeKind::kRebalance) << "copies are made again";
  EXPECT_EQ(status.recent.back().cause, "experts are spread again after a loss");
  for (const WorkerStatus& worker : status.workers) EXPECT_EQ(worker.experts, 16);
  world.ExpectExact();
}

TEST(Epochs, ANewcomerJoinsAtAStepBoundary) {
  World world(ClusterOf(1));
  world.Join({});
  world.Settle();
  AskSome(world, 4);
  RunSteps(world, 3);
  const LinkId newcomer = world.Join({});
  EXPECT_FALSE(world.WorkerAt(newcomer)->prepare().has_value());
  EXPECT_EQ(StateOf(world, 1), "joining");
  EXPECT_EQ(world.core().Status(0).epoch, Epoch{1}) << "steps are under way";
  EXPECT_TRUE(world.core().ready());
  world.Settle();
  EXPECT_EQ(StateOf(world, 1), "active");
  const ClusterStatus status = world.core().Status(world.now());
  EXPECT_EQ(status.epoch, Epoch{2});
  EXPECT_EQ(status.last_epoch_cause, "slot 1 joins from here");
  EXPECT_EQ(status.workers[1].experts, 8);
  world.ExpectExact();
}

TEST(Epochs, ALeaverGoesWhenItsWorkHasMoved) {
  World world(ClusterOf(2));
  const LinkId first = world.Join({});
  world.Join({});
  world.Settle();
  AskSome(world, 6);
  RunSteps(world, 6);
  world.Say(first, LeaveAsked{});
  EXPECT_EQ(StateOf(world, 0), "draining");
  world.Settle();
  ASSERT_TRUE(world.WorkerAt(first)->dismissed());
  EXPECT_FALSE(world.WorkerAt(first)->goodbye()->refused);
  EXPECT_EQ(StateOf(world, 0), "gone");
  world.ExpectExact();
}

TEST(Epochs, TheLastOneLeavesWhenNothingIsLeftToDo) {
  World world(ClusterOf(1));
  const LinkId only = world.Join({});
  world.Settle();
  AskSome(world, 3);
  RunSteps(world, 2);
  world.Say(only, LeaveAsked{});
  EXPECT_FALSE(world.WorkerAt(only)->dismissed());
  world.Settle();
  EXPECT_TRUE(world.WorkerAt(only)->dismissed());
  EXPECT_FALSE(world.core().ready());
  world.ExpectExact();
}

TEST(Epochs, ABrokenStepIsRunAgain) {
  World world(ClusterOf(2));
  const LinkId first = world.Join({});
  world.Join({});
  world.Settle();
  AskSome(world, 6);
  RunSteps(world, 5);
  world.WorkerAt(first)->BreakStep();
  world.Settle();
  EXPECT_EQ(world.core().Status(0).epoch, Epoch{1}) << "the news of who is gone may be on its way";
  world.Pass(51'000);
  world.Settle();
  EXPECT_EQ(world.core().Status(0).epoch, Epoch{2});
  EXPECT_EQ(world.core().Status(0).workers.size(), 2u);
  EXPECT_EQ(world.core().Status(0).recent.back().kind, ChangeKind::kBrokenStep);
  world.ExpectExact();
}

TEST(Epochs, WhatABrokenStepWasToWriteIsNotShared) {
  World world(ClusterOf(1));
  const LinkId only = world.Join({});
  world.Settle();
  world.Ask(AskOf("r", PromptOf(100), 5));
  world.WorkerAt(only)->BreakStep();
  world.Settle();
  EXPECT_EQ(world.core().Status(0).cached_prompt_tokens, 0u);
  world.ExpectExact();
}

TEST(Epochs, WhoBreaksEveryStepGoes) {
  World world(ClusterOf(2));
  const LinkId first = world.Join({});
  world.Join({});
  world.Settle();
  AskSome(world, 2);
  for (int i = 0; i < 5; ++i) {
    ASSERT_NE(world.WorkerAt(first), nullptr);
    ASSERT_TRUE(world.WorkerAt(first)->HasStep());
    world.WorkerAt(first)->BreakStep();
    for (int k = 0; k < 3; ++k) {
      for (const LinkId link : world.Links()) world.Deliver(link);
      world.Pass(51'000);
    }
  }
  EXPECT_TRUE(world.dropped().contains(first));
  world.Settle();
  world.ExpectExact();
}

TEST(Epochs, AnOvertakenAddressIsAskedForAgain) {
  World world(ClusterOf(2));
  world.Join({});
  const LinkId second = world.Join({});
  // Both have answered epoch 1; the second could not open it.
  world.WorkerAt(second)->said().clear();
  world.Say(second,
            Ready{.epoch = Epoch{1}, .ok = false, .error = "no", .standby_address = "w2#1"});
  world.Settle();
  EXPECT_TRUE(world.core().ready());
  EXPECT_EQ(world.core().Status(0).epoch, Epoch{2});
  EXPECT_TRUE(world.dropped().empty());
  EXPECT_FALSE(world.Complained());
}

TEST(Epochs, WhoCannotLoadGoesAndTheOthersServe) {
  World world(ClusterOf(2));
  world.Join({});
  const LinkId second = world.Join({});
  world.WorkerAt(second)->said().clear();
  world.Say(second, Ready{.epoch = Epoch{1}, .ok = false, .error = "a broken file"});
  EXPECT_TRUE(world.dropped().contains(second));
  world.Join({});
  world.Settle();
  EXPECT_TRUE(world.core().ready());
  EXPECT_EQ(world.core().Status(0).workers.size(), 2u);
}

TEST(Epochs, WhoNeitherIsReadyNorLoadsGoes) {
  World world(ClusterOf(2));
  const LinkId second = JoinTwoOneOfThemMute(world);
  Wait(world, 5'000'000);
  EXPECT_TRUE(world.dropped().empty());
  world.Pass(1);
  EXPECT_TRUE(world.dropped().contains(second));
  EXPECT_EQ(world.core().Status(0).not_ready_because, "1 of 2 workers are there");
  world.Join({});
  world.Settle();
  EXPECT_TRUE(world.core().ready());
}

TEST(Epochs, LoadingMayTakeLongButMustGetOn) {
  World world(ClusterOf(2));
  const LinkId second = JoinTwoOneOfThemMute(world);
  std::uint64_t bytes = 0;
  const auto load = [&](Micros micros, std::uint64_t each) {
    for (; micros > 0; micros -= 100'000) {
      world.Pass(100'000);
      world.Say(second, LoadProgress{.expert_bytes = bytes += each});
    }
  };
  load(60'000'000, 1);
  load(29'900'000, 0);
  EXPECT_TRUE(world.dropped().empty());
  load(300'000, 0);
  ASSERT_TRUE(world.dropped().contains(second));
  EXPECT_NE(world.dropped().at(second).find("has loaded nothing"), std::string::npos);
}

TEST(Epochs, WhoHasStoppedLoadingMustBeReadySoon) {
  World world(ClusterOf(2));
  const LinkId second = JoinTwoOneOfThemMute(world);
  Wait(world, 4'000'000);
  world.Say(second, LoadProgress{.expert_bytes = 1});
  Wait(world, 5'000'000);
  EXPECT_TRUE(world.dropped().empty());
  Wait(world, 200'000);
  ASSERT_TRUE(world.dropped().contains(second));
  EXPECT_NE(world.dropped().at(second).find("does not load"), std::string::npos);
}

TEST(Epochs, SilenceIsDeath) {
  World world(ClusterOf(2));
  const LinkId first = world.Join({});
  const LinkId second = world.Join({});
  world.Settle();
  AskSome(world, 4);
  world.Pass(600'000);
  EXPECT_TRUE(world.dropped().empty());
  // Only the first one's heart beats on.
  for (int i = 0; i < 4; ++i) world.PassFor({first}, 100'000);
  EXPECT_EQ(StateOf(world, 1), "suspect");
  for (int i = 0; i < 4; ++i) world.PassFor({first}, 100'000);
  EXPECT_TRUE(world.dropped().contains(second));
  EXPECT_FALSE(world.dropped().contains(first));
  world.Settle();
  world.ExpectExact();
}

TEST(Epochs, APauseOfTheCoordinatorItselfKillsNobody) {
  World world(ClusterOf(1));
  world.Join({});
  world.Settle();
  world.Pass(100'000);
  world.PassFor({}, 5'000'000);
  EXPECT_TRUE(world.dropped().empty());
  for (int i = 0; i < 8; ++i) world.PassFor({}, 100'000);
  EXPECT_FALSE(world.dropped().empty()) << "but real silence afterwards does";
}

TEST(Epochs, TheRefusedHearWhy) {
  World world(ClusterOf(1));
  world.Join({});
  world.Settle();
  Hello hello = World::HelloOf("other", {});
  hello.numerics = 8;
  const LinkId link = world.JoinAs(hello);
  ASSERT_TRUE(world.dropped().contains(link));
  EXPECT_NE(world.dropped().at(link).find("numerics"), std::string::npos);
  EXPECT_TRUE(world.core().ready());
}

TEST(Epochs, WhatDoesNotFitTheWorkersThatCameEnds) {
  World world(ClusterOf(1));
  const RequestId large = world.Ask(AskOf("large", PromptOf(200), 5));
  const RequestId small = world.Ask(AskOf("small", PromptOf(20), 5));
  world.Join({.kv_blocks = 4});
  world.Settle();
  EXPECT_EQ(world.At(large).ending->end, End::kRefused);
  EXPECT_EQ(world.At(large).ending->field, "prompt.token_ids");
  EXPECT_EQ(world.At(small).ending->end, End::kLength);
  world.ExpectExact();
}

TEST(Epochs, ExpertsThatDoNotFitKeepTheClusterFromServing) {
  World world(ClusterOf(1));
  Hello hello = World::HelloOf("small", {});
  hello.expert_memory_bytes = 1500;  // 16 pairs of 100 bytes
  world.JoinAs(hello);
  world.Settle();
  EXPECT_FALSE(world.core().ready());
  EXPECT_NE(world.core().Status(0).not_ready_because.find("do not fit"), std::string::npos);
  hello.uuid = "second";
  hello.standby_address = "second#0";
  world.JoinAs(hello);
  world.Settle();
  EXPECT_TRUE(world.core().ready());
}

}  // namespace
}  // namespace conclave
