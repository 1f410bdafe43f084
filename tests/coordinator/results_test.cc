#include "coordinator/results.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>

#include "world.h"

namespace conclave {
namespace {

// One worker with two steps of one request under way.
class Underway {
 public:
  Underway() : world_(CoordinatorConfig{}) {
    link_ = world_.Join({});
    world_.Settle();
    ClientAsk ask = AskOf("r", PromptOf(8), 6);
    ask.routed_experts = true;
    ask.prompt_logprobs = 0;
    request_ = world_.Ask(ask);
  }
  // What the worker would say of its oldest step.
  StepResult Next() {
    FakeWorker* worker = world_.WorkerAt(link_);
    worker->RunStep();
    StepResult result = std::get<StepResult>(worker->said().front());
    worker->said().pop_front();
    return result;
  }
  bool Dropped() const { return world_.dropped().contains(link_); }
  bool Logged(const std::string& words) const {
    return std::ranges::any_of(world_.logs(), [&](const std::string& line) {
      return line.find(words) != std::string::npos;
    });
  }
  World& world() { return world_; }
  LinkId link() const { return link_; }
  Client& client() { return world_.At(request_); }

 private:
  World world_;
  LinkId link_;
  RequestId request_;
};

TEST(Results, TheUntouchedOneIsApplied) {
  Underway underway;
  underway.world().Say(underway.link(), underway.Next());
  EXPECT_EQ(underway.client().ids.size(), 1u);
  underway.world().Settle();
  underway.world().ExpectExact();
}

TEST(Results, LateAndRepeatedOnesDoNoHarm) {
  Underway underway;
  const StepResult first = underway.Next();
  underway.world().Say(underway.link(), first);
  underway.world().Say(underway.link(), first);
  EXPECT_TRUE(underway.Logged("not under way"));
  StepResult old = first;
  old.epoch = Epoch(1, 0);
  underway.world().Say(underway.link(), old);
  EXPECT_TRUE(underway.Logged("old epoch 0"));
  StepResult unknown = first;
  unknown.step = StepId{999};
  underway.world().Say(underway.link(), unknown);
  EXPECT_FALSE(underway.Dropped());
  underway.world().Settle();
  underway.world().ExpectExact();
}

TEST(Results, ARepeatedOneOfAStepThatOthersStillRun) {
  CoordinatorConfig config;
  config.workers_wanted = 2;
  World world(config);
  const LinkId link = world.Join({});
  world.Join({});
  world.Settle();
  world.Ask(AskOf("r", PromptOf(8), 6));
  world.WorkerAt(link)->RunStep();
  const FromWorker said = world.WorkerAt(link)->said().front();
  world.Deliver(link);
  world.Say(link, said);
  EXPECT_TRUE(world.dropped().empty());
  world.Settle();
  world.ExpectExact();
}

TEST(Results, NonsenseEndsTheLinkAndTouchesNoStream) {
  const std::vector<std::function<void(StepResult&)>> spoils = {
      [](StepResult& result) { result.digest ^= 1; },
      [](StepResult& result) { result.slot = Slot{1}; },
      [](StepResult& result) { result.epoch = Epoch(1, 9); },
      [](StepResult& result) { result.sampled.clear(); },
      [](StepResult& result) { result.sampled.push_back(result.sampled[0]); },
      [](StepResult& result) { result.sampled[0].token = -1; },
      [](StepResult& result) { result.sampled[0].token = 934; },
      [](StepResult& result) { ++result.sampled[0].position; },
      [](StepResult& result) { ++result.sampled[0].seq.value; },
      [](StepResult& result) { result.routed[0].ids.pop_back(); },
      [](StepResult& result) { result.routed[0].begin = -1; },
      [](StepResult& result) { ++result.routed[0].begin; },
      [](StepResult& result) { ++result.routed[0].seq.value; },
      [](StepResult& result) { result.prompt_logprobs[0].begin = 0; },
      [](StepResult& result) { result.prompt_logprobs[0].entries.resize(99); },
      [](StepResult& result) { result.phases[0].phase = 200; },
      [](StepResult& result) { result.expert_rows.resize(3); },
  };
  for (std::size_t i = 0; i < spoils.size(); ++i) {
    SCOPED_TRACE(i);
    Underway underway;
    StepResult result = underway.Next();
    spoils[i](result);
    underway.world().Say(underway.link(), result);
    EXPECT_TRUE(underway.Dropped());
    EXPECT_TRUE(underway.client().ids.empty());
    // Another worker comes, and the request gets its tokens.
    underway.world().Join({});
    underway.world().Settle();
    underway.world().ExpectExact();
  }
}

// Summed in status, and said in the log, but not for every step.
TEST(Results, RowsThatCouldNotBeRoutedAreReported) {
  Underway underway;
  const auto count = [&] {
    return std::ranges::count_if(underway.world().logs(), [](const std::string& line) {
      return line.find("are not numbers") != std::string::npos;
    });
  };
  StepResult result = underway.Next();
  result.bad_router_rows = 3;
  result.bytes_sent = 100;
  result.bytes_received = 70;
  underway.world().Say(underway.link(), result);
  EXPECT_TRUE(underway.Logged("router logits of 3 rows in step"));
  result = underway.Next();
  result.bad_router_rows = 2;
  result.bytes_sent = 10;
  result.bytes_received = 7;
  underway.world().Say(underway.link(), result);
  EXPECT_EQ(count(), 1);
  ClusterStatus status = underway.world().core().Status(underway.world().now());
  EXPECT_EQ(status.bad_router_rows, 5u);
  EXPECT_EQ(status.bytes_sent, 110u);
  EXPECT_EQ(status.bytes_received, 77u);
  underway.world().Pass(10'000'001);
  result = underway.Next();
  result.bad_router_rows = 1;
  underway.world().Say(underway.link(), result);
  EXPECT_EQ(count(), 2);
  EXPECT_TRUE(underway.Logged("(6 rows since start)"));
}

TEST(Results, AStepAheadOfTheOneBefore) {
  Underway underway;
  underway.Next();
  underway.world().Say(underway.link(), underway.Next());
  EXPECT_TRUE(underway.Dropped());
}

TEST(Results, TotalsAddUp) {
  Underway underway;
  underway.world().Settle();
  const ClusterStatus status = underway.world().core().Status(underway.world().now());
  EXPECT_EQ(status.steps, 6u);
  EXPECT_EQ(status.emitted_tokens, 6u);
  EXPECT_EQ(status.prompt_tokens, 8u);
  EXPECT_EQ(status.phases[1].micros, 12u);
  EXPECT_EQ(status.phases[1].bytes, 18u);
  ASSERT_EQ(status.expert_rows.size(), 16u);
  EXPECT_EQ(status.expert_rows[3], 6u);
  EXPECT_EQ(status.workers[0].expert_rows, 96u);
  EXPECT_EQ(status.endings[static_cast<std::size_t>(End::kLength)], 1u);
}

}  // namespace
}  // namespace conclave
