// Bad plans: refused with a message that names what is wrong, and nothing has changed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

#include "base/limits.h"
#include "model/memory_tensors.h"
#include "tests/worker/test_worker.h"

namespace conclave {
namespace {

ModelConfig TinyModel() {
  ModelConfig model{.name = "tiny",
                    .hidden = 32,
                    .heads = 2,
                    .kv_heads = 1,
                    .head_dim = 16,
                    .expert_width = 16,
                    .experts = 4,
                    .topk = 2,
                    .norm_topk = true,
                    .vocab = 50,
                    .context = 256};
  model.layers = {{FfnKind::kMoe, 0}};
  model.moe_layers = 1;
  return model;
}

class RefuseTest : public testing::Test {
 protected:
  RefuseTest() : model_(TinyModel()), tensors_(RandomTensors(model_, 1, DType::kF32)) {
    cluster_ = std::make_unique<TestCluster>(
        model_, *tensors_, TestClusterOptions{.rows_max = 40, .kv_blocks = 8, .sequences_max = 2});
  }

  // A good plan: sequence 1 is there since the step before and decodes, sequence 2 opens.
  void SetUp() override {
    WorkerPart part{.slot = Slot{0}};
    part.opens.push_back({.seq = SeqId{1}, .prompt_tokens = 3, .tokens = {4, 5, 6}});
    part.chunks.push_back({SeqId{1}, 0, 3, true, {BlockId{0}}});
    ASSERT_TRUE(cluster_->Run({part}).ok());
  }
  static WorkerPart Good() {
    WorkerPart part{.slot = Slot{0}};
    part.opens.push_back({.seq = SeqId{2}, .prompt_tokens = 2, .tokens = {7, 8, 9}});
    part.chunks.push_back({SeqId{1}, 3, 1, true, {}});
    part.chunks.push_back({SeqId{2}, 0, 3, true, {BlockId{7}}});
    return part;
  }

  // The ask is refused; afterwards, in a new epoch, the good plan runs.
  void ExpectRefused(const StepAsk& ask, const std::string& message) {
    cluster_->Deliver(0, Told{ask});
    TestCluster::Outcome outcome = cluster_->Pump();
    ASSERT_EQ(outcome.broken.size(), 1u) << "expected: " << message;
    EXPECT_THAT(outcome.broken[0].error, testing::HasSubstr(message));
    EXPECT_EQ(outcome.broken[0].step, ask.step);
    EXPECT_EQ(outcome.broken[0].epoch, ask.epoch);
    EXPECT_TRUE(outcome.results.empty());
    EXPECT_FALSE(cluster_->core(0).busy());
    cluster_->Reconfigure(cluster_->DefaultPlacement());
  }
  void ExpectPartRefused(const std::function<void(WorkerPart&)>& spoil,
                         const std::string& message) {
    WorkerPart part = Good();
    spoil(part);
    ExpectRefused(cluster_->Asks({part})[0], message);
  }
  void ExpectAskRefused(const std::function<void(StepAsk&)>& spoil, const std::string& message) {
    StepAsk ask = cluster_->Asks({Good()})[0];
    spoil(ask);
    ExpectRefused(ask, message);
  }
  void TearDown() override {
    const TestCluster::Outcome outcome = cluster_->Run({Good()});
    ASSERT_TRUE(outcome.ok()) << outcome.broken[0].error;
    EXPECT_EQ(outcome.results[0].sampled.size(), 2u);
  }

  ModelConfig model_;
  std::unique_ptr<MemoryTensors> tensors_;
  std::unique_ptr<TestCluster> cluster_;
};

TEST_F(RefuseTest, WhatThePlanSaysOfItself) {
  ExpectAskRefused([](StepAsk& a) { a.digest ^= 1; }, "plan's digest");
  ExpectAskRefused([](StepAsk& a) { a.part_digests[0] ^= 1; }, "part's digest");
  ExpectAskRefused([](StepAsk& a) { a.part.chunks[0].begin = 1; }, "part's digest");
  ExpectAskRefused([](StepAsk& a) { a.epoch.number += 1; }, "plan of epoch");
  ExpectAskRefused([](StepAsk& a) { a.step.value += 1; }, "is next");
  ExpectAskRefused([](StepAsk& a) { a.part_index = 1; }, "this is peer 0 of 1");
  ExpectAskRefused([](StepAsk& a) { a.part_index = -1; }, "this is peer 0 of 1");
  ExpectAskRefused([](StepAsk& a) { a.part_digests.push_back(3); }, "part 0 of 2");
  ExpectAskRefused([](StepAsk& a) { ++a.part_rows[0]; }, "digest is not that of its parts");
  ExpectPartRefused([](WorkerPart& p) { p.slot = Slot{3}; }, "part of slot 3");
}

TEST_F(RefuseTest, LowerEpochsAreIgnored) {
  StepAsk ask = cluster_->Asks({Good()})[0];
  cluster_->Reconfigure(cluster_->DefaultPlacement());
  cluster_->Deliver(0, Told{ask});
  const TestCluster::Outcome outcome = cluster_->Pump();
  EXPECT_TRUE(outcome.broken.empty());
  EXPECT_TRUE(outcome.results.empty());
}

TEST_F(RefuseTest, Chunks) {
  const auto refused = [&](Chunk chunk, const std::string& message) {
    ExpectPartRefused([&](WorkerPart& p) { p.chunks[0] = std::move(chunk); }, message);
  };
  refused({SeqId{9}, 0, 1, false, {}}, "unknown sequence 9");
  refused({SeqId{1}, 4, 1, true, {}}, "only 3 are computed");
  refused({SeqId{1}, 3, 2, true, {}}, "ends at position 5 of 4");
  refused({SeqId{1}, 2, 1, true, {}}, "would sample position 3");
  refused({SeqId{1}, 3, 0, true, {}}, "0 positions");
  refused({SeqId{1}, 3, -7, true, {}}, "-7 positions");
  refused({SeqId{1}, 3, INT32_MAX, true, {}}, "2147483647 positions");
  refused({SeqId{1}, INT32_MAX, 3, true, {}}, "begins at position 2147483647");
  refused({SeqId{1}, -1, 1, false, {}}, "from -1");
  refused({SeqId{1}, 3, 1, true, {BlockId{8}}}, "block 8 is not one of 8");
  refused({SeqId{1}, 3, 1, true, {BlockId{-1}}}, "block -1");
  refused({SeqId{1}, 3, 1, true, std::vector<BlockId>(20)}, "more than a context");
  ExpectPartRefused([](WorkerPart& p) { p.chunks[1].new_blocks.clear(); }, "do not reach");
  ExpectPartRefused([](WorkerPart& p) { p.chunks.push_back(p.chunks[0]); }, "two chunks");
  ExpectPartRefused([](WorkerPart& p) { p.closes.push_back(SeqId{1}); }, "unknown sequence 1");
  ExpectPartRefused([](WorkerPart& p) { p.closes.push_back(SeqId{5}); }, "close of unknown");
}

TEST_F(RefuseTest, TooManyRows) {
  ExpectPartRefused(
      [](WorkerPart& p) {
        p.opens[0].tokens.assign(41, 1);
        p.chunks[1].count = 41;
        p.chunks[1].new_blocks = {BlockId{7}, BlockId{6}};
      },
      "42 rows; this worker takes 40");
}

// The plan agrees with itself, but what it says of rounds is not what this worker can run.
TEST_F(RefuseTest, Rounds) {
  const auto refused = [&](const std::function<void(StepAsk&)>& spoil, const std::string& message) {
    ExpectAskRefused(
        [&](StepAsk& ask) {
          spoil(ask);
          ask.digest = PlanDigest(ask);
        },
        message);
  };
  refused([](StepAsk& a) { a.rounds = 0; }, "a plan of 0 rounds");
  refused([](StepAsk& a) { a.rounds = kRoundsMax + 1; }, "a plan of 8193 rounds");
  refused([](StepAsk& a) { a.part_rows[0] = -1; }, "a part of -1 rows");
  refused([](StepAsk& a) { a.part_rows[0] = kWorkerRowsMax + 1; }, "a part of 8193 rows");
  refused([](StepAsk& a) { a.part_rows[0] = 5; }, "the plan says 5 rows; the part has 4");
}

TEST_F(RefuseTest, MoreRowsInARoundThanThereIsMemoryFor) {
  TestCluster three(model_, *tensors_, {.workers = 3, .arrivals_max = 10, .rounds = 2});
  std::vector<StepAsk> asks = three.Asks(three.EmptyParts());
  for (StepAsk& ask : asks) {
    ask.part_rows = {0, 9, 12};  // slices of at most 5 and 6
    ask.digest = PlanDigest(ask);
  }
  three.Deliver(0, Told{asks[0]});
  const TestCluster::Outcome outcome = three.Pump();
  ASSERT_EQ(outcome.broken.size(), 1u);
  EXPECT_THAT(outcome.broken[0].error,
              testing::HasSubstr("in 2 rounds: 0 rows of its own and 11 of others in one; this "
                                 "worker takes 10 of each"));
}

// Blocks that a refused plan brought are gone again: eleven would be more than the context takes.
TEST_F(RefuseTest, RefusedBlocksAreForgotten) {
  for (int i = 0; i < 10; ++i) {
    ExpectPartRefused(
        [](WorkerPart& p) {
          p.chunks[0].new_blocks = {BlockId{1}};
          p.chunks[1].seq = SeqId{77};
        },
        "unknown sequence 77");
  }
}

TEST_F(RefuseTest, Opens) {
  const auto refused = [&](const std::function<void(SequenceOpen&)>& spoil, const std::string& m) {
    ExpectPartRefused([&](WorkerPart& p) { spoil(p.opens[0]); }, m);
  };
  refused([](SequenceOpen& o) { o.seq = SeqId{1}; }, "open already");
  refused([](SequenceOpen& o) { o.tokens[1] = 50; }, "token 50");
  refused([](SequenceOpen& o) { o.tokens[1] = -1; }, "token -1");
  refused([](SequenceOpen& o) { o.tokens.clear(); }, "0 tokens");
  refused([](SequenceOpen& o) { o.tokens.resize(300); }, "context is 256");
  refused([](SequenceOpen& o) { o.prompt_tokens = 0; }, "prompt of 0");
  refused([](SequenceOpen& o) { o.prompt_tokens = 4; }, "prompt of 4");
  refused([](SequenceOpen& o) { o.blocks = {BlockId{3}}; }, "1 full blocks of 3 tokens");
  refused([](SequenceOpen& o) { o.sampling.temperature = NAN; }, "temperature");
  refused([](SequenceOpen& o) { o.sampling.top_p = 0; }, "top_p");
  refused([](SequenceOpen& o) { o.sampling.top_p = NAN; }, "top_p");
  refused([](SequenceOpen& o) { o.sampling.min_p = 2; }, "min_p");
  refused([](SequenceOpen& o) { o.sampling.top_k = -2; }, "top_k");
  refused([](SequenceOpen& o) { o.sampling.repetition_penalty = 0; }, "repetition_penalty");
  refused([](SequenceOpen& o) { o.sampling.logit_bias = {{50, 1.0f}}; }, "logit_bias of token 50");
  refused([](SequenceOpen& o) { o.sampling.logprobs = 1000; }, "logprobs 1000");
  refused([](SequenceOpen& o) { o.sampling.prompt_logprobs = -1; }, "prompt_logprobs -1");
  ExpectPartRefused(
      [](WorkerPart& p) {
        p.opens.push_back(p.opens[0]);
        p.opens[1].seq = SeqId{3};
      },
      "2 are open already");
}

TEST_F(RefuseTest, NothingBeforeCommit) {
  const Placement placement = cluster_->DefaultPlacement();
  const Epoch next = cluster_->epoch().Next();
  cluster_->Deliver(0, Told{Prepare{next, {{Slot{0}, "uuid-0", "here"}}, placement}});
  StepAsk ask = cluster_->Asks({Good()})[0];
  ask.epoch = next;
  cluster_->TakeTold(0);
  cluster_->Deliver(0, Told{ask});
  const TestCluster::Outcome outcome = cluster_->Pump();
  ASSERT_EQ(outcome.broken.size(), 1u);
  EXPECT_THAT(outcome.broken[0].error, testing::HasSubstr("not committed"));
  cluster_->set_epoch(next);
  cluster_->Reconfigure(placement);
}

TEST_F(RefuseTest, MorePlansAheadThanAgreed) {
  TestCluster two(model_, *tensors_, {.workers = 2});
  // Worker 1 is never told, so worker 0 waits in its first exchange while plans pile up.
  for (int i = 0; i <= kPlansAheadMax; ++i) {
    two.Deliver(0, Told{two.Asks(two.EmptyParts())[0]});
    two.set_next_step(StepId{two.next_step().value + 1});
  }
  EXPECT_TRUE(two.core(0).busy());
  EXPECT_TRUE(two.TakeTold(0).empty());
  two.Deliver(0, Told{two.Asks(two.EmptyParts())[0]});
  EXPECT_EQ(two.TakeTold(0).size(), 1u);
}

}  // namespace
}  // namespace conclave
