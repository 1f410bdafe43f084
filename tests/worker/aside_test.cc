// The next epoch, made ready beside the running one: steps go on, and nothing of it is taken for
// what it is not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/edge/checkpoint.h"
#include "tests/support/golden.h"
#include "tests/worker/test_worker.h"

namespace conclave {
namespace {

using testing::HasSubstr;

class AsideTest : public testing::Test {
 protected:
  AsideTest()
      : checkpoint_(*OpenCheckpoint(RepositoryPath("tests/data/oracles/qwen3moe_mixed_tied_60e"))) {
  }
  static constexpr Epoch kNext{1, 7};

  TestCluster Cluster() {
    return TestCluster(checkpoint_.config, *checkpoint_.tensors, {.workers = 2});
  }
  // Everything on slot 1.
  Placement AllOnOne() const {
    const ModelConfig& model = checkpoint_.config;
    PlacementBuilder placement(model.moe_layers, model.experts);
    for (int l = 0; l < model.moe_layers; ++l) {
      for (int e = 0; e < model.experts; ++e) placement.AddOwner(l, e, Slot{1});
    }
    return placement.Build();
  }
  static std::vector<ViewPeer> Peers() {
    return {{Slot{0}, "uuid-0", "a"}, {Slot{1}, "uuid-1", "b"}};
  }
  template <class Message>
  static Message Only(TestCluster& cluster, int worker) {
    const std::vector<FromWorker> told = cluster.TakeTold(worker);
    EXPECT_EQ(told.size(), 1u);
    if (told.size() != 1 || !std::holds_alternative<Message>(told[0])) {
      ADD_FAILURE() << "another message";
      return {};
    }
    return std::get<Message>(told[0]);
  }
  Loaded LoadOn(TestCluster& cluster, int worker, Epoch epoch = kNext) {
    cluster.Deliver(worker, Told{Load{epoch, Slot{worker}, AllOnOne()}});
    return Only<Loaded>(cluster, worker);
  }
  Connected ConnectOn(TestCluster& cluster, int worker, Epoch epoch = kNext) {
    cluster.Deliver(worker, Told{Connect{epoch, Peers()}});
    return Only<Connected>(cluster, worker);
  }
  Ready PrepareOn(TestCluster& cluster, int worker, Epoch epoch = kNext) {
    cluster.Deliver(worker, Told{Prepare{epoch, Peers(), AllOnOne()}});
    return Only<Ready>(cluster, worker);
  }
  static std::vector<WorkerPart> AStep(const TestCluster& cluster, std::uint64_t seq) {
    std::vector<WorkerPart> parts = cluster.EmptyParts();
    for (std::size_t w = 0; w < parts.size(); ++w) {
      const SeqId id{10 * w + seq};
      parts[w].opens = {{.seq = id, .prompt_tokens = 3, .tokens = {5, 6, 7}}};
      parts[w].opens[0].sampling.logprobs = 4;
      parts[w].chunks = {{id, 0, 3, true, {BlockId{static_cast<std::int32_t>(seq)}}}};
    }
    return parts;
  }
  static std::vector<SampledToken> Sampled(const TestCluster::Outcome& outcome) {
    std::vector<SampledToken> all;
    for (const StepResult& result : outcome.results) {
      all.insert(all.end(), result.sampled.begin(), result.sampled.end());
    }
    return all;
  }

  Checkpoint checkpoint_;
};

TEST_F(AsideTest, StepsGoOnUntilTheChangeOverAndHaveTheSameBitsAfterIt) {
  TestCluster cluster = Cluster();
  const auto before = Sampled(cluster.Run(AStep(cluster, 1)));
  for (int i = 0; i < 2; ++i) {
    const Loaded loaded = LoadOn(cluster, i);
    EXPECT_TRUE(loaded.ok) << loaded.error;
    EXPECT_EQ(loaded.epoch, kNext);
    EXPECT_EQ(loaded.address, "aside");
  }
  EXPECT_TRUE(cluster.shard(0).Holds(0, 0)) << "nothing is dropped beside the running epoch";
  EXPECT_EQ(Sampled(cluster.Run(AStep(cluster, 2))).size(), before.size());
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(ConnectOn(cluster, i).ok);
  const TestCluster::Outcome third = cluster.Run(AStep(cluster, 3));
  ASSERT_TRUE(third.ok());
  for (int i = 0; i < 2; ++i) {
    const Ready ready = PrepareOn(cluster, i);
    EXPECT_TRUE(ready.ok) << ready.error;
    EXPECT_EQ(ready.last_step_done, third.results[0].step);
    EXPECT_EQ(cluster.change_overs(i), 1);
    cluster.Deliver(i, Told{Commit{kNext, cluster.next_step()}});
  }
  cluster.set_epoch(kNext);
  EXPECT_FALSE(cluster.shard(0).Holds(0, 0)) << "after Commit it is trimmed";
  const TestCluster::Outcome after = cluster.Run(AStep(cluster, 4));
  ASSERT_TRUE(after.ok()) << after.broken[0].error;
  const auto sampled = Sampled(after);
  ASSERT_EQ(sampled.size(), before.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(sampled[i].token, before[i].token);
    EXPECT_EQ(sampled[i].logprob, before[i].logprob);
  }
}

TEST_F(AsideTest, WhoCannotBeHeardIsToldAndTheRunningEpochGoesOn) {
  TestCluster cluster = Cluster();
  ASSERT_TRUE(LoadOn(cluster, 0).ok);
  cluster.on_connect = [] { return absl::DeadlineExceededError("no frame from slots 1"); };
  const Connected connected = ConnectOn(cluster, 0);
  EXPECT_FALSE(connected.ok);
  EXPECT_EQ(connected.error, "no frame from slots 1");
  EXPECT_EQ(cluster.asides_dropped(0), 1);
  EXPECT_TRUE(cluster.Run(AStep(cluster, 1)).ok());
  // A Prepare of that number all the same: the old way, and never the backend that failed.
  EXPECT_TRUE(PrepareOn(cluster, 0).ok);
  EXPECT_EQ(cluster.change_overs(0), 0);
}

TEST_F(AsideTest, APrepareOfAnotherEpochDropsIt) {
  for (const Epoch other : {Epoch(1, 6), Epoch(1, 8), Epoch(2, 1)}) {
    TestCluster cluster = Cluster();
    ASSERT_TRUE(LoadOn(cluster, 0).ok);
    ASSERT_TRUE(ConnectOn(cluster, 0).ok);
    EXPECT_TRUE(PrepareOn(cluster, 0, other).ok);
    EXPECT_EQ(cluster.change_overs(0), 0);
    EXPECT_EQ(cluster.asides_dropped(0), 1);
    EXPECT_THAT(ConnectOn(cluster, 0, other.Next()).error, HasSubstr("nothing was"));
  }
}

TEST_F(AsideTest, APrepareWithOtherPeersIsNotTheOneThatWasMadeReady) {
  TestCluster cluster = Cluster();
  ASSERT_TRUE(LoadOn(cluster, 0).ok);
  ASSERT_TRUE(ConnectOn(cluster, 0).ok);
  std::vector<ViewPeer> peers = Peers();
  peers[1].address = "c";
  cluster.Deliver(0, Told{Prepare{kNext, peers, AllOnOne()}});
  EXPECT_EQ(cluster.change_overs(0), 0);
  EXPECT_EQ(cluster.asides_dropped(0), 1);
}

TEST_F(AsideTest, ANewerLoadReplacesAnOlderAndNotTheOtherWayRound) {
  TestCluster cluster = Cluster();
  ASSERT_TRUE(LoadOn(cluster, 0).ok);
  ASSERT_TRUE(LoadOn(cluster, 0, Epoch(1, 9)).ok);
  EXPECT_EQ(cluster.asides_dropped(0), 1);
  cluster.Deliver(0, Told{Load{Epoch(1, 8), Slot{0}, AllOnOne()}});
  cluster.Deliver(0, Told{Connect{kNext, Peers()}});
  EXPECT_TRUE(cluster.TakeTold(0).empty()) << "of the past";
  EXPECT_TRUE(ConnectOn(cluster, 0, Epoch(1, 9)).ok);
}

TEST_F(AsideTest, AnEpochThatWasPreparedAndGivenUpIsFollowedByTheNextLoad) {
  TestCluster cluster = Cluster();
  ASSERT_TRUE(LoadOn(cluster, 0).ok);
  ASSERT_TRUE(ConnectOn(cluster, 0).ok);
  ASSERT_TRUE(PrepareOn(cluster, 0).ok);
  EXPECT_TRUE(LoadOn(cluster, 0, Epoch(1, 8)).ok) << "the Commit never came";
  EXPECT_TRUE(ConnectOn(cluster, 0, Epoch(1, 8)).ok);
  EXPECT_TRUE(PrepareOn(cluster, 0, Epoch(1, 8)).ok);
  EXPECT_EQ(cluster.change_overs(0), 2);
}

// Should an epoch be committed after that all the same, what the next one has loaded stays.
TEST_F(AsideTest, CommitTrimsNothingOfTheNextEpoch) {
  TestCluster cluster = Cluster();
  cluster.Deliver(1, Told{Prepare{Epoch(1, 3), Peers(), cluster.DefaultPlacement()}});
  ASSERT_TRUE(Only<Ready>(cluster, 1).ok);
  ASSERT_TRUE(LoadOn(cluster, 1).ok);  // everything
  cluster.Deliver(1, Told{Commit{Epoch(1, 3), StepId{1}}});
  EXPECT_TRUE(cluster.shard(1).Holds(0, 0));
  EXPECT_TRUE(ConnectOn(cluster, 1).ok);
}

TEST_F(AsideTest, NotWhileExpertsOfAnotherEpochAreLoaded) {
  TestCluster cluster = Cluster();
  WorkerOutbox outbox;
  cluster.core(0).Handle(Told{Prepare{Epoch(1, 3), Peers(), AllOnOne()}}, outbox);
  outbox.clear();
  cluster.core(0).Handle(Told{Load{kNext, Slot{0}, AllOnOne()}}, outbox);
  ASSERT_EQ(outbox.size(), 1u);
  const auto* tell = std::get_if<Tell>(&outbox[0]);
  ASSERT_NE(tell, nullptr);
  EXPECT_FALSE(std::get<Loaded>(tell->message).ok);
  EXPECT_THAT(std::get<Loaded>(tell->message).error, HasSubstr("experts of epoch 3"));
}

TEST_F(AsideTest, WhatCannotBeLoadedOrDoesNotFitIsSaid) {
  TestCluster cluster = Cluster();
  cluster.Deliver(0, Told{Load{kNext, Slot{0}, Placement(1, 2)}});
  const Loaded no = Only<Loaded>(cluster, 0);
  EXPECT_FALSE(no.ok);
  EXPECT_THAT(no.error, HasSubstr("the model has"));
  ASSERT_TRUE(LoadOn(cluster, 0, Epoch(1, 8)).ok);
  std::vector<ViewPeer> peers = Peers();
  std::swap(peers[0].uuid, peers[1].uuid);
  cluster.Deliver(0, Told{Connect{Epoch(1, 8), peers}});
  const Connected elsewhere = Only<Connected>(cluster, 0);
  EXPECT_FALSE(elsewhere.ok);
  EXPECT_THAT(elsewhere.error, HasSubstr("loaded for slot 0"));
}

TEST_F(AsideTest, GoodbyeEndsIt) {
  TestCluster cluster = Cluster();
  ASSERT_TRUE(LoadOn(cluster, 0).ok);
  cluster.Deliver(0, Told{Goodbye{.reason = "drained", .refused = false}});
  EXPECT_EQ(cluster.asides_dropped(0), 1);
}

}  // namespace
}  // namespace conclave
