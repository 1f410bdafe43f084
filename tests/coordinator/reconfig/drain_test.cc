#include "coordinator/reconfig/drain.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/coordinator/world.h"

namespace conclave {
namespace {

WorkerStatus At(World& world, int slot) {
  for (const WorkerStatus& worker : world.core().Status(world.now()).workers) {
    if (worker.slot.value == slot) return worker;
  }
  return {};
}

void AskSome(World& world, int count) {
  for (int i = 0; i < count; ++i) {
    world.Ask(AskOf(absl::StrCat("r", i), PromptOf(20 + 7 * i, i), 200));
  }
}

TEST(Drain, AnOperatorSendsAWorkerAway) {
  World world(ClusterOf(3));
  for (int i = 0; i < 3; ++i) world.Join({});
  world.Settle();
  AskSome(world, 9);
  EXPECT_TRUE(world.Drain("1").ok());
  EXPECT_EQ(At(world, 1).state, "draining");
  EXPECT_TRUE(world.Drain("w2").ok()) << "its uuid; it drains already";
  world.Settle();
  ASSERT_TRUE(world.WorkerAt(LinkId{2})->dismissed());
  EXPECT_EQ(At(world, 1).uuid, "");
  const ClusterStatus status = world.core().Status(world.now());
  EXPECT_EQ(status.recent.back().kind, ChangeKind::kLeave);
  EXPECT_EQ(status.recent.back().cause, "slot 1 leaves");
  EXPECT_EQ(status.epoch, Epoch{2});
  world.ExpectExact();
}

TEST(Drain, WhoeverIsNeededStays) {
  World world(ClusterOf(2));
  world.Join({});
  world.Join({.role = Role::kExpert});
  world.Settle();
  const absl::Status last = world.Drain("0");
  EXPECT_EQ(last.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(std::string(last.message()).find("last worker that takes sequences"),
            std::string::npos);
  EXPECT_EQ(At(world, 0).state, "active");
  EXPECT_EQ(world.Drain("7").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(world.Drain("nobody").code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(world.Drain("1").ok());
  world.Settle();
  EXPECT_EQ(At(world, 0).experts, 16);
  EXPECT_EQ(world.core().Status(0).workers.size(), 1u);
}

TEST(Drain, NobodyLeavesExpertsThatFitNowhereElse) {
  World world(ClusterOf(2));
  for (const char* uuid : {"a", "b"}) {
    Hello hello = World::HelloOf(uuid, {});
    hello.expert_memory_bytes = 1000;
    world.JoinAs(hello);
  }
  world.Settle();
  const absl::Status refused = world.Drain("a");
  EXPECT_NE(std::string(refused.message()).find("do not fit"), std::string::npos) << refused;
  // One that is told to end has to wait for someone, and says so.
  AskSome(world, 3);
  world.Say(LinkId{1}, LeaveAsked{});
  EXPECT_EQ(At(world, 0).state, "active");
  EXPECT_NE(At(world, 0).why.find("do not fit"), std::string::npos);
  Hello hello = World::HelloOf("c", {});
  hello.expert_memory_bytes = 1000;
  world.JoinAs(hello);
  world.Settle();
  EXPECT_TRUE(world.WorkerAt(LinkId{1})->dismissed());
  EXPECT_TRUE(world.core().ready());
  world.ExpectExact();
}

// Its request needs more KV memory than the other worker has: it would end there, or be refused.
TEST(Drain, NobodyLeavesARequestThatFitsNowhereElse) {
  World world(ClusterOf(2));
  world.Join({.kv_blocks = 64});
  world.Join({.kv_blocks = 4});
  world.Settle();
  const RequestId large = world.Ask(AskOf("large", PromptOf(100), 100));
  const absl::Status refused = world.Drain("0");
  EXPECT_NE(std::string(refused.message()).find("7 KV blocks fits nowhere else"),
            std::string::npos)
      << refused;
  EXPECT_TRUE(world.Drain("1").ok()) << "the other may go";
  world.Settle();
  EXPECT_EQ(world.At(large).ids.size(), 100u);
  world.ExpectExact();
}

TEST(Drain, WhoIsToldToEndWaitsForTheLongRequestAndTakesNoMoreOfThem) {
  World world(ClusterOf(2));
  const LinkId roomy = world.Join({.kv_blocks = 64});
  world.Join({.kv_blocks = 4});
  world.Settle();
  const RequestId large = world.Ask(AskOf("large", PromptOf(100), 100));
  world.Say(roomy, LeaveAsked{});
  EXPECT_EQ(At(world, 0).state, "active");
  EXPECT_NE(At(world, 0).why.find("fits nowhere else"), std::string::npos) << At(world, 0).why;
  const RequestId next = world.Ask(AskOf("next", PromptOf(100), 100));
  ASSERT_TRUE(world.At(next).ending.has_value());
  EXPECT_EQ(world.At(next).ending->field, "stop.max_tokens");
  const RequestId small = world.Ask(AskOf("small", PromptOf(20), 60));
  world.Settle();
  world.Pass(10'000);
  world.Settle();
  EXPECT_EQ(world.At(large).ids.size(), 100u);
  EXPECT_EQ(world.At(small).ids.size(), 60u);
  EXPECT_TRUE(world.WorkerAt(roomy)->dismissed());
  EXPECT_TRUE(world.core().ready());
}

TEST(Drain, SeveralLeaveAtOnceAndANewcomerComesWithIt) {
  World world(ClusterOf(4));
  for (int i = 0; i < 4; ++i) world.Join({});
  world.Settle();
  AskSome(world, 12);
  world.Say(LinkId{1}, LeaveAsked{});
  world.Say(LinkId{2}, LeaveAsked{});
  EXPECT_TRUE(world.Drain("2").ok());
  world.Join({});
  world.Settle();
  EXPECT_EQ(world.core().Status(0).workers.size(), 2u);
  EXPECT_LE(world.core().Status(0).epoch, Epoch{3}) << "the first leaves, then all the others";
  world.ExpectExact();
}

TEST(Drain, ANewcomerNeedsNoChangeToLeave) {
  World world(ClusterOf(1));
  world.Join({});
  world.Settle();
  const LinkId second = world.Join({});
  world.WorkerAt(second)->said().clear();
  EXPECT_TRUE(world.Drain("1").ok());
  EXPECT_TRUE(world.WorkerAt(second)->dismissed());
  world.Settle();
  EXPECT_EQ(world.core().Status(0).epoch, Epoch{1});
  EXPECT_EQ(world.core().Status(0).change.stage, "");
}

TEST(Drain, ALostWorkerKeepsTheOneThatWouldLeave) {
  World world(ClusterOf(2));
  const LinkId first = world.Join({});
  const LinkId second = world.Join({});
  world.Settle();
  AskSome(world, 6);
  EXPECT_TRUE(world.Drain("0").ok());
  world.Kill(second);
  for (int i = 0; i < 3; ++i) world.Deliver(first);
  EXPECT_EQ(At(world, 0).state, "active");
  EXPECT_NE(At(world, 0).why.find("last worker"), std::string::npos);
  world.Settle();
  EXPECT_FALSE(world.WorkerAt(first)->dismissed()) << "an operator's wish is no reason to fail";
  EXPECT_TRUE(world.core().ready());
  world.Join({});
  world.Settle();
  EXPECT_TRUE(world.WorkerAt(first)->dismissed());
  world.ExpectExact();
}

TEST(Drain, AllEndTogetherWhenNothingIsLeftToDo) {
  World world(ClusterOf(3));
  for (int i = 0; i < 3; ++i) world.Join({});
  world.Settle();
  for (const LinkId link : world.Links()) world.Say(link, LeaveAsked{});
  world.Settle();
  for (const LinkId link : world.Links()) EXPECT_TRUE(world.WorkerAt(link)->dismissed());
  EXPECT_FALSE(world.core().ready());
}

// Whoever is to take over has nothing yet: ready is said when it has.
TEST(Drain, WhenAllHaveLeftNobodyIsReadyBeforeTheNextEpoch) {
  World world(ClusterOf(1));
  const LinkId first = world.Join({});
  world.Settle();
  const LinkId second = world.Join({});
  world.WorkerAt(second)->said().clear();  // it loads
  world.Say(first, LeaveAsked{});
  ASSERT_TRUE(world.WorkerAt(first)->dismissed());
  ASSERT_EQ(world.core().Status(world.now()).change.stage, "preparing");
  EXPECT_FALSE(world.core().ready());
  world.Settle();
  EXPECT_TRUE(world.core().ready());
}

}  // namespace
}  // namespace conclave
