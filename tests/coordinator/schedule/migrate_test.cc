#include "coordinator/schedule/migrate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/philox.h"
#include "tests/coordinator/plan_bench.h"

namespace conclave {
namespace {

CoordinatorConfig ConfigOf(int step_rows) {
  CoordinatorConfig config;
  config.first_rows = step_rows;
  config.worker_rows_max = step_rows;
  return config;
}

// The longest time without a token, in steps.
std::uint64_t LongestGap(const std::vector<StepId>& steps) {
  std::uint64_t longest = 0;
  for (std::size_t i = 1; i < steps.size(); ++i) {
    longest = std::max(longest, steps[i].value - steps[i - 1].value);
  }
  return longest;
}

// Sequences that were opened at the slot by plans from `first` on.
int OpensAt(const PlanBench& bench, int slot, std::size_t first = 0) {
  int opens = 0;
  for (std::size_t i = first; i < bench.plans().size(); ++i) {
    for (const WorkerPart& part : bench.plans()[i].parts) {
      if (part.slot.value == slot) opens += static_cast<int>(part.opens.size());
    }
  }
  return opens;
}

void ExpectNothingHeld(PlanBench& bench) {
  for (int slot = 0; slot < bench.workers(); ++slot) EXPECT_EQ(bench.HomeAt(slot).blocks.held(), 0);
}

TEST(Moves, ASequenceMovesWithAPauseOfOneStep) {
  for (const int ahead : {1, 2}) {
    SCOPED_TRACE(absl::StrCat("plans ahead ", ahead));
    CoordinatorConfig config = ConfigOf(40);
    config.plans_ahead = ahead;
    PlanBench bench(config, {{}, {}});
    const RequestId moving = bench.Ask(AskOf("moving", PromptOf(300), 100));
    const RequestId other = bench.Ask(AskOf("other", PromptOf(20, 1), 180));
    bench.Go(20);
    ASSERT_EQ(bench.Find(moving)->home, Slot{0});
    ASSERT_GT(bench.At(moving).ids.size(), 5u);
    EXPECT_FALSE(MovesPending(bench.state(), Slot{1}) && bench.Find(other) == nullptr);
    bench.Drain(0);
    EXPECT_TRUE(MovesPending(bench.state(), Slot{0}));
    for (int i = 0; i < 30 && MovesPending(bench.state(), Slot{0}); ++i) bench.Go(1);
    EXPECT_FALSE(MovesPending(bench.state(), Slot{0}));
    EXPECT_EQ(bench.Find(moving)->home, Slot{1});
    EXPECT_EQ(bench.HomeAt(0).blocks.held(), 0);
    EXPECT_EQ(bench.state().totals.moves, 1u);
    EXPECT_EQ(bench.state().totals.preemptions, 0u);
    bench.Go();
    bench.ExpectExact();
    EXPECT_EQ(LongestGap(bench.StepsOf(moving)), static_cast<std::uint64_t>(ahead));
    EXPECT_EQ(LongestGap(bench.StepsOf(other)), 1u) << "nobody else waits";
    ExpectNothingHeld(bench);
  }
}

TEST(Moves, NothingNewIsOpenedOnAWorkerThatDrains) {
  PlanBench bench(ConfigOf(64), {{}, {}});
  bench.Drain(0);
  for (int i = 0; i < 6; ++i) bench.Ask(AskOf(absl::StrCat("r", i), PromptOf(30, i), 20));
  bench.Go();
  EXPECT_EQ(OpensAt(bench, 0), 0);
  bench.ExpectExact();
}

TEST(Moves, TheOldestMoveFirstAndAllMove) {
  PlanBench bench(ConfigOf(64), {{.kv_blocks = 200}, {.kv_blocks = 200}, {.kv_blocks = 200}});
  std::vector<RequestId> ids;
  for (int i = 0; i < 30; ++i) {
    ids.push_back(bench.Ask(AskOf(absl::StrCat("r", i), PromptOf(40 + i, i), 250)));
  }
  bench.Go(60);
  bench.Drain(2);
  std::vector<RequestId> left;
  for (const RequestId id : ids) {
    if (bench.Find(id)->home == Slot{2}) left.push_back(id);
  }
  ASSERT_EQ(left.size(), 10u);
  int rounds = 0;
  while (MovesPending(bench.state(), Slot{2})) {
    bench.Go(1);
    ASSERT_LT(++rounds, 120);
    // Who began later on the same worker has not computed more.
    for (std::size_t i = 1; i < left.size(); ++i) {
      const Understudy* younger = bench.Find(left[i])->understudy.get();
      const Understudy* older = bench.Find(left[i - 1])->understudy.get();
      if (younger == nullptr || older == nullptr || older->passes > 0) continue;
      if (younger->home != older->home) continue;  // every worker has rows of its own for moves
      EXPECT_TRUE(younger->planned == 0 || older->planned == older->goal);
    }
  }
  const auto at = [&](int slot) {
    return std::ranges::count_if(ids,
                                 [&](RequestId id) { return bench.Find(id)->home == Slot{slot}; });
  };
  EXPECT_EQ(at(0), 15);
  EXPECT_EQ(at(1), 15);
  bench.Go();
  bench.ExpectExact();
  for (const RequestId id : ids) EXPECT_LE(LongestGap(bench.StepsOf(id)), 2u);
}

TEST(Moves, PromptsWithoutEndDoNotKeepAMoveFromEnding) {
  CoordinatorConfig config = ConfigOf(16);
  PlanBench bench(config, {{.kv_blocks = 400}, {.kv_blocks = 400}});
  const RequestId moving = bench.Ask(AskOf("moving", PromptOf(100), 400));
  bench.Go(12);
  ASSERT_EQ(bench.Find(moving)->home, Slot{0});
  for (int i = 0; i < 40; ++i) bench.Ask(AskOf(absl::StrCat("r", i), PromptOf(300, i + 1), 2));
  bench.Go(4);
  bench.Drain(0);
  int rounds = 0;
  while (bench.Find(moving)->home == Slot{0}) {
    bench.Go(1);
    ASSERT_LT(++rounds, 150);
  }
  EXPECT_FALSE(bench.state().requests.waiting().empty()) << "there were prompts all the time";
  EXPECT_LE(LongestGap(bench.StepsOf(moving)), 2u);
  bench.Go();
  bench.ExpectExact();
}

TEST(Moves, AKnownPrefixIsNotComputedAgain) {
  PlanBench bench(ConfigOf(200), {{}, {}});
  const std::vector<TokenId> prompt = PromptOf(320);
  const RequestId moving = bench.Ask(AskOf("moving", prompt, 60));
  bench.Ask(AskOf("other", prompt, 60));
  bench.Go(6);
  ASSERT_EQ(bench.Find(moving)->home, Slot{0});
  const std::size_t first = bench.plans().size();
  bench.Drain(0);
  bench.Go(8);
  EXPECT_EQ(bench.Find(moving)->home, Slot{1});
  std::int64_t rows = 0;
  for (std::size_t i = first; i < bench.plans().size(); ++i) {
    rows += bench.plans()[i].parts[1].rows();
  }
  EXPECT_LT(rows, 64) << "the other's decode rows and the end of this one";
  bench.Go();
  bench.ExpectExact();
}

TEST(Moves, WhatWasReportedIsNotReportedTwice) {
  PlanBench bench(ConfigOf(40), {{}, {}});
  ClientAsk ask = AskOf("moving", PromptOf(100), 60);
  ask.routed_experts = true;
  ask.prompt_logprobs = 0;
  ask.logprobs = 0;
  const RequestId moving = bench.Ask(ask);
  bench.Go(10);
  bench.Drain(0);
  bench.Go(12);
  ASSERT_EQ(bench.Find(moving)->home, Slot{1});
  bench.Go();
  bench.ExpectExact();
}

TEST(Moves, AnUnderstudyGivesItsBlocksToWhoDecodes) {
  // One row in each step is left for the understudy: it takes its time, and the other one grows.
  PlanBench bench(ConfigOf(3), {{.kv_blocks = 6}, {.kv_blocks = 6}});
  const RequestId other = bench.Ask(AskOf("other", PromptOf(33, 1), 150));
  const RequestId moving = bench.Ask(AskOf("moving", PromptOf(70), 110));
  while (bench.At(moving).ids.empty()) bench.Go(1);
  ASSERT_EQ(bench.Find(moving)->home, Slot{1});
  bench.Drain(1);
  bench.Go(5);
  ASSERT_NE(bench.Find(moving)->understudy, nullptr);
  int dropped = 0;
  while (bench.Find(other) != nullptr) {
    const bool was = bench.Find(moving) != nullptr && bench.Find(moving)->understudy != nullptr;
    bench.Go(1);
    const bool is = bench.Find(moving) != nullptr && bench.Find(moving)->understudy != nullptr;
    dropped += was && !is ? 1 : 0;
  }
  EXPECT_GT(dropped, 0);
  EXPECT_EQ(bench.state().totals.preemptions, 0u);
  EXPECT_EQ(LongestGap(bench.StepsOf(other)), 1u);
  bench.Go();
  bench.ExpectExact();
  ExpectNothingHeld(bench);
}

TEST(Moves, ADrainThatIsTakenBackLeavesTheSequenceWhereItIs) {
  PlanBench bench(ConfigOf(20), {{}, {}});
  const RequestId moving = bench.Ask(AskOf("moving", PromptOf(300), 50));
  bench.Go(20);
  bench.Drain(0);
  bench.Go(3);
  ASSERT_NE(bench.Find(moving)->understudy, nullptr);
  bench.Drain(0, false);
  bench.Go(2);
  EXPECT_EQ(bench.Find(moving)->understudy, nullptr);
  EXPECT_EQ(bench.HomeAt(1).blocks.held(), 0);
  bench.Go();
  EXPECT_EQ(bench.state().totals.moves, 0u);
  bench.ExpectExact();
}

TEST(Moves, WhenTheOldHomeIsLostTheUnderstudyGoesOn) {
  PlanBench bench(ConfigOf(20), {{}, {}});
  const RequestId moving = bench.Ask(AskOf("moving", PromptOf(300), 50));
  bench.Go(20);
  bench.Drain(0);
  bench.Go(8);
  ASSERT_NE(bench.Find(moving)->understudy, nullptr);
  const std::int32_t done = bench.Find(moving)->understudy->done;
  ASSERT_GT(done, 64);
  bench.Lose(0);
  bench.Restart(0);
  bench.Reform();
  EXPECT_EQ(bench.Find(moving)->home, Slot{1});
  EXPECT_EQ(bench.Find(moving)->planned, done / kKvBlockTokens * kKvBlockTokens);
  bench.Go();
  bench.ExpectExact();
}

TEST(Moves, WhenTheNewHomeIsLostNothingHappened) {
  PlanBench bench(ConfigOf(20), {{}, {}, {}});
  const RequestId moving = bench.Ask(AskOf("moving", PromptOf(300), 80));
  bench.Go(20);
  bench.Drain(0);
  bench.Go(4);
  ASSERT_NE(bench.Find(moving)->understudy, nullptr);
  bench.Lose(bench.Find(moving)->understudy->home.value);
  bench.Reform();
  EXPECT_EQ(bench.Find(moving)->understudy, nullptr);
  EXPECT_EQ(bench.Find(moving)->home, Slot{0});
  EXPECT_EQ(bench.Find(moving)->state, RequestState::kRunning);
  bench.Go();
  bench.ExpectExact();
}

TEST(Moves, AChangeOfTheEpochLosesNothingThatResultsSpeakOf) {
  PlanBench bench(ConfigOf(20), {{}, {}});
  const RequestId moving = bench.Ask(AskOf("moving", PromptOf(300), 80));
  bench.Go(20);
  bench.Drain(0);
  bench.Go(8);
  const std::int32_t done = bench.Find(moving)->understudy->done;
  bench.Reform();
  ASSERT_NE(bench.Find(moving)->understudy, nullptr);
  EXPECT_EQ(bench.Find(moving)->understudy->done, done);
  bench.Go();
  EXPECT_EQ(bench.state().totals.moves, 1u);
  bench.ExpectExact();
}

// The whole of it, with the core: nobody waits for more than a few steps while a worker leaves,
// neither those that move nor the others.
TEST(Moves, ADrainCostsNoStreamMoreThanAFewSteps) {
  CoordinatorConfig config = ConfigOf(60);
  config.workers_wanted = 3;
  World world(config);
  const LinkId leaver = world.Join({.kv_blocks = 100});
  world.Join({.kv_blocks = 100});
  world.Join({.kv_blocks = 100});
  world.Settle();
  std::vector<RequestId> ids;
  for (int i = 0; i < 12; ++i) {
    ids.push_back(world.Ask(AskOf(absl::StrCat("r", i), PromptOf(50 + i, i), 200)));
  }
  const auto round = [&] {
    for (const LinkId link : world.Links()) {
      if (world.WorkerAt(link)->HasStep()) world.WorkerAt(link)->RunStep();
      while (world.WorkerAt(link) != nullptr && !world.WorkerAt(link)->said().empty()) {
        world.Deliver(link);
      }
    }
  };
  while (std::ranges::any_of(ids, [&](RequestId id) { return world.At(id).ids.size() < 5; })) {
    round();
  }
  world.Say(leaver, LeaveAsked{});
  std::map<RequestId, std::size_t> had;
  std::map<RequestId, int> silent;
  int rounds = 0;
  for (; !world.WorkerAt(leaver)->dismissed(); ++rounds) {
    ASSERT_LT(rounds, 150);
    round();
    for (const RequestId id : ids) {
      const std::size_t has = world.At(id).ids.size();
      silent[id] = has == had[id] ? silent[id] + 1 : 0;
      had[id] = has;
      EXPECT_LE(silent[id], 4) << "request " << id.value << " in round " << rounds;
    }
  }
  EXPECT_GT(rounds, 10) << "its sequences took a while to move";
  EXPECT_EQ(world.core().Status(world.now()).preemptions, 0u);
  world.Settle();
  world.ExpectExact();
}

// Random everything: asks, cancels, drains, drains taken back, lost workers, broken steps.
class Storm {
 public:
  explicit Storm(std::uint64_t seed) : rng_(seed, 5), bench_(RandomConfig(), RandomShapes()) {}

  void Run(int turns) {
    for (int turn = 0; turn < turns && !testing::Test::HasFailure(); ++turn) Turn();
    for (int slot = 0; slot < bench_.workers(); ++slot) bench_.Drain(slot, false);
    bench_.Go();
  }
  PlanBench& bench() { return bench_; }

 private:
  bool Chance(double p) { return rng_.Uniform() < p; }
  int Between(int low, int high) {
    return low + static_cast<int>(rng_.Below(static_cast<std::uint64_t>(high - low + 1)));
  }
  CoordinatorConfig RandomConfig() {
    CoordinatorConfig config = ConfigOf(Between(4, 80));
    config.worker_rows_max = Between(2, 60);
    config.running_max = Between(1, 24);
    config.waiting_max = 1000;
    config.prefix_cache = Chance(0.7);
    config.plans_ahead = Between(1, 2);
    if (Chance(0.3)) config.chunk_tokens = Between(1, 40);
    return config;
  }
  std::vector<WorkerShape> RandomShapes() {
    std::vector<WorkerShape> shapes;
    const int blocks = Between(8, 24);
    for (int i = Between(2, 4); i > 0; --i) {
      shapes.push_back(
          {.kv_blocks = blocks, .rows_max = Between(3, 60), .arrivals_max = Between(8, 100)});
    }
    return shapes;
  }
  void AskSomething() {
    std::vector<TokenId> prompt = PromptOf(Between(1, 100), Between(0, 2));
    if (Chance(0.5)) prompt[prompt.size() / 2] = Between(0, 900);
    ClientAsk ask = AskOf(absl::StrCat("r", asks_.size()), std::move(prompt), Between(1, 140));
    if (Chance(0.2)) ask.prompt_logprobs = 0;
    if (Chance(0.2)) ask.routed_experts = true;
    asks_.push_back(bench_.Ask(std::move(ask)));
  }
  void Turn() {
    if (Chance(0.05)) AskSomething();
    if (Chance(0.01) && !asks_.empty()) bench_.Cancel(asks_[rng_.Below(asks_.size())]);
    const int some = Between(0, bench_.workers() - 1);
    if (Chance(0.02)) bench_.Drain(some, !bench_.HomeAt(some).draining);
    if (Chance(0.7)) bench_.Plan();
    for (int i = 0; i < 3; ++i) {
      bench_.RunStep(Between(0, bench_.workers() - 1));
      bench_.Deliver(Between(0, bench_.workers() - 1));
    }
    if (Chance(0.003)) bench_.Reform();
    if (!Chance(0.003)) return;
    bench_.Lose(some);
    if (Chance(0.5)) bench_.Deliver((some + 1) % bench_.workers());
    bench_.Restart(some);
    bench_.Reform();
  }

  Rng rng_;
  PlanBench bench_;
  std::vector<RequestId> asks_;
};

TEST(Moves, EveryRequestHasTheOraclesTokensWhateverMoves) {
  std::uint64_t moves = 0, whole = 0;
  for (std::uint64_t seed = 0; seed < 150 && !HasFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Storm storm(seed);
    storm.Run(700);
    storm.bench().ExpectExact();
    ExpectNothingHeld(storm.bench());
    moves += storm.bench().state().totals.moves;
    whole += storm.bench().state().totals.endings[static_cast<std::size_t>(End::kLength)];
  }
  EXPECT_GT(moves, 200u);
  EXPECT_GT(whole, 1'000u);
}

}  // namespace
}  // namespace conclave
