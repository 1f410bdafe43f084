#include "protocol/plan.h"

#include <functional>
#include <set>

#include "gtest/gtest.h"

namespace conclave {
namespace {

StepPlan Example() {
  StepPlan plan{.epoch = Epoch(1, 3), .step = StepId{9}};
  WorkerPart part{.slot = Slot{0}, .closes = {SeqId{1}}};
  part.opens.push_back({.seq = SeqId{2},
                        .sampling = {},
                        .prompt_tokens = 2,
                        .tokens = {5, 6, 7},
                        .blocks = {BlockId{4}}});
  part.chunks.push_back(
      {.seq = SeqId{2}, .begin = 0, .count = 3, .sample = true, .new_blocks = {BlockId{8}}});
  plan.parts = {part, WorkerPart{.slot = Slot{5}}};
  plan.rounds = 2;
  return plan;
}

TEST(Plan, EveryFieldChangesTheDigest) {
  const std::vector<std::function<void(WorkerPart&)>> changes = {
      [](WorkerPart& p) { p.slot = Slot{1}; },
      [](WorkerPart& p) { p.closes.push_back(SeqId{3}); },
      [](WorkerPart& p) { p.opens[0].seq = SeqId{9}; },
      [](WorkerPart& p) { p.opens[0].prompt_tokens = 3; },
      [](WorkerPart& p) { p.opens[0].tokens[1] = 0; },
      [](WorkerPart& p) { p.opens[0].blocks.clear(); },
      [](WorkerPart& p) { p.opens[0].sampling.temperature = 0.5; },
      [](WorkerPart& p) { p.opens[0].sampling.top_k = 5; },
      [](WorkerPart& p) { p.opens[0].sampling.top_p = 0.5; },
      [](WorkerPart& p) { p.opens[0].sampling.min_p = 0.5; },
      [](WorkerPart& p) { p.opens[0].sampling.repetition_penalty = 2; },
      [](WorkerPart& p) { p.opens[0].sampling.presence_penalty = 2; },
      [](WorkerPart& p) { p.opens[0].sampling.frequency_penalty = 2; },
      [](WorkerPart& p) { p.opens[0].sampling.seed = 2; },
      [](WorkerPart& p) { p.opens[0].sampling.min_tokens = 2; },
      [](WorkerPart& p) { p.opens[0].sampling.stop_ids = {1}; },
      [](WorkerPart& p) {
        p.opens[0].sampling.logit_bias = {{1, 2.0f}};
      },
      [](WorkerPart& p) { p.opens[0].sampling.logprobs = 0; },
      [](WorkerPart& p) { p.opens[0].sampling.prompt_logprobs = 0; },
      [](WorkerPart& p) { p.opens[0].sampling.routed_experts = true; },
      [](WorkerPart& p) { p.chunks[0].seq = SeqId{7}; },
      [](WorkerPart& p) { p.chunks[0].begin = 1; },
      [](WorkerPart& p) { p.chunks[0].count = 2; },
      [](WorkerPart& p) { p.chunks[0].sample = false; },
      [](WorkerPart& p) { p.chunks[0].new_blocks[0] = BlockId{9}; },
  };
  std::set<std::uint64_t> digests = {AsksFor(Example())[0].digest};
  for (const auto& change : changes) {
    StepPlan plan = Example();
    change(plan.parts[0]);
    digests.insert(AsksFor(plan)[0].digest);
  }
  EXPECT_EQ(digests.size(), changes.size() + 1);
}

TEST(Plan, AsksShareOneDigestThatEachCanRecompute) {
  const auto asks = AsksFor(Example());
  ASSERT_EQ(asks.size(), 2u);
  for (const StepAsk& ask : asks) {
    EXPECT_EQ(ask.digest, asks[0].digest);
    EXPECT_EQ(ask.rows_in_all(), 3);
    EXPECT_EQ(ask.part_rows, (std::vector<std::int32_t>{3, 0}));
    EXPECT_EQ(ask.rounds, 2);
    EXPECT_EQ(DigestOf(ask.part), ask.part_digests[static_cast<std::size_t>(ask.part_index)]);
    EXPECT_EQ(PlanDigest(ask), ask.digest);
  }
  const std::vector<std::function<void(StepAsk&)>> changes = {
      [](StepAsk& ask) { ask.epoch = Epoch(1, 4); },
      [](StepAsk& ask) { ask.step = StepId{10}; },
      [](StepAsk& ask) { ask.rounds = 3; },
      [](StepAsk& ask) { ask.part_rows[1] = 1; },
      [](StepAsk& ask) { ++ask.part_digests[1]; },
  };
  for (const auto& change : changes) {
    StepAsk ask = asks[0];
    change(ask);
    EXPECT_NE(PlanDigest(ask), asks[0].digest);
  }
}

}  // namespace
}  // namespace conclave
