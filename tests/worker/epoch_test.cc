// Epochs: what is refused, what a broken step leaves behind (nothing), and that it can be run
// again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "model/edge/checkpoint.h"
#include "tests/support/golden.h"
#include "tests/worker/serve.h"

namespace conclave {
namespace {

class EpochTest : public testing::Test {
 protected:
  void SetUp() override {
    auto checkpoint = OpenCheckpoint(RepositoryPath("tests/data/oracles/qwen3moe_mixed_tied_60e"));
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    checkpoint_ = *std::move(checkpoint);
  }
  TestCluster Cluster(int workers) const {
    return TestCluster(checkpoint_.config, *checkpoint_.tensors, {.workers = workers});
  }
  // Two steps of two workers. In the second, everything happens: a close, an open, a decode with a
  // new block.
  static std::vector<std::vector<WorkerPart>> Steps(const TestCluster& cluster) {
    std::vector<std::vector<WorkerPart>> steps(2, cluster.EmptyParts());
    for (std::size_t w = 0; w < 2; ++w) {
      const auto id = [&](std::uint64_t n) { return SeqId{10 * w + n}; };
      const std::vector<TokenId> tokens(32, static_cast<TokenId>(3 + w));
      steps[0][w].opens = {{.seq = id(1), .prompt_tokens = 32, .tokens = tokens},
                           {.seq = id(2), .prompt_tokens = 1, .tokens = {9}}};
      steps[0][w].opens[0].sampling.logprobs = 4;
      steps[0][w].chunks = {{id(1), 0, 32, true, {BlockId{5}}}, {id(2), 0, 1, true, {BlockId{1}}}};
      steps[1][w].closes = {id(2)};
      steps[1][w].opens = {{.seq = id(3), .prompt_tokens = 2, .tokens = {7, 8}}};
      steps[1][w].opens[0].sampling.prompt_logprobs = 2;
      steps[1][w].chunks = {{id(1), 32, 1, true, {BlockId{6}}}, {id(3), 0, 2, true, {BlockId{1}}}};
    }
    return steps;
  }
  static std::vector<std::vector<SampledToken>> SampledOf(const TestCluster::Outcome& outcome) {
    std::vector<std::vector<SampledToken>> sampled;
    for (const StepResult& result : outcome.results) sampled.push_back(result.sampled);
    return sampled;
  }

  Checkpoint checkpoint_;
};

// Whichever exchange of the step fails, the same step runs again in the next epoch, to the same
// bits.
TEST_F(EpochTest, ABrokenStepRunsAgain) {
  TestCluster calm = Cluster(2);
  const auto steps = Steps(calm);
  ASSERT_TRUE(calm.Run(steps[0]).ok());
  const auto want = SampledOf(calm.Run(steps[1]));
  const int exchanges = 2 * checkpoint_.config.moe_layers;
  for (int fails = 0; fails < exchanges; ++fails) {
    SCOPED_TRACE(fails);
    TestCluster cluster = Cluster(2);
    ASSERT_TRUE(cluster.Run(steps[0]).ok());
    int left = fails;
    cluster.on_exchange = [&] {
      return left-- == 0 ? absl::UnavailableError("slot 1 is gone") : absl::OkStatus();
    };
    const StepId step = cluster.next_step();
    const TestCluster::Outcome broken = cluster.Run(steps[1]);
    ASSERT_EQ(broken.broken.size(), 2u);
    EXPECT_EQ(broken.broken[0].error, "slot 1 is gone");
    EXPECT_EQ(broken.broken[0].step, step);
    EXPECT_TRUE(broken.results.empty());
    cluster.set_next_step(step);
    cluster.Reconfigure(cluster.DefaultPlacement());
    const TestCluster::Outcome again = cluster.Run(steps[1]);
    ASSERT_TRUE(again.ok()) << again.broken[0].error;
    EXPECT_EQ(SampledOf(again), want);
  }
}

// A changed byte is found before it is used, whichever frame it is in.
TEST_F(EpochTest, DamagedFramesBreakTheStep) {
  for (int damaged = 0; damaged < 8; ++damaged) {
    SCOPED_TRACE(damaged);
    TestCluster cluster = Cluster(2);
    int left = damaged;
    cluster.on_frame = [&](Slot, Slot, std::span<std::byte> frame) {
      if (left-- == 0) frame[frame.size() / 2] ^= std::byte{0x10};
    };
    const TestCluster::Outcome broken = cluster.Run(Steps(cluster)[0]);
    ASSERT_EQ(broken.broken.size(), 1u);
    EXPECT_THAT(broken.broken[0].error, testing::HasSubstr("frame from slot"));
    // The other worker waits in an exchange that will not end; the new epoch takes it out.
    cluster.set_next_step(StepId{1});
    cluster.Reconfigure(cluster.DefaultPlacement());
    EXPECT_TRUE(cluster.Run(Steps(cluster)[0]).ok());
  }
}

// Frames of another round are refused, though everything else about them is right.
TEST_F(EpochTest, AFrameOfAnotherRoundBreaksTheStep) {
  for (const Direction direction : {Direction::kDispatch, Direction::kSendBack}) {
    TestCluster cluster(checkpoint_.config, *checkpoint_.tensors, {.workers = 2, .rounds = 3});
    cluster.on_frame = [&](Slot, Slot to, std::span<std::byte> frame) {
      auto* header = reinterpret_cast<FrameHeader*>(frame.data());
      if (to != Slot{1} || header->direction != static_cast<std::uint16_t>(direction)) return;
      if (header->round != 1) return;
      header->round = 0;
      SealFrame(frame);
    };
    const TestCluster::Outcome broken = cluster.Run(Steps(cluster)[0]);
    ASSERT_EQ(broken.broken.size(), 1u);
    EXPECT_THAT(broken.broken[0].error, testing::HasSubstr("round is 0, expected 1"));
  }
}

// A peer may send at most its own slice of a round, however much memory there is.
TEST_F(EpochTest, MoreRowsThanThePeersSliceBreakTheStep) {
  TestCluster cluster(checkpoint_.config, *checkpoint_.tensors, {.workers = 2, .rounds = 3});
  cluster.on_frame = [&](Slot, Slot to, std::span<std::byte> frame) {
    auto* header = reinterpret_cast<FrameHeader*>(frame.data());
    if (to != Slot{1} || header->direction != static_cast<std::uint16_t>(Direction::kDispatch)) {
      return;
    }
    header->rows = 12;  // of 33 in three rounds
    SealFrame(frame);
  };
  const TestCluster::Outcome broken = cluster.Run(Steps(cluster)[0]);
  ASSERT_EQ(broken.broken.size(), 1u);
  EXPECT_THAT(broken.broken[0].error, testing::HasSubstr("rows is 12, expected at most 11"));
}

TEST_F(EpochTest, PrepareStopsARunningStepAndLateExchangesAreIgnored) {
  TestCluster cluster = Cluster(2);
  const auto steps = Steps(cluster);
  cluster.Deliver(0, Told{cluster.Asks(steps[0])[0]});
  EXPECT_TRUE(cluster.core(0).busy());
  const Epoch old = cluster.epoch();
  cluster.Reconfigure(cluster.DefaultPlacement());
  EXPECT_FALSE(cluster.core(0).busy());
  EXPECT_EQ(cluster.core(0).epoch(), cluster.epoch());
  cluster.Deliver(0, ExchangeDone{old, absl::AbortedError("closed")});
  EXPECT_TRUE(cluster.TakeTold(0).empty());
  EXPECT_TRUE(cluster.Run(steps[0]).ok());
}

// A coordinator that another one has replaced goes on with numbers of its own: they count for
// nothing, however high they are.
TEST_F(EpochTest, AnEpochOfALowerTermIsRefused) {
  TestCluster cluster = Cluster(2);
  cluster.set_epoch(Epoch(2, 1));
  cluster.Reconfigure(cluster.DefaultPlacement());
  ASSERT_EQ(cluster.core(0).epoch(), Epoch(2, 2));
  cluster.Deliver(0, Told{Prepare{Epoch(1, 9), {}, cluster.DefaultPlacement()}});
  EXPECT_EQ(cluster.core(0).epoch(), Epoch(2, 2));
  cluster.Deliver(0, Told{Commit{Epoch(1, 9), StepId{1}}});
  cluster.Deliver(0, Told{Load{Epoch(1, 9), Slot{0}, cluster.DefaultPlacement()}});
  StepAsk ask = cluster.Asks(Steps(cluster)[0])[0];
  ask.epoch = Epoch(1, 9);
  cluster.Deliver(0, Told{ask});
  EXPECT_TRUE(cluster.TakeTold(0).empty());
  EXPECT_TRUE(cluster.Run(Steps(cluster)[0]).ok());
}

TEST_F(EpochTest, PlansRunAhead) {
  TestCluster cluster = Cluster(2);
  const auto steps = Steps(cluster);
  const auto first = cluster.Asks(steps[0]);
  cluster.set_next_step(StepId{2});
  const auto second = cluster.Asks(steps[1]);
  for (int i = 0; i < 2; ++i) {
    cluster.Deliver(i, Told{first[static_cast<std::size_t>(i)]});
    cluster.Deliver(i, Told{second[static_cast<std::size_t>(i)]});
  }
  const TestCluster::Outcome outcome = cluster.Pump();
  ASSERT_EQ(outcome.results.size(), 4u);
  TestCluster calm = Cluster(2);
  ASSERT_TRUE(calm.Run(steps[0]).ok());
  EXPECT_EQ(outcome.results[1].sampled, calm.Run(steps[1]).results[0].sampled);
}

TEST_F(EpochTest, BadViewsAreRefused) {
  TestCluster cluster = Cluster(2);
  const auto error_of = [&](Prepare prepare) {
    prepare.epoch = cluster.core(0).epoch().Next();
    cluster.Deliver(0, Told{prepare});
    for (const FromWorker& message : cluster.TakeTold(0)) {
      if (const auto* ready = std::get_if<Ready>(&message)) {
        return ready->ok ? std::string("fine") : ready->error;
      }
    }
    return std::string("silence");
  };
  Prepare good{.epoch = {},
               .peers = {{Slot{0}, "uuid-0", "a"}, {Slot{1}, "uuid-1", "b"}},
               .placement = cluster.DefaultPlacement()};
  EXPECT_EQ(error_of(good), "fine");
  Prepare bad = good;
  std::swap(bad.peers[0], bad.peers[1]);
  EXPECT_THAT(error_of(bad), testing::HasSubstr("out of order"));
  bad = good;
  bad.peers[0].uuid = "stranger";
  EXPECT_THAT(error_of(bad), testing::HasSubstr("uuid-0 is not among them"));
  bad = good;
  bad.peers.pop_back();
  EXPECT_THAT(error_of(bad), testing::HasSubstr("no peer"));
  bad.placement = Placement(1, 2);
  EXPECT_THAT(error_of(bad), testing::HasSubstr("the model has"));
  bad.placement = Placement(checkpoint_.config.moe_layers, checkpoint_.config.experts);
  EXPECT_THAT(error_of(bad), testing::HasSubstr("no owner"));
  EXPECT_EQ(error_of(good), "fine");
}

// Experts come and go with the placement, and only those.
TEST_F(EpochTest, ShardsHoldWhatThePlacementSays) {
  TestCluster cluster = Cluster(2);
  const ModelConfig& model = checkpoint_.config;
  const auto held = [&](int worker) {
    int count = 0;
    for (int e = 0; e < model.experts; ++e) count += cluster.shard(worker).Holds(0, e) ? 1 : 0;
    return count;
  };
  EXPECT_EQ(held(0), 30);
  EXPECT_EQ(cluster.shard(0).expert_bytes(),
            cluster.shard(0).one_expert_bytes() * 30u * static_cast<unsigned>(model.moe_layers));
  PlacementBuilder all_on_one(model.moe_layers, model.experts);
  for (int l = 0; l < model.moe_layers; ++l) {
    for (int e = 0; e < model.experts; ++e) all_on_one.AddOwner(l, e, Slot{1});
  }
  cluster.Reconfigure(all_on_one.Build());
  EXPECT_EQ(held(0), 0);
  EXPECT_EQ(held(1), 60);
}

// Blocks that another sequence filled are as good as computing them: prefix cache hits.
TEST_F(EpochTest, FilledBlocksAreUsed) {
  TestCluster cluster = Cluster(1);
  std::vector<TokenId> tokens;
  for (int t = 0; t < 70; ++t) tokens.push_back(t * 5 % 400);
  std::vector<WorkerPart> parts = cluster.EmptyParts();
  parts[0].opens = {{.seq = SeqId{1}, .prompt_tokens = 70, .tokens = tokens}};
  parts[0].opens[0].sampling.logprobs = 8;
  parts[0].chunks = {{SeqId{1}, 0, 70, true, {BlockId{4}, BlockId{2}, BlockId{9}}}};
  const auto whole = cluster.Run(parts).results[0].sampled[0];
  parts[0].closes = {SeqId{1}};
  parts[0].opens[0].seq = SeqId{2};
  parts[0].opens[0].blocks = {BlockId{4}, BlockId{2}};
  parts[0].chunks = {{SeqId{2}, 64, 6, true, {BlockId{11}}}};
  const auto hit = cluster.Run(parts).results[0].sampled[0];
  EXPECT_EQ(hit.token, whole.token);
  EXPECT_EQ(hit.logprob, whole.logprob);
}

TEST_F(EpochTest, ResultsSayWhatWasDone) {
  TestCluster cluster = Cluster(2);
  cluster.set_next_step(StepId{15});
  cluster.Reconfigure(cluster.DefaultPlacement());
  const auto steps = Steps(cluster);
  const TestCluster::Outcome first = cluster.Run(steps[0]);
  EXPECT_TRUE(first.results[0].expert_rows.empty());
  const TestCluster::Outcome second = cluster.Run(steps[1]);
  // Attention by its formula: spans of 32 rows and of 1, each from position 0, in every layer.
  const ModelConfig& model = checkpoint_.config;
  const auto layers = static_cast<std::uint64_t>(model.layers.size());
  const auto q = static_cast<std::uint64_t>(model.q_width());
  const auto kv = static_cast<std::uint64_t>(model.kv_width());
  const auto hidden = static_cast<std::uint64_t>(model.hidden);
  for (const PhaseTime& phase : first.results[0].phases) {
    if (std::string(kPhaseNames[phase.phase]) != "attend") continue;
    EXPECT_EQ(phase.ops,
              layers * (2 * 33 * (hidden * (q + 2 * kv) + q * hidden) + 4 * (528 + 1) * q));
  }
  // 2 * (33 + 3) rows went through every MoE layer, topk experts each, over both workers.
  std::uint64_t rows = 0;
  for (const StepResult& result : second.results) {
    for (const std::uint32_t count : result.expert_rows) rows += count;
    EXPECT_EQ(result.bad_router_rows, 0u);
    bool experts = false;
    for (const PhaseTime& phase : result.phases) {
      experts |= std::string(kPhaseNames[phase.phase]) == "experts" && phase.bytes > 0 &&
                 phase.ops > 0 && phase.micros > 0;
    }
    EXPECT_TRUE(experts);
  }
  EXPECT_EQ(rows, 72u * static_cast<unsigned>(model.topk * model.moe_layers));
}

// Bytes sent and received are those of the frames, on both sides, in every round.
TEST_F(EpochTest, BytesExchangedAreExact) {
  TestCluster cluster(checkpoint_.config, *checkpoint_.tensors,
                      {.workers = 2, .expert_workers = 1, .rounds = 2});
  std::vector<std::uint64_t> sent(3), received(3);
  cluster.on_frame = [&](Slot from, Slot to, std::span<std::byte> frame) {
    sent[static_cast<std::size_t>(from.value)] += frame.size();
    received[static_cast<std::size_t>(to.value)] += frame.size();
  };
  std::vector<WorkerPart> parts = cluster.EmptyParts();
  const auto home = static_cast<std::size_t>(cluster.homes()[0]);
  parts[home].opens = {{.seq = SeqId{1}, .prompt_tokens = 3, .tokens = {7, 8, 9}}};
  parts[home].chunks = {{SeqId{1}, 0, 3, true, {BlockId{1}}}};
  const TestCluster::Outcome outcome = cluster.Run(parts);
  ASSERT_EQ(outcome.results.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(outcome.results[i].bytes_sent, sent[i]);
    EXPECT_EQ(outcome.results[i].bytes_received, received[i]);
  }
  // By the layout: three rows' activations and answers, and for every frame its header and counts.
  EXPECT_NE(sent[home], received[home]);
  const TestCluster::Outcome empty = cluster.Run(cluster.EmptyParts());
  const ModelConfig& model = checkpoint_.config;
  const FrameShape shape{.row_bytes = 0, .answer_bytes = 0};
  const std::size_t of_one =
      DispatchFrameBytes(shape, 0, 0, model.experts / 3) + SendBackFrameBytes(shape, 0);
  for (const StepResult& result : empty.results) {
    EXPECT_EQ(result.bytes_sent, 2u * 2u * static_cast<unsigned>(model.moe_layers) * of_one);
    EXPECT_EQ(result.bytes_received, result.bytes_sent);
  }
}

TEST_F(EpochTest, LeavingAndGoodbye) {
  TestCluster cluster = Cluster(1);
  cluster.Deliver(0, LeaveWanted{});
  const auto told = cluster.TakeTold(0);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<LeaveAsked>(told[0]));
  WorkerOutbox outbox;
  cluster.core(0).Handle(Told{Goodbye{.reason = "drained"}}, outbox);
  ASSERT_FALSE(outbox.empty());
  const auto* exit = std::get_if<Exit>(&outbox.back());
  ASSERT_NE(exit, nullptr);
  EXPECT_FALSE(exit->failed);
  const Hello hello = cluster.core(0).SayHello("address");
  EXPECT_EQ(hello.standby_address, "address");
  EXPECT_EQ(hello.model.experts, 60);
}

}  // namespace
}  // namespace conclave
