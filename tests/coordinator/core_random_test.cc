// Random arrivals, cancellations, deadlines and deliveries over tiny KV pools, text stages that are
// late, and in half of the runs workers that die, come, leave and break steps: every request ends
// once, with the oracle's tokens; nothing is held at the end.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/philox.h"
#include "coordinator/core.h"
#include "world.h"

namespace conclave {
namespace {

struct Weather {
  std::uint64_t seed = 0;
  bool faults = false;
};

class Storm {
 public:
  explicit Storm(const Weather& weather)
      : rng_(weather.seed, weather.faults ? 1 : 0),
        faults_(weather.faults),
        config_(RandomConfig()),
        world_(config_, {17}) {
    // In some worlds text stages are late, in some of these very late.
    if (Chance(0.5)) world_.HoldText();
    text_chance_ = Chance(0.5) ? 0.9 : 0.1;
  }

  void Run(int turns) {
    for (int i = 0; i < config_.workers_wanted; ++i) world_.Join(RandomShape());
    if (Chance(0.3)) world_.Join({.role = Role::kExpert});
    world_.Settle();
    for (int turn = 0; turn < turns && !testing::Test::HasFailure(); ++turn) Turn();
    Calm();
  }

  World& world() { return world_; }
  std::uint64_t preemptions() { return world_.core().Status(world_.now()).preemptions; }

 private:
  bool Chance(double p) { return rng_.Uniform() < p; }
  int Between(int low, int high) {
    return low + static_cast<int>(rng_.Below(static_cast<std::uint64_t>(high - low + 1)));
  }

  CoordinatorConfig RandomConfig() {
    CoordinatorConfig config;
    config.workers_wanted = Between(1, 4);
    config.arrivals_least = 8;
    config.first_rows = Between(4, 60);
    config.worker_rows_max = Between(2, 40);
    config.running_max = Between(1, 24);
    config.waiting_max = Between(5, 60);
    config.prefix_cache = Chance(0.7);
    config.plans_ahead = Between(1, 2);
    if (Chance(0.5)) config.chunk_tokens = Between(1, 40);
    config.unavailable_limit = 1'000'000'000;
    config.evidence_wait = Between(0, 3000);
    config.load_limit = 20'000;
    config.connect_limit = 20'000;
    config.move_limit = 100'000;
    config.expert_replicas = Between(1, 3);
    return config;
  }

  WorkerShape RandomShape() {
    return {
        .kv_blocks = Between(8, 16), .rows_max = Between(3, 40), .arrivals_max = Between(8, 80)};
  }

  void AskSomething() {
    std::vector<TokenId> prompt = PromptOf(Between(1, 120), Between(0, 2));
    if (Chance(0.5)) {
      for (const TokenId token : PromptOf(Between(1, 40), Between(3, 500))) prompt.push_back(token);
    }
    ClientAsk ask = AskOf(absl::StrCat("r", asked_++), std::move(prompt), Between(1, 60));
    if (Chance(0.05)) ask.max_tokens.reset();
    if (Chance(0.2)) ask.logprobs = 0;
    if (Chance(0.1)) ask.prompt_logprobs = 0;
    if (Chance(0.1)) ask.routed_experts = true;
    if (Chance(0.2)) ask.ignore_eos = true;
    if (Chance(0.2)) ask.stop_ids = {static_cast<TokenId>(Between(0, 933))};
    if (Chance(0.3)) {
      for (int i = Between(1, 3); i > 0; --i) ask.stop.push_back(RandomStop());
      ask.include_stop_in_text = Chance(0.3);
    }
    if (Chance(0.05)) ask.deadline = world_.now() + Between(1, 3000);
    asks_.push_back(world_.Ask(std::move(ask)));
  }

  // Somebody comes back for the rest of an answer that runs, waits or has ended.
  void AskAgain() {
    const Client& before = world_.At(asks_[rng_.Below(asks_.size())]);
    ClientAsk ask = before.ask;
    const int known = ask.resume_after + static_cast<int>(before.ids.size());
    ask.resume_after = Chance(0.8) ? known : Between(0, known + 2);
    ask.deadline.reset();
    asks_.push_back(world_.Ask(std::move(ask)));
  }

  std::string RandomStop() {
    std::string stop;
    for (int i = Between(1, 3); i > 0; --i) stop.push_back(static_cast<char>('a' + Between(0, 25)));
    return stop;
  }

  LinkId SomeLink() {
    const std::vector<LinkId> links = world_.Links();
    return links.empty() ? LinkId{} : links[rng_.Below(links.size())];
  }

  void Turn() {
    if (Chance(0.15)) AskSomething();
    if (Chance(0.01) && !asks_.empty()) AskAgain();
    if (Chance(0.01) && !asks_.empty()) world_.Leave(asks_[rng_.Below(asks_.size())]);
    if (Chance(0.01)) world_.Abort(absl::StrCat("r", rng_.Below(asked_ + 1)));
    if (Chance(0.05)) world_.Pass(Between(1, 2000));
    for (int i = 0; i < 3; ++i) {
      FakeWorker* worker = world_.WorkerAt(SomeLink());
      if (worker != nullptr && worker->HasStep()) worker->RunStep();
      if (Chance(0.7)) world_.Deliver(SomeLink());
    }
    for (int i = 0; i < 6; ++i) {
      if (Chance(text_chance_)) world_.WorkText();
      if (Chance(text_chance_)) world_.DeliverVerdict();
    }
    if (faults_ && Chance(0.02)) Fault();
    if (faults_ && Chance(0.1)) world_.Pass(Between(1'000, 21'000));
  }

  void Fault() {
    const LinkId link = SomeLink();
    FakeWorker* worker = world_.WorkerAt(link);
    switch (rng_.Below(10)) {
      case 0:
        if (worker != nullptr) world_.Kill(link);
        break;
      case 1:
        if (world_.Links().size() < 6) world_.Join(RandomShape());
        break;
      case 2:
        if (worker != nullptr && worker->HasStep()) worker->BreakStep();
        break;
      case 3:
        if (worker != nullptr) worker->fail_next_open = true;
        break;
      case 4:
        if (worker != nullptr) worker->fail_load_aside = Chance(0.5);
        break;
      case 5:
        if (worker != nullptr) worker->mute_aside = Chance(0.5);
        break;
      case 6:
        if (worker != nullptr) worker->deaf_to = RandomSlots();
        break;
      case 7:
        world_.Drain(absl::StrCat(Between(0, 5))).IgnoreError();
        break;
      case 8:
        Depart(link);
        break;
      default:
        if (worker != nullptr) world_.Say(link, LeaveAsked{});
    }
    for (const LinkId gone : world_.Links()) {
      if (world_.WorkerAt(gone)->dismissed()) world_.Kill(gone);
    }
  }

  std::vector<Slot> RandomSlots() {
    std::vector<Slot> slots;
    if (Chance(0.5)) slots.push_back(Slot{Between(0, 5)});
    return slots;
  }

  // It goes, and comes back as what it was.
  void Depart(LinkId link) {
    FakeWorker* worker = world_.WorkerAt(link);
    if (worker == nullptr) return;
    Hello hello = worker->hello();
    hello.last_slot = worker->slot().value;
    hello.last_epoch = worker->epoch();
    world_.Kill(link);
    hello.uuid += "+";
    hello.standby_address = hello.uuid + "#0";
    world_.JoinAs(hello);
  }

  // The weather clears: enough workers come, and all that was asked must end.
  void Calm() {
    world_.ReleaseText();
    for (const LinkId link : world_.Links()) {
      FakeWorker* worker = world_.WorkerAt(link);
      worker->fail_load_aside = worker->mute_aside = false;
      worker->deaf_to.clear();
    }
    world_.Settle();
    for (int i = 0; i < config_.workers_wanted; ++i) world_.Join({.kv_blocks = 16, .rows_max = 8});
    world_.Settle();
    // Long enough for changes that were given up.
    for (int i = 0; i < 61; ++i) {
      world_.Pass(100'000);
      world_.Settle();
    }
  }

  Rng rng_;
  const bool faults_;
  const CoordinatorConfig config_;
  World world_;
  double text_chance_ = 1;
  std::uint64_t asked_ = 0;
  std::vector<RequestId> asks_;
};

void ExpectNothingHeld(World& world) {
  const ClusterStatus status = world.core().Status(world.now());
  EXPECT_EQ(status.requests_running, 0);
  EXPECT_EQ(status.requests_waiting, 0);
  for (const WorkerStatus& worker : status.workers) EXPECT_EQ(worker.kv_blocks_used, 0);
}

class CoreRandom : public testing::TestWithParam<bool> {};

TEST_P(CoreRandom, EveryRequestEndsOnceWithTheOraclesTokens) {
  std::uint64_t preemptions = 0, cached = 0, whole = 0, attached = 0;
  for (std::uint64_t seed = 0; seed < 150 && !HasFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Storm storm({.seed = seed, .faults = GetParam()});
    storm.Run(600);
    storm.world().ExpectExact();
    ExpectNothingHeld(storm.world());
    preemptions += storm.preemptions();
    cached += storm.world().core().Status(0).cached_prompt_tokens;
    attached += storm.world().core().Status(0).attached;
    for (const auto& [id, client] : storm.world().clients()) {
      whole += client.ending->end == End::kLength || client.ending->end == End::kStop ? 1 : 0;
    }
  }
  // The runs were worth something.
  EXPECT_GT(preemptions, 200u);
  EXPECT_GT(cached, 10'000u);
  EXPECT_GT(whole, 2'000u);
  EXPECT_GT(attached, 100u);
}

INSTANTIATE_TEST_SUITE_P(Weathers, CoreRandom, testing::Bool(),
                         [](const auto& run) { return run.param ? "Faults" : "Fair"; });

}  // namespace
}  // namespace conclave
