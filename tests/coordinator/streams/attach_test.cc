#include "coordinator/streams/attach.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "tests/coordinator/world.h"

namespace conclave {
namespace {

// A worker, and the answer to one rich question: text that is held back for a stop string that
// never comes, log-probabilities, experts.
class Hall {
 public:
  explicit Hall(int salt) : world_(CoordinatorConfig{}, {}) {
    link_ = world_.Join({});
    world_.Settle();
    ask_ = AskOf("whole", PromptOf(40, salt), 24);
    ask_.logprobs = 0;
    ask_.prompt_logprobs = 0;
    ask_.routed_experts = true;
    const auto said = Oracle(ask_.prompt, 24, FakeFacts().vocab);
    const std::string text = *MakeToyText()->Decode(said, true);
    for (std::size_t at = 1; at + 4 < text.size(); at += 3) {
      const std::string part = text.substr(at, 4);
      if (std::ranges::any_of(part, [](char c) { return c < 0; })) continue;  // no half character
      if (ask_.stop.size() < 8) ask_.stop.push_back(part + "~never");
    }
    const RequestId id = world_.Ask(ask_);
    world_.Settle();
    whole_ = world_.At(id);
    CONCLAVE_CHECK(whole_.ending->end == End::kLength && whole_.text_ends.size() == 24);
    CONCLAVE_CHECK(ask_.stop.size() > 2);
  }
  ClientAsk Ask(const std::string& name, int resume_after) const {
    ClientAsk ask = ask_;
    ask.id = name;
    ask.resume_after = resume_after;
    return ask;
  }
  void Step(int steps) {
    for (int i = 0; i < steps; ++i) {
      world_.WorkerAt(link_)->RunStep();
      world_.Deliver(link_);
    }
  }
  // `client` read what `whole` has after its first `has` tokens.
  void ExpectRest(const Client& client, std::size_t has) const {
    SCOPED_TRACE(absl::StrCat("after ", has));
    const std::size_t from = std::min(has, whole_.ids.size());
    const auto rest = [from](const auto& all) {
      return std::vector(all.begin() + static_cast<std::ptrdiff_t>(from), all.end());
    };
    EXPECT_EQ(client.ids, rest(whole_.ids));
    EXPECT_EQ(client.logprobs, rest(whole_.logprobs));
    EXPECT_EQ(client.text, whole_.text.substr(from == 0 ? 0 : whole_.text_ends[from - 1]));
    EXPECT_EQ(client.prompt_logprobs.size(), has == 0 ? whole_.prompt_logprobs.size() : 0);
    EXPECT_EQ(client.routed, whole_.routed);
    ASSERT_TRUE(client.ending.has_value());
    EXPECT_EQ(client.ending->end, whole_.ending->end);
    EXPECT_EQ(client.ending->usage.completion_tokens, whole_.ending->usage.completion_tokens);
  }
  World& world() { return world_; }
  const Client& whole() const { return whole_; }
  const ClientAsk& ask() const { return ask_; }

 private:
  World world_;
  LinkId link_;
  ClientAsk ask_;
  Client whole_;
};

TEST(Resume, AnyPlaceOfAnAnswerGivesTheRest) {
  for (int salt = 0; salt < 8; ++salt) {
    Hall hall(salt);
    for (int has = 0; has <= 26; ++has) {
      const RequestId id = hall.world().Ask(hall.Ask(absl::StrCat("r", has), has));
      hall.world().Settle();
      hall.ExpectRest(hall.world().At(id), static_cast<std::size_t>(has));
    }
    hall.world().ExpectExact();
    EXPECT_EQ(hall.world().core().Status(0).resumed, 26u);
    EXPECT_EQ(hall.world().core().Status(0).attached, 0u);
  }
}

TEST(Resume, WhatAnErrorHeldBackComesLater) {
  for (int salt = 0; salt < 8; ++salt) {
    for (int steps = 2; steps < 20; steps += 3) {
      Hall hall(salt);
      World& world = hall.world();
      ClientAsk cut = hall.Ask("cut", 0);
      cut.deadline = world.now() + 1000;
      const RequestId first = world.Ask(cut);
      hall.Step(steps);
      world.Pass(1000);
      const Client& begun = world.At(first);
      ASSERT_EQ(begun.ending->end, End::kDeadline);
      const auto has = static_cast<int>(begun.ids.size());
      EXPECT_GT(has, 0);
      const RequestId second = world.Ask(hall.Ask("cut", has));
      world.Settle();
      EXPECT_EQ(begun.text + world.At(second).text, hall.whole().text);
      hall.ExpectRest(world.At(second), static_cast<std::size_t>(has));
    }
  }
}

TEST(Resume, WhatNobodyCouldServeGoesOnWhenSomebodyCan) {
  CoordinatorConfig config;
  config.unavailable_limit = 1'000'000;
  World world(config);
  const LinkId link = world.Join({});
  world.Settle();
  const ClientAsk ask = AskOf("r", PromptOf(40), 20);
  const RequestId first = world.Ask(ask);
  for (int i = 0; i < 8; ++i) {
    world.WorkerAt(link)->RunStep();
    world.Deliver(link);
  }
  world.Kill(link);
  for (int i = 0; i < 8; ++i) world.Pass(500'000);
  const Client& begun = world.At(first);
  ASSERT_EQ(begun.ending->end, End::kUnavailable);
  EXPECT_FALSE(begun.ending->message.empty());
  ASSERT_GT(begun.ids.size(), 3u);
  ClientAsk again = ask;
  again.resume_after = static_cast<int>(begun.ids.size());
  world.Ask(again);
  world.Join({});
  world.Settle();
  world.ExpectExact();
}

TEST(Attach, AStreamTakesALiveRequestOver) {
  for (int steps = 1; steps < 24; steps += 4) {
    for (const int back : {-100, -1, 0, 3}) {  // less than was said, all of it, more
      Hall hall(1);
      World& world = hall.world();
      const RequestId old = world.Ask(hall.Ask("r", 0));
      hall.Step(steps);
      const auto said = static_cast<int>(world.At(old).ids.size());
      const int has = std::max(0, said + back);
      const RequestId fresh = world.Ask(hall.Ask("r", has));
      EXPECT_EQ(world.At(old).ending->end, End::kReplaced);
      EXPECT_EQ(static_cast<int>(world.At(fresh).ids.size()), std::max(0, said - has)) << "at once";
      world.Leave(old);  // its connection is noticed to be gone only now
      world.Settle();
      hall.ExpectRest(world.At(fresh), static_cast<std::size_t>(has));
      EXPECT_FALSE(world.Complained());
      const ClusterStatus status = world.core().Status(0);
      EXPECT_EQ(status.attached, 1u);
      EXPECT_EQ(status.emitted_tokens, 48u) << "nothing ran twice";
      EXPECT_EQ(status.workers[0].kv_blocks_used, 0);
    }
  }
}

TEST(Attach, WaitingRequestsAndAgain) {
  World world(CoordinatorConfig{});
  world.Ask(AskOf("r", PromptOf(20), 5));
  world.Ask(AskOf("r", PromptOf(20), 5));
  const RequestId third = world.Ask(AskOf("r", PromptOf(20), 5));
  EXPECT_EQ(world.core().Status(0).requests_waiting, 1);
  world.Join({});
  world.Settle();
  EXPECT_EQ(world.At(third).ids.size(), 5u);
  EXPECT_EQ(world.At(RequestId{1}).ending->end, End::kReplaced);
  EXPECT_EQ(world.At(RequestId{2}).ending->end, End::kReplaced);
  world.ExpectExact();
  const RequestId fourth = world.Ask(AskOf("r", PromptOf(20), 5));
  world.Settle();
  EXPECT_EQ(world.At(fourth).ids.size(), 5u) << "it has ended: it runs again";
}

TEST(Attach, TheNewStreamLeavesAndAborts) {
  for (const bool aborts : {false, true}) {
    Hall hall(2);
    World& world = hall.world();
    world.Ask(hall.Ask("r", 0));
    hall.Step(5);
    const RequestId fresh = world.Ask(hall.Ask("r", 2));
    aborts ? world.Abort("r") : world.Leave(fresh);
    EXPECT_EQ(world.At(fresh).ending->end, End::kCancelled);
    EXPECT_EQ(world.core().Status(0).requests_running, 0);
    EXPECT_FALSE(world.Complained());
  }
}

TEST(Attach, TheNewDeadlineCounts) {
  World world(CoordinatorConfig{});
  ClientAsk ask = AskOf("r", PromptOf(20), 5);
  ask.deadline = world.now() + 1000;
  world.Ask(ask);
  ask.deadline = world.now() + 5000;
  const RequestId second = world.Ask(ask);
  world.Pass(2000);
  EXPECT_FALSE(world.At(second).ending.has_value());
  ask.deadline.reset();
  const RequestId third = world.Ask(ask);
  world.Pass(5000);
  EXPECT_FALSE(world.At(third).ending.has_value());
  ask.deadline = world.now() + 10;
  const RequestId fourth = world.Ask(ask);
  world.Pass(20);
  EXPECT_EQ(world.At(fourth).ending->end, End::kDeadline);
}

TEST(Attach, WhoAsksForSomethingElseIsRefused) {
  const std::vector<std::pair<const char*, std::function<void(ClientAsk&)>>> others = {
      {"prompt", [](ClientAsk& ask) { ask.prompt.back() ^= 1; }},
      {"shorter prompt", [](ClientAsk& ask) { ask.prompt.pop_back(); }},
      {"max_tokens", [](ClientAsk& ask) { ask.max_tokens = 25; }},
      {"no max_tokens", [](ClientAsk& ask) { ask.max_tokens.reset(); }},
      {"min_tokens", [](ClientAsk& ask) { ask.min_tokens = 2; }},
      {"temperature", [](ClientAsk& ask) { ask.temperature = 0.5; }},
      {"top_k", [](ClientAsk& ask) { ask.top_k = 3; }},
      {"top_p", [](ClientAsk& ask) { ask.top_p = 0.5; }},
      {"min_p", [](ClientAsk& ask) { ask.min_p = 0.5; }},
      {"repetition_penalty", [](ClientAsk& ask) { ask.repetition_penalty = 1.5; }},
      {"presence_penalty", [](ClientAsk& ask) { ask.presence_penalty = 1.5; }},
      {"frequency_penalty", [](ClientAsk& ask) { ask.frequency_penalty = 1.5; }},
      {"seed", [](ClientAsk& ask) { ask.seed = 5; }},
      {"fallback seed", [](ClientAsk& ask) { ask.fallback_seed = 5; }},
      {"stop", [](ClientAsk& ask) { ask.stop.pop_back(); }},
      {"stop ids", [](ClientAsk& ask) { ask.stop_ids = {7}; }},
      {"include stop", [](ClientAsk& ask) { ask.include_stop_in_text = true; }},
      {"skip special", [](ClientAsk& ask) { ask.skip_special = false; }},
      {"bias",
       [](ClientAsk& ask) {
         ask.logit_bias = {{3, 1.0f}};
       }},
      {"logprobs", [](ClientAsk& ask) { ask.logprobs = 1; }},
      {"prompt logprobs", [](ClientAsk& ask) { ask.prompt_logprobs.reset(); }},
      {"experts", [](ClientAsk& ask) { ask.routed_experts = false; }},
  };
  for (const auto& [what, change] : others) {
    SCOPED_TRACE(what);
    Hall hall(3);
    World& world = hall.world();
    const RequestId live = world.Ask(hall.Ask("r", 0));
    hall.Step(4);
    ClientAsk other = hall.Ask("r", 0);
    change(other);
    const RequestId refused = world.Ask(other);
    ASSERT_TRUE(world.At(refused).ending.has_value());
    EXPECT_EQ(world.At(refused).ending->end, End::kRefused);
    EXPECT_EQ(world.At(refused).ending->field, "request_id");
    world.Leave(refused);
    world.Settle();
    hall.ExpectRest(world.At(live), 0);
  }
}

}  // namespace
}  // namespace conclave
