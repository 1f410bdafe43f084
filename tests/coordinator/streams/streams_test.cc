#include "coordinator/streams/streams.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "tests/coordinator/world.h"

namespace conclave {
namespace {

// A cluster of one worker whose texts are known in advance.
class Stage {
 public:
  Stage() : world_(CoordinatorConfig{}, {}), text_(MakeToyText()) {
    link_ = world_.Join({});
    world_.Settle();
  }
  RequestId Run(ClientAsk ask) {
    const RequestId id = world_.Ask(std::move(ask));
    world_.Settle();
    return id;
  }
  std::string TextOf(const std::vector<TokenId>& ids) const { return *text_->Decode(ids, true); }
  World& world() { return world_; }
  LinkId link() const { return link_; }

 private:
  World world_;
  std::unique_ptr<Text> text_;
  LinkId link_;
};

std::vector<TokenId> Said(int prompt_salt, int count) {
  return Oracle(PromptOf(12, prompt_salt), count, FakeFacts().vocab);
}

TEST(Streams, AStopIdEndsTheTextBeforeItAndTheIdsWithIt) {
  Stage stage;
  const auto said = Said(1, 10);
  ClientAsk ask = AskOf("r", PromptOf(12, 1), 10);
  ask.stop_ids = {said[6]};
  const RequestId id = stage.Run(ask);
  const Client& client = stage.world().At(id);
  EXPECT_EQ(client.ending->end, End::kStop);
  EXPECT_EQ(client.ending->stop_id, said[6]);
  EXPECT_EQ(client.ids.back(), said[6]);
  stage.world().ExpectExact();
}

TEST(Streams, AStopStringOverTokensAndWithText) {
  Stage stage;
  // The longest run of letter pairs of some text, cut in the middle of tokens.
  for (int salt = 0; salt < 40; ++salt) {
    const auto said = Said(salt, 30);
    const std::string text = stage.TextOf(said);
    if (text.size() < 20) continue;
    ClientAsk ask = AskOf(absl::StrCat("r", salt), PromptOf(12, salt), 30);
    ask.stop = {text.substr(11, 5), "never said"};
    ask.include_stop_in_text = salt % 2 == 1;
    stage.Run(ask);
  }
  stage.world().ExpectExact();
  int stopped = 0;
  for (const auto& [id, client] : stage.world().clients()) {
    stopped += client.ending->stop.empty() ? 0 : 1;
  }
  EXPECT_GT(stopped, 20);
}

TEST(Streams, MinTokensHoldsStopStringsOff) {
  Stage stage;
  for (int salt = 0; salt < 40; ++salt) {
    ClientAsk ask = AskOf(absl::StrCat("r", salt), PromptOf(12, salt), 20);
    ask.min_tokens = 15;
    ask.stop = {"a", "e", "i", "o", "u", "t", "s"};
    const RequestId id = stage.Run(ask);
    EXPECT_GE(stage.world().At(id).ids.size(), 15u);
  }
}

TEST(Streams, ThePartsHaveTheirTimesAndCounts) {
  Stage stage;
  stage.Run(AskOf("first", PromptOf(100), 3));
  const RequestId id = stage.Run(AskOf("second", PromptOf(100), 9));
  const Client& client = stage.world().At(id);
  EXPECT_EQ(client.parts, 9) << "a part for each token, the ending in the last";
  const Ending& ending = *client.ending;
  EXPECT_EQ(ending.usage.prompt_tokens, 100);
  EXPECT_EQ(ending.usage.cached_prompt_tokens, 96);
  EXPECT_EQ(ending.usage.completion_tokens, 9);
  EXPECT_EQ(ending.timing.queue, 0);
  EXPECT_EQ(ending.timing.gap_p50, 100);
  EXPECT_EQ(ending.timing.gap_max, 100);
  EXPECT_EQ(ending.timing.total - ending.timing.first_token, 800);
}

TEST(Streams, WhoLeavesIsFreedAtOnceAndOthersGoOn) {
  Stage stage;
  World& world = stage.world();
  const RequestId leaver = world.Ask(AskOf("a", PromptOf(30), 50));
  const RequestId aborted = world.Ask(AskOf("b", PromptOf(30, 1), 50));
  world.Ask(AskOf("c", PromptOf(30, 2), 50));
  world.WorkerAt(stage.link())->RunStep();
  world.Deliver(stage.link());
  const int before = world.core().Status(0).workers[0].kv_blocks_used;
  world.Leave(leaver);
  world.Abort("b");
  world.Abort("nobody");
  EXPECT_LT(world.core().Status(0).workers[0].kv_blocks_used, before);
  EXPECT_EQ(world.At(leaver).ending->end, End::kCancelled);
  EXPECT_EQ(world.At(aborted).ending->end, End::kCancelled);
  world.Settle();
  world.ExpectExact();
  world.Ask(AskOf("d", PromptOf(30, 3), 2));
  world.Settle();
  EXPECT_EQ(world.WorkerAt(stage.link())->open_sequences(), 1u) << "closed by the next plan";
}

TEST(Streams, ADeadlineEndsARequestWhereverItIs) {
  CoordinatorConfig config;
  config.running_max = 1;
  World world(config);
  world.Join({});
  world.Settle();
  ClientAsk running = AskOf("a", PromptOf(30), 50);
  running.deadline = world.now() + 1000;
  ClientAsk waiting = AskOf("b", PromptOf(30), 50);
  waiting.deadline = world.now() + 2000;
  const RequestId first = world.Ask(running);
  const RequestId second = world.Ask(waiting);
  world.Pass(1000);
  EXPECT_EQ(world.At(first).ending->end, End::kDeadline);
  EXPECT_FALSE(world.At(second).ending.has_value());
  world.Pass(1000);
  EXPECT_EQ(world.At(second).ending->end, End::kDeadline);
}

TEST(Streams, TheQueueIsBounded) {
  CoordinatorConfig config;
  config.waiting_max = 3;
  World world(config);
  for (int i = 0; i < 5; ++i) world.Ask(AskOf(absl::StrCat("r", i), PromptOf(5), 2));
  EXPECT_EQ(world.At(RequestId{4}).ending->end, End::kOverloaded);
  EXPECT_EQ(world.core().Status(0).requests_waiting, 3);
  world.Join({});
  world.Settle();
  world.ExpectExact();
  EXPECT_EQ(world.core().Status(0).endings[static_cast<std::size_t>(End::kOverloaded)], 2u);
}

// How long an answer gets that did not say so is not a matter of memory: it ends as it must, or with
// an error that says why.
TEST(Streams, MemoryNeverMakesAnAnswerComplete) {
  World world(ClusterOf(1));
  const LinkId link = world.Join({.kv_blocks = 4});
  world.Settle();
  ClientAsk ask = AskOf("open", PromptOf(40), 1);
  ask.max_tokens.reset();
  const RequestId first = world.Ask(ask);
  world.Settle();
  const Client& begun = world.At(first);
  EXPECT_EQ(begun.ending->end, End::kOutgrown);
  EXPECT_NE(begun.ending->message.find("holds 128 tokens"), std::string::npos)
      << begun.ending->message;
  EXPECT_EQ(begun.ids.size(), 128u + 1u - 40u) << "all that memory holds: the last is never fed";
  world.ExpectExact();
  // A worker with room for the whole context comes, and the client asks for the rest.
  world.Kill(link);
  world.Join({.kv_blocks = 64});
  world.Settle();
  ask.resume_after = static_cast<int>(begun.ids.size());
  const RequestId second = world.Ask(ask);
  world.Settle();
  EXPECT_EQ(world.At(second).ending->end, End::kLength);
  EXPECT_EQ(begun.ids.size() + world.At(second).ids.size(),
            static_cast<std::size_t>(FakeFacts().context) - 40u);
  world.ExpectExact();
}

TEST(Streams, ALossOfMemoryIsUnavailable) {
  World world(ClusterOf(2));
  const LinkId roomy = world.Join({.kv_blocks = 64});
  world.Join({.kv_blocks = 4});
  world.Settle();
  ClientAsk open = AskOf("open", PromptOf(200), 1);
  open.max_tokens.reset();
  const RequestId begun = world.Ask(open);
  for (int i = 0; i < 12; ++i) {
    for (const LinkId link : world.Links()) {
      if (world.WorkerAt(link)->HasStep()) world.WorkerAt(link)->RunStep();
      world.Deliver(link);
    }
  }
  EXPECT_FALSE(world.At(begun).ids.empty());
  const RequestId waiting = world.Ask(AskOf("waits", PromptOf(150), 5));
  world.Kill(roomy);
  world.Settle();
  for (const RequestId id : {begun, waiting}) {
    EXPECT_EQ(world.At(id).ending->end, End::kUnavailable);
    EXPECT_NE(world.At(id).ending->message.find("too little KV memory"), std::string::npos);
  }
  world.ExpectExact();
}

// ---- text that is late: the core does not know where a stop string ends an answer until it is told

// A request whose text ends its answer at a known token, and a core that is not told yet.
class LateText : public testing::Test {
 protected:
  LateText() {
    // Well before its length, and where no character is cut.
    for (int salt = 0; once_.ids.size() < 5 || once_.ids.size() > 20; ++salt) {
      const std::string text = stage_.TextOf(Said(salt, 30));
      const std::string stop = text.size() < 20 ? "" : text.substr(11, 5);
      if (stop.empty() || std::ranges::any_of(stop, [](char c) { return c < ' '; })) continue;
      ask_ = AskOf("r", PromptOf(12, salt), 30);
      ask_.logprobs = 0;
      ask_.routed_experts = true;
      ask_.stop = {stop};
      ClientAsk once = ask_;
      once.id = absl::StrCat("once", salt);
      once_ = world().At(stage_.Run(once));
      CONCLAVE_CHECK(once_.ending->end == End::kStop);
    }
    stops_before_ = Endings(End::kStop);
    world().HoldText();
  }
  World& world() { return stage_.world(); }
  std::uint64_t Endings(End end) {
    return world().core().Status(world().now()).endings[static_cast<std::size_t>(end)];
  }
  int emitted() { return static_cast<int>(world().core().Status(world().now()).emitted_tokens); }
  void Step(int steps) {
    for (int i = 0; i < steps; ++i) {
      FakeWorker* worker = world().WorkerAt(stage_.link());
      if (worker->HasStep()) worker->RunStep();
      world().Deliver(stage_.link());
    }
  }
  int StepsToStop() const { return static_cast<int>(once_.ids.size()); }
  // As if the stop string had been found at once.
  void ExpectAsOnce(const Client& client) {
    EXPECT_EQ(client.ids, once_.ids);
    EXPECT_EQ(client.text, once_.text);
    EXPECT_EQ(client.logprobs, once_.logprobs);
    EXPECT_EQ(client.routed, once_.routed);
    ASSERT_TRUE(client.ending.has_value());
    EXPECT_EQ(client.ending->end, End::kStop);
    EXPECT_EQ(client.ending->stop, once_.ending->stop);
    EXPECT_EQ(client.ending->usage.completion_tokens, once_.ending->usage.completion_tokens);
    EXPECT_EQ(client.ending->timing.gap_max, once_.ending->timing.gap_max);
    EXPECT_EQ(client.ending->timing.total - client.ending->timing.first_token,
              100 * (StepsToStop() - 1));
  }
  // `requests` have ended with `end` since the text was late, and nothing is left of them.
  void ExpectEnded(int requests, End end) {
    const ClusterStatus status = world().core().Status(world().now());
    EXPECT_EQ(Endings(end) - (end == End::kStop ? stops_before_ : 0),
              static_cast<std::uint64_t>(requests));
    EXPECT_EQ(status.requests_running + status.requests_waiting, 0);
    EXPECT_EQ(status.workers[0].kv_blocks_used, 0);
    EXPECT_FALSE(world().Complained());
  }

  Stage stage_;
  ClientAsk ask_;
  Client once_;  // what the ask gives when text is made at once
  std::uint64_t stops_before_ = 0;
};

TEST_F(LateText, TheCoreGoesOnAndNobodySees) {
  const int before = emitted();
  const RequestId id = world().Ask(ask_);
  for (int i = 0; i < StepsToStop() + 5; ++i) {
    Step(1);
    world().Pass(100);
  }
  while (world().WorkText()) continue;
  const Client& client = world().At(id);
  EXPECT_EQ(client.ids.size() + 1, once_.ids.size()) << "the last part waits for the ending";
  EXPECT_FALSE(client.ending.has_value());
  EXPECT_EQ(world().core().Status(world().now()).requests_running, 1);
  world().ReleaseText();
  ExpectAsOnce(client);
  ExpectEnded(1, End::kStop);
  EXPECT_EQ(emitted() - before, StepsToStop());
}

TEST_F(LateText, TheLengthIsReachedFirst) {
  const RequestId id = world().Ask(ask_);
  for (int i = 0; i < 40; ++i) {
    Step(1);
    world().Pass(100);
  }
  const ClusterStatus status = world().core().Status(world().now());
  EXPECT_EQ(status.requests_running, 0) << "its place is another's";
  EXPECT_EQ(status.workers[0].kv_blocks_used, 0);
  EXPECT_EQ(status.endings[static_cast<std::size_t>(End::kLength)], 0u) << "not decided yet";
  world().ReleaseText();
  ExpectAsOnce(world().At(id));
  ExpectEnded(1, End::kStop);
  ExpectEnded(0, End::kLength);
}

TEST_F(LateText, TheClientLeavesAfterTheStop) {
  const RequestId id = world().Ask(ask_);
  for (int i = 0; i < StepsToStop() + 2; ++i) {
    Step(1);
    world().Pass(100);
  }
  world().Abort("r");
  world().ReleaseText();
  ExpectAsOnce(world().At(id));
  ExpectEnded(0, End::kCancelled);
}

TEST_F(LateText, TheClientLeavesBeforeTheStop) {
  const RequestId id = world().Ask(ask_);
  Step(StepsToStop() - 1);
  world().Abort("r");
  EXPECT_FALSE(world().At(id).ending.has_value());
  world().ReleaseText();
  const Client& client = world().At(id);
  EXPECT_EQ(client.ending->end, End::kCancelled);
  EXPECT_EQ(client.ending->usage.completion_tokens, StepsToStop() - 1);
  EXPECT_EQ(client.text, stage_.TextOf(client.ids)) << "what was held back comes with the end";
  ExpectEnded(1, End::kCancelled);
}

TEST_F(LateText, TheDeadlinePassesAfterTheStop) {
  ask_.deadline = world().now() + 1'000'000;
  const RequestId id = world().Ask(ask_);
  for (int i = 0; i < StepsToStop() + 2; ++i) {
    Step(1);
    world().Pass(100);
  }
  world().Pass(1'000'000);
  EXPECT_EQ(world().core().Status(world().now()).requests_running, 0);
  world().ReleaseText();
  ExpectAsOnce(world().At(id));
  ExpectEnded(0, End::kDeadline);
}

TEST_F(LateText, TheVerdictAndTheLengthMeet) {
  const RequestId id = world().Ask(ask_);
  for (int i = 0; i < StepsToStop(); ++i) {
    Step(1);
    world().Pass(100);
  }
  while (world().WorkText()) continue;
  EXPECT_EQ(world().verdicts(), 1u) << "on its way";
  Step(40);
  EXPECT_EQ(world().core().Status(world().now()).requests_running, 0);
  while (world().WorkText()) continue;
  EXPECT_EQ(world().verdicts(), 1u) << "the stage has said what it found";
  world().ReleaseText();
  ExpectAsOnce(world().At(id));
  ExpectEnded(1, End::kStop);
}

TEST_F(LateText, AnotherStreamTakesOverWhatHasEndedUnknown) {
  const RequestId old = world().Ask(ask_);
  for (int i = 0; i < StepsToStop() + 2; ++i) {
    Step(1);
    world().Pass(100);
  }
  ask_.resume_after = 2;
  const RequestId fresh = world().Ask(ask_);
  world().ReleaseText();
  EXPECT_EQ(world().At(old).ending->end, End::kReplaced);
  EXPECT_LT(world().At(old).ids.size(), once_.ids.size()) << "all but what waited for the ending";
  const Client& client = world().At(fresh);
  EXPECT_EQ(client.ids, std::vector<TokenId>(once_.ids.begin() + 2, once_.ids.end()));
  EXPECT_TRUE(once_.text.ends_with(client.text));
  EXPECT_EQ(client.ending->end, End::kStop);
  EXPECT_EQ(client.routed, once_.routed);
  ExpectEnded(1, End::kStop);
  ExpectEnded(1, End::kReplaced);
}

// Its name is free as soon as the core has done with it: the next of this name is a new request.
TEST_F(LateText, TheNextOfItsNameRunsAnew) {
  const RequestId first = world().Ask(ask_);
  Step(40);
  const RequestId second = world().Ask(ask_);
  Step(3);
  world().ReleaseText();
  EXPECT_EQ(world().At(first).ending->end, End::kStop);
  world().Settle();
  EXPECT_EQ(world().At(second).ids, once_.ids);
  EXPECT_EQ(world().core().Status(0).attached, 0u);
  ExpectEnded(2, End::kStop);
}

TEST_F(LateText, MinTokensIsTheStagesRule) {
  ask_.min_tokens = StepsToStop() + 3;
  ClientAsk once = ask_;
  once.id = "held off";
  const RequestId late = world().Ask(ask_);
  Step(40);
  world().ReleaseText();
  const Client& at_once = world().At(stage_.Run(once));
  EXPECT_GE(static_cast<int>(at_once.ids.size()), StepsToStop() + 3);
  EXPECT_EQ(world().At(late).ids, at_once.ids);
  EXPECT_EQ(world().At(late).text, at_once.text);
  EXPECT_EQ(world().At(late).ending->stop, at_once.ending->stop);
}

}  // namespace
}  // namespace conclave
