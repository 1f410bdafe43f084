// The coordinator's term: what keeps two coordinators' epochs apart.
#include <gtest/gtest.h>

#include <string>

#include "coordinator/reconfig/join.h"
#include "coordinator/reconfig/reconfig.h"
#include "tests/coordinator/world.h"

namespace conclave {
namespace {

Epoch EpochOf(World& world) { return world.core().Status(world.now()).epoch; }

LinkId JoinFrom(World& world, const std::string& uuid, Epoch last_epoch) {
  Hello hello = World::HelloOf(uuid, {});
  hello.last_epoch = last_epoch;
  return world.JoinAs(hello);
}

TEST(Term, TheFirstCoordinatorsIsOne) {
  World world(ClusterOf(1));
  world.Join({});
  world.Settle();
  EXPECT_EQ(EpochOf(world), Epoch(1, 1));
}

TEST(Term, ANewCoordinatorsIsAboveEveryOneThatItHearsOf) {
  World world(ClusterOf(3));
  JoinFrom(world, "a", Epoch(3, 40));
  JoinFrom(world, "b", Epoch(2, 50));
  JoinFrom(world, "c", {});
  world.Settle();
  EXPECT_EQ(EpochOf(world), Epoch(4, 51)) << "numbers rise, too";
}

// A second coordinator is alive and has committed epochs of its own.
TEST(Term, IsRaisedAgainWhenAnotherCoordinatorHasOvertaken) {
  World world(ClusterOf(1));
  world.Join({});
  world.Settle();
  ASSERT_EQ(EpochOf(world), Epoch(1, 1));
  JoinFrom(world, "b", Epoch(2, 1));
  world.Settle();
  EXPECT_EQ(EpochOf(world), Epoch(3, 2));
}

TEST(Term, AWorkerThatComesBackFromThisCoordinatorsEpochChangesNothing) {
  World world(ClusterOf(2));
  const LinkId first = world.Join({});
  world.Join({});
  world.Settle();
  world.Kill(first);
  world.Settle();
  ASSERT_EQ(EpochOf(world), Epoch(1, 2));
  JoinFrom(world, "again", Epoch(1, 2));
  world.Settle();
  EXPECT_EQ(EpochOf(world), Epoch(1, 3));
}

TEST(Term, AnEpochOfTheSameTermAboveAllProposedHereIsAnotherCoordinators) {
  Reconfig reconfig;
  EXPECT_EQ(reconfig.NextEpoch(), Epoch(1, 1));
  EXPECT_FALSE(reconfig.TakeTermAbove(Epoch(1, 1)));
  EXPECT_TRUE(reconfig.TakeTermAbove(Epoch(1, 9)));
  EXPECT_EQ(reconfig.NextEpoch(), Epoch(2, 10));
  EXPECT_FALSE(reconfig.TakeTermAbove(Epoch(1, 70))) << "lower already, whatever its number";
  EXPECT_EQ(reconfig.NextEpoch(), Epoch(2, 71));
}

}  // namespace
}  // namespace conclave
