#include "coordinator/schedule/plan_step.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/audit.h"
#include "coordinator/results.h"
#include "coordinator/streams/streams.h"
#include "tests/coordinator/world.h"

namespace conclave {
namespace {

// A committed epoch without membership: homes put in place by hand.
class Bench {
 public:
  explicit Bench(const CoordinatorConfig& config, const std::vector<WorkerShape>& shapes)
      : state_(config, ServedModel{.facts = FakeFacts()}, nullptr) {
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const Slot slot{static_cast<std::int32_t>(i)};
      state_.homes[i] = std::make_unique<Home>(World::HelloOf(absl::StrCat("w", i), shapes[i]),
                                               slot, LinkId{i}, config.prefix_cache);
      state_.live.push_back(slot);
    }
  }

  Request& Add(std::vector<TokenId> prompt, int max_tokens) {
    auto request = std::make_unique<Request>();
    request->order = {0, RequestId{++requests_}};
    request->name = absl::StrCat("r", requests_);
    request->prompt_tokens = static_cast<std::int32_t>(prompt.size());
    request->length_max = request->prompt_tokens + max_tokens;
    request->tokens = std::move(prompt);
    request->UpdateHashes();
    return state_.requests.Add(std::move(request));
  }

  std::optional<StepPlan> Plan() {
    auto plan = PlanStep(state_, 1);
    Audit(state_);
    return plan;
  }

  // Every worker answers the oldest step; the sampled token is always 5.
  void Answer() {
    const PlannedStep step = state_.in_flight.front();
    for (const PlannedPart& part : step.parts) {
      StepResult result{.step = step.step, .slot = part.slot};
      for (const PlannedRow& row : part.rows) {
        if (!row.sample) continue;
        result.sampled.push_back({.seq = row.seq, .position = row.begin + row.count, .token = 5});
      }
      WorkerLink link;
      link.slot = part.slot;
      CoordinatorOutbox outbox;
      EXPECT_EQ(ReceiveResult(state_, link, 2, result, outbox).trust, Trust::kApplied);
    }
  }

  CoordinatorState& state() { return state_; }

 private:
  CoordinatorState state_;
  std::uint64_t requests_ = 0;
};

CoordinatorConfig ConfigOf(int worker_rows) {
  CoordinatorConfig config;
  config.first_rows = worker_rows;
  config.worker_rows_max = worker_rows;
  return config;
}

std::int64_t RowsOf(const StepPlan& plan) {
  return std::accumulate(
      plan.parts.begin(), plan.parts.end(), std::int64_t{0},
      [](std::int64_t sum, const WorkerPart& part) { return sum + part.rows(); });
}

TEST(Scheduler, NothingToDoIsNoPlan) {
  Bench bench(ConfigOf(100), {{}, {}});
  EXPECT_FALSE(bench.Plan().has_value());
  bench.Add(PromptOf(5), 1);
  EXPECT_TRUE(bench.Plan().has_value());
  EXPECT_FALSE(bench.Plan().has_value()) << "its one token is on its way";
  bench.Answer();
  EXPECT_FALSE(bench.Plan().has_value()) << "a close alone is no reason for a step";
  bench.Add(PromptOf(5, 1), 1);
  const auto plan = bench.Plan();
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->parts.size(), 2u) << "workers without rows take part";
  std::size_t closes = 0;
  for (const WorkerPart& part : plan->parts) closes += part.closes.size();
  EXPECT_EQ(closes, 1u);
}

TEST(Scheduler, ChunksRespectEveryBudgetAndPromptsEnd) {
  const std::vector<WorkerShape> shapes = {{.rows_max = 30}, {.rows_max = 12}};
  CoordinatorConfig config = ConfigOf(25);
  config.chunk_tokens = 20;
  Bench bench(config, shapes);
  for (int i = 0; i < 6; ++i) bench.Add(PromptOf(100, i), 4);
  int steps = 0;
  std::int64_t rows = 0;
  for (auto plan = bench.Plan(); plan.has_value(); plan = bench.Plan(), ++steps) {
    ASSERT_LT(steps, 100);
    EXPECT_LE(plan->parts[0].rows(), 25);
    EXPECT_LE(plan->parts[1].rows(), 12);
    rows += RowsOf(*plan);
    for (const WorkerPart& part : plan->parts) {
      for (const Chunk& chunk : part.chunks) EXPECT_LE(chunk.count, 20);
    }
    bench.Answer();
  }
  EXPECT_TRUE(bench.state().requests.All().empty()) << "something was not planned";
  EXPECT_EQ(rows, 6 * (100 + 3)) << "every position once; the last token is never run";
  EXPECT_LE(steps, 25) << "both workers were kept busy";
}

TEST(Scheduler, DecodeRowsFirstThenTheOldestPrompt) {
  Bench bench(ConfigOf(10), {{}});
  Request& decoding = bench.Add(PromptOf(4), 50);
  bench.Plan();
  bench.Answer();
  Request& older = bench.Add(PromptOf(40, 1), 5);
  bench.Add(PromptOf(40, 2), 5);
  const auto plan = bench.Plan();
  ASSERT_EQ(plan->parts[0].chunks.size(), 2u);
  EXPECT_EQ(plan->parts[0].chunks[0].seq, decoding.seq);
  EXPECT_EQ(plan->parts[0].chunks[0].count, 1);
  EXPECT_TRUE(plan->parts[0].chunks[0].sample);
  EXPECT_EQ(plan->parts[0].chunks[1].seq, older.seq);
  EXPECT_EQ(plan->parts[0].chunks[1].count, 9);
  EXPECT_FALSE(plan->parts[0].chunks[1].sample);
}

TEST(Scheduler, PlansRunAheadButNeverPastAKnownEnd) {
  Bench bench(ConfigOf(10), {{}});
  bench.Add(PromptOf(4), 3);
  EXPECT_EQ(bench.Plan()->parts[0].chunks[0].count, 4);
  const auto second = bench.Plan();
  EXPECT_EQ(second->parts[0].chunks[0].begin, 4);
  EXPECT_EQ(second->parts[0].chunks[0].count, 1);
  bench.Answer();
  const auto third = bench.Plan();
  EXPECT_EQ(third->parts[0].chunks[0].begin, 5);
  EXPECT_FALSE(bench.Plan().has_value()) << "three tokens are sampled or on their way";
}

TEST(Scheduler, SequencesSpreadOverWorkersThatTakeThem) {
  const std::vector<WorkerShape> shapes = {{}, {.role = Role::kExpert}, {}};
  Bench bench(ConfigOf(100), shapes);
  for (int i = 0; i < 6; ++i) bench.Add(PromptOf(5, i), 5);
  const auto plan = bench.Plan();
  EXPECT_EQ(plan->parts[0].opens.size(), 3u);
  EXPECT_EQ(plan->parts[1].opens.size(), 0u);
  EXPECT_EQ(plan->parts[2].opens.size(), 3u);
}

TEST(Scheduler, TheYoungestGivesWay) {
  // Three blocks: each of two sequences has one, the third goes to the first that needs it.
  Bench bench(ConfigOf(100), {{.kv_blocks = 3}});
  Request& first = bench.Add(PromptOf(30), 66);
  Request& second = bench.Add(PromptOf(30, 1), 60);
  bench.Plan();
  bench.Answer();
  EXPECT_EQ(second.state, RequestState::kRunning);
  for (int i = 0; i < 40 && second.state == RequestState::kRunning; ++i) {
    bench.Plan();
    bench.Answer();
  }
  EXPECT_EQ(second.state, RequestState::kWaiting);
  EXPECT_EQ(first.state, RequestState::kRunning);
  EXPECT_EQ(bench.state().totals.preemptions, 1u);
  EXPECT_GT(second.usage.completion_tokens, 0);
  // It comes back with what it had said.
  const auto known = static_cast<std::size_t>(second.tokens.size());
  for (int i = 0; i < 80; ++i) {
    const auto plan = bench.Plan();
    ASSERT_TRUE(plan.has_value());
    for (const SequenceOpen& open : plan->parts[0].opens) {
      EXPECT_EQ(open.tokens.size(), known);
      EXPECT_EQ(open.prompt_tokens, 30);
    }
    const bool back = !plan->parts[0].opens.empty();
    bench.Answer();
    if (back) return;
  }
  FAIL() << "it never came back";
}

TEST(Scheduler, APrefixIsSharedByALaterStepAndTheLastTokenIsRunAgain) {
  Bench bench(ConfigOf(200), {{.kv_blocks = 10, .rows_max = 200}});
  bench.Add(PromptOf(64), 2);
  Request& same_step = bench.Add(PromptOf(64), 2);
  EXPECT_EQ(bench.Plan()->parts[0].chunks.size(), 2u);
  EXPECT_EQ(same_step.usage.cached_prompt_tokens, 0);
  Request& later = bench.Add(PromptOf(64), 2);
  Request& routed = bench.Add(PromptOf(64), 2);
  routed.sampling.routed_experts = true;
  const auto plan = bench.Plan();
  EXPECT_EQ(later.usage.cached_prompt_tokens, 32) << "two whole blocks, but position 63 must run";
  EXPECT_EQ(routed.usage.cached_prompt_tokens, 0) << "every position is asked for";
  ASSERT_EQ(plan->parts[0].opens.size(), 2u);
  EXPECT_EQ(plan->parts[0].opens[0].blocks.size(), 1u);
  EXPECT_EQ(plan->parts[0].opens[1].blocks.size(), 0u);
}

TEST(Scheduler, AHitOnAnIdleBlockUsesRoomToo) {
  Bench bench(ConfigOf(200), {{.kv_blocks = 4, .rows_max = 200}});
  bench.Add(PromptOf(64), 1);
  bench.Plan();
  bench.Answer();
  bench.Add(PromptOf(10, 1), 9);
  bench.Plan();
  bench.Answer();
  // Two blocks are known and idle, one is held, one free: four are needed.
  Request& large = bench.Add(PromptOf(100), 5);
  bench.Plan();
  EXPECT_EQ(large.state, RequestState::kWaiting);
  EXPECT_EQ(bench.state().totals.preemptions, 0u);
}

TEST(Scheduler, WhoOutgrowsASmallPoolMovesToALargerOne) {
  Bench bench(ConfigOf(200), {{.kv_blocks = 2, .rows_max = 200}, {.kv_blocks = 4}});
  Request& open_ended = bench.Add(PromptOf(30), 90);
  for (int i = 0; i < 200 && !bench.state().requests.All().empty(); ++i) {
    ASSERT_TRUE(bench.Plan().has_value());
    if (i == 0) {
      EXPECT_EQ(open_ended.home, Slot{0});
    }
    bench.Answer();
  }
  EXPECT_TRUE(bench.state().requests.All().empty());
  EXPECT_EQ(bench.state().totals.preemptions, 1u);
  // One that says how long it may get goes to the larger one at once.
  Request& bounded = bench.Add(PromptOf(30), 90);
  bounded.max_tokens_given = true;
  bench.Plan();
  EXPECT_EQ(bounded.home, Slot{1});
}

TEST(Scheduler, NobodyOvertakesInTheQueue) {
  Bench bench(ConfigOf(100), {{.kv_blocks = 4}});
  bench.Add(PromptOf(90), 5);
  Request& large = bench.Add(PromptOf(60, 1), 5);
  Request& small = bench.Add(PromptOf(3, 2), 5);
  bench.Plan();
  EXPECT_EQ(bench.state().requests.running().size(), 1u);
  EXPECT_EQ(large.state, RequestState::kWaiting);
  EXPECT_EQ(small.state, RequestState::kWaiting);
}

TEST(Scheduler, RunningIsBounded) {
  CoordinatorConfig config = ConfigOf(100);
  config.running_max = 3;
  Bench bench(config, {{.kv_blocks = 64}});
  for (int i = 0; i < 8; ++i) bench.Add(PromptOf(3, i), 5);
  bench.Plan();
  EXPECT_EQ(bench.state().requests.running().size(), 3u);
}

}  // namespace
}  // namespace conclave
